"""`seqexpr cv` as a whole command."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

from ..small_dataset import make_small_dataset


def run(*arguments) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "seqexpr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_folds_then_predict_with_all_their_models(tmp_path):
    """A run of cv leaves out-of-fold predictions beside baselines, and is an ensemble for predict."""
    dataset = make_small_dataset(tmp_path / "small")
    out = tmp_path / "run"
    done = run(
        *("cv", "--task", dataset.folder, "--label", "a", "--preset", "protein-perceiver", "--split", "chromosome"),
        *("--folds", 2, "--epochs", 1, "--threads", 1, "--out", out),
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines(), delimiter="\t"))
    assert [row["model"] for row in rows][:2] == ["seqexpr", "training_mean"]
    assert {row["scope"] for row in rows} == {"all"}
    assert {row["n"] for row in rows} == {"48"}
    with (out / "predictions.tsv").open() as handle:
        table = list(csv.DictReader(handle, delimiter="\t"))
    assert list(table[0]) == ["id", "chrom", "fold", "output", "label", "prediction"]
    assert len(table) == 48

    (tmp_path / "p.fa").write_text(">one\nMKVLAAGIVGLC\n>two\nMSTNPKPQRKTKRNT\n")
    predicted = run("predict", "--proteins", tmp_path / "p.fa", "--model", out, "--threads", 1)
    assert predicted.returncode == 0, predicted.stderr
    header, *values = [line.split("\t") for line in predicted.stdout.splitlines()]
    assert header == ["id", "a", "a_sd"]
    assert [row[0] for row in values] == ["one", "two"]
    assert all(float(row[2]) > 0 for row in values)


def test_more_folds_than_chromosomes_is_a_usage_error(tmp_path):
    dataset = make_small_dataset(tmp_path / "small")
    out = tmp_path / "run"
    done = run("cv", "--task", dataset.folder, "--label", "a", "--split", "chromosome", "--folds", 9, "--out", out)
    assert done.returncode == 2
    assert "6 chromosomes cannot make 9 folds; use --folds 6 or fewer" in done.stderr
    assert not out.exists()
