"""A run that is stopped says what it keeps and how to go on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqexpr.cli.stopped import kept_of
from seqexpr.files import write_json

from ..small_dataset import make_small_dataset


def run_of(folder: Path, kind: str, *command: str) -> Path:
    folder.mkdir()
    options = {"folds": 3} if kind == "cv" else {}
    write_json(folder / "manifest.json", {"kind": kind, "command": list(command), "options": options})
    return folder


def epochs(folder: Path, last: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f'{{"epoch": {epoch}}}\n' for epoch in range(last + 1)]
    (folder / "metrics.jsonl").write_text("".join(lines))


def test_nothing_is_kept_before_the_manifest(tmp_path: Path) -> None:
    said = f"stopped before anything was written to {tmp_path / 'run'}; run the same command again"
    assert kept_of(tmp_path / "run") == said
    (tmp_path / "run").mkdir()
    assert kept_of(tmp_path / "run") == said


def test_of_a_training(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "train", "seqexpr", "train", "--task", "a b", "--out", "run")
    rest = f"to go on, run: seqexpr train --task 'a b' --out {run} --resume"
    assert kept_of(run) == f"stopped; {run} keeps its settings; {rest}"
    epochs(run, 0)
    assert kept_of(run) == f"stopped; {run} keeps what comes before the first epoch; {rest}"
    epochs(run, 4)
    assert kept_of(run) == f"stopped; {run} keeps the epochs up to 4; {rest}"
    (run / "weights.safetensors").touch()
    assert kept_of(run) == f"stopped; {run} keeps the trained weights; {rest}"


def test_of_a_run_that_was_stopped_while_it_learnt_from_teachers(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "cv", "seqexpr", "cv", "--resume")
    rest = f"to go on, run: seqexpr cv --out {run} --resume"
    (run / "teacher").mkdir()
    assert kept_of(run) == f"stopped; {run} keeps its settings; {rest}"
    (run / "teacher" / "metrics.jsonl").write_text('{"step": 100}\n{"step": 1200}\n')
    assert kept_of(run) == f"stopped; {run} keeps 1,200 steps of learning from teachers; {rest}"
    (run / "teacher" / ".done").touch()
    assert kept_of(run) == f"stopped; {run} keeps what the network learnt from its teachers; {rest}"
    epochs(run / "folds" / "2", 7)
    assert kept_of(run) == f"stopped; {run} keeps the epochs up to 7 of fold 2; {rest}"


def test_of_folds(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "cv", "seqexpr", "cv", "--resume")
    (run / "folds" / "1").mkdir(parents=True)
    (run / "folds" / "1" / ".done").touch()
    epochs(run / "folds" / "2", 7)
    told = f"1 of 3 folds and the epochs up to 7 of fold 2; to go on, run: seqexpr cv --out {run} --resume"
    assert kept_of(run) == f"stopped; {run} keeps {told}"
    assert kept_of(run, [2]).endswith(f"to go on, run: seqexpr cv --only-fold 2 --out {run}")


def test_a_run_that_cannot_be_read_is_said_and_no_error(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "train")
    (run / "manifest.json").write_text("{")
    assert kept_of(run).startswith(f"stopped; {run / 'manifest.json'}: found text that is not JSON")
    (run / "manifest.json").write_text('{"kind": "cv", "options": {}}')
    assert kept_of(run).startswith(f"stopped; {run} keeps its settings; ")
    (run / "manifest.json").unlink()
    (run / "manifest.json").symlink_to("manifest.json")
    assert kept_of(run).startswith(f"stopped before anything was written to {run};")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_that_is_said_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    data, out = make_small_dataset(tmp_path / "small").folder, tmp_path / "run"
    options = ["--label", "a", "--preset", "protein-perceiver", "--threads", "1", "--epochs", "5000"]
    command = [sys.executable, "-m", "seqexpr", "train", "--task", str(data), *options, "--out", str(out)]
    running = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    for _ in range(600):
        if (out / "metrics.jsonl").exists():
            break
        time.sleep(0.1)
    os.kill(running.pid, number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    *_, kept, ended = said.splitlines()
    assert ended == ("seqexpr: interrupted" if number == signal.SIGINT else "seqexpr: terminated")
    words = shlex.split(kept.partition("to go on, run: ")[2])
    assert f"{out} keeps " in kept and words[0] == "seqexpr" and words[-1] == "--resume"
    assert words[1:-1] == command[3:]
