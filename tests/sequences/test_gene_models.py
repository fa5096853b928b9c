from __future__ import annotations

import random
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences.gene_models import read_gene_models
from seqexpr.sequences.transcripts import Intervals, Transcript


def models(folder: Path, text: str) -> list[Transcript]:
    """Columns are written with spaces in this module, for the reader's sake."""
    path = folder / "models.gtf"
    lines = [line if line.startswith(("#", ">")) else "\t".join(line.split(" ", 8)) for line in text.split("\n")]
    path.write_text("\n".join(lines), encoding="utf-8")
    return list(read_gene_models(path))


def test_gtf_of_a_minus_strand_gene_by_hand(tmp_path: Path) -> None:
    """All transcripts in the file's order; the stop codon, cut in two by an intron, belongs to the CDS."""
    attributes = 'gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA"; tag "basic"; tag "MANE_Select";'
    found = models(
        tmp_path,
        f"""#!genome-build test
1 x gene 101 900 . - . gene_id "g1.4"; gene_name "ALPHA";
1 x exon 601 800 . - . {attributes}
1 x CDS 602 700 . - 0 {attributes}
1 x stop_codon 601 601 . - 0 {attributes}
1 x exon 101 300 . - . {attributes}
1 x stop_codon 299 300 . - 1 {attributes}
1 x exon 101 900 . - . gene_id "g1.4"; transcript_id "t2"; gene "RefSeq's";
""",
    )
    assert found == [
        Transcript("t1", "g1.4", "ALPHA", "1", "-", ((100, 300), (600, 800)), ((298, 300), (600, 700)), tier=2),
        Transcript("t2", "g1.4", "ALPHA", "1", "-", ((100, 900),), (), tier=0),
    ]


def test_gff3_with_children_before_parents_and_a_shared_exon(tmp_path: Path) -> None:
    found = models(
        tmp_path,
        """##gff-version 3
1 x exon 101 300 . + . Parent=transcript:t1,transcript:t2
1 x CDS 201 300 . + 0 ID=CDS:p1;Parent=transcript:t1
1 x exon 401 500 . + . Parent=transcript:t2
1 x mRNA 101 300 . + . ID=transcript:t1;Parent=gene:g1;tag=basic,Ensembl_canonical
1 x lnc_RNA 101 500 . + . ID=transcript:t2;Parent=gene:g1
1 x gene 101 500 . + . ID=gene:g1;Name=ALPHA%3B1
##FASTA
>1
""",
    )
    assert found == [
        Transcript("t1", "g1", "ALPHA;1", "1", "+", ((100, 300),), ((200, 300),), tier=3),
        Transcript("t2", "g1", "ALPHA;1", "1", "+", ((100, 300), (400, 500)), (), tier=0),
    ]


def test_gff3_as_ncbi_writes_it(tmp_path: Path) -> None:
    """Prefixes with a hyphen, the transcript's own id in an attribute, a gene two levels up."""
    found = models(
        tmp_path,
        """c x gene 11 90 . - . ID=gene-MIR1;Name=MIR1
c x primary_transcript 11 90 . - . ID=rna-NR_1.2;Parent=gene-MIR1;transcript_id=NR_1.2;tag=MANE Select
c x miRNA 21 40 . - . ID=rna-MIR1-2;Parent=rna-NR_1.2
c x exon 21 40 . - . ID=exon-1;Parent=rna-MIR1-2
c x exon 11 90 . - . ID=exon-2;Parent=rna-NR_1.2
""",
    )
    assert [(model.id, model.gene_id, model.symbol, model.tier) for model in found] == [
        ("MIR1-2", "MIR1", "MIR1", 0),
        ("NR_1.2", "MIR1", "MIR1", 2),
    ]


def test_intervals_that_touch_or_overlap_become_one(tmp_path: Path) -> None:
    lines = "".join(
        f"1 x exon {start} {end} . + . Parent=t\n" for start, end in ((31, 40), (11, 20), (15, 30), (42, 50))
    )
    assert models(tmp_path, lines)[0].exons == ((10, 40), (41, 50))


def test_gtf_without_exon_lines(tmp_path: Path) -> None:
    (model,) = models(tmp_path, '1 x transcript 11 30 . - . gene_id "g"; transcript_id "t";\n')
    assert (model.exons, model.cds) == (((10, 30),), ())
    (model,) = models(tmp_path, "1 x CDS 11 30 . - 0 gene_id g; transcript_id t\n")
    assert model.exons == model.cds == ((10, 30),)


def test_one_transcript_id_on_two_contigs(tmp_path: Path) -> None:
    lines = "".join(f'{chrom} x exon 11 30 . + . gene_id "g"; transcript_id "t";\n' for chrom in "YX")
    assert [(model.chrom, model.exons) for model in models(tmp_path, lines)] == [
        ("Y", ((10, 30),)),
        ("X", ((10, 30),)),
    ]


def test_gff3_gene_with_coding_segments_alone(tmp_path: Path) -> None:
    text = "c x gene 5 40 . + . ID=gene-b;Name=abc%3BD\nc x CDS 5 40 . + 0 ID=cds1;Parent=gene-b\n"
    assert models(tmp_path, text) == [Transcript("b", "b", "abc;D", "c", "+", ((4, 40),), ((4, 40),), tier=0)]


def test_gff3_features_that_are_their_own_ancestors_come_to_an_end(tmp_path: Path) -> None:
    text = "c x mRNA 5 40 . + . ID=a;Parent=b\nc x gene 5 40 . + . ID=b;Parent=a\nc x exon 5 40 . + . Parent=a\n"
    assert [(model.id, model.gene_id) for model in models(tmp_path, text)] == [("a", "b")]


@pytest.mark.parametrize("attributes", [".", ""])
def test_the_format_is_told_by_the_first_line_with_attributes(tmp_path: Path, attributes: str) -> None:
    first = f"1 x region 1 5000 . . . {attributes}\n"
    assert models(tmp_path, f"{first}1 x exon 11 30 . + . Parent=t\n")[0].exons == ((10, 30),)
    assert models(tmp_path, f"{first}1 x exon 11 30 . + . gene_id g; transcript_id t=1;\n")[0].id == "t=1"


def test_gtf_values_may_hold_semicolons_and_the_names_of_keys(tmp_path: Path) -> None:
    text = "".join(
        f'1 x exon {start} {start + 9} . + . note "not the transcript_id z"; gene_id "g"; transcript_id "t;{start}"\n'
        for start in (11, 31)
    )
    assert [(model.id, model.exons) for model in models(tmp_path, text)] == [
        ("t;11", ((10, 20),)),
        ("t;31", ((30, 40),)),
    ]


GOOD = '1 x exon 2 3 . + . gene_id "g"; transcript_id "ok";'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 x exon 5 9 . +", "1 lines without the 9 columns of GTF and GFF3, separated by tabs (first: line 3 of 7"),
        ('1 x exon 9 5 . + . gene_id "g"; transcript_id "t";', "coordinates are not integers with 1 <= start <= end"),
        ('1 x exon 0 5 . + . gene_id "g"; transcript_id "t";', "line 3: '0' and '5'"),
        ('1 x exon a 5 . + . gene_id "g"; transcript_id "t";', "line 3: 'a' and '5'"),
        (f'1 x exon 5 {"9" * 5000} . + . gene_id "g"; transcript_id "t";', "line 3: '5' and '999"),
        ('1 x exon 5 9 . . . gene_id "g2"; transcript_id "t";', "strand is neither + nor - (first: g2, transcript t"),
        ('1 x exon 5 9 . ? . gene_id "g2"; transcript_id "t";', "strand is neither + nor -"),
        ('1 x exon 5 9 . + . gene_id "g";', "1 exon lines without transcript_id (first: line 3)"),
        ('1 x exon 5 9 . + . gene_id "g"; transcript_id "";', "1 exon lines without transcript_id"),
        ('1 x exon 5 9 . + . transcript_id "t";', "1 transcripts without gene_id (first: line 3"),
        (' x exon 5 9 . + . gene_id "g"; transcript_id "t";', "1 lines without a contig's name"),
        ('1 x exon 5 9 . + . gene_id "a\x1b[31m"; transcript_id "t";', "ids are empty or hold control characters"),
    ],
)
def test_what_cannot_be_used_in_gtf_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, said: str
) -> None:
    assert [model.id for model in models(tmp_path, f"#x\n{GOOD}\n{line}\n")] == ["ok"]
    assert said in caplog.text
    assert "left out 1 " in caplog.text


def test_a_transcript_with_pieces_on_both_strands_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pieces = [f'1 x exon {place} . gene_id "m"; transcript_id "t";\n' for place in ("5 9 . +", "50 90 . -")]
    text = f"{GOOD}\n" + "".join(pieces)
    assert [model.id for model in models(tmp_path, text)] == ["ok"]
    assert "1 transcripts with pieces on both strands (trans-splicing) (first: m, transcript t, line 2)" in caplog.text


def test_copies_of_a_transcript_on_both_strands_are_told_by_its_own_lines(tmp_path: Path) -> None:
    lines = [
        f'1 x {feature} {start} {start + 9} . {strand} . gene_id "DAZ"; transcript_id "NM_1";'
        for start, strand in ((11, "+"), (101, "-"), (301, "-"))
        for feature in ("exon", "transcript")
    ]
    assert [(model.strand, model.exons) for model in models(tmp_path, "\n".join(lines))] == [
        ("+", ((10, 20),)),
        ("-", ((100, 110),)),
        ("-", ((300, 310),)),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 x exon 5 9 . + . ID=e", "1 exon lines without Parent (first: line 2)"),
        ("1 x CDS 5 9 . ? 0 Parent=t2", "strand is neither + nor -"),
        ("1 x match 9 5 . + . ID=m", ""),
    ],
)
def test_what_cannot_be_used_in_gff3_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, said: str
) -> None:
    assert [model.id for model in models(tmp_path, f"1 x exon 2 3 . + . Parent=t\n{line}\n")] == ["t"]
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no feature of a gene; expected GTF"):
        models(tmp_path, "#nothing\n")
    with pytest.raises(InputError, match="line 1 of 1 column: found 1 lines without the 9 columns"):
        models(tmp_path, "hello\n")
    with pytest.raises(InputError, match="line 1: found 1 exon lines without transcript_id"):
        models(tmp_path, '1 x exon 5 9 . + . gene_id "g";\n')
    with pytest.raises(InputError, match="a NUL byte"):
        models(tmp_path, f'{GOOD}\n1 x exon 5 9 . + . gene_id "g\0"; transcript_id "t";\n')


def test_time_is_proportional_to_a_line(tmp_path: Path) -> None:
    started = time.monotonic()
    for filler in ("x" * 3_000_000, '"' * 3_000_000, "a b " * 700_000, ";" * 3_000_000, "=" * 3_000_000):
        text = f'{GOOD}\n1 x exon 5 9 . + . gene_id "g2"; transcript_id "t2"; note {filler}\n'
        assert [model.id for model in models(tmp_path, text)] == ["ok", "t2"]
    assert time.monotonic() - started < 20


class Drawn(NamedTuple):
    """A transcript as hypothesis draws it."""

    steps: list[tuple[int, int]]
    """Gap before and length, both less one, of each exon."""
    coding: tuple[int, int]
    """Two offsets in the transcript, modulo its length; what lies between them is coding."""
    strand: str
    chrom: str
    gene: str
    symbol: str
    tag: str


# Letters that mean something in one format or the other; no quotes in GTF, and ends are trimmed in both.
names = st.text("aZ1.;,=%&|:-_é", min_size=1, max_size=6)
TIERS = {"": 0, "basic": 0, "RefSeq Select": 1, "MANE_Select": 2, "Ensembl_canonical": 3}
transcripts = st.builds(
    Drawn,
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=5),
    st.tuples(st.integers(0, 200), st.integers(0, 200)),
    st.sampled_from("+-"),
    st.sampled_from(["1", "chrX"]),
    names,
    st.just("") | names,
    st.sampled_from(sorted(TIERS)),
)


def runs(bases: list[int]) -> Intervals:
    """Ascending positions as half-open intervals."""
    starts = [base for base in bases if base - 1 not in bases]
    ends = [base + 1 for base in bases if base + 1 not in bases]
    return tuple(zip(starts, ends, strict=True))


@given(st.dictionaries(names, transcripts, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_gtf_and_gff3_round_trip(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, Drawn], shuffler: random.Random
) -> None:
    """Transcripts written in both formats, lines in any order, come back as they were."""
    gtf: list[str] = []
    gff3: list[str] = []
    expected = []
    for number, (name, item) in enumerate(drawn.items()):
        bases: list[int] = []
        for gap, length in item.steps:
            start = (bases[-1] + 1 if bases else 0) + gap + 1
            bases += range(start, start + length + 1)
        first, last = sorted(offset % (len(bases) + 1) for offset in item.coding)
        coding = bases[first:last]
        gene = f"{number}{item.gene}"
        expected.append(
            Transcript(name, gene, item.symbol, item.chrom, item.strand, runs(bases), runs(coding), TIERS[item.tag])
        )
        # GTF keeps the stop codon, the last three coding bases along the strand, out of the CDS.
        cut = len(coding) - 3 if item.strand == "+" else 3
        stop, rest = (coding[cut:], coding[:cut]) if item.strand == "+" else (coding[:cut], coding[cut:])
        if len(coding) <= 3:
            stop, rest = [], coding
        attributes = f'gene_id "{gene}"; transcript_id "{name}";'
        attributes += f' gene_name "{item.symbol}";' if item.symbol else ""
        attributes += f' tag "{item.tag}"; tag "other"' if item.tag else ""
        parent = f"transcript:{quote(name, safe='')}"
        for feature, intervals in (("exon", runs(bases)), ("CDS", runs(rest)), ("stop_codon", runs(stop))):
            gtf += [f"{item.chrom} x {feature} {a + 1} {b} . {item.strand} . {attributes}" for a, b in intervals]
        for feature, intervals in (("exon", runs(bases)), ("CDS", runs(coding))):
            gff3 += [f"{item.chrom} x {feature} {a + 1} {b} . {item.strand} . Parent={parent}" for a, b in intervals]
        place = f"{bases[0] + 1} {bases[-1] + 1} . {item.strand} ."
        above = f"gene:{quote(gene, safe='')}"
        tag = f";tag=other,{item.tag}" if item.tag else ""
        symbol = f";Name={quote(item.symbol, safe='')}" if item.symbol else ""
        gff3.append(f"{item.chrom} x mRNA {place} ID={parent};Parent={above}{tag}")
        gff3.append(f"{item.chrom} x gene {place} ID={above}{symbol}")
    for lines in (gtf, gff3):
        shuffler.shuffle(lines)
        found = models(tmp_path_factory.getbasetemp(), "\n".join(lines))
        assert sorted(found, key=lambda model: model.id) == sorted(expected, key=lambda model: model.id)


@pytest.mark.parametrize(
    "text",
    [
        """1 x exon 1 90 . + . gene_id "g"; transcript_id "t";
1 x CDS 1 90 . + 0 gene_id "g"; transcript_id "t"; transl_except "(pos:9..11,aa:Sec)"; transl_table "2";
""",
        """1 x mRNA 1 90 . + . ID=t;Parent=g
1 x exon 1 90 . + . Parent=t
1 x CDS 1 90 . + 0 Parent=t;transl_except=(pos:9..11%2Caa:Sec);transl_table=2
""",
        """1 x exon 1 90 . + . gene_id "g"; transcript_id "t"; tag "seleno";
1 x CDS 1 90 . + 0 gene_id "g"; transcript_id "t"; transl_table "2";
""",
    ],
)
def test_what_says_how_a_coding_sequence_is_translated(tmp_path: Path, text: str) -> None:
    (found,) = models(tmp_path, text)
    assert (found.selenoprotein, found.codon_table) == (True, 2)
    (other,) = models(tmp_path, text.replace("aa:Sec", "aa:Met").replace("seleno", "basic"))
    assert not other.selenoprotein
