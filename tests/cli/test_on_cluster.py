"""`--scheduler`: commands on a real dask cluster, whose workers and scheduler are killed on the way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..small_dataset import make_small_dataset

psutil = pytest.importorskip("psutil")
pytest.importorskip("distributed")

Command = Callable[..., Any]
Program = Callable[..., "subprocess.Popen[bytes]"]
SECONDS = 240
"""After which a cluster on a busy machine counts as stuck."""


def bases(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    path = tmp_path / "windows.fa"
    path.write_text("".join(f">g{n}\n{bases(n, 432)}\n" for n in range(31)))
    return path


@pytest.fixture
def predict(windows: Path, weights: Callable[..., Path]) -> list[object]:
    return ["predict", windows, "--model", weights(), "--device", "cpu", "--format", "tsv"]


@pytest.fixture
def one_run(tmp_path: Path, predict: list[object], seqexpr: Command) -> bytes:
    """What a run on this machine writes."""
    assert seqexpr(*predict, "--out", tmp_path / "one.tsv", "-q").code == 0
    return (tmp_path / "one.tsv").read_bytes()


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives as soon as that is true."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that a test started, with all that it started."""
    try:
        tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        tree = []
    for one in tree:
        one.kill()
    process.wait()


def chunk_processes(process: subprocess.Popen[bytes]) -> list[Any]:
    """The processes that compute chunks for a command, or for a worker."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if any("chunk_process" in word for word in child.cmdline()):
                found.append(child)
        except psutil.Error:  # it has just ended
            continue
    return found


@pytest.fixture
def started(program: Program) -> Iterator[Program]:
    """Start the command line; whatever is left of it and its workers is ended after the test."""
    processes = []

    def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        processes.append(program(*arguments, **options))
        return processes[-1]

    yield start
    for process in processes:
        end_tree(process)


def finished(process: subprocess.Popen[bytes]) -> tuple[int, list[str]]:
    """Exit code, and the lines on standard error."""
    out, err = process.communicate(timeout=SECONDS)
    assert out == b""
    return process.returncode, err.decode().splitlines()


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `dask scheduler` or `dask worker` with a scheduler file."""
    processes = []

    def start(role: str, file: Path, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "dask", role, "--scheduler-file", str(file), "--no-dashboard", *options]
        nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, **environment}, **nowhere)  # type: ignore[call-overload]
        processes.append(process)
        until(file.exists)
        return process  # type: ignore[no-any-return]

    yield start
    for process in processes:
        end_tree(process)


def scheduler_options() -> tuple[str, ...]:
    return ("--host", "127.0.0.1", "--port", "0")


def worker_options() -> tuple[str, ...]:
    return ("--host", "127.0.0.1", "--nthreads", "1", "--no-nanny")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--out", "-"), "--scheduler needs --out FILE"),
        ((), "--scheduler needs --out FILE"),
        (("--out", "a.tsv", "--shard", "1/2"), "--shard and --scheduler both divide the work"),
        (("--out", "a.tsv", "--half-life", "-"), "workers cannot read standard input, a stream"),
        (("--out", "a.tsv", "--half-life", "/dev/null"), "workers cannot read /dev/null, a stream"),
    ],
)
def test_what_does_not_go_with_a_cluster_is_one_line(
    given: tuple[str, ...], said: str, predict: list[object], tmp_path: Path, seqexpr: Command, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = seqexpr(*predict, "--scheduler", "local:2", *given)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("given", [("--chunks", 3), ("--worker-timeout", 5), ("--resume",)])
def test_options_of_a_cluster_need_one(given: tuple[object, ...], predict: list[object], seqexpr: Command) -> None:
    done = seqexpr(*predict, *given)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"seqexpr: error: {given[0]} goes with --scheduler, which is not given\n"


@pytest.mark.parametrize("name", ["local", "local:0", "local:x"])
def test_a_wrong_number_of_processes(name: str, predict: list[object], tmp_path: Path, seqexpr: Command) -> None:
    done = seqexpr(*predict, "--scheduler", name, "--out", tmp_path / "a.tsv")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"seqexpr: error: --scheduler {name}: give the number of processes, such as local:2\n"


def test_without_distributed_the_command_that_installs_it_is_named(
    predict: list[object], tmp_path: Path, seqexpr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = seqexpr(*predict, "--scheduler", "local:2", "--out", tmp_path / "a.tsv")
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 1)
    assert done.err.endswith("run: pip install distributed\n")


def test_a_scheduler_that_is_not_there(predict: list[object], tmp_path: Path, seqexpr: Command) -> None:
    file, damaged = tmp_path / "no.json", tmp_path / "damaged.json"
    damaged.write_text('{"address": 1}')
    out = ("--out", tmp_path / "a.tsv")
    absent = seqexpr(*predict, "--scheduler", file, *out)
    assert (absent.code, absent.err) == (
        4,
        f"seqexpr: error: {file}: no such file; a scheduler writes it: dask scheduler --scheduler-file {file}\n",
    )
    assert seqexpr(*predict, "--scheduler", damaged, *out).code == 3


@pytest.mark.slow
def test_no_worker_within_the_time_out(dask: Command, predict: list[object], tmp_path: Path, started: Program) -> None:
    file = tmp_path / "s.json"
    dask("scheduler", file, *scheduler_options())
    code, said = finished(started(*predict, "--scheduler", file, "--worker-timeout", 1, "--out", tmp_path / "a.tsv"))
    assert code == 4
    assert said == [
        f"seqexpr: error: the scheduler {file} has had no worker for 1 s; start one with: dask worker ADDRESS, or wait "
        "longer (--worker-timeout)"
    ]
    assert not list(tmp_path.glob(".a.tsv*"))


@pytest.mark.slow
def test_nobody_at_the_address(predict: list[object], tmp_path: Path, started: Program) -> None:
    address = "tcp://127.0.0.1:9"
    code, said = finished(started(*predict, "--scheduler", address, "--out", tmp_path / "a.tsv"))
    assert (code, len(said)) == (4, 1)
    assert said[0].startswith(f"seqexpr: error: no scheduler answers at {address} ")


@pytest.mark.slow
def test_a_worker_without_seqexpr(dask: Command, predict: list[object], tmp_path: Path, started: Program) -> None:
    """It says so, for it can unpack what it is to run."""
    file, package = tmp_path / "s.json", tmp_path / "packages" / "seqexpr"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('No module named seqexpr')\n")
    dask("scheduler", file, *scheduler_options())
    dask("worker", file, *worker_options(), PYTHONPATH=str(package.parent))
    code, said = finished(started(*predict, "--scheduler", file, "--chunks", 1, "--out", tmp_path / "a.tsv"))
    assert (code, len(said)) == (4, 2), said
    assert said[1] == (
        "seqexpr: error: chunk 1 of 1 failed: a worker cannot import seqexpr: install it there, in the version of this "
        "command (No module named seqexpr)"
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_killed_worker_changes_no_byte(
    predict: list[object], one_run: bytes, tmp_path: Path, started: Program
) -> None:
    out = tmp_path / "a.tsv"
    process = started(*predict, "--scheduler", "local:2", "--chunks", 3, "--out", out)
    chunk = until(lambda: chunk_processes(process))[0]
    chunk.parent().kill()
    assert psutil.wait_procs([chunk], timeout=SECONDS)[1] == []  # it does not outlive its worker
    code, said = finished(process)
    assert (code, said[0]) == (0, "3 chunks on 2 worker threads of local:2"), said
    assert said[-2].startswith("31 records"), said
    assert out.read_bytes() == one_run
    assert not list(tmp_path.glob(".a.tsv*"))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_killed_chunk_is_tried_again(predict: list[object], one_run: bytes, tmp_path: Path, started: Program) -> None:
    """As the system does it when memory runs out: it takes the largest process, which is not the worker."""
    out = tmp_path / "a.tsv"
    process = started(*predict, "--scheduler", "local:1", "--chunks", 1, "--out", out)
    until(lambda: chunk_processes(process))[0].kill()
    code, said = finished(process)
    assert code == 0, said
    assert out.read_bytes() == one_run


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_chunk_that_takes_its_workers_along(
    predict: list[object], tmp_path: Path, started: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    process = started(*predict, "--scheduler", "local:1", "--chunks", 1, "--out", tmp_path / "a.tsv")
    until(lambda: chunk_processes(process))[0].parent().kill()
    code, said = finished(process)
    assert (code, len(said)) == (5, 2), said
    assert said[1].startswith("seqexpr: error: chunk 1 of 1 failed on the worker tcp://127.0.0.1:")
    assert said[1].endswith(": every worker that computed it died, as happens when memory runs out")


@pytest.mark.slow
def test_a_poison_record_leaves_all_other_chunks(
    windows: Path, predict: list[object], tmp_path: Path, started: Program, seqexpr: Command
) -> None:
    out, sound = tmp_path / "a.tsv", windows.read_text()
    windows.write_text(sound.replace(bases(1, 432), "E" + bases(1, 431)))
    options = (*predict, "--scheduler", "local:1", "--chunks", 3, "--out", out)
    code, said = finished(started(*options))
    (error,) = [line for line in said if "error" in line]
    assert code == 3
    assert error.startswith("seqexpr: error: chunk 2 of 3 failed on the worker tcp://127.0.0.1:")
    assert f"{windows}, record 2 'g1'" in error
    folder = tmp_path / ".a.tsv.chunks"
    assert error.endswith(f"2 of 3 chunks are kept in {folder}; the same command with --resume goes on")
    assert sorted(path.name for path in folder.glob("*.json")) == [
        *("000001.a.tsv.shard.json", "000003.a.tsv.shard.json"),
        "chunks.json",
    ]
    assert not out.exists()

    refused = seqexpr(*options)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--resume goes on with it" in refused.err
    windows.write_text(sound)
    refused = seqexpr(*options, "--resume")
    assert (refused.code, refused.err) == (
        2,
        f"seqexpr: error: {folder} was begun with other options or files (inputs): give those, or remove it\n",
    )
    assert sorted(path.name for path in folder.glob("*.tsv")) == ["000001.a.tsv", "000003.a.tsv"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_killed_scheduler_is_resumed_from_finished_chunks(
    dask: Command, predict: list[object], one_run: bytes, tmp_path: Path, started: Program
) -> None:
    file, out = tmp_path / "s.json", tmp_path / "a.tsv"
    folder = tmp_path / ".a.tsv.chunks"
    scheduler = dask("scheduler", file, *scheduler_options())
    worker = dask("worker", file, *worker_options())
    process = started(*predict, "--scheduler", file, "--chunks", 3, "--out", out)
    until(lambda: list(folder.glob("*.shard.json")))
    scheduler.kill()
    code, said = finished(process)
    assert (code, len(said)) == (4, 2), said
    kept = sorted(folder.glob("*.shard.json"))
    assert said[1] == (
        f"seqexpr: error: the connection to the scheduler {file} was lost; {len(kept)} of 3 chunks are kept in "
        f"{folder}; the same command with --resume goes on"
    )
    times = {path: path.stat().st_mtime_ns for path in kept}
    end_tree(worker)
    file.unlink()
    dask("scheduler", file, *scheduler_options())
    dask("worker", file, *worker_options())
    process = started(*predict, "--scheduler", file, "--resume", "--out", out)
    until(lambda: chunk_processes(process) or process.poll() is not None or len(list(folder.glob("*.json"))) > 2)
    assert {path: path.stat().st_mtime_ns for path in kept if path.exists()} in (times, {})
    code, said = finished(process)
    assert (code, said[0]) == (0, f"{len(kept)} of 3 chunks done before"), said
    assert out.read_bytes() == one_run
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("to_all", [True, False])
@pytest.mark.parametrize(
    ("number", "code", "last"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stopped_command_leaves_no_process(
    number: int, code: int, last: str, to_all: bool, predict: list[object], tmp_path: Path, started: Program
) -> None:
    """A terminal and a batch system send the signal to all processes of the command."""
    options = (*predict, "--scheduler", "local:1", "--chunks", 2, "--out", tmp_path / "a.tsv")
    process = started(*options, start_new_session=True)
    until(lambda: chunk_processes(process))
    tree = psutil.Process(process.pid).children(recursive=True)
    (os.killpg if to_all else os.kill)(process.pid, number)
    ended, said = finished(process)
    assert (ended, said) == (code, ["2 chunks on 1 worker thread of local:1", f"seqexpr: {last}"])
    assert psutil.wait_procs(tree, timeout=SECONDS)[1] == []
    assert not list(tmp_path.glob(".a.tsv*"))


def on_cluster_and_here(
    options: list[object], out: str, tmp_path: Path, seqexpr: Command, started: Program
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Run a command here and on two workers; gives the files that each wrote, by their names."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    whole = seqexpr(*options, "--out", here / out)
    assert whole.code == 0, whole.err
    code, said = finished(started(*options, "--scheduler", "local:2", "--chunks", 2, "--out", there / out))
    assert code == 0, said
    summary = [line.replace(str(there), str(here)) for line in said if "worker thread" not in line]
    assert summary
    assert set(summary) <= set(whole.err.splitlines())
    return tuple({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (there, here))  # type: ignore[return-value]


@pytest.fixture
def genome(tmp_path: Path) -> list[object]:
    """Options for a genome with two genes."""
    fasta, tss = tmp_path / "genome.fa", tmp_path / "tss.bed"
    fasta.write_text(f">chr1\n{bases(1, 3000)}\n")
    tss.write_text("chr1\t1000\t1001\tA\t0\t+\nchr1\t2000\t2001\tB\t0\t-\n")
    return ["--genome", fasta, "--tss", tss]


@pytest.mark.slow
def test_variants_on_a_cluster(
    genome: list[object], tmp_path: Path, weights: Callable[..., Path], seqexpr: Command, started: Program
) -> None:
    vcf, letters = tmp_path / "calls.vcf", bases(1, 3000)
    rows = [
        f"chr1\t{place + 1}\tv{place}\t{letters[place]}\t{'G' if letters[place] == 'A' else 'A'}\t.\tPASS\t."
        for place in range(900, 2100, 50)
    ]
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    vcf.write_text(header + "".join(f"{row}\n" for row in rows))
    options = ["variants", "--vcf", vcf, *genome, "--model", weights(), "--device", "cpu"]
    there, here = on_cluster_and_here(options, "a.vcf.gz", tmp_path, seqexpr, started)
    assert there == here
    assert list(there) == ["a.vcf.gz"]


@pytest.mark.slow
def test_an_explanation_on_a_cluster(
    genome: list[object], tmp_path: Path, weights: Callable[..., Path], seqexpr: Command, started: Program
) -> None:
    options = ["explain", *genome, "--region", "-20:+10", "--model", weights(), "--device", "cpu"]
    there, here = on_cluster_and_here(options, "a.tsv", tmp_path, seqexpr, started)
    assert there == here
    assert there["a.tsv"].count(b"\n") > 60
    refused = seqexpr(*options, "--scheduler", "local:2", "--out", tmp_path / "a.html")
    assert (refused.code, refused.err.count("\n")) == (2, 1)


@pytest.mark.slow
def test_a_scan_on_a_cluster(
    genome: list[object], tmp_path: Path, weights: Callable[..., Path], seqexpr: Command, started: Program
) -> None:
    options = [
        "scan",
        *genome[:2],
        "--region",
        "chr1:501-1,500",
        "--step",
        100,
        "--model",
        weights(),
        "--device",
        "cpu",
    ]
    there, here = on_cluster_and_here(options, "a", tmp_path, seqexpr, started)
    assert there == here
    assert sorted(there) == ["a.json", "a.minus.bedgraph", "a.plus.bedgraph"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(make_small_dataset(tmp_path_factory.mktemp("data") / "small").folder)


@pytest.fixture
def cv(dataset: Path) -> list[object]:
    """A cross-validation of three folds, of which two run at once on one thread each."""
    options = ["cv", "--task", dataset, "--label", "a", "--preset", "protein-perceiver", "--split", "chromosome"]
    return [*options, "--folds", 3, "--epochs", 1, "--threads", 2]


def results(run: Path) -> dict[str, bytes]:
    """The files of a run of cv that neither name it nor hold times."""
    names = ("predictions.tsv", "baselines.tsv", "metrics.json", "metrics.tsv")
    folds = (f"folds/{fold}/{name}" for fold in range(3) for name in ("weights.safetensors", "predictions.tsv"))
    return {name: (run / name).read_bytes() for name in (*names, *folds)}


@pytest.mark.slow
def test_folds_on_a_cluster_are_those_of_jobs(
    cv: list[object], tmp_path: Path, seqexpr: Command, program: Program
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    whole = seqexpr(*cv, "--jobs", 2, "--out", here)
    assert whole.code == 0, whole.err
    process = program(*cv, "--scheduler", "local:2", "--out", there)
    out, err = process.communicate(timeout=SECONDS)
    said = err.decode().splitlines()
    assert (process.returncode, out.decode()) == (0, whole.out), said
    assert "3 folds on 2 worker threads of local:2" in said
    assert sorted(line for line in said if line.endswith(" of 3 done")) == [f"fold {n} of 3 done" for n in range(3)]
    assert results(there) == results(here)
    assert not list(there.glob(".wanted*"))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_folds_survive_workers_and_schedulers(
    cv: list[object], tmp_path: Path, seqexpr: Command, dask: Command, program: Program
) -> None:
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "s.json"
    cv[-1] = 1
    assert seqexpr(*cv, "--out", here, "-q").code == 0
    scheduler = dask("scheduler", file, *scheduler_options())
    killed, worker = (dask("worker", file, *worker_options()) for _ in range(2))
    process = program(*cv, "--scheduler", file, "--out", there)
    fold = until(lambda: chunk_processes(killed))[0]
    killed.kill()
    assert psutil.wait_procs([fold], timeout=SECONDS)[1] == []
    until(lambda: list(there.glob("folds/*/.done")))
    scheduler.kill()
    _, err = process.communicate(timeout=SECONDS)
    done = len(list(there.glob("folds/*/.done")))
    assert process.returncode == 4, err
    assert err.decode().splitlines()[-1] == (
        f"seqexpr: error: the connection to the scheduler {file} was lost; {done} of 3 folds are done in {there}; "
        "--resume goes on"
    )
    end_tree(worker)
    file.unlink()
    dask("scheduler", file, *scheduler_options())
    dask("worker", file, *worker_options())
    process = program(*cv, "--scheduler", file, "--out", there, "--resume")
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert results(there) == results(here)


@pytest.mark.parametrize("given", [("--jobs", 2), ("--only-fold", 1)])
def test_folds_on_a_cluster_are_all_of_them(
    given: tuple[object, ...], cv: list[object], tmp_path: Path, seqexpr: Command
) -> None:
    done = seqexpr(*cv, "--scheduler", "local:2", "--out", tmp_path / "run", *given)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"seqexpr: error: --scheduler runs all folds: leave {given[0]} out\n"
