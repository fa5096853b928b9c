"""`seqexpr train` as a whole command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from seqexpr.models.trained import Output, read_metadata

from ..device_line import cpu_line
from ..runs.test_teaching import save_teacher, write_recipe
from ..small_dataset import make_small_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small").folder


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "seqexpr", *map(str, arguments)]


def run(*arguments) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=environment)


def options(folder, out, *more):
    return ("train", "--task", folder, "--label", "a", "--preset", "dna-perceiver", "--threads", 1, "--out", out, *more)


def test_table_on_stdout_status_on_stderr(folder, tmp_path):
    done = run(*options(folder, tmp_path / "run", "--epochs", 1))
    assert done.returncode == 0, done.stderr
    header, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert header[:6] == ["model", "label", "scope", "n", "r2", "pearson_r2"]
    assert [(row[0], row[2]) for row in rows] == [
        ("seqexpr", "valid"),
        ("training_mean", "valid"),
        *((model, "test") for model in ("seqexpr", "training_mean", "half_life_ridge", "composition_ridge")),
        *((f"composition_half_life_{kind}", "test") for kind in ("ridge",)),
        *((f"composition_{kind}", "test") for kind in ("boosted_trees", "half_life_boosted_trees")),
        ("untrained_model", "test"),
    ]
    assert all(len(row) == len(header) for row in rows)
    first, *_, last = done.stderr.splitlines()
    assert first == cpu_line(1)
    *_, kept = [line for line in done.stderr.splitlines() if line.startswith("run: kept epoch ")]
    assert "validation" in kept
    verdict, ahead = done.stderr.splitlines()[-3:-1]
    assert verdict.startswith("r2 ") and "95 % interval" in verdict
    assert ahead.startswith("seqexpr minus ")
    assert last == f"the run is in {tmp_path / 'run'}; its report is {tmp_path / 'run' / 'report.html'}"
    assert (tmp_path / "run/.done").exists()
    settings = json.loads((tmp_path / "run/manifest.json").read_text())
    assert settings["options"]["recipe"]["max_epochs"] == 1


def test_killed_and_resumed_gives_the_weights_of_uninterrupted(folder, tmp_path):
    whole = run(*options(folder, tmp_path / "whole", "--epochs", 6))
    assert whole.returncode == 0, whole.stderr
    killed = subprocess.Popen(
        command(*options(folder, tmp_path / "parts", "--epochs", 6)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    metrics = tmp_path / "parts/metrics.jsonl"
    while killed.poll() is None and not metrics.exists():
        time.sleep(0.005)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "parts/.done").exists(), "it ended before it could be killed"
    resumed = run(*options(folder, tmp_path / "parts", "--epochs", 6, "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == whole.stdout
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert (tmp_path / "whole/predictions.tsv").read_bytes() == (tmp_path / "parts/predictions.tsv").read_bytes()


def said_by(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Standard error without the figures, which depend on the machine, the epoch that was kept, and the result."""
    assert done.returncode == 0, done.stderr
    *lines, _, _, _ = done.stderr.splitlines()
    return [
        line.split(": validation r2")[0].split(" squared Pearson 0.")[0]
        for line in lines
        if "with MMseqs2" not in line and ": kept epoch" not in line
    ]


AFTER_THE_TRAINING = [
    "before the first epoch",
    "epoch 1 of at most 1",
    "baselines on the same genes",
    "overlap of test and training genes (homologous proteins by MMseqs2)",
    "bootstrap intervals",
    "report",
]


def test_a_network_learns_from_other_models_first(folder, tmp_path):
    save_teacher(tmp_path / "one.safetensors", Output("x"), Output("y"), upstream=200, downstream=100)
    save_teacher(tmp_path / "two.safetensors", Output("x"), seed=1)
    (tmp_path / "genome.fa").write_text(">c1\n" + "ACGGTTAACC" * 100 + "\n")
    write_recipe(tmp_path)
    more = ("--epochs", 1, "--recipe", tmp_path / "r.toml", "--unlabelled", tmp_path / "genome.fa")
    done, again = (run(*options(folder, tmp_path / name, *more)) for name in ("run", "again"))
    assert said_by(done) == [
        cpu_line(1),
        "half-life features missing: intron_len for 1 of 48 genes",
        "learning from teachers",
        "the network says what its teachers say:",
        *AFTER_THE_TRAINING,
    ]
    assert "\nseqexpr\ta\ttest\t5\t" in done.stdout
    assert again.stdout == done.stdout
    for name in ("teacher/weights.safetensors", "weights.safetensors"):
        one, other = (load_file(tmp_path / out / name) for out in ("run", "again"))
        assert all(torch.equal(one[key], other[key]) for key in one)
    shown = run("models", "show", tmp_path / "run/teacher/weights.safetensors")
    assert shown.returncode == 0 and "dna-perceiver" in shown.stdout


def test_a_training_starts_from_weights(folder, tmp_path):
    """The weights say which network it is; a run is as good as a file."""
    first = run(*options(folder, tmp_path / "first", "--epochs", 1, "--recipe", "paper"))
    assert first.returncode == 0, first.stderr
    given = [str(option) for option in options(folder, tmp_path / "next", "--epochs", 1, "--from", tmp_path / "first")]
    at = given.index("--preset")
    done = run(*given[:at], *given[at + 2 :])
    weights = tmp_path / "first/weights.safetensors"
    assert said_by(done) == [
        cpu_line(1),
        "half-life features missing: intron_len for 1 of 48 genes",
        f"the network is that of {weights}; what recipe default-dna says of it otherwise has no effect: "
        "model.kernel_genes",
        *AFTER_THE_TRAINING,
    ]
    start = json.loads((tmp_path / "next/manifest.json").read_text())["options"]["start"]
    assert start["file"] == str(weights) and start["outputs"] == ["a"]
    assert read_metadata(tmp_path / "next/weights.safetensors").config.preset == "dna-perceiver"


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        (["--task", "prot-lung"], 4, "run: seqexpr fetch prot-lung && seqexpr prepare prot-lung"),
        (["--task", "absent"], 2, "no task 'absent'"),
        (["--label", "c"], 2, "has no label c; it has a, b"),
        (["--preset", "dna"], 2, "no preset 'dna'"),
        (["--recipe", "best"], 2, "no recipe 'best'; there are default, paper"),
        (["--test-chromosomes", "9,chr1"], 2, "no gene lies on 9; chromosomes (and their genes): 1 (8), 2 (8), 3"),
        (["--split", "given"], 2, "the given split needs train, valid or test"),
        (["--split", "group"], 2, "group folds need a group for every gene"),
        (["--groups", "families.tsv"], 2, "--groups has no effect on a random split"),
        (["--valid-fraction", "0"], 2, "'0' is not a number above 0 and below 1"),
        (["--device", "cuda"], 5, "device 'cuda' is not available"),
        (["--from", "absent"], 4, "no model, weights file or run folder 'absent'"),
        (["--from", "human-prot"], 2, "holds a protein-perceiver, so no dna-perceiver can start from it"),
        (["--from", "human-mrna"], 2, "prepare it with wider windows"),
        (["--unlabelled", "genome.fa"], 2, "--unlabelled goes with a recipe that has a table [teacher]"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(folder, tmp_path, changed, code, said):
    if "cuda" in changed and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    given = [str(option) for option in options(folder, tmp_path / "run", "--epochs", 1)]
    if changed[0] in given:
        given[given.index(changed[0]) + 1] = changed[1]
    else:
        given += changed
    done = run(*given)
    errors = [line for line in done.stderr.splitlines() if line.startswith("seqexpr: error: ")]
    assert (done.returncode, done.stderr.splitlines()) == (code, errors), done.stderr  # said first, and alone
    assert len(errors) == 1 and said in errors[0]
    assert not (tmp_path / "run").exists()


def test_used_folder_is_not_touched_without_resume(folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/mine.txt").write_text("keep")
    done = run(*options(folder, tmp_path / "run", "--epochs", 1))
    assert done.returncode == 2
    assert "continue it with --resume, or choose another --out" in done.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_missing_scikit_learn_is_told_before_anything_is_trained(folder, tmp_path, seqexpr, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    done = seqexpr(*options(folder, tmp_path / "run", "--epochs", 1))
    assert done.code == 2
    assert done.err.splitlines() == [  # alone, before the device and what else is said of a run
        "seqexpr: error: the baselines need scikit-learn, which is not installed; run: pip install scikit-learn"
    ]
    assert not (tmp_path / "run").exists()


def test_resume_says_when_there_is_nothing_to_resume(folder, tmp_path, seqexpr):
    done = seqexpr(*options(folder, tmp_path / "run", "--epochs", 1, "--resume"))
    assert done.code == 0, done.err
    assert f"seqexpr: warning: {tmp_path / 'run'} does not exist: nothing to resume, a new run begins" in done.err
