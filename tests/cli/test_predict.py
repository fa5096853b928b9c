from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqexpr.inputs.half_life import FEATURES
from seqexpr.models.trained import load_model
from seqexpr.sequences.alphabet import DNA, PROTEIN

from ..device_line import cpu_line

Command = Callable[..., Any]
Weights = Callable[..., Path]
AVERAGE = "the model predicts from the rest"


def bases(seed: int, length: int = 432) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


def residues(seed: int, length: int) -> str:
    return "M" + "".join(random.Random(seed).choices("ACDEFGHIKLMNPQRSTVWY", k=length - 1))


def fasta(path: Path, records: dict[str, str]) -> Path:
    path.write_text("".join(f">{name} described\n{sequence}\n" for name, sequence in records.items()))
    return path


def by_hand(
    weights: Path, dna: str | None = None, protein: str | None = None, half_life: list[float] | None = None
) -> float:
    """One record through the model, without any of the stream."""
    return float(
        load_model(weights).predict(
            None if dna is None else DNA.encode(dna.encode())[None],
            None if protein is None else PROTEIN.encode(protein.encode())[None],
            None if half_life is None else np.array([half_life]),
        )[0, 0]
    )


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


@pytest.fixture
def device_line(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("seqexpr.prediction.device.usable_cores", lambda: 3)
    return f"{cpu_line(3)}\n"


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    return fasta(tmp_path / "windows.fa", {f"g{number}": bases(number) for number in range(11)})


def test_windows_give_a_row_each_and_all_is_told(
    windows: Path, weights: Weights, seqexpr: Command, device_line: str
) -> None:
    done = seqexpr("predict", "--fasta", windows, "--model", weights(), "--device", "cpu")
    expected = [f"g{number}\t{by_hand(weights(), bases(number)):.6g}\n" for number in range(11)]
    assert done.code == 0
    assert done.out.splitlines(True)[0] == "id\tmrna\n"
    for line, wanted in zip(done.out.splitlines()[1:], expected, strict=True):
        assert line.split("\t")[0] == wanted.split("\t")[0]
        assert float(line.split("\t")[1]) == pytest.approx(float(wanted.split("\t")[1]), rel=1e-5)
    device = f"{device_line.strip()}; {weights()}: 1 network\n"
    assert done.err == (
        f"{device}11 records: all used as given\nhalf-life features missing: all 8 for all 11 genes; {AVERAGE}\n"
    )


def test_standard_input_gzip_and_files_give_the_same(windows: Path, weights: Weights, seqexpr: Command) -> None:
    options = ("--model", weights(), "--quiet")
    plain = seqexpr("predict", "--fasta", windows, *options)
    piped = seqexpr("predict", "--fasta", "-", *options, stdin=gzip.compress(windows.read_bytes()))
    assert (plain.code, plain.err) == (piped.code, piped.err) == (0, "")
    assert plain.out == piped.out != ""


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "tsv.gz", "parquet"])
def test_files_hold_what_standard_output_shows(
    suffix: str, tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command
) -> None:
    pandas = pytest.importorskip("pandas")
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"levels.{suffix}"
    shown = seqexpr("predict", "--fasta", windows, "--model", weights(), "-q")
    done = seqexpr("predict", "--fasta", windows, "--model", weights(), "-q", "--out", out)
    assert (done.code, done.out, done.err) == (0, "", "")
    readers = {
        "jsonl": lambda: pandas.DataFrame(map(json.loads, out.read_text().splitlines())),
        "parquet": lambda: pandas.read_parquet(out),
    }
    table = readers.get(suffix, lambda: pandas.read_csv(out, sep="\t"))()
    wanted = pandas.read_csv(io.StringIO(shown.out), sep="\t")
    assert list(table.columns) == ["id", "mrna"]
    assert list(table["id"]) == list(wanted["id"])
    np.testing.assert_allclose(table["mrna"], wanted["mrna"], rtol=1e-5)


@pytest.mark.parametrize("batch_size", ["1", "3", "64", "auto"])
def test_the_batch_size_does_not_change_the_result(
    batch_size: str, windows: Path, weights: Weights, seqexpr: Command
) -> None:
    done = seqexpr("predict", "--fasta", windows, "--model", weights(), "--batch-size", batch_size, "--threads", 1)
    assert done.err.startswith("device: ")
    for number, row in enumerate(rows(done.out)):
        assert float(row["mrna"]) == pytest.approx(by_hand(weights(), bases(number)), rel=1e-4)


def test_an_ensemble_gives_mean_and_sd(windows: Path, weights: Weights, seqexpr: Command) -> None:
    files = [weights(seed=seed) for seed in (0, 1, 2)]
    done = seqexpr("predict", "--fasta", windows, "-q", *(part for file in files for part in ("--model", file)))
    assert done.out.splitlines()[0] == "id\tmrna\tmrna_spread"
    for number, row in enumerate(rows(done.out)):
        single = [by_hand(file, bases(number)) for file in files]
        assert float(row["mrna"]) == pytest.approx(statistics.mean(single), rel=1e-4)
        assert float(row["mrna_spread"]) == pytest.approx(statistics.stdev(single), rel=1e-3)


def test_a_cv_run_is_an_ensemble(tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/manifest.json").write_text(json.dumps({"kind": "cv"}))
    for fold in (0, 1):
        (tmp_path / f"run/folds/{fold}").mkdir(parents=True)
        shutil.copy(weights(seed=fold), tmp_path / f"run/folds/{fold}/weights.safetensors")
    done = seqexpr("predict", "--fasta", windows, "-q", "--model", tmp_path / "run")
    assert done.out.splitlines()[0] == "id\tmrna\tmrna_spread"


def test_models_of_different_windows_each_crop_theirs(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    narrow, wide = weights(), weights(seed=1, upstream=300, downstream=200)
    window = bases(5, 500)
    file = fasta(tmp_path / "w.fa", {"a": window})
    done = seqexpr("predict", "--fasta", file, "-q", "--model", narrow, "--model", wide)
    mean = (by_hand(narrow, window[12:444]) + by_hand(wide, window)) / 2
    assert float(rows(done.out)[0]["mrna"]) == pytest.approx(mean, rel=1e-4)


def test_tss_at_places_the_window_and_counts(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    window = bases(1)
    file = fasta(
        tmp_path / "w.fa",
        {"long": "A" * 12 + window + "TT", "short": window[100:], "whole": window, "n": "N" * 300},
    )
    done = seqexpr("predict", "--fasta", file, "--tss-at", 300, "--model", weights())
    long, short, whole, _ = rows(done.out)
    assert float(long["mrna"]) == pytest.approx(by_hand(weights(), window), rel=1e-5)
    # The option holds for a record of the window's own length too.
    assert len({whole["mrna"], long["mrna"], short["mrna"]}) == 3
    assert done.err.splitlines()[1] == (
        "4 records: 4 records cropped to the window; 3 windows padded (268 bases); 288 unknown bases in 1 window"
    )


def test_half_life_is_read_and_what_is_missing_is_told(
    tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command
) -> None:
    values = [100.0, 900.0, 5000.0, 700.0, 0.6, 0.5, 0.4, 9.0]
    header = "\t".join(["gene_id", *FEATURES])
    table = tmp_path / "h.tsv"
    table.write_text(f"{header}\ng3\t{chr(9).join(map(str, values))}\ng4\t100\tNA\t\t700\t0.6\t0.5\t0.4\t9\n")
    done = seqexpr("predict", "--fasta", windows, "--half-life", table, "--model", weights())
    levels = {row["id"]: float(row["mrna"]) for row in rows(done.out)}
    partly = [100.0, np.nan, np.nan, *values[3:]]
    assert levels["g3"] == pytest.approx(by_hand(weights(), bases(3), half_life=values), rel=1e-4)
    assert levels["g4"] == pytest.approx(by_hand(weights(), bases(4), half_life=partly), rel=1e-4)
    assert levels["g5"] == pytest.approx(by_hand(weights(), bases(5)), rel=1e-4)
    assert done.err.splitlines()[-1] == (
        f"half-life features missing: all 8 for 9 of 11 genes; cds_len, intron_len for 1; {AVERAGE}"
    )


def test_a_model_of_z_scores_reads_z_scores_and_says_so(
    tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command, device_line: str
) -> None:
    model = weights(z_scores=True)
    values = [-1.5, 0.25, 2.0, -0.5, 1.25, -2.0, 0.0, 0.75]
    header = "\t".join(["gene_id", *FEATURES])
    table = tmp_path / "h.tsv"
    table.write_text(f"{header}\ng3\t{chr(9).join(map(str, values))}\n")
    done = seqexpr("predict", "--fasta", windows, "--half-life", table, "--model", model, "--device", "cpu")
    levels = {row["id"]: float(row["mrna"]) for row in rows(done.out)}
    assert levels["g3"] == pytest.approx(by_hand(model, bases(3), half_life=values), rel=1e-4)
    assert levels["g5"] == pytest.approx(by_hand(model, bases(5)), rel=1e-4)
    told = "half-life: the table is read as z-scores, as in Xpresso's tables, which the model was trained on\n"
    assert done.err.startswith(f"{device_line.strip()}; {model}: 1 network\n{told}")
    without = seqexpr("predict", "--fasta", windows, "--model", model)
    assert (without.code, "z-scores" in without.err) == (0, False)


def test_raw_features_are_no_z_scores(tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command) -> None:
    table = tmp_path / "h.tsv"
    table.write_text("\t".join(["gene_id", *FEATURES]) + "\ng3\t0\t900\t5000\t700\t0.6\t0.5\t0.4\t9\n")
    options = ("predict", "--fasta", windows, "--half-life", table, "-q")
    done = seqexpr(*options, "--model", weights(z_scores=True))
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert f"{table}, line 2, column 'cds_len': found 900; expected z-scores as in Xpresso's tables" in done.err
    both = seqexpr(*options, "--model", weights(z_scores=True), "--model", weights())
    assert (both.code, both.out, both.err.count("\n")) == (2, "", 1)
    assert "no table serves both" in both.err
    assert seqexpr(*options[:3], "-q", "--model", weights(z_scores=True), "--model", weights()).code == 0


def test_the_examples_raw_features_are_left_out_for_a_model_of_z_scores(seqexpr: Command, weights: Weights) -> None:
    done = seqexpr("predict", "--example", "--model", weights(upstream=7000, downstream=3500, z_scores=True))
    assert (done.code, len(rows(done.out))) == (0, 12)
    assert "half-life features missing: all 8 for all 12 genes" in done.err


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    return fasta(tmp_path / "genome.fa", {"chr1": bases(77, 3000), "2": bases(78, 500)})


def test_windows_from_a_genome_on_both_strands(
    tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command
) -> None:
    bed = tmp_path / "t.bed"
    bed.write_text("chr1\t999\t1000\tplus\t0\t+\nchr1\t999\t1000\tminus\t0\t-\nchr2\t10\t11\tedge\t0\t+\n")
    done = seqexpr("predict", "--genome", genome, "--tss", bed, "--model", weights())
    plus, minus, edge = rows(done.out)
    chr1, complement = bases(77, 3000), str.maketrans("ACGT", "TGCA")
    assert float(plus["mrna"]) == pytest.approx(by_hand(weights(), chr1[999 - 288 : 999 + 144]), rel=1e-5)
    opposite = chr1[1000 - 144 : 1000 + 288].translate(complement)[::-1]
    assert float(minus["mrna"]) == pytest.approx(by_hand(weights(), opposite), rel=1e-5)
    assert float(edge["mrna"]) == pytest.approx(by_hand(weights(), "N" * 278 + bases(78, 500)[:154]), rel=1e-5)
    assert done.err.splitlines()[1] == (
        "3 records: 1 window padded (278 bases); 1 contig found under another name (chr2 as 2)"
    )


GTF = "".join(
    f"chr1\tx\t{kind}\t{start}\t{start + 400}\t.\t+\t.\t"
    f'gene_id "{gene}"; transcript_id "T{gene}"; gene_name "{symbol}";\n'
    for gene, symbol, start in (("E1", "ABC", 600), ("E2", "DEF", 1200), ("E3", "GHI", 1500))
    for kind in ("transcript", "exon")
)


@pytest.mark.parametrize("from_file", [False, True])
def test_genes_of_a_gtf_are_picked_by_symbol_or_id(
    from_file: bool, tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command
) -> None:
    (tmp_path / "a.gtf").write_text(GTF)
    (tmp_path / "genes.txt").write_text("GHI\n\nE1\n")
    genes = tmp_path / "genes.txt" if from_file else "GHI, E1"
    options = ("--genome", genome, "--tss", tmp_path / "a.gtf", "--model", weights())
    done = seqexpr("predict", *options, "--genes", genes)
    assert {row["id"] for row in rows(done.out)} == {"E1", "E3"}
    one = next(row for row in rows(done.out) if row["id"] == "E1")
    assert float(one["mrna"]) == pytest.approx(by_hand(weights(), bases(77, 3000)[311:743]), rel=1e-5)


def test_proteins_of_any_length(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    proteins = {f"p{length}": residues(length, length) for length in (7, 250, 33, 301, 1, 299)}
    file = fasta(tmp_path / "p.fa", proteins)
    model = weights("protein-perceiver", "protein")
    done = seqexpr("predict", "--proteins", file, "--model", model)
    assert [row["id"] for row in rows(done.out)] == list(proteins)
    for row in rows(done.out):
        assert float(row["protein"]) == pytest.approx(by_hand(model, protein=proteins[row["id"]][:300]), rel=1e-4)
    assert done.err.splitlines()[1:] == ["6 records: 1 protein cut to 300 residues"]


@pytest.mark.parametrize("preset", ["protein-dna-perceiver", "dna-protein-perceiver"])
def test_windows_and_proteins_are_paired(preset: str, tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    windows = fasta(tmp_path / "w.fa", {"a": bases(1), "O43657": bases(2)})
    proteins = fasta(tmp_path / "p.fa", {"sp|O43657|X": residues(1, 90), "extra": residues(2, 9), "a": residues(3, 50)})
    model = weights(preset, "protein")
    done = seqexpr("predict", "--fasta", windows, "--proteins", "-", "--model", model, stdin=proteins.read_bytes())
    first, second = rows(done.out)
    assert float(first["protein"]) == pytest.approx(by_hand(model, bases(1), residues(3, 50)), rel=1e-4)
    assert float(second["protein"]) == pytest.approx(by_hand(model, bases(2), residues(1, 90)), rel=1e-4)
    assert done.err.splitlines()[1] == "2 records: 1 protein without a window left out"


def test_default_models_follow_the_input(
    tmp_path: Path, windows: Path, private_cache: Path, weights: Weights, seqexpr: Command, monkeypatch: Any
) -> None:
    monkeypatch.setattr("seqexpr.models.registry._bundled", list)
    (private_cache / "weights").mkdir()
    shutil.copy(weights(), private_cache / "weights/human-mrna.safetensors")
    protein = weights("protein-perceiver", "lung")
    shutil.copy(protein, private_cache / "weights/human-prot.safetensors")
    assert seqexpr("predict", "--fasta", windows, "-q").out.startswith("id\tmrna\n")
    proteins = fasta(tmp_path / "p.fa", {"p": residues(1, 20)})
    assert seqexpr("predict", "--proteins", proteins, "-q").out.startswith("id\tlung\n")


@pytest.mark.parametrize("piped", [False, True])
def test_a_fasta_without_an_option_is_dna_or_proteins_by_its_letters(
    piped: bool, tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command, monkeypatch: Any
) -> None:
    """Nothing of standard input is lost by looking at its first record."""
    monkeypatch.setattr("seqexpr.prediction.session.DEFAULT_PROTEIN_MODEL", str(weights("protein-perceiver", "lung")))
    monkeypatch.setattr("seqexpr.prediction.session.DEFAULT_DNA_MODEL", str(weights()))
    proteins = fasta(tmp_path / "p.fa", {"p1": residues(1, 20) + "*", "p2": residues(2, 30), "p3": "A" * 25})
    line = "proteins, by their letters; they are read as with --proteins"
    for file, option in ((proteins, "--proteins"), (windows, "--fasta")):
        named = "-" if piped else file
        done = seqexpr("predict", named, stdin=file.read_bytes())
        assert done.code == 0, done.err
        assert done.out == seqexpr("predict", option, file).out
        assert (f"{'standard input' if piped else file}: {line}\n" in done.err) == (file == proteins)


def test_proteins_where_dna_is_expected_are_still_an_error(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    proteins = fasta(tmp_path / "p.fa", {"p1": residues(1, 20)})
    by_option = seqexpr("predict", "--fasta", proteins, "--model", weights())
    placed = seqexpr("predict", proteins, "--tss-at", 3, "--model", weights())
    for done in (by_option, placed):
        assert done.code == 3 and "looks like a protein" in done.err
    for_dna = seqexpr("predict", proteins, "--model", weights())
    assert (for_dna.code, for_dna.err.splitlines()[-1][:45]) == (2, "seqexpr: error: the model reads DNA: give --f")


def test_the_example_runs(seqexpr: Command, weights: Weights, windows: Path) -> None:
    model = weights(upstream=7000, downstream=3500)
    done = seqexpr("predict", "--example", "--model", model)
    assert done.code == 0
    assert len(rows(done.out)) >= 5
    other = seqexpr("predict", "--example", "--fasta", windows, "--model", model)
    assert (other.code, other.out) == (2, "")
    assert "--example brings its own input" in other.err


def test_an_absent_device_is_exit_5(windows: Path, weights: Weights, seqexpr: Command, monkeypatch: Any) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = seqexpr("predict", "--fasta", windows, "--model", weights(), "--device", "cuda")
    assert (done.code, done.out) == (5, "")
    assert done.err.startswith("seqexpr: error: device 'cuda' is not available") and done.err.count("\n") == 1


def test_fp16_on_a_cpu_is_exit_5(windows: Path, weights: Weights, seqexpr: Command) -> None:
    command = ("predict", "--fasta", windows, "--model", weights(), "--device", "cpu", "--precision")
    done = seqexpr(*command, "fp16")
    assert (done.code, done.out) == (5, "")
    assert done.err.startswith("seqexpr: error: precision 'fp16' needs a CUDA device") and done.err.count("\n") == 1
    assert seqexpr(*command, "fp32").out == seqexpr(*command, "auto").out != ""


# Bad input: exit code, and words of the one line. {w} is a good FASTA, {m} a DNA model, {p} a protein model.
GOOD = f">a\n{bases(1)}\n"
BAD_FASTA: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "found an empty file"),
    "not FASTA": (b"hello\nworld\n", "expected FASTA"),
    "duplicate ids": ((GOOD + GOOD).encode(), "record 2 'a': found the id of an earlier record"),
    "protein for DNA": (f">a\n{residues(1, 432)}\n".encode(), "looks like a protein"),
    "window too short": (b">a\nACGT\n", "record 1 'a': found 4 bp; expected a window of exactly 432 bp"),
    "window too long": (f">a\n{bases(1, 433)}\n".encode(), "--tss-at N|center"),
    "NUL byte": (b">a\nAC\0GT\n", "byte 0x00"),
    "gzip cut short": (gzip.compress(GOOD.encode())[:-20], "cut short"),
    "gzip damaged": (gzip.compress(GOOD.encode())[:40] + b"xxxxxxx", "gzip"),
    "no sequence": (b">a\n>b\nACGT\n", "no sequence"),
    "no id": (b">\nACGT\n", "without an id"),
    "good, then bad": ((GOOD + ">b\nACGT\n").encode(), "record 2 'b'"),
}


@pytest.mark.parametrize("case", BAD_FASTA)
@pytest.mark.parametrize("source", ["file", "stdin"])
def test_bad_fasta_is_exit_3_with_one_line_and_no_file(
    case: str, source: str, tmp_path: Path, weights: Weights, seqexpr: Command
) -> None:
    content, words = BAD_FASTA[case]
    (tmp_path / "in.fa").write_bytes(content)
    before = set(os.listdir(tmp_path))
    name = "-" if source == "stdin" else tmp_path / "in.fa"
    out = tmp_path / "o.tsv"
    done = seqexpr("predict", "--fasta", name, "--model", weights(), "-q", "--out", out, stdin=content)
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    shown = "standard input" if source == "stdin" else str(name)
    assert done.err.startswith(f"seqexpr: error: {shown}") and words in done.err
    assert set(os.listdir(tmp_path)) == before


def test_rows_before_a_bad_record_are_on_standard_output(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    (tmp_path / "in.fa").write_text(GOOD + ">b\nACGT\n")
    done = seqexpr("predict", "--fasta", tmp_path / "in.fa", "--model", weights(), "-q")
    assert (done.code, [row["id"] for row in rows(done.out)]) == (3, ["a"])


HALF_LIFE_HEADER = "\t".join(["gene_id", *FEATURES])
ROW = "\t1\t2\t3\t4\t0.5\t0.5\t0.5\t8"
BAD_TABLES = {
    "column missing": (
        HALF_LIFE_HEADER.replace("\tcds_gc", "") + "\na\t1\t2\t3\t4\t.5\t.5\t8\n",
        "no column cds_gc",
    ),
    "column renamed": (HALF_LIFE_HEADER.replace("cds_len", "CDS_length") + f"\na{ROW}\n", "CDS_length"),
    "reordered": ("\t".join(["gene_id", *reversed(FEATURES)]) + f"\na{ROW}\n", "another order"),
    "text": (HALF_LIFE_HEADER + f"\na{ROW}\nb{ROW.replace('4', 'four')}\n", "four"),
    "infinite": (HALF_LIFE_HEADER + f"\na{ROW.replace('4', 'inf')}\n", "inf"),
    "negative": (HALF_LIFE_HEADER + f"\na{ROW.replace('4', '-4')}\n", "-4"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_half_life_tables(case: str, tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command) -> None:
    text, words = BAD_TABLES[case]
    (tmp_path / "h.tsv").write_text(text)
    done = seqexpr("predict", "--fasta", windows, "--half-life", tmp_path / "h.tsv", "--model", weights(), "-q")
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert str(tmp_path / "h.tsv") in done.err and words in done.err


BAD_BED = {
    "unknown contig": ("chr9\t1\t2\ta\t0\t+\n", "chr9"),
    "TSS outside the contig": ("chr1\t3000\t3001\ta\t0\t+\n", "3,000"),
    "negative": ("chr1\t-1\t2\ta\t0\t+\n", "'-1'"),
    "not an integer": ("chr1\t1.5\t2\ta\t0\t+\n", "'1.5'"),
    "no strand": ("chr1\t1\t2\ta\t0\t.\n", "strand '.'"),
    "too few columns": ("chr1\t1\t2\n", "3 columns"),
    "duplicate names": ("chr1\t1\t2\ta\t0\t+\nchr1\t5\t6\ta\t0\t+\n", "a second row"),
    "empty": ("", "no row"),
}


@pytest.mark.parametrize("case", BAD_BED)
def test_bad_tss_files(case: str, tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command) -> None:
    text, words = BAD_BED[case]
    (tmp_path / "t.bed").write_text(text)
    done = seqexpr("predict", "--genome", genome, "--tss", tmp_path / "t.bed", "--model", weights(), "-q")
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert words in done.err


def test_genes_that_are_not_there(tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command) -> None:
    (tmp_path / "a.gtf").write_text(GTF)
    options = ("--genome", genome, "--tss", tmp_path / "a.gtf", "--model", weights(), "-q")
    done = seqexpr("predict", *options, "--genes", "ABC,XYZ")
    assert (done.code, done.out) == (3, "")
    assert "XYZ" in done.err and "ABC" not in done.err


@pytest.mark.parametrize("option", ["--fasta", "--proteins", "--half-life", "--tss", "--genome"])
@pytest.mark.parametrize("kind", ["absent", "folder"])
def test_absent_files_and_folders(
    option: str, kind: str, tmp_path: Path, windows: Path, genome: Path, weights: Weights, seqexpr: Command
) -> None:
    (tmp_path / "folder.bed").mkdir()
    bad = tmp_path / ("folder.bed" if kind == "folder" else "absent.bed")
    (tmp_path / "t.bed").write_text("chr1\t999\t1000\tplus\t0\t+\n")
    others: dict[str, list[Any]] = {
        "--fasta": [],
        "--proteins": [],
        "--half-life": ["--fasta", windows],
        "--tss": ["--genome", genome],
        "--genome": ["--tss", tmp_path / "t.bed"],
    }
    model = weights("protein-perceiver", "protein") if option == "--proteins" else weights()
    done = seqexpr("predict", option, bad, *others[option], "--model", model, "-q", "--out", tmp_path / "o.tsv")
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert str(bad) in done.err and not (tmp_path / "o.tsv").exists()


def test_bad_weights(tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command) -> None:
    from safetensors.numpy import save_file

    whole = weights().read_bytes()
    newer = whole.replace(b'\\"format\\": 2', b'\\"format\\": 9', 1)
    assert newer != whole
    files = {"cut": whole[:-100], "zeros": bytes(100), "text": b"hello", "empty": b"", "newer": newer}
    for name, content in files.items():
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors")
    for name in (*files, "other"):
        path = tmp_path / f"{name}.safetensors"
        done = seqexpr("predict", "--fasta", windows, "--model", path, "--out", tmp_path / "o.tsv")
        assert (name, done.code, done.out, done.err.count("\n")) == (name, 3, "", 1)
        assert done.err.startswith(f"seqexpr: error: {path}: found ")
    assert not (tmp_path / "o.tsv").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no input: give a FASTA"),
        (["--fasta", "{w}", "--genome", "g.fa", "--tss", "t.bed"], "are sources of the same windows"),
        (["--genome", "g.fa", "--model", "{m}"], "--genome needs --tss"),
        (["--fasta", "{w}", "--model", "{p}"], "reads no DNA: leave the windows of "),
        (["--proteins", "{w}", "--model", "{m}"], "reads DNA: give --fasta"),
        (["--fasta", "{w}", "--model", "{m}", "--model", "{p}"], "must predict the same"),
        (["--fasta", "{w}", "--model", "{m}", "--tss-at", "middle"], "neither an offset"),
        (["--fasta", "{w}", "--model", "{m}", "--tss-at", "-1"], "neither an offset"),
        (["--fasta", "{w}", "--model", "{m}", "--batch-size", "0"], "neither a number"),
        (["--fasta", "{w}", "--model", "{m}", "--threads", "0"], "threads"),
        (["--fasta", "{w}", "--model", "{m}", "--device", "tpu"], "tpu"),
        (["--fasta", "{w}", "--model", "{m}", "--format", "xml"], "xml"),
        (["--fasta", "{w}", "--model", "{m}", "--out", "o.csv", "--format", "tsv"], "o.csv says csv and --format tsv"),
        (["--fasta", "{w}", "--model", "{m}", "--format", "parquet"], "needs --out"),
        (["--fasta", "{w}", "--model", "{m}", "--genes", "MYC"], "--genes picks genes of --tss"),
        (["--frobnicate"], "frobnicate"),
    ],
)
def test_usage_errors_are_exit_2(
    arguments: list[str], words: str, windows: Path, weights: Weights, seqexpr: Command
) -> None:
    names = {"{w}": windows, "{m}": weights(), "{p}": weights("protein-perceiver", "protein")}
    done = seqexpr("predict", *(names.get(argument, argument) for argument in arguments))
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("seqexpr: error: ") and words in done.err


def test_an_unknown_model_is_exit_4(windows: Path, seqexpr: Command) -> None:
    done = seqexpr("predict", "--fasta", windows, "--model", "no-such-model")
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 1)
    assert "seqexpr models list" in done.err


def test_an_output_that_cannot_be_written_is_exit_3(
    tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command
) -> None:
    out = tmp_path / "absent" / "o.tsv"
    done = seqexpr("predict", "--fasta", windows, "--model", weights(), "-q", "--out", out)
    assert (done.code, done.err) == (3, f"seqexpr: error: {out}: No such file or directory\n")


def test_an_output_that_is_an_input_is_exit_2(
    tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command
) -> None:
    before = windows.read_bytes()
    done = seqexpr("predict", windows, "--model", weights(), "-q", "--out", windows)
    expected = f"seqexpr: error: --out {windows} is an input, {windows}: give another file\n"
    assert (done.code, done.err, windows.read_bytes()) == (2, expected, before)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_exit_3_and_nothing_else_is_said(windows: Path, weights: Weights, program: Command) -> None:
    with open("/dev/full", "wb") as full:
        process = program("predict", "--fasta", windows, "--model", weights(), "-q", stdout=full)
        error = process.stderr.read()
    assert (process.wait(), error) == (3, b"seqexpr: error: standard output: No space left on device\n")


@pytest.mark.slow
def test_a_reader_that_leaves_early_ends_the_command_quietly(weights: Weights, program: Command) -> None:
    """As `zcat windows.fa.gz | seqexpr predict --fasta - --format jsonl | head -2`; the input never ends."""
    process = program("predict", "--fasta", "-", "--model", weights(), "-q", "--format", "jsonl")
    threading.Thread(target=feed_without_end, args=(process,), daemon=True).start()
    assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == ["g0", "g1"]
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 0


def test_a_row_comes_while_the_input_stays_open(weights: Weights, program: Command) -> None:
    """As `tail -f windows.fa | seqexpr predict --fasta -`: a record is whole once the next one's header is there."""
    process = program("predict", "--fasta", "-", "--model", weights(), "-q", "--batch-size", 64)
    process.stdin.write(b">g0\n")
    for number in range(3):
        process.stdin.write(f"{bases(number)}\n>g{number + 1}\n".encode())
        process.stdin.flush()
        if number == 0:
            assert process.stdout.readline() == b"id\tmrna\n"
        assert process.stdout.readline().startswith(f"g{number}\t".encode())
    out, error = process.communicate(bases(3).encode(), timeout=30)
    assert (process.returncode, out.count(b"\n"), error) == (0, 1, b"")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc here")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_so_many_threads_compute_as_were_asked_for(threads: int, weights: Weights, program: Command) -> None:
    """Judged by the processor time of each thread of a real process, while 120 windows pass through it."""
    model = weights(upstream=7000, downstream=3500)
    process = program("predict", "--fasta", "-", "--model", model, "-q", "--device", "cpu", "--threads", threads)

    def pass_through(first: int, last: int) -> None:
        text = "".join(f"{bases(number % 5, 10_500)}\n>g{number + 1}\n" for number in range(first, last))
        process.stdin.write(text.encode())
        process.stdin.flush()
        for number in range(first, last):
            assert process.stdout.readline().startswith(f"g{number}\t".encode())

    process.stdin.write(b">g-1\n")
    process.stdin.write(f"{bases(0, 10_500)}\n>g0\n".encode())
    process.stdin.flush()
    assert [process.stdout.readline()[:2] for _ in range(2)] == [b"id", b"g-"]
    before = thread_times(process.pid)
    pass_through(0, 120)
    spent = {thread: time - before.get(thread, 0) for thread, time in thread_times(process.pid).items()}
    process.communicate(bases(0, 10_500).encode(), timeout=30)
    computing = [thread for thread, time in spent.items() if time > 0.1 * sum(spent.values())]
    assert len(computing) == threads, spent
    assert process.pid not in computing


def thread_times(process: int) -> dict[int, int]:
    """Processor time of each thread of a process, in clock ticks, user and system: proc_pid_stat(5)."""
    times = {}
    for thread in Path(f"/proc/{process}/task").iterdir():
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        times[int(thread.name)] = int(fields[11]) + int(fields[12])
    return times


def feed_without_end(process: subprocess.Popen[bytes]) -> None:
    number = 0
    try:
        while True:
            process.stdin.write(f">g{number}\n{bases(number % 10)}\n".encode())
            number += 1
    except OSError:
        pass


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("input", ["waits", "does not end"])
@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [(signal.SIGINT, 130, b"seqexpr: interrupted\n"), (signal.SIGTERM, 143, b"seqexpr: terminated\n")],
)
def test_signals_end_the_command_and_leave_nothing(
    sent: signal.Signals, code: int, words: bytes, input: str, tmp_path: Path, weights: Weights, program: Command
) -> None:
    """When the signal comes, the reader waits for an input that sends nothing more; or all threads are at work."""
    process = program("predict", "--fasta", "-", "--model", weights(), "--out", tmp_path / "o.tsv")
    process.stdin.write(GOOD.encode())
    process.stdin.flush()
    if input == "does not end":
        threading.Thread(target=feed_without_end, args=(process,), daemon=True).start()
    assert process.stderr.readline().startswith(b"device: ")
    while not list(tmp_path.iterdir()):
        time.sleep(0.01)  # until the temporary file is there, so that its removal is what is tested
    process.send_signal(sent)
    assert process.wait(30) == code
    assert process.stderr.read() == words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["file", "gzip", "stdin"])
def test_genes_in_a_file(source: str, tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command) -> None:
    (tmp_path / "a.gtf").write_text(GTF)
    text = b"\xef\xbb\xbfABC\r\n\r\n"
    (tmp_path / "genes.txt").write_bytes(gzip.compress(text) if source == "gzip" else text)
    name = "-" if source == "stdin" else tmp_path / "genes.txt"
    options = ("--genome", genome, "--tss", tmp_path / "a.gtf", "--model", weights(), "-q")
    done = seqexpr("predict", *options, "--genes", name, stdin=text)
    assert (done.code, done.err, len(rows(done.out))) == (0, "", 1)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "found no gene"), (b"ABC\0\n", "NUL"), (b"caf\xe9\n", "not UTF-8")]
)
def test_bad_files_of_genes(
    content: bytes, words: str, tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command
) -> None:
    (tmp_path / "a.gtf").write_text(GTF)
    (tmp_path / "genes.txt").write_bytes(content)
    options = ("--genome", genome, "--tss", tmp_path / "a.gtf", "--model", weights(), "-q")
    done = seqexpr("predict", *options, "--genes", tmp_path / "genes.txt")
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert done.err.startswith(f"seqexpr: error: {tmp_path / 'genes.txt'}") and words in done.err


def test_a_list_of_genes_may_be_longer_than_a_file_name(
    tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command
) -> None:
    (tmp_path / "a.gtf").write_text(GTF)
    options = ("--genome", genome, "--tss", tmp_path / "a.gtf", "--model", weights(), "-q")
    done = seqexpr("predict", *options, "--genes", ",".join(f"GENE{number}" for number in range(1000)))
    assert done.code == 3 and "found no gene GENE0, GENE1," in done.err


def test_an_output_name_as_long_as_the_system_takes(
    tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command
) -> None:
    out = tmp_path / f"{'o' * 250}.tsv"
    assert seqexpr("predict", "--fasta", windows, "--model", weights(), "-q", "--out", out).code == 0
    assert out.is_file()


def test_an_error_is_short_and_printable(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    for content in (b">" + b"x" * 100_000 + b"\nACGT\n", b"PK\x03\x04\x1b[31m\0\0"):
        (tmp_path / "in.fa").write_bytes(content)
        done = seqexpr("predict", "--fasta", tmp_path / "in.fa", "--model", weights(), "-q")
        assert done.code == 3 and len(done.err) < 1000 and done.err.rstrip("\n").isprintable()


def test_lines_in_a_log_file_have_the_total_and_the_time_left(
    windows: Path, weights: Weights, seqexpr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqexpr.cli.console._PLAIN_LINE_SECONDS", 0.0)
    said = seqexpr("predict", "--fasta", windows, "--model", weights(), "--device", "cpu").err
    assert re.search(r"^predict: 5 of (about )?11 records, [0-9.]+ per second, [0-9]+ s left$", said, re.MULTILINE)


def test_the_device_line_names_a_run_and_counts_its_networks(
    tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command
) -> None:
    run = tmp_path / "run"
    for fold in range(3):
        (run / "folds" / str(fold)).mkdir(parents=True)
        shutil.copy(weights(), run / "folds" / str(fold) / "weights.safetensors")
        (run / "folds" / str(fold) / ".done").touch()
    (run / "manifest.json").write_text(json.dumps({"kind": "cv", "options": {"folds": 3}}))
    said = seqexpr("predict", "--fasta", windows, "--model", run, "--model", weights(), "--device", "cpu").err
    assert said.splitlines()[0].endswith(f"; {run}: 3 networks; {weights()}: 1 network")


@pytest.mark.parametrize("name", ["levels.txt", "levels", "levels.dat.gz"])
def test_any_other_suffix_is_tsv(name: str, tmp_path: Path, windows: Path, weights: Weights, seqexpr: Command) -> None:
    done = seqexpr("predict", "--fasta", windows, "--model", weights(), "--out", tmp_path / name, "--device", "cpu")
    written = (tmp_path / name).read_bytes()
    text = gzip.decompress(written) if name.endswith(".gz") else written
    assert (done.code, text.splitlines()[0]) == (0, b"id\tmrna")
