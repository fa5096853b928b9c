"""`predict --genbank` as a whole command, and the same from Python."""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from Bio.Seq import Seq

import seqexpr as package

from ..genbank_text import feature, record

PROTEINS = {"plus": "MKR", "minus": "MKL"}


def levels(text: str, column: str) -> dict[str, float]:
    return {row["id"]: float(row[column]) for row in csv.DictReader(io.StringIO(text), delimiter="\t")}


@pytest.fixture
def letters() -> str:
    """3,000 bases with two genes of an exon each; the coding sequences are at 501 and, on the - strand, at 2,001."""
    generator = random.Random(2)
    made = "".join(generator.choice("acgt") for _ in range(3000))
    minus = str(Seq("atgaaactttaa").reverse_complement())
    return made[:500] + "atgaaacgttaa" + made[512:2000] + minus + made[2012:]


@pytest.fixture
def genbank(tmp_path: Path, letters: str) -> Path:
    features = ""
    for tag, outer, inner in (
        ("plus", "451..600", "501..512"),
        ("minus", "complement(1951..2100)", "complement(2001..2012)"),
    ):
        features += feature("gene", outer, locus_tag=tag, gene=tag.upper())
        features += feature("mRNA", outer, locus_tag=tag)
        features += feature("CDS", inner, locus_tag=tag)
    path = tmp_path / "r.gb"
    path.write_text(record(features, letters=letters))
    return path


@pytest.fixture
def annotated(tmp_path: Path, letters: str) -> list[object]:
    """The options that name the same genes in a genome and a GTF."""
    genome, gtf = tmp_path / "g.fa", tmp_path / "a.gtf"
    genome.write_text(f">REC.1\n{letters}\n")
    rows = [("exon", 451, 600, "+"), ("CDS", 501, 512, "+"), ("exon", 1951, 2100, "-"), ("CDS", 2001, 2012, "-")]
    gtf.write_text(
        "".join(
            f"REC.1\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t0\t"
            f'gene_id "{"plus" if strand == "+" else "minus"}"; transcript_id "t{strand}";\n'
            for kind, start, end, strand in rows
        )
    )
    return ["--genome", genome, "--tss", gtf, "--annotation", gtf, "--threads", 1]


def test_levels_are_those_of_the_same_genome_and_gtf(
    genbank: Path, annotated: list[object], seqexpr: Callable[..., Any]
) -> None:
    own = seqexpr("predict", "--genbank", genbank, "--threads", 1)
    assert own.code == 0, own.err
    assert levels(own.out, "mrna") == levels(seqexpr("predict", *annotated).out, "mrna")
    assert list(levels(own.out, "mrna")) == ["plus", "minus"]


def test_proteins_are_read_from_it_too(
    genbank: Path, annotated: list[object], tmp_path: Path, seqexpr: Callable[..., Any]
) -> None:
    (tmp_path / "p.fa").write_text("".join(f">{gene}\n{protein}\n" for gene, protein in PROTEINS.items()))
    own = seqexpr("predict", "--genbank", genbank, "--model", "human-prot", "--threads", 1)
    assert own.code == 0, own.err
    other = seqexpr("predict", *annotated, "--proteins", tmp_path / "p.fa", "--model", "human-prot")
    assert levels(own.out, "protein") == levels(other.out, "protein")


def test_pipes_gzip_and_genes(genbank: Path, tmp_path: Path, seqexpr: Callable[..., Any]) -> None:
    whole = levels(seqexpr("predict", "--genbank", genbank, "--threads", 1).out, "mrna")
    done = seqexpr("predict", "--genbank", "-", "--genes", "MINUS", "--threads", 1,
                   stdin=gzip.compress(genbank.read_bytes()))  # fmt: skip
    assert levels(done.out, "mrna") == {"minus": whole["minus"]}
    table = package.predict(genbank=genbank, threads=1)
    np.testing.assert_allclose(table["mrna"], list(whole.values()), rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "r.gb: found an empty file; expected GenBank (LOCUS) or EMBL (ID) records"),
        (b">a\nACGT\n", "r.gb: found a start of '>a'"),
        (None, "r.gb, record 1 'REC': found 2,"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    genbank: Path, content: bytes | None, said: str, seqexpr: Callable[..., Any]
) -> None:
    genbank.write_bytes(genbank.read_bytes()[:-500] if content is None else content)
    done = seqexpr("predict", "--genbank", genbank)
    assert (done.code, done.out) == (3, "")
    (line,) = [line for line in done.err.splitlines() if "error" in line]
    assert said in line
