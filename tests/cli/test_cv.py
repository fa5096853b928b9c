"""`seqexpr cv` as a whole command."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqexpr.errors import UsageError

from ..device_line import cpu_line
from ..small_dataset import make_small_dataset

pytestmark = pytest.mark.slow

TABLE = ("predictions.tsv", "baselines.tsv", "metrics.json")

NO_CODING = "the dataset holds no coding sequences (prepare --cds or --translate): the network reads none"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small").folder


def run(*arguments) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "seqexpr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def options(folder, out, *more):
    return (
        *("cv", "--task", folder, "--label", "a", "--preset", "protein-perceiver", "--split", "chromosome"),
        *("--folds", 2, "--epochs", 1, "--threads", 1, "--out", out, *more),
    )


def lines(text: str) -> list[str]:
    """Standard error without the figures of the epochs, which depend on the machine, and the search for homologues."""
    return [line.split(": validation r2")[0] for line in text.splitlines() if "with MMseqs2" not in line]


def test_folds_then_predict_with_all_their_models(folder, tmp_path):
    """A run of cv leaves out-of-fold predictions beside baselines, and is an ensemble for predict."""
    out = tmp_path / "run"
    done = run(*options(folder, out))
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines(), delimiter="\t"))
    assert [row["model"] for row in rows][:2] == ["seqexpr", "training_mean"]
    assert {row["scope"] for row in rows} == {"all"}
    assert {row["n"] for row in rows} == {"48"}
    *said, verdict, lead, last = [line for line in lines(done.stderr) if ": kept epoch" not in line]
    assert verdict.startswith("r2 ")
    assert said == [
        cpu_line(1),
        NO_CODING,
        "fold 0 of 2, before the first epoch",
        "fold 0 of 2, epoch 1 of at most 1",
        "fold 1 of 2, before the first epoch",
        "fold 1 of 2, epoch 1 of at most 1",
        "baselines on the same folds",
        "overlap of test and training genes (homologous proteins by MMseqs2)",
        "bootstrap intervals",
        "report",
    ]
    named = re.match(r"seqexpr minus ([a-z -]+): (pearson_r2|r2) ", lead)
    assert named is not None
    scores = {row["model"].replace("half_life", "half-life").replace("_", " "): row[named[2]] for row in rows[1:]}
    if named[2] == "pearson_r2":  # of which a mean that runs against the labels has no part
        del scores["training mean"]
    assert float(scores[named[1]]) == max(float(score) for score in scores.values() if score)
    assert last == f"the run is in {out}; its report is {out / 'report.html'}"
    with (out / "predictions.tsv").open() as handle:
        table = list(csv.DictReader(handle, delimiter="\t"))
    assert list(table[0]) == ["id", "chrom", "fold", "output", "label", "prediction"]
    assert len(table) == 48

    (tmp_path / "p.fa").write_text(">one\nMKVLAAGIVGLC\n>two\nMSTNPKPQRKTKRNT\n")
    predicted = run("predict", "--proteins", tmp_path / "p.fa", "--model", out, "--threads", 1)
    assert predicted.returncode == 0, predicted.stderr
    header, *values = [line.split("\t") for line in predicted.stdout.splitlines()]
    assert header == ["id", "a", "a_spread"]
    assert [row[0] for row in values] == ["one", "two"]
    assert all(float(row[2]) > 0 for row in values)


def test_single_folds_then_merge(folder, tmp_path, seqexpr):
    """As a cluster does it: a job for each fold, at once and with options of its own, then one that merges them."""
    out = tmp_path / "run"
    jobs = [
        subprocess.Popen(
            [sys.executable, "-m", "seqexpr", *map(str, options(folder, out, "--only-fold", fold))],
            **dict.fromkeys(("stdout", "stderr"), subprocess.PIPE),
            text=True,
        )
        for fold in (0, 1)
    ]
    for fold, job in enumerate(jobs):
        written, said = job.communicate()
        assert (job.returncode, written) == (0, ""), said
        *_, epoch, kept, last = lines(said)
        assert kept.startswith(f"fold {fold}: kept epoch ")
        assert epoch == f"fold {fold} of 2, epoch 1 of at most 1"
        merge = f"seqexpr cv --merge {out}"
        assert last in (
            f"{out}: fold {fold} done, fold {1 - fold} missing; when all are done, run: {merge}",
            f"{out}: folds 0, 1 done; for the whole run: {merge}",
        )
    assert not (out / "metrics.json").exists()
    merged = seqexpr("cv", "--merge", out, "--threads", 1)
    assert merged.code == 0, merged.err
    assert lines(merged.err)[:2] == [cpu_line(1), "baselines on the same folds"]
    whole = seqexpr(*options(folder, tmp_path / "whole", "--jobs", 2))
    assert (whole.code, whole.out) == (0, merged.out), whole.err
    assert lines(whole.err)[1:3] == [NO_CODING, "2 folds at once, 1 thread each"]
    told = [line for line in lines(whole.err) if ": kept epoch" not in line]
    assert sorted(told[3:7]) == [
        f"fold {fold} of 2, {part}" for fold in (0, 1) for part in ("before the first epoch", "epoch 1 of at most 1")
    ]
    for name in TABLE:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_merging_a_part_is_exit_4_with_the_command(folder, tmp_path, seqexpr):
    out = tmp_path / "run"
    arguments = options(folder, out, "--only-fold", 1)
    assert run(*arguments).returncode == 0
    done = seqexpr("cv", "--merge", out)
    words = " ".join(map(str, (*options(folder, "")[:-2], "--only-fold", 0, "--out", out)))
    assert (done.code, done.out) == (4, "")
    assert done.err.splitlines()[-1] == f"seqexpr: error: {out}: fold 0 of 2 missing; run: seqexpr {words}"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--task", "FOLDER", "--label", "a", "--valid-chromosomes", "1"), 2, "goes with --test-chromosomes"),
        (("--task", "FOLDER", "--label", "a", "--test-chromosomes", "7"), 2, "no gene lies on 7; chromosomes"),
        (("--task", "FOLDER", "--split", "group", "--label", "a", "--test-chromosomes", "1"), 2, "cannot go with"),
        ((), 2, "--task is needed: a named task or a folder made by seqexpr prepare"),
        (("--task", "FOLDER", "--label", "a", "--only-fold", "2", "--folds", "2"), 2, "there is no fold 2"),
        (("--task", "FOLDER", "--label", "a", "--groups", "g.tsv"), 2, "--groups has no effect on a random split"),
        (("--task", "FOLDER", "--label", "a", "--split", "group", "--groups", "absent.tsv"), 3, "absent.tsv"),
        (("--merge", "absent"), 3, "absent: found no readable manifest.json; expected a seqexpr cv folder"),
        (("--merge", "x", "--folds", "3", "--only-fold", "1"), 2, "and so takes no --folds, --only-fold"),
        (("--task", "FOLDER", "--only-fold", "1", "--resume"), 2, "--only-fold always continues what is there"),
        (("--merge", "x", "--resume"), 2, "and so takes no --resume"),
        (("--merge", "x", "--from", "y"), 2, "and so takes no --from"),
        (("--task", "FOLDER", "--label", "a", "--split", "chromosome", "--folds", "9"), 2, "use --folds 6 or fewer"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(folder, tmp_path, seqexpr, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    done = seqexpr("cv", *(folder if word == "FOLDER" else word for word in arguments))
    errors = [line for line in done.err.splitlines() if line.startswith("seqexpr: error: ")]
    assert (done.code, done.out, len(errors)) == (code, "", 1), done.err
    assert said in errors[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("task", "given", "folds"), [("mrna-human", (), 10), ("x", (), 10), ("x", ("--folds", 3), 3)])
def test_number_of_folds(seqexpr, monkeypatch, task, given, folds):
    """A task whose own split makes one fold says nothing of cross-validation: 10, as for a folder."""
    from seqexpr.api import runs
    from seqexpr.runs import setup
    from seqexpr.tasks.catalogue import named_task

    def asked(split, *, folds, **_):
        raise UsageError(f"{folds} folds")

    monkeypatch.setattr(runs, "_begin", lambda *_: (None, named_task(task), None))
    monkeypatch.setattr(setup, "RunOptions", asked)
    assert seqexpr("cv", "--task", task, *given).err == f"seqexpr: error: {folds} folds\n"


def test_negative_control_says_so(folder, tmp_path, seqexpr):
    done = seqexpr(*options(folder, tmp_path / "run", "--permute-labels"))
    assert done.code == 0, done.err
    assert "negative control: the labels were permuted among the genes" in done.err


@pytest.mark.skipif(os.name != "posix" or not Path("/proc/self/stat").exists(), reason="looks at Linux's processes")
@pytest.mark.parametrize(
    ("ending", "to_all", "code", "last"),
    [
        (signal.SIGINT, True, 130, "seqexpr: interrupted"),  # Ctrl-C reaches every process of the terminal
        (signal.SIGTERM, False, 143, "seqexpr: terminated"),
        (signal.SIGKILL, False, -9, None),
    ],
)
def test_no_worker_outlives_its_command(folder, tmp_path, program, ending, to_all, code, last):
    arguments = list(options(folder, tmp_path / "run", "--jobs", 2))
    arguments[arguments.index("--epochs") + 1] = 100_000
    command = program(*arguments, start_new_session=True)
    epochs = [tmp_path / f"run/folds/{fold}/metrics.jsonl" for fold in (0, 1)]
    try:
        wait_until(lambda: all(path.exists() for path in epochs) or command.poll() is not None, 120)
        assert len(alive(command.pid)) >= 3
        (os.killpg if to_all else os.kill)(command.pid, ending)
        _, said = command.communicate(timeout=60)
        assert command.returncode == code
        assert b"Traceback" not in said
        assert last is None or said.decode().splitlines()[-1] == last
        wait_until(lambda: not alive(command.pid), 30)
        assert alive(command.pid) == []
    finally:
        if alive(command.pid):
            os.killpg(command.pid, signal.SIGKILL)
    if ending != signal.SIGKILL:
        assert not list((tmp_path / "run").rglob("*.tmp"))


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def alive(session: int) -> list[int]:
    """Processes of the session, without those that have ended and wait to be collected."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(of) == session and state != "Z":
            found.append(int(entry.name))
    return found
