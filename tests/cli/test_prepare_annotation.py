"""`prepare` and `predict` from a genome and its annotation: windows and half-life features, end to end.

The toy contig is counted by eye in `toy_annotation`; the tables beside the HLA example were computed from the GenBank
record with Biopython alone.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from Bio import SeqIO
from Bio.SeqRecord import SeqRecord

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.inputs.half_life import FEATURES
from seqexpr.models.trained import load_model
from seqexpr.sequences.alphabet import DNA

from ..toy_annotation import DOWNSTREAM, FEATURES_BY_HAND, GENOME, UPSTREAM, WINDOWS_BY_HAND, as_gff3, as_gtf

HLA = Path(__file__).resolve().parents[2] / "examples" / "hla"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def features(row: dict[str, str]) -> list[float]:
    return [float(row[name] or "nan") for name in FEATURES]


@pytest.mark.parametrize("suffix", ["gtf", "gff3", "gtf.gz"])
def test_the_toy_genes(suffix: str, tmp_path: Path, seqexpr: Callable[..., Any]) -> None:
    (tmp_path / "toy.fa").write_text(GENOME)
    annotation = tmp_path / f"toy.{suffix}"
    text = (as_gff3() if suffix == "gff3" else as_gtf()).encode()
    annotation.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    done = seqexpr(
        "prepare", "--out", tmp_path / "set", "--genome", tmp_path / "toy.fa", "--tss", annotation,
        "--annotation", annotation, "--upstream", UPSTREAM, "--downstream", DOWNSTREAM,
    )  # fmt: skip
    assert (done.code, done.out) == (0, "")
    assert "downstream of the TSS; 4 unknown bases in" in done.err
    assert (
        "half-life features known: utr5_len 9, cds_len 9, intron_len 9, utr3_len 9, "
        "utr5_gc 7, cds_gc 9, utr3_gc 8, orf_exon_density 9\n"
    ) in done.err

    rows = {row["id"]: row for row in table(tmp_path / "set/genes.tsv")}
    assert list(rows) == list(FEATURES_BY_HAND)
    strands = {gene: rows[gene]["strand"] for gene in rows}
    assert strands == dict.fromkeys(rows, "+") | dict.fromkeys(("MINUS", "BARE", "SILENT"), "-")
    for gene, (boundary, _) in WINDOWS_BY_HAND.items():
        row = rows[gene]
        assert (row["symbol"], row["chrom"], row["tss"]) == (gene.lower(), "toy", str(boundary))
        np.testing.assert_allclose(features(row), FEATURES_BY_HAND[gene], rtol=1e-6, err_msg=gene)
    assert [rows["SILENT"][name] for name in FEATURES] == [""] * 8

    dataset = PreparedDataset(tmp_path / "set")
    windows = dataset.dna(np.arange(len(dataset)), UPSTREAM, DOWNSTREAM)
    found = ["".join("-ACGT"[token] for token in window) for window in windows]
    assert dict(zip(dataset.ids, found, strict=True)) == {gene: text for gene, (_, text) in WINDOWS_BY_HAND.items()}


@pytest.fixture(scope="module")
def record() -> SeqRecord:
    with gzip.open(HLA / "genome.fa.gz", "rt") as file:
        return SeqIO.read(file, "fasta")


def biopython_window(record: SeqRecord, row: list[str], upstream: int, downstream: int) -> str:
    """Of a BED row; no gene of the example lies so close to an end that its window sticks out."""
    first = int(row[1])
    if row[5] == "+":
        return str(record.seq[first - upstream : first + downstream])
    return str(record.seq[first + 1 - downstream : first + 1 + upstream].reverse_complement())


def test_the_annotated_genes_of_the_hla_region(tmp_path: Path, record: SeqRecord, seqexpr: Callable[..., Any]) -> None:
    beside = sorted(HLA.iterdir())
    done = seqexpr(
        "prepare", "--out", tmp_path / "set", "--genome", HLA / "genome.fa.gz", "--tss", HLA / "genes.gtf.gz",
        "--annotation", HLA / "genes.gtf.gz",
    )  # fmt: skip
    assert done.code == 0
    assert "70 genes prepared in" in done.err
    assert sorted(HLA.iterdir()) == beside

    expected = {row["id"]: row for row in table(HLA / "half_life.tsv")}
    rows = {row["id"]: row for row in table(tmp_path / "set/genes.tsv")}
    assert list(rows) == list(expected)
    for gene, row in rows.items():
        np.testing.assert_allclose(features(row), features(expected[gene]), rtol=1e-9, err_msg=gene)
    counts = json.loads((tmp_path / "set/manifest.json").read_text())["half_life_counts"]
    assert [counts[name] for name in FEATURES] == [63, 63, 63, 63, 47, 63, 53, 63]

    places = [line.split("\t") for line in (HLA / "tss.bed").read_text().splitlines()]
    dataset = PreparedDataset(tmp_path / "set")
    assert dataset.ids == [place[3] for place in places]
    windows = dataset.dna(np.arange(len(dataset)), 10_000, 10_000)
    for place, window in zip(places, windows, strict=True):
        letters = biopython_window(record, place, 10_000, 10_000)
        np.testing.assert_array_equal(window, DNA.encode(letters.encode()), err_msg=place[3])
        boundary = int(place[1]) + (place[5] == "-")
        assert (rows[place[3]]["tss"], rows[place[3]]["strand"]) == (str(boundary), place[5])


def test_predict_of_some_genes_of_the_hla_region(
    record: SeqRecord, weights: Callable[..., Path], seqexpr: Callable[..., Any]
) -> None:
    """On both strands, with all features, some (TUBB has no UTR) and none (HTEX4 has no CDS)."""
    genes = ["TNFA", "NEU1", "TUBB", "HTEX4"]
    done = seqexpr(
        "predict", "--genome", HLA / "genome.fa.gz", "--tss", HLA / "genes.gtf.gz", "--genes", ",".join(genes),
        "--half-life", HLA / "half_life.tsv", "--model", weights(),
    )  # fmt: skip
    assert done.code == 0
    assert "half-life features: 0 of 4 genes not in the table, 2 with missing features;" in done.err
    predicted = dict(line.split("\t") for line in done.out.splitlines()[1:])
    assert sorted(predicted) == sorted(genes)
    places = {line.split("\t")[3]: line.split("\t") for line in (HLA / "tss.bed").read_text().splitlines()}
    assert {places[gene][5] for gene in genes} == {"+", "-"}
    known = {row["id"]: features(row) for row in table(HLA / "half_life.tsv")}
    model = load_model(weights())
    for gene in genes:
        tokens = DNA.encode(biopython_window(record, places[gene], 288, 144).encode())
        level = model.predict(tokens[None], None, np.array([known[gene]]))[0, 0]
        assert float(predicted[gene]) == pytest.approx(level, rel=1e-4)
