"""From nothing to predictions for every named task: fetch, prepare, train, predict, as a user types them, offline."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.fasta import read_fasta
from seqexpr.tasks.catalogue import find_task, list_tasks, task_folder

from ..source_files import gene

pytestmark = pytest.mark.slow

TASKS = [task.name for task in list_tasks() if task.sources]
PRESETS = ["dna-perceiver", "protein-dna-perceiver", "dna-protein-perceiver"]
ASKED = (30, 4, 12)
"""Genes to predict, by number."""


@pytest.fixture
def inputs(source_files: Path, tmp_path: Path) -> Path:
    """A user's files: windows of 20 kb and proteins of a few genes, under their gene ids."""
    windows = []
    with h5py.File(source_files / "xpresso-human" / "train.h5") as train:
        for number in ASKED:
            promoter = train["promoter"][(number - 1) % len(train["promoter"])]
            tokens = (promoter * np.arange(1, 5, dtype=np.uint8)).sum(axis=1).astype(np.uint8)
            windows.append(f">{gene(number)}\n{DNA.decode(tokens)}\n")
    (tmp_path / "windows.fa").write_text("".join(windows))
    names = {f"sp|P{number:05d}|G{number}_HUMAN": gene(number) for number in ASKED}
    records = read_fasta(source_files / "uniprot-human" / "proteins.fasta.gz")
    found = {names[record.id]: record.sequence for record in records if record.id in names}
    proteins = "".join(f">{name}\n{sequence.decode()}\n" for name, sequence in found.items())
    (tmp_path / "proteins.fa.gz").write_bytes(gzip.compress(proteins.encode()))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "preset"),
    [*((name, None) for name in TASKS), *(("prot-lung", preset) for preset in PRESETS)],
)
def test_a_users_first_hour(
    seqexpr: Callable[..., Any],
    source_files: Path,
    inputs: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    preset: str,
) -> None:
    monkeypatch.chdir(inputs)
    task = find_task(name)
    fetched = seqexpr("fetch", name, "--from", source_files, "--offline")
    assert fetched.code == 0, fetched.err
    assert len(fetched.out.splitlines()) == sum(len(list((source_files / source).iterdir())) for source in task.sources)
    prepared = seqexpr("prepare", name)
    assert prepared.code == 0, prepared.err
    trained = seqexpr(
        "train", "--task", name, "--epochs", 1, "--out", "run", *(("--preset", preset) if preset else ())
    )  # fmt: skip
    assert trained.code == 0, trained.err
    read = preset or task.preset
    files = ("--fasta", "windows.fa", "--tss-at", 10_000) if "dna" in read else ()
    files += ("--proteins", "proteins.fa.gz") if "protein" in read else ()
    predicted = seqexpr("predict", "--model", "run", *files)
    assert predicted.code == 0, predicted.err
    header, *rows = (line.split("\t") for line in predicted.out.splitlines())
    # The default recipe's network has members, which tell a spread.
    assert header == ["id", *(column for label in task.labels for column in (label, f"{label}_spread"))]
    assert {row[0] for row in rows} == {gene(number) for number in ASKED}
    assert np.isfinite([float(cell) for row in rows for cell in row[1:]]).all()


def test_without_the_data_cv_names_the_two_commands_and_with_them_it_runs(
    seqexpr: Callable[..., Any], source_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = (
        "cv",
        "--task",
        "prot-lung",
        "--folds",
        10,
        "--epochs",
        1,
        "--out",
        "run",
        "--device",
        "cpu",
        "--threads",
        1,
    )
    refused = seqexpr(*command)
    assert (refused.code, refused.out) == (4, "")
    assert refused.err == (
        "seqexpr: error: task prot-lung is not prepared here; "
        "run: seqexpr fetch prot-lung && seqexpr prepare prot-lung\n"
    )
    assert not Path("run").exists()
    assert seqexpr("fetch", "prot-lung", "--from", source_files).code == 0
    assert seqexpr("prepare", "prot-lung").code == 0
    done = seqexpr(*command)
    assert done.code == 0, done.err
    predictions = Path("run/predictions.tsv").read_text().splitlines()
    assert len(predictions) == 1 + 32  # each gene once, out of fold


def test_what_prepare_tells(seqexpr: Callable[..., Any], source_files: Path) -> None:
    assert seqexpr("fetch", "prot-lung", "--from", source_files).code == 0
    folder = task_folder("prot-lung")
    table = (
        "genes with                                 here  the paper\n"
        "DNA window (Xpresso)                         36     18,377\n"
        "protein level (CPTAC)                        37\n"
        "protein level and protein (UniProt)          34     10,699\n"
        "protein level and DNA window                 33\n"
        "protein level, protein and DNA window        32      9,815\n"
        "note: protein level: mean over those of 5 cases that have a value; left out: genes without a value 1, "
        "copies of pseudoautosomal genes on Y 1\n"
        "note: genes with several proteins, of which the longest counts: 1\n"
        "note: half-life features are Xpresso's own z-scores\n"
    )
    done = seqexpr("prepare", "prot-lung")
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        f"mrna-human: prepared first, for its DNA windows\n{table}32 genes prepared in {folder}\n"
    )  # fmt: skip
    again = seqexpr("prepare", "prot-lung")
    assert (again.code, again.out) == (0, "")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert again.err == (
        f"prot-lung: reused, prepared from the same files on {today}\n{table}32 genes are in {folder}\n"
    )  # fmt: skip


def test_killed_at_any_moment_prepare_goes_on(
    program: Callable[..., Any], seqexpr: Callable[..., Any], source_files: Path
) -> None:
    assert seqexpr("fetch", "prot-lung", "--from", source_files).code == 0
    generator = np.random.default_rng(1)
    for _ in range(8):
        process = program("prepare", "prot-lung", "--force")
        time.sleep(generator.uniform(0.3, 1.2))
        process.kill()
        process.communicate()
        for name in ("mrna-human", "prot-lung"):  # whole, or not there
            assert not task_folder(name).exists() or (task_folder(name) / "manifest.json").is_file()
    done = seqexpr("prepare", "prot-lung")
    assert done.code == 0 and done.err.splitlines()[-1].startswith("32 genes")
    left = sorted(path.name for path in task_folder("prot-lung").parent.iterdir() if path.suffix in (".tmp", ".old"))
    assert left == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--out", "set", "--fasta", "w.fa", "--min-cases", "3"), 2, "--min-cases goes with a task"),
        (("mrna-human", "--min-cases", "3"), 2, "has no labels that are means over cases"),
        (("prot-lung", "--min-cases", "0"), 2, "--min-cases"),
    ],
)
def test_where_a_number_of_cases_makes_no_sense(
    seqexpr: Callable[..., Any], arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = seqexpr("prepare", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
