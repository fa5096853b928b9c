from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences.annotation import Transcript, read_annotation, read_bed, read_tss
from seqexpr.sequences.windows import Tss


def bed(folder: Path, text: str | bytes) -> list[Tss]:
    path = folder / "tss.bed"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_bed(path)


# TSPAN6 and TNMD of hg38; their first transcribed bases, 0-based.
GOLDEN_BED = "chrX\t100636749\t100636750\tENSG00000000003\t0\t-\nchrX\t100584935\t100584936\tENSG00000000005\t0\t+\n"
GOLDEN_SITES = [
    Tss("ENSG00000000003", "chrX", 100_636_750, "-"),
    Tss("ENSG00000000005", "chrX", 100_584_935, "+"),
]


@pytest.mark.parametrize(
    "content",
    [
        GOLDEN_BED.encode(),
        GOLDEN_BED.replace("\n", "\r\n").encode(),
        gzip.compress(GOLDEN_BED.encode()),
        GOLDEN_BED.replace("\t", " ").encode(),
        b"browser position chrX\ntrack name=x\n#chrom start\n\n" + GOLDEN_BED.encode().rstrip(),
        GOLDEN_BED.replace("-\n", "-\t1\t2\n").encode(),
    ],
    ids=["plain", "crlf", "gzip", "spaces", "headers", "extra-columns"],
)
def test_bed_of_the_golden_genes(tmp_path: Path, content: bytes) -> None:
    sites = bed(tmp_path, content)
    assert sites == GOLDEN_SITES
    assert [str(site.window(7000, 3500)) for site in sites] == [
        "chrX:100633250-100643750:-",
        "chrX:100577935-100588435:+",
    ]


def test_bed_interval_stands_for_its_five_prime_end(tmp_path: Path) -> None:
    assert [site.boundary for site in bed(tmp_path, "1\t100\t200\ta\t0\t+\n1\t100\t200\tb\t0\t-\n")] == [
        100,
        200,
    ]


def test_bed_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOLDEN_BED.encode())))
    assert read_tss("-") == GOLDEN_SITES


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1 5 6 g 0", "found 5 columns; expected at least 6"),
        ("1 -5 6 g 0 +", "found coordinate '-5'"),
        ("1 5 6.5 g 0 +", "found coordinate '6.5'"),
        ("1 1e3 2000 g 0 +", "found coordinate '1e3'"),
        ("1 1_0 20 g 0 +", "found coordinate '1_0'"),
        ("1 5 ٦ g 0 +", "found coordinate '٦'"),
        (f"1 5 {'9' * 5000} g 0 +", "found coordinate '999"),
        ("1 5 5 g 0 +", "found end 5 with start 5"),
        ("1 6 5 g 0 +", "found end 5 with start 6"),
        ("1 5 6 g 0 .", "found strand '.'; expected"),
        ("1 5 6 . 0 +", "found name '.'"),
        ("c\td\t5\t6\tg\t0\t+", "found coordinate 'd'"),
        ("c d\t5\t6\tg\t0\t+", "found contig 'c d'"),
        ("1 5 6 g\0 0 +", "found a NUL byte"),
    ],
)
def test_bad_bed_rows(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        bed(tmp_path, "#head\n1\t2\t3\tok\t0\t+\n" + (row if "\t" in row else row.replace(" ", "\t")) + "\n")
    assert ", line 3: " in str(error.value)


def test_bad_bed_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no row"):
        bed(tmp_path, "#only a header\n")
    with pytest.raises(InputError, match="name 'g': found a second row"):
        bed(tmp_path, "1\t2\t3\tg\t0\t+\n1\t5\t6\tg\t0\t+\n")
    with pytest.raises(InputError, match="not UTF-8"):
        bed(tmp_path, b"1\t2\t3\t\xff\t0\t+\n")
    with pytest.raises(InputError, match="cut short"):
        bed(tmp_path, gzip.compress(GOLDEN_BED.encode())[:-5])


names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12).filter(
    lambda name: name != "." and not name.startswith(("#", "track", "browser"))
)


@given(
    st.dictionaries(
        names,
        st.tuples(names, st.integers(0, 10**9), st.integers(1, 10**4), st.sampled_from("+-")),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_bed_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, tuple[str, int, int, str]], newline: str
) -> None:
    text = newline.join(
        f"{chrom}\t{start}\t{start + length}\t{name}\t0\t{strand}"
        for name, (chrom, start, length, strand) in rows.items()
    )
    sites = bed(tmp_path_factory.getbasetemp(), text)
    assert sites == [
        Tss(name, chrom, start if strand == "+" else start + length, strand)
        for name, (chrom, start, length, strand) in rows.items()
    ]


# A gene on each strand; the - gene has a longer transcript (t2) and a canonical one (t1). In GTF the stop
# codon lies outside the CDS.
GTF = """\
#!genome-build test
1 x gene 101 900 . - . gene_id "g1.4"; gene_name "ALPHA";
1 x transcript 101 800 . - . gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA"; tag "MANE_Select";
1 x exon 601 800 . - . gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x CDS 601 700 . - 0 gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x exon 101 300 . - . gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x CDS 204 300 . - 0 gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x stop_codon 201 203 . - 0 gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x transcript 101 900 . - . gene_id "g1.4"; transcript_id "t2"; gene_name "ALPHA";
1 x exon 101 900 . - . gene_id "g1.4"; transcript_id "t2"; gene_name "ALPHA";
1 x CDS 101 900 . - . gene_id "g1.4"; transcript_id "t2"; gene_name "ALPHA";
2 x exon 51 60 . + . gene_id "g2"; transcript_id "t3";
2 x exon 71 90 . + . gene_id "g2"; transcript_id "t3";
"""

GFF3 = """\
##gff-version 3
1 x region 1 5000 . . . ID=region:1;Name=1
1 x gene 101 900 . - . ID=gene:g1;Name=ALPHA;gene_id=g1.4
1 x mRNA 101 800 . - . ID=transcript:t1;Parent=gene:g1;tag=b,MANE_Select;transcript_id=t1
1 x exon 601 800 . - . Parent=transcript:t1
1 x exon 101 300 . - . Parent=transcript:t1,transcript:t2
1 x CDS 601 700 . - 0 ID=CDS:p1;Parent=transcript:t1
1 x CDS 201 300 . - 0 ID=CDS:p1;Parent=transcript:t1
1 x exon 301 900 . - . Parent=transcript:t2
1 x CDS 101 900 . - . ID=CDS:p2;Parent=transcript:t2
1 x mRNA 101 900 . - . ID=transcript:t2;Parent=gene:g1
2 x exon 51 60 . + . Parent=rna-t3
2 x exon 71 90 . + . Parent=rna-t3
2 x lnc_RNA 51 90 . + . ID=rna-t3;Parent=gene-g2
2 x gene 51 90 . + . ID=gene-g2
##FASTA
>1
ACGT
"""

ALPHA = Transcript("t1", "g1.4", "ALPHA", "1", "-", ((100, 300), (600, 800)), ((200, 300), (600, 700)), canonical=True)
SECOND = Transcript("t3", "g2", "", "2", "+", ((50, 60), (70, 90)), (), canonical=False)


def tabs(text: str) -> str:
    """Columns are written with spaces above, for the reader's sake."""
    return "\n".join(
        line if line.startswith((">", "#", "ACGT")) else "\t".join(line.split(" ", 8)) for line in text.split("\n")
    )


def annotation(folder: Path, text: str, name: str = "a.gtf") -> list[Transcript]:
    path = folder / name
    path.write_text(tabs(text), encoding="utf-8")
    return read_annotation(path)


@pytest.mark.parametrize(("text", "name"), [(GTF, "a.gtf"), (GFF3, "a.gff3"), (GFF3, "wrong-suffix.gtf")])
def test_gtf_and_gff3_say_the_same(tmp_path: Path, text: str, name: str) -> None:
    assert annotation(tmp_path, text, name) == [ALPHA, SECOND]


def test_annotation_gzip_and_crlf(tmp_path: Path) -> None:
    (tmp_path / "a.gtf.gz").write_bytes(gzip.compress(tabs(GTF).replace("\n", "\r\n").encode()))
    assert read_annotation(tmp_path / "a.gtf.gz") == [ALPHA, SECOND]
    assert read_tss(tmp_path / "a.gtf.gz") == [ALPHA.tss, SECOND.tss]


def test_tss_is_the_five_prime_end_of_the_transcript() -> None:
    assert ALPHA.tss == Tss("g1.4", "1", 800, "-", "ALPHA")
    assert SECOND.tss == Tss("g2", "2", 50, "+", "")


def transcript_lines(name: str, start: int, end: int, cds: int = 0, tag: str = "") -> str:
    attributes = f'gene_id "g"; transcript_id "{name}"; ' + (f'tag "{tag}";' if tag else "")
    lines = f"1 x exon {start} {end} . + . {attributes}\n"
    return lines + (f"1 x CDS {start} {start + cds - 1} . + 0 {attributes}\n" if cds else "")


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([("a", 1, 99, 50, ""), ("b", 1, 50, 20, "MANE_Select"), ("c", 1, 50, 10, "Ensembl_canonical")], "c"),
        ([("a", 1, 99, 50, ""), ("b", 1, 50, 20, "MANE_Select")], "b"),
        ([("a", 1, 99, 50, ""), ("b", 1, 50, 20, "MANE Select")], "b"),
        ([("a", 1, 99, 20, "basic"), ("b", 1, 50, 30, "")], "b"),
        ([("a", 1, 80, 30, ""), ("b", 1, 99, 30, "")], "b"),
        ([("b", 1, 99, 30, ""), ("a", 101, 199, 30, "")], "a"),
        ([("a", 1, 80, 0, ""), ("b", 1, 20, 3, "")], "b"),
    ],
    ids=["canonical", "mane", "ncbi-mane", "longest-cds", "longest-transcript", "first-id", "coding"],
)
def test_choice_of_the_transcript(
    tmp_path: Path, candidates: list[tuple[str, int, int, int, str]], chosen: str
) -> None:
    for order in (candidates, candidates[::-1]):
        (transcript,) = annotation(tmp_path, "".join(transcript_lines(*candidate) for candidate in order))
        assert transcript.id == chosen


GENES_BED = "1\t5\t6\tENSG01.3\t0\t+\n1\t7\t8\tENSG02\t0\t+\n1\t9\t10\tENSG03.1_PAR_Y\t0\t+\n"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["ENSG01"], ["ENSG01.3"]),
        (["ENSG01.3"], ["ENSG01.3"]),
        (["ENSG02.7", "ENSG01"], ["ENSG01.3", "ENSG02"]),
        (["ENSG03.1_PAR_Y"], ["ENSG03.1_PAR_Y"]),
        ({"ENSG01.3": 0, "ENSG02": 0}, ["ENSG01.3", "ENSG02"]),
    ],
)
def test_genes_are_picked_with_or_without_version(tmp_path: Path, wanted: list[str], found: list[str]) -> None:
    (tmp_path / "tss.bed").write_text(GENES_BED)
    assert [site.id for site in read_tss(tmp_path / "tss.bed", wanted)] == found


def test_genes_are_picked_by_symbol(tmp_path: Path) -> None:
    (tmp_path / "a.gtf").write_text(tabs(GTF))
    assert read_tss(tmp_path / "a.gtf", ["ALPHA"]) == [ALPHA.tss]


def test_genes_that_are_not_there_are_listed(tmp_path: Path) -> None:
    (tmp_path / "tss.bed").write_text(GENES_BED)
    with pytest.raises(InputError, match=r"found no gene ENSG01\.4, NOPE \(2 of 3\)"):
        read_tss(tmp_path / "tss.bed", ["ENSG01.4", "NOPE", "ENSG02"])


def test_suffix_decides_the_format(tmp_path: Path) -> None:
    (tmp_path / "tss.txt").write_text(GENES_BED)
    with pytest.raises(InputError, match=r"found the suffix '\.txt'; expected a file named \.bed"):
        read_tss(tmp_path / "tss.txt")
    (tmp_path / "TSS.BED.GZ").write_bytes(gzip.compress(GENES_BED.encode()))
    assert len(read_tss(tmp_path / "TSS.BED.GZ")) == 3
