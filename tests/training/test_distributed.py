"""One training on many processes, started by the real torchrun: the bits of one process, and no end without a word."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from seqexpr.errors import DeviceError, UsageError
from seqexpr.models.trained import Output
from seqexpr.training.distributed import Place, is_follower, join, own_device, refuse_many_processes

from ..runs.test_teaching import save_teacher
from ..small_dataset import make_small_dataset

CPU = torch.device("cpu")
RECIPE = """
base = "default"
batch_size = 16
group_size = 4
learning_rate = 3e-3
warmup_steps = 2
max_epochs = {epochs}
stop_metric = "none"
average_decay = 0.9
[model]
dropout = 0.3
[teacher]
models = ["{teacher}"]
steps = 4
batch_size = 8
warmup_steps = 2
random_share = 0.0
island_share = 0.0
"""
EPOCHS = 12


def environment(monkeypatch, **values: object) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("size", [None, "", "1", "many"])
def test_a_process_on_its_own_meets_nobody(monkeypatch, size):
    environment(monkeypatch, RANK=3, **({} if size is None else {"WORLD_SIZE": size}))
    assert Place.of_environment() is None and join(CPU) is None
    assert not is_follower() and own_device(CPU) == CPU
    refuse_many_processes("cv", "never said")


def test_torchruns_environment_says_which_process_this_is(monkeypatch):
    environment(monkeypatch, WORLD_SIZE=4, RANK=3, LOCAL_RANK=1, MASTER_ADDR="node0", MASTER_PORT=29500)
    assert Place.of_environment() == Place(3, 4, 1, "node0", 29500)
    assert is_follower()
    with pytest.raises(UsageError, match="cv was started by torchrun as 4 processes; use --jobs"):
        refuse_many_processes("cv", "use --jobs")
    monkeypatch.setenv("RANK", "0")
    assert not is_follower()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"RANK": ""}, "WORLD_SIZE is 4, but RANK is not set"),
        ({"RANK": "x"}, "RANK is x"),
        ({"RANK": "4"}, "RANK is 4"),
    ],
)
def test_an_environment_that_says_half_is_refused(monkeypatch, changed, said):
    environment(monkeypatch, **{"WORLD_SIZE": 4, "RANK": 0, "LOCAL_RANK": 0, "MASTER_PORT": 29500, **changed})
    with pytest.raises(UsageError, match=said):
        Place.of_environment()


def test_each_process_has_a_gpu_of_its_own_or_says_so(monkeypatch):
    environment(monkeypatch, WORLD_SIZE=4, RANK=2, LOCAL_RANK=2, MASTER_PORT=29500)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(DeviceError, match="process 2 of this machine has no GPU of its own: there are 2"):
        own_device(torch.device("cuda"))
    with pytest.raises(DeviceError, match="on mps"):
        own_device(torch.device("mps"))
    chosen: list[int] = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    assert own_device(torch.device("cuda")) == torch.device("cuda", 2) and chosen == [2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A dataset, a teacher and recipes: `r.toml` with a teacher stage, a kernel flow and epochs."""
    folder = tmp_path_factory.mktemp("data")
    make_small_dataset(folder / "small")
    save_teacher(folder / "teacher.safetensors", Output("x"), upstream=200, downstream=100)
    text = RECIPE.format(epochs=EPOCHS, teacher=folder / "teacher.safetensors")
    (folder / "r.toml").write_text(text)
    (folder / "whole-batches.toml").write_text('base = "paper"\nmax_epochs = 2\n')
    return folder


def options(folder: Path, out: Path, *more: object, recipe: str = "r.toml") -> list[str]:
    given = ("--task", folder / "small", "--label", "a", "--preset", "dna-perceiver", "--recipe", folder / recipe)
    return [str(word) for word in ("train", *given, "--threads", 1, "--test-fraction", 0, "--out", out, *more)]


def torchrun(processes: int, *command: str) -> subprocess.Popen[str]:
    """Start so many processes, which meet at a port of torchrun's choice unless `--nnodes` comes first."""
    alone = [] if command[0] == "--nnodes" else ["--standalone"]
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *alone, "--nproc-per-node", str(processes), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    try:
        out, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_many(processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return finished(torchrun(processes, "-m", "seqexpr", *arguments))


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What seqexpr said of the end, without torchrun's own report."""
    return [line for line in done.stderr.splitlines() if line.startswith("seqexpr: ")]


def exit_codes(done: subprocess.CompletedProcess[str]) -> list[int]:
    """Those of the processes that ended by an error, as torchrun reports them."""
    return [int(code) for code in re.findall(r"^ *exitcode *: (-?\d+)", done.stderr, re.MULTILINE)]


def rows(run: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_alike(one: Path, other: Path) -> None:
    """Two runs have the same losses, weights, running statistics, optimiser and teacher stage."""
    for name in ("", "teacher"):
        assert rows(one / name) == rows(other / name)
    for name in ("weights", "checkpoint/state", "teacher/weights", "teacher/checkpoint/state"):
        mine, own = (load_file(run / f"{name}.safetensors") for run in (one, other))
        assert mine.keys() == own.keys()
        assert [key for key in mine if not torch.equal(mine[key].nan_to_num(), own[key].nan_to_num())] == []


@pytest.fixture(scope="module")
def whole(folder) -> Path:
    """The run of one process."""
    command = [sys.executable, "-m", "seqexpr", *options(folder, folder / "whole")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert "processes" not in json.loads((folder / "whole/manifest.json").read_text())
    return folder / "whole"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_many_processes_give_the_bits_of_one(folder, whole, tmp_path, processes):
    """The last batch of an epoch, and every step of the teacher stage, has fewer groups than four processes."""
    done = run_many(processes, *options(folder, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert_alike(whole, tmp_path / "run")
    state = load_file(whole / "checkpoint/state.safetensors")
    assert any("running_mean" in key for key in state) and any(key.startswith("kernel/") for key in state)
    assert len(done.stdout.splitlines()) == 3  # one table
    lines = done.stderr.splitlines()
    assert sum(line.startswith("the run is in") for line in lines) == 1
    assert sum(line.startswith(f"{processes} processes train this network") for line in lines) == 1
    assert json.loads((tmp_path / "run/manifest.json").read_text())["processes"] == processes


def process_of(launcher: subprocess.Popen[str], rank: int) -> int:
    """The process id of a rank."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    found = [pid for pid in children if f"\0RANK={rank}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()]
    assert len(found) == 1
    return int(found[0])


def wait_for_epochs(launcher: subprocess.Popen[str], run: Path) -> None:
    """Return once some epochs are done."""
    metrics = run / "metrics.jsonl"
    while launcher.poll() is None and not (metrics.exists() and len(metrics.read_text().splitlines()) > 2):
        time.sleep(0.01)
    assert launcher.poll() is None, launcher.communicate()


def stop(launcher: subprocess.Popen[str], run: Path, rank: int, number: int) -> subprocess.CompletedProcess[str]:
    """Send a rank a signal once some epochs are done."""
    wait_for_epochs(launcher, run)
    os.kill(process_of(launcher, rank), number)
    done = finished(launcher)
    assert not (run / ".done").exists() and len(rows(run)) < EPOCHS + 1, "it ended before it could be stopped"
    return done


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="ranks are found by their environment in /proc")
@pytest.mark.parametrize(("rank", "then"), [(1, 4), (0, 1)])
def test_a_killed_process_ends_all_and_any_number_resumes(folder, whole, tmp_path, rank, then):
    launcher = torchrun(2, "-m", "seqexpr", *options(folder, tmp_path / "run"))
    done = stop(launcher, tmp_path / "run", rank, signal.SIGKILL)
    assert done.returncode != 0
    # The other one hears of it from its connection, or from torchrun.
    codes = exit_codes(done)
    assert -signal.SIGKILL in codes and set(codes) <= {-signal.SIGKILL, 5, 143}
    assert sum("error" in line or "terminated" in line for line in said(done)) <= 1
    resumed = run_many(then, *options(folder, tmp_path / "run", "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    assert_alike(whole, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="ranks are found by their environment in /proc")
def test_sigterm_keeps_the_state_and_ends_all_with_143(folder, whole, tmp_path):
    launcher = torchrun(2, "-m", "seqexpr", *options(folder, tmp_path / "run"))
    done = stop(launcher, tmp_path / "run", 1, signal.SIGTERM)
    assert exit_codes(done) == [143, 143], done.stderr
    kept, ended = sorted(said(done), key=len, reverse=True)
    assert ended == "seqexpr: terminated"
    assert f"{tmp_path / 'run'} keeps the epochs up to " in kept and kept.endswith(" --resume")
    resumed = run_many(2, *options(folder, tmp_path / "run", "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    assert_alike(whole, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="ranks are found by their environment in /proc")
def test_torchrun_starts_all_again_and_the_run_goes_on(folder, whole, tmp_path):
    launcher = torchrun(2, "--max-restarts", "1", "-m", "seqexpr", *options(folder, tmp_path / "run", "--resume"))
    wait_for_epochs(launcher, tmp_path / "run")
    os.kill(process_of(launcher, 1), signal.SIGKILL)
    done = finished(launcher)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("2 processes train this network") == 2
    assert_alike(whole, tmp_path / "run")


@pytest.mark.slow
def test_two_nodes_give_the_bits_of_one_process(folder, whole, tmp_path):
    """Two launchers that meet at a port, as on two machines that share the folders."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{free.getsockname()[1]}"
    where = ("--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-id", "1", "--rdzv-endpoint", meeting)
    nodes = [torchrun(1, *where, "-m", "seqexpr", *options(folder, tmp_path / "run")) for _ in range(2)]
    ended = [finished(node) for node in nodes]
    assert [done.returncode for done in ended] == [0, 0], [done.stderr for done in ended]
    assert sorted(len(done.stdout.splitlines()) for done in ended) == [0, 3]  # the first process alone speaks
    assert_alike(whole, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "more", "code", "message"),
    [
        ("absent.toml", [], 3, "absent.toml: found No such file"),
        ("whole-batches.toml", [], 2, "torchrun started 2 processes, but a batch of recipe whole-batches has 1 group"),
        ("r.toml", ["--no-such-option"], 2, "No such option: --no-such-option"),
    ],
)
def test_an_error_of_all_is_said_once_and_leaves_nothing(folder, tmp_path, recipe, more, code, message):
    done = run_many(2, *options(folder, tmp_path / "run", *more, recipe=recipe))
    assert done.returncode != 0 and set(exit_codes(done)) <= {code, -signal.SIGTERM}
    assert len(said(done)) == 1 and message in said(done)[0], done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "code", "first_line"),
    [
        (["--from", "absent"], 4, "seqexpr: error: no model, weights file or run folder 'absent'"),
        (["--seed", "1"], 2, "seqexpr: error: process 1 of this training has teachers, sequences, settings or seed"),
    ],
)
def test_an_error_of_one_ends_all_with_its_code(folder, tmp_path, changed, code, first_line):
    """Process 1 alone is started with other options, as on a machine that sees other files."""
    command = shlex.join([sys.executable, "-m", "seqexpr", *options(folder, tmp_path / "run")])
    script = f"if [ $RANK = 1 ]; then exec {command} {shlex.join(changed)}; else exec {command}; fi"
    done = finished(torchrun(2, "--no-python", "sh", "-c", script))
    assert done.returncode != 0 and set(exit_codes(done)) <= {code, -signal.SIGTERM}
    (error,) = [line for line in said(done) if "error" in line]
    assert error.startswith(first_line)


@pytest.mark.slow
def test_cv_is_no_matter_for_torchrun(folder, tmp_path):
    done = run_many(2, "cv", "--task", str(folder / "small"), "--label", "a", "--out", str(tmp_path / "run"))
    assert done.returncode != 0 and not (tmp_path / "run").exists()
    assert said(done) == [
        "seqexpr: error: cv was started by torchrun as 2 processes; start it without torchrun, and train folds at once "
        "with --jobs or --only-fold"
    ]
