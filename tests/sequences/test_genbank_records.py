from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from seqexpr.errors import InputError
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.genbank_records import GenbankRecord, read_records

from ..genbank_text import ENSEMBL, LETTERS, feature, record

GENE = record(feature("gene", "1..8", locus_tag="Q"))


def read(folder: Path, content: str | bytes) -> tuple[list[GenbankRecord], LeftOut]:
    path = folder / "r.gb"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    left_out = LeftOut(path)
    return list(read_records(path, left_out)), left_out


@pytest.mark.parametrize(
    "content",
    [
        GENE,
        GENE.replace("\n", "\r\n"),
        "\ufeff\n\n" + GENE,
        "GBBCT1.SEQ          Genetic Sequence Data Bank\n\n    June 15 2020\n\n" + GENE,
        GENE.replace("test.", "prot\xe9ine").encode("latin-1"),
        GENE.removesuffix("//\n"),  # all its bases are there
        gzip.compress(GENE.encode()),
        GENE.replace("DEFINITION  test.\n", ""),
    ],
)
def test_one_record_however_it_is_written(tmp_path: Path, content: str | bytes) -> None:
    (found,), _ = read(tmp_path, content)
    assert (found.name, found.letters.decode(), found.circular, found.organelle) == (
        "REC.1",
        LETTERS.upper(),
        False,
        "",
    )
    assert [one.type for one in found.features] == ["source", "gene"]


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(GENE.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert [one.name for one in read_records("-", LeftOut("-"))] == ["REC.1"]


def test_names_and_kinds(tmp_path: Path) -> None:
    unnamed = GENE.replace("VERSION     REC.1", "VERSION     .").replace("ACCESSION   REC", "ACCESSION   .")
    plastid = record(feature("source", "1..40", organelle="plastid:chloroplast"), "circular", name="CP")
    mitochondrion = record(feature("source", "1..40", organelle="mitochondrion"), name="MI")
    found, _ = read(tmp_path, unnamed + plastid + mitochondrion)
    assert [(one.name, one.circular, one.organelle) for one in found] == [
        ("REC", False, ""),
        ("CP.1", True, "PT"),
        ("MI.1", False, "MT"),
    ]
    assert [one.name for one in read(tmp_path, ENSEMBL)[0]] == ["MT.GRCh38"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (GENE[: GENE.index("ORIGIN")] + "CONTIG      join(X:1..40)\n//\n", "records without a sequence"),
        (GENE[: GENE.index("ORIGIN")] + "ORIGIN\n//\n", "records without a sequence"),
        (GENE.replace("40 bp", "40 aa"), "records of proteins"),
    ],
)
def test_a_record_without_dna_is_left_out(tmp_path: Path, other: str, said: str) -> None:
    found, left_out = read(tmp_path, other.replace("REC", "OTHER") + GENE)
    assert [one.name for one in found] == ["REC.1"]
    assert [what for what in left_out.counts if what.startswith(said)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (">a\nACGT\n", "found a start of '>a'; expected GenBank .LOCUS. or EMBL .ID. records"),
        ("", "found an empty file"),
        ("\n" * 500 + "x\n" * 500, "found a start of 'x'"),
        (GENE.replace("40 bp", "     "), "record 1 'REC': found a record that cannot be read .Did not recognise"),
        (GENE.replace("40 bp", "50 bp"), "record 1 'REC': found 40 bases; expected 50, as its LOCUS line says"),
        (ENSEMBL.replace("40 BP.", "50 BP."), "record 1 'MT': found 40 bases; expected 50, as its ID line says"),
        (GENE + GENE.replace("REC", "REB")[:-30], "record 2 'REB': found 16 bases; expected 40"),
        (GENE.removesuffix("//\n") + GENE.replace("40 bp", "41 bp"), "record 2 'REC': found 40 bases; expected 41"),
        (GENE.replace("ttat", "tt\xe9t"), "record 1 'REC': found bytes that are not text where the sequence is"),
        (
            GENE.replace("        1 ttat", "        1ttat"),
            "record 1 'REC': found a record that cannot be read .Sequence line",
        ),
    ],
)
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize("content", [GENE, ENSEMBL])
def test_a_file_cut_short_is_never_read_as_a_shorter_one(tmp_path: Path, content: str) -> None:
    """Cut anywhere: an error, or all bases and all features."""
    (whole,), _ = read(tmp_path, content)
    for at in range(1, len(content)):
        try:
            found, left_out = read(tmp_path, content[:at])
        except InputError:
            continue
        assert [one.letters for one in found] == [whole.letters], at
        assert len(found[0].features) == len(whole.features)
        assert not left_out.counts
