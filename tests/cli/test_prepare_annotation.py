"""`prepare` and `predict` from a genome and its annotation: windows and half-life features, end to end.

The toy contig is counted by eye in `toy_annotation`; the tables beside the HLA example were computed from the GenBank
record with Biopython alone.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import threading
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
    assert "half-life features missing: all 8 for 1 of 10 genes; utr5_gc for 2; utr3_gc for 1\n" in done.err

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
    assert "half-life features missing: all 8 for 1 of 4 genes; utr5_gc, utr3_gc for 1;" in done.err
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


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """The toy contig, whose annotation calls it by a name that only the alias table knows."""
    (tmp_path / "toy.fa").write_text(GENOME)
    (tmp_path / "other.gtf").write_text(as_gtf().replace("toy\t", "CM0001.1\t"))
    (tmp_path / "aliases.tsv").write_text("toy\tCM0001.1\n")
    rows = []
    for gene, (boundary, _) in WINDOWS_BY_HAND.items():
        strand = "-" if gene in ("MINUS", "BARE", "SILENT") else "+"
        first = boundary - (strand == "-")
        rows.append(f"toy\t{first}\t{first + 1}\t{gene}\t0\t{strand}\n")
    (tmp_path / "tss.bed").write_text("".join(rows))
    return tmp_path


@pytest.mark.parametrize("tss", ["tss.bed", "other.gtf", "-"])
def test_an_annotation_of_other_contig_names(
    tss: str, renamed: Path, weights: Callable[..., Path], seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its GC contents are found through --contig-aliases by both commands, and a file of both uses is read once."""
    monkeypatch.chdir(renamed)
    annotation = "-" if tss == "-" else "other.gtf"
    files = ("--genome", "toy.fa", "--tss", tss, "--annotation", annotation, "--contig-aliases", "aliases.tsv")
    stdin = (renamed / "other.gtf").read_bytes()
    sides = ("--upstream", UPSTREAM, "--downstream", DOWNSTREAM)
    done = seqexpr("prepare", "--out", "set", *files, *sides, stdin=stdin)
    assert (done.code, done.out) == (0, ""), done.err
    for row in table(renamed / "set/genes.tsv"):
        np.testing.assert_allclose(features(row), FEATURES_BY_HAND[row["id"]], rtol=1e-6, err_msg=row["id"])

    predicted = seqexpr("predict", *files, "--model", weights(), stdin=stdin)
    assert predicted.code == 0, predicted.err
    levels = {line.split("\t")[0]: float(line.split("\t")[1]) for line in predicted.out.splitlines()[1:]}
    rows = {row["id"]: row for row in table(renamed / "set/genes.tsv")}
    header = "\t".join(["id", *FEATURES])
    lines = ["\t".join([gene, *(rows[gene][name] for name in FEATURES)]) for gene in rows]
    (renamed / "h.tsv").write_text("\n".join([header, *lines]) + "\n")
    files = ("--genome", "toy.fa", "--tss", "tss.bed", "--half-life", "h.tsv")
    by_table = seqexpr("predict", *files, "--model", weights(), "-q")
    for line in by_table.out.splitlines()[1:]:
        gene, level = line.split("\t")
        assert levels[gene] == pytest.approx(float(level), rel=1e-5)
    assert "half-life features missing: all 8 for 1 of 10 genes; utr5_gc for 2; utr3_gc for 1;" in predicted.err
    if tss != "tss.bed":
        assert "1 contig found under another name (CM0001.1 as toy)" in predicted.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_one_pipe_is_tss_and_annotation(
    renamed: Path, weights: Callable[..., Path], seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(renamed)
    content = Path("other.gtf").read_bytes()

    def fill(pipe: str) -> None:
        Path(pipe).write_bytes(content)
        Path(pipe).write_bytes(b"")  # for whoever opens it again, who would wait for ever

    for pipe, command in (("a", ("prepare", "--out", "set")), ("b", ("predict", "--model", weights()))):
        os.mkfifo(pipe)
        threading.Thread(target=fill, args=(pipe,), daemon=True).start()
        files = ("--genome", "toy.fa", "--tss", pipe, "--annotation", pipe, "--contig-aliases", "aliases.tsv")
        done = seqexpr(*command, *files)
        assert done.code == 0, done.err
    sources = json.loads(Path("set/manifest.json").read_text())["sources"]
    assert [source["sha256"] is None for source in sources] == [False, True, True, False]


def test_genes_and_another_input_cannot_both_be_standard_input(seqexpr: Callable[..., Any], tmp_path: Path) -> None:
    message = "seqexpr: error: only one input can come from standard input (-)\n"
    both = ("--genome", HLA / "genome.fa.gz", "--tss", "-", "--genes", "-")
    for command in (("predict",), ("prepare", "--out", tmp_path / "set")):
        done = seqexpr(*command, *both, stdin=b"TNFA\n")
        assert (done.code, done.out, done.err) == (2, "", message)
