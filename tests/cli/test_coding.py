"""Coding sequences in whole commands: `prepare --cds`, and `predict` with a model that reads them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from Bio import SeqIO
from Bio.Seq import Seq

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, save_model
from seqexpr.sequences.alphabet import CODING

from ..genbank_text import feature, record
from ..small_dataset import fill_kernel

BAD = {
    "length": ("ATGAAACGTT", "10 letters, which is no multiple of three; expected a coding sequence of whole codons"),
    "stop": ("ATGTAACGTTAA", "a stop, TAA, at codon 2 of 3; expected a coding sequence in frame (codon table 1)"),
    "protein": (
        "ATGGAACGTTGA",
        "GAA (E) at codon 2, where the protein has K; expected the coding sequence of the protein of 'g1' (codon table "
        "1)",
    ),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two genes, of which the first has a coding sequence; their proteins."""
    monkeypatch.chdir(tmp_path)
    Path("w.fa").write_text(f">g1\n{'ACGT' * 108}\n>g2\n{'GGCC' * 108}\n")
    Path("p.fa").write_text(">g1\nMKR\n>g2\nMKK\n")
    Path("c.fa").write_text(">g1\nATGAAACGTTAA\n>other\nATGA\n")


@pytest.fixture
def model() -> Callable[[str], Path]:
    """Weights of a small untrained network that reads up to 50 codons."""

    def make(preset: str = "dna-perceiver") -> Path:
        torch.manual_seed(0)
        sizes: dict[str, int] = {"upstream": 288, "downstream": 144} if "dna" in preset else {}
        sizes |= {"protein_length": 432} if "protein" in preset else {}
        config = PerceiverConfig.from_preset(preset, latents=4, kernel_genes=4, coding_length=50, **sizes)
        network = fill_kernel(Perceiver(config))
        path = Path(f"{preset}.safetensors")
        save_model(path, TrainedModel("m", network, ModelMetadata(config, (Output("level"),))))
        return path

    return make


def levels(text: str) -> dict[str, float]:
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return {id: float(level) for id, level, *_ in rows}  # the spread of members stands behind it


def test_prepare_stores_the_coding_sequences_that_there_are(seqexpr: Callable[..., Any]) -> None:
    given = ("prepare", "--out", "set", "--fasta", "w.fa", "--tss-at", 288, "--proteins", "p.fa", "--cds", "c.fa")
    done = seqexpr(*given)
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [
        "the windows: 2 of 2 used (w.fa)",
        "proteins: 2 of 2 used (p.fa)",
        "windows: 288 bp upstream and 144 bp downstream of the TSS; all used as given",
        "coding sequences: for 1 of 2 genes",
        "note: no labels: the dataset can be predicted on, not trained on",
        "2 genes prepared in set",
    ]
    dataset = PreparedDataset.open("set")
    assert [CODING.decode(row) for row in dataset.coding([0, 1], 9)] == ["ATGAAACGT", "NNNNNNNNN"]
    assert {"role": "cds", "file": "c.fa"}.items() <= dataset.manifest["sources"][-1].items()
    again = seqexpr(*given)
    assert "coding sequences: for 1 of 2 genes" in again.err and "are there already" in again.err
    Path("c.fa").write_text(">g1\nATGAAACGA\n")
    changed = seqexpr(*given)
    assert changed.code == 2 and "made with another file for --cds" in changed.err


@pytest.mark.parametrize("kind", BAD)
def test_prepare_refuses_a_coding_sequence_that_is_not_in_frame(seqexpr: Callable[..., Any], kind: str) -> None:
    sequence, said = BAD[kind]
    Path("c.fa").write_text(f">g2\nATGAAAAAA\n>g1\n{sequence}\n")
    proteins = ("--proteins", "p.fa") if kind == "protein" else ()
    done = seqexpr("prepare", "--out", "set", "--fasta", "w.fa", "--tss-at", 288, *proteins, "--cds", "c.fa")
    assert (done.code, done.out) == (3, "")
    assert done.err == f"seqexpr: error: c.fa, record 2 'g1': found {said}\n"
    assert not Path("set").exists()


def test_prepare_counts_genes_whose_isoforms_are_all_left_out(seqexpr: Callable[..., Any]) -> None:
    Path("c.fa").write_text(">T1 cds gene:g1.2\nATGAA\n>T2 cds gene:g2.1\nATGAAAAAATAG\n")
    done = seqexpr("prepare", "--out", "set", "--fasta", "w.fa", "--tss-at", 288, "--cds", "c.fa")
    assert done.code == 0
    assert "coding sequences: for 1 of 2 genes\n" in done.err
    assert "note: coding sequences of 1 gene left out: 1 out of frame (first: 'g1')\n" in done.err


def test_prepare_refuses_a_file_of_other_genes_and_two_sources(seqexpr: Callable[..., Any]) -> None:
    Path("c.fa").write_text(">zz\nATG\n")
    given = ("prepare", "--out", "set", "--fasta", "w.fa", "--tss-at", 288, "--cds", "c.fa")
    done = seqexpr(*given)
    assert done.code == 3 and "c.fa: found none of the 2 ids of the sequences" in done.err
    Path("r.gb").write_text(record(feature("CDS", "1..12", locus_tag="g1"), letters="atgaaacgttaa"))
    both = seqexpr("prepare", "--out", "set", "--genbank", "r.gb", "--translate", "--cds", "c.fa")
    assert both.code == 2 and "--translate and --cds both give coding sequences; give one" in both.err


def test_predict_reads_coding_sequences_and_says_which_are_missing(
    seqexpr: Callable[..., Any], model: Callable[..., Path]
) -> None:
    given = ("predict", "--fasta", "w.fa", "--model", model())
    without = seqexpr(*given)
    assert without.code == 0
    assert without.err.splitlines()[1:] == [
        "2 records: all used as given",
        "coding sequence missing for all 2 genes (--cds gives it, and so do --genome with --annotation); the model "
        "predicts from the rest",
    ]
    read = seqexpr(*given, "--cds", "c.fa")
    assert read.code == 0
    assert read.err.splitlines()[1:] == [
        "2 records: all used as given",
        "coding sequence missing for 1 of 2 genes; the model predicts from the rest",
    ]
    before, after = levels(without.out), levels(read.out)
    assert before["g2"] == after["g2"] and before["g1"] != after["g1"]
    Path("c.fa.gz").write_bytes(gzip.compress(Path("c.fa").read_bytes()))
    assert seqexpr(*given, "--cds", "c.fa.gz").out == read.out
    assert seqexpr(*given, "--cds", "-", stdin=Path("c.fa").read_bytes()).out == read.out


@pytest.mark.parametrize("kind", BAD)
def test_predict_refuses_a_coding_sequence_that_is_not_in_frame(
    seqexpr: Callable[..., Any], model: Callable[..., Path], kind: str
) -> None:
    sequence, said = BAD[kind]
    Path("c.fa").write_text(f">g2\nATGAAAAAA\n>g1\n{sequence}\n")
    inputs = ("--proteins", "p.fa") if kind == "protein" else ("--fasta", "w.fa")
    preset = "protein-perceiver" if kind == "protein" else "dna-perceiver"
    done = seqexpr("predict", *inputs, "--model", model(preset), "--cds", "c.fa", "--out", "levels.tsv", "-q")
    assert (done.code, done.out) == (3, "")
    assert done.err == f"seqexpr: error: c.fa, record 2 'g1': found {said}\n"
    assert not Path("levels.tsv").exists()


def test_predict_refuses_coding_sequences_that_no_model_reads_and_files_of_other_genes(
    seqexpr: Callable[..., Any], model: Callable[..., Path], weights: Callable[..., Path]
) -> None:
    unread = seqexpr("predict", "--fasta", "w.fa", "--model", weights(), "--cds", "c.fa")
    assert (unread.code, unread.err.splitlines()[-1]) == (
        2,
        "seqexpr: error: the model reads no coding sequences: leave --cds out",
    )
    Path("c.fa").write_text(">zz\nATG\n")
    for given, stdin in (("w.fa", b""), ("-", Path("w.fa").read_bytes())):
        other = seqexpr("predict", "--fasta", given, "--model", model(), "--cds", "c.fa", stdin=stdin)
        assert other.code == 3 and "c.fa: found none of the" in other.err, given


def test_a_long_coding_sequence_is_cut_and_said(seqexpr: Callable[..., Any], model: Callable[..., Path]) -> None:
    Path("c.fa").write_text(f">g1\n{'ATG' * 50}\n>g2\n{'ATG' * 51}\n")
    done = seqexpr("predict", "--fasta", "w.fa", "--model", model(), "--cds", "c.fa")
    assert done.err.splitlines()[1:] == ["2 records: 1 coding sequence cut to 50 codons"]


@pytest.mark.parametrize("source", ["annotation", "genbank"])
def test_predict_splices_coding_sequences_itself(
    seqexpr: Callable[..., Any], model: Callable[..., Path], source: str
) -> None:
    before = "acgt" * 100
    contig = before + "atgaaa" + "cccccc" + "cgttaa" + before  # an intron between
    first, last = len(before) + 1, len(before) + 18
    if source == "genbank":
        cds = f"join({first}..{first + 5},{first + 12}..{last})"
        Path("r.gb").write_text(record(feature("CDS", cds, locus_tag="g1"), letters=contig, name="chr1"))
        given: tuple[object, ...] = ("--genbank", "r.gb")
    else:
        Path("g.fa").write_text(f">chr1\n{contig}\n")
        rows = [("transcript", first, last), ("exon", first, first + 5), ("exon", first + 12, last),
                ("CDS", first, first + 5), ("CDS", first + 12, last)]  # fmt: skip
        text = "".join(
            f'chr1\tx\t{kind}\t{start}\t{end}\t.\t+\t0\tgene_id "g1"; transcript_id "t1";\n'
            for kind, start, end in rows
        )
        Path("a.gtf").write_text(text)
        given = ("--genome", "g.fa", "--tss", "a.gtf", "--annotation", "a.gtf")
    path = model()
    spliced = seqexpr("predict", *given, "--model", path)
    assert spliced.code == 0 and "coding sequence" not in spliced.err
    window = contig[first - 1 - 288 : first - 1 + 144].upper()
    Path("w.fa").write_text(f">g1\n{window}\n")
    assert levels(spliced.out) == levels(seqexpr("predict", "--fasta", "w.fa", "--model", path, "--cds", "c.fa").out)
    assert levels(spliced.out) != levels(seqexpr("predict", "--fasta", "w.fa", "--model", path).out)


def test_the_python_verbs_take_coding_sequences(
    seqexpr: Callable[..., Any], model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    import seqexpr as package

    path = model()
    expected = levels(seqexpr("predict", "--fasta", "w.fa", "--model", path, "--cds", "c.fa").out)
    loaded = package.load(path)
    with caplog.at_level("INFO", logger="seqexpr"):
        for cds in ("c.fa", Path("c.fa"), {"g1": "ATGAAACGT"}):
            for table in (package.predict("w.fa", cds=cds, model=path), loaded.predict("w.fa", cds=cds)):
                assert dict(zip(table["id"], table["level"], strict=True)) == pytest.approx(expected, rel=1e-5)
    assert "coding sequence missing for 1 of 2 genes; the model predicts from the rest" in caplog.messages
    made = package.prepare(out="set", fasta="w.fa", tss_at=288, cds="c.fa")
    assert made.coding_lengths.tolist() == [3, 0]


def test_models_show_lists_the_optional_input(seqexpr: Callable[..., Any], model: Callable[..., Path]) -> None:
    shown = seqexpr("models", "show", model())
    assert "  coding sequence up to 50 codons (optional)\n" in shown.out


@pytest.mark.shared_data
def test_codons_of_yeast_are_those_that_biopython_translates(
    shared_data: Path, seqexpr: Callable[..., Any], tmp_path: Path
) -> None:
    yeast = shared_data / "yeast"
    with gzip.open(yeast / "annotation.gtf.gz", "rt") as file:
        kept = [line for line in file if line.startswith(("#", "I\t", "Mito\t"))]
    Path("a.gtf").write_text("".join(kept))
    given = ("--genome", yeast / "genome.fa.gz", "--tss", "a.gtf", "--annotation", "a.gtf", "--mito-table", 3)
    done = seqexpr("prepare", "--out", "set", *given, "--translate", "--upstream", 300, "--downstream", 100)
    assert done.code == 0, done.err
    dataset = PreparedDataset.open("set")
    assert dataset.has_coding and (dataset.coding_lengths > 0).all()
    with gzip.open(yeast / "proteins.fa.gz", "rt") as file:
        proteins = {one.id: str(one.seq).rstrip("*") for one in SeqIO.parse(file, "fasta")}
    checked = 0
    for row, gene in enumerate(dataset.ids):
        if gene in proteins and dataset.genes["chrom"][row] == "I":
            codons = CODING.decode(dataset.coding([row], 9999)[0])
            assert str(Seq(codons).translate()) == proteins[gene], gene
            checked += 1
    assert checked > 90
    cdc19 = dataset.coding([dataset.ids.index("YAL038W")], 9999)[0]
    with gzip.open(yeast / "genome.fa.gz", "rt") as file:
        first = next(one for one in SeqIO.parse(file, "fasta") if one.id == "I")
    spliced = str(first.seq[71_785:73_285])  # I:71,786-73,288 with its stop
    counts = [[spliced[at : at + 3] for at in range(0, 1500, 3)].count(codon) for codon in CODING.codons]
    assert np.bincount(cdc19, minlength=65)[1:].tolist() == counts
