from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.annotation import read_annotation
from seqexpr.sequences.genbank import GenbankFile, read_genbank
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import AnnotatedFeatures

LETTERS = "ttatgaaattttggttaacc" + "gattacagattacagattac"
PLUS = """     gene            1..20
                     /gene="ALPHA"
                     /locus_tag="T_1"
                     /db_xref="GeneID:7"
     mRNA            join(1..8,13..20)
                     /gene="ALPHA"
                     /locus_tag="T_1"
     CDS             join(3..8,13..18)
                     /gene="ALPHA"
                     /locus_tag="T_1"
"""
MINUS = """     CDS             complement(22..30)
                     /locus_tag="T_2"
                     /translation="MVK"
"""


def record(features: str, topology: str = "linear", letters: str = LETTERS, name: str = "REC") -> str:
    lines = [letters[at : at + 60] for at in range(0, len(letters), 60)]
    origin = "".join(
        f"{60 * number + 1:>9} {' '.join(line[at : at + 10] for at in range(0, len(line), 10))}\n"
        for number, line in enumerate(lines)
    )
    return (
        f"LOCUS       {name:<16} {len(letters)} bp    DNA     {topology}   BCT 01-JAN-2000\n"
        f"DEFINITION  test.\nACCESSION   {name}\nVERSION     {name}.1\n"
        f"FEATURES             Location/Qualifiers\n     source          1..{len(letters)}\n{features}"
        f"ORIGIN\n{origin}//\n"
    )


def read(folder: Path, text: str, **options: object) -> GenbankFile:
    (folder / "r.gb").write_text(text)
    return read_genbank(folder / "r.gb", **options)  # type: ignore[arg-type]


def test_genes_of_a_record(tmp_path: Path) -> None:
    found = read(tmp_path, record(PLUS + MINUS))
    assert [(site.id, site.symbol, site.chrom, site.boundary, site.strand) for site in found.sites] == [
        ("T_1", "ALPHA", "REC.1", 0, "+"),
        ("T_2", "", "REC.1", 30, "-"),
    ]
    assert found.transcripts["T_1"].exons == ((0, 8), (12, 20))
    assert found.transcripts["T_1"].cds == ((2, 8), (12, 18))
    assert found.translations == {"T_1": "MKG", "T_2": "MVK"}
    assert [(one.id, one.sequence) for one in found.proteins()] == [("T_1", b"MKG"), ("T_2", b"MVK")]


def test_gzip_and_picked_genes(tmp_path: Path) -> None:
    (tmp_path / "r.gb.gz").write_bytes(gzip.compress(record(PLUS + MINUS).encode()))
    assert [site.id for site in read_genbank(tmp_path / "r.gb.gz", ["ALPHA"]).sites] == ["T_1"]
    assert [site.id for site in read_genbank(tmp_path / "r.gb.gz", ["GeneID:7"]).sites] == ["T_1"]
    with pytest.raises(InputError, match="no gene NOPE"):
        read_genbank(tmp_path / "r.gb.gz", ["NOPE"])


def test_windows_are_those_of_the_same_genome(tmp_path: Path) -> None:
    found = read(tmp_path, record(PLUS + MINUS))
    (tmp_path / "g.fa").write_text(f">REC.1\n{LETTERS}\n")
    with Genome(tmp_path / "g.fa") as genome:
        for site in found.sites:
            window, padded = found.sequences.placed_window(site, 12, 9)
            expected, off = genome.placed_window(site, 12, 9)
            np.testing.assert_array_equal(window, expected)
            assert padded == off


def test_a_circular_record_goes_on_over_its_origin(tmp_path: Path) -> None:
    found = read(tmp_path, record(PLUS, "circular"))
    window, padded = found.sequences.placed_window(found.sites[0], 5, 3)
    assert (DNA.decode(window), padded) == ((LETTERS[-5:] + LETTERS[:3]).upper(), 0)
    around = record('     CDS             join(35..40,1..6)\n                     /locus_tag="O"\n', "circular")
    spanning = read(tmp_path, around)
    assert [(site.id, site.boundary) for site in spanning.sites] == [("O", 34)]
    assert spanning.transcripts == {}


def test_features_are_those_of_the_same_gtf(tmp_path: Path) -> None:
    found = read(tmp_path, record(PLUS))
    (tmp_path / "g.fa").write_text(f">REC.1\n{LETTERS}\n")
    rows = [("exon", 1, 8), ("exon", 13, 20), ("CDS", 3, 8), ("CDS", 13, 18)]
    (tmp_path / "a.gtf").write_text(
        "".join(f'REC.1\tx\t{kind}\t{a}\t{b}\t.\t+\t.\tgene_id "T_1"; transcript_id "t";\n' for kind, a, b in rows)
    )
    with Genome(tmp_path / "g.fa") as genome:
        own = AnnotatedFeatures({one.gene_id: one for one in read_annotation(tmp_path / "a.gtf")}, genome)
        np.testing.assert_array_equal(AnnotatedFeatures(found.transcripts, found.sequences)["T_1"], own["T_1"])


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ('     CDS             join(3..8,complement(13..18))\n                     /locus_tag="X"\n', "both strands"),
        ("     CDS             3..8\n", "without locus_tag, gene or GeneID"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, feature: str, said: str
) -> None:
    assert [site.id for site in read(tmp_path, record(MINUS + feature)).sites] == ["T_2"]
    assert said in caplog.text and "left out 1 " in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nACGT\n", "found a start of '>a'; expected GenBank .LOCUS. or EMBL .ID. records"),
        ("", "expected GenBank"),
        (
            record("").replace("ORIGIN", "CONTIG      join(X:1..40)\nJUNK").split("JUNK")[0] + "//\n",
            "no sequence|cannot be read",
        ),
        (record(""), "found no gene"),
        (record(PLUS) + record(MINUS), "record 'REC.1': found a second record"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


@given(st.integers(0, 2000), st.binary(max_size=12))
def test_damaged_files_are_errors_of_their_own(tmp_path_factory: pytest.TempPathFactory, at: int, put: bytes) -> None:
    content = record(PLUS + MINUS).encode()
    at = at % len(content)
    path = tmp_path_factory.getbasetemp() / "damaged.gb"
    path.write_bytes(content[:at] + put + content[at + len(put) :])
    with contextlib.suppress(InputError):
        read_genbank(path)
