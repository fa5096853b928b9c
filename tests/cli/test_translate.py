"""`prepare --translate` as a whole command: proteins and coding sequences, from a GenBank file or an annotation."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from Bio import SeqIO

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.sequences.alphabet import PROTEIN

from ..genbank_text import feature, record

CONTIG = "aaatgaaacgttaaccccccccccttaacgtttcatgggggggggg" + "atgatatgataagg"


def as_genbank() -> str:
    nuclear = feature("CDS", "3..14", locus_tag="whole") + feature("CDS", "complement(25..36)", locus_tag="turned")
    organelle = feature("source", "1..14", organelle="mitochondrion") + feature("CDS", "1..12", locus_tag="mito")
    return record(nuclear, letters=CONTIG[:46], name="chr1") + record(organelle, letters=CONTIG[46:], name="MT")


def write_genome(folder: Path) -> None:
    (folder / "g.fa").write_text(f">chr1\n{CONTIG[:46]}\n>MT\n{CONTIG[46:]}\n")
    rows = [("chr1", 3, 11, 14, "+", "whole"), ("chr1", 28, 36, 27, "-", "turned"), ("MT", 1, 9, 12, "+", "mito")]
    (folder / "a.gtf").write_text(
        "".join(
            f'{chrom}\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t0\tgene_id "{gene}"; transcript_id "t{gene}";\n'
            for chrom, first, last, stop, strand, gene in rows
            for kind, start, end in (
                ("CDS", first, last),
                ("stop_codon", *((last + 1, stop) if strand == "+" else (stop - 2, stop))),
            )
        )
    )


def coding(folder: Path) -> dict[str, str]:
    with gzip.open(folder / "coding.fa.gz", "rt") as file:
        return {one.id: str(one.seq) for one in SeqIO.parse(file, "fasta")}


def proteins(folder: Path) -> dict[str, str]:
    dataset = PreparedDataset.open(folder)
    return {gene: PROTEIN.decode(dataset.proteins([row], 99)[0]) for row, gene in enumerate(dataset.ids)}


@pytest.mark.parametrize("source", ["genbank", "annotation"])
def test_proteins_and_coding_sequences(source: str, tmp_path: Path, seqexpr: Callable[..., Any]) -> None:
    if source == "genbank":
        (tmp_path / "r.gb").write_text(as_genbank())
        given: tuple[object, ...] = ("--genbank", tmp_path / "r.gb")
    else:
        write_genome(tmp_path)
        given = ("--genome", tmp_path / "g.fa", "--tss", tmp_path / "a.gtf", "--annotation", tmp_path / "a.gtf")
    done = seqexpr("prepare", "--out", tmp_path / "set", *given, "--translate", "--mito-table", 3, "--upstream", 3,
                   "--downstream", 3)  # fmt: skip
    assert done.code == 0, done.err
    assert "1 of them are mitochondrial and translated by codon table 3 (--mito-table)" in done.err
    assert proteins(tmp_path / "set") == {"whole": "MKR", "turned": "MKR", "mito": "MMW"}
    assert coding(tmp_path / "set") == {"whole": "ATGAAACGT", "turned": "ATGAAACGT", "mito": "ATGATATGA"}
    assert "translated" in " ".join(json.loads((tmp_path / "set/manifest.json").read_text())["notes"])


def test_a_genbank_file_whose_cds_do_not_translate(tmp_path: Path, seqexpr: Callable[..., Any]) -> None:
    (tmp_path / "r.gb").write_text(record(feature("CDS", "1..9", locus_tag="x"), letters="atgtaaaaataa"))
    done = seqexpr("prepare", "--out", tmp_path / "set", "--genbank", tmp_path / "r.gb", "--translate")
    assert done.code == 3
    assert "x of REC.1: found 1 coding sequences with a stop codon within" in done.err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_train_and_prepare_notice_other_coding_sequences(how: str, tmp_path: Path, seqexpr: Callable[..., Any]) -> None:
    many = "".join(feature("CDS", f"{at + 1}..{at + 12}", locus_tag=f"g{at}") for at in range(0, 480, 12))
    (tmp_path / "r.gb").write_text(record(many, letters="atgaaacgttaa" * 40))
    (tmp_path / "l.tsv").write_text("id\tlevel\n" + "".join(f"g{at}\t{at % 7}\n" for at in range(0, 480, 12)))
    given = ("prepare", "--out", tmp_path / "set", "--genbank", tmp_path / "r.gb", "--translate",
             "--labels", tmp_path / "l.tsv", "--upstream", 3, "--downstream", 3)  # fmt: skip
    assert seqexpr(*given).code == 0
    again = seqexpr(*given)
    assert again.code == 0 and len(coding(tmp_path / "set")) == 40
    file = tmp_path / "set" / "coding.fa.gz"
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(gzip.compress(b">g0\nATGAAA\n"))
    trained = seqexpr("train", "--task", tmp_path / "set", "--preset", "protein-perceiver", "--epochs", 1, "--out",
                      tmp_path / "run")  # fmt: skip
    assert trained.code == 3 and "coding.fa.gz: found" in trained.err
    prepared = seqexpr(*given)
    assert prepared.code == 2 and "is damaged" in prepared.err
