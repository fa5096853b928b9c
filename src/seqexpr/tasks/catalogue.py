"""Named tasks: what is predicted, from which sources, with which preset and split (tasks.toml)."""

from __future__ import annotations

import difflib
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.paths import cache_folder, cached_path
from seqexpr.tasks.synthetic import INPUTS, SyntheticSettings, make_synthetic, settings_for
from seqexpr.toml_files import packaged_toml

RULES = 2
"""Number of the rules by which named tasks are prepared: datasets made by others are not used."""


@dataclass(frozen=True)
class Task:
    """One row of tasks.toml."""

    name: str
    title: str
    """What is predicted, in a line."""
    labels: tuple[str, ...]
    """Label columns of the prepared dataset, one per output."""
    preset: str
    """Default preset."""
    split: Literal["given", "random"]
    """Default split: the dataset's own train/valid/test column, or random folds."""
    folds: int
    """Number of folds; 1 with a given split."""
    sources: tuple[str, ...]
    """Names of the sources to fetch; none for a synthetic task, whose dataset is made on the spot."""
    paper_r2: dict[str, dict[str, float]] = field(default_factory=dict)
    """Published r2 by preset, then by label."""
    units: dict[str, str] = field(default_factory=dict)
    """Unit of each label."""
    dna: str | None = None
    """The task whose dataset holds the DNA windows and half-life features that this one takes; None: its own files."""
    paper_genes: dict[str, int] = field(default_factory=dict)
    """Published numbers of genes, by what the genes have (`datasets.named.GeneCount.key`)."""
    planted: dict[str, float] | None = None
    """Share of each input in a synthetic task's signal; None where all that the preset reads carries it."""


@cache
def list_tasks() -> tuple[Task, ...]:
    """Every named task, in the order of tasks.toml."""
    return tuple(_task(name, entry) for name, entry in packaged_toml(__package__, "tasks.toml").items())


def _task(name: str, entry: dict[str, Any]) -> Task:
    lists = {key: tuple(entry[key]) for key in ("labels", "sources")}
    return Task(name, **{**entry, **lists})


def find_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        UsageError: there is none; the text names close matches, or all tasks.
    """
    tasks = {task.name: task for task in list_tasks()}
    if name not in tasks:
        close = difflib.get_close_matches(name, tasks, n=3)
        raise UsageError(f"no task {name!r}; " + (f"did you mean {' or '.join(close)}?" if close else
                         f"there are {', '.join(tasks)}"))  # fmt: skip
    return tasks[name]


def named_task(name_or_folder: str) -> Task | None:
    """The task of that name, or None: then it can only be a folder."""
    return next((task for task in list_tasks() if task.name == name_or_folder), None)


def open_task_dataset(
    name_or_folder: str | Path, preset: str | None = None, *, remake: bool = False
) -> PreparedDataset:
    """The dataset of a named task, or the prepared folder that is named.

    A synthetic task's dataset is made here when it is not there yet; every other task's is prepared by
    `seqexpr prepare NAME`, into the cache.

    Args:
        name_or_folder: a task's name, or a folder. A folder that is called like a task is reached as ./NAME.
        preset: for the task `synthetic`, what its dataset must hold; None is the task's own preset.
        remake: make a synthetic dataset again even if it is there.

    Raises:
        MissingDataError: the task is not prepared; the text names the commands that do it.
        UsageError: neither a task nor a folder.
        InputError: a folder that is no prepared dataset.
    """
    name = str(name_or_folder)
    if task := named_task(name):
        return _open_named(name) if task.sources else _open_synthetic(task, preset or task.preset, remake)
    if Path(name).exists() or "/" in name:
        return PreparedDataset.open(name)
    try:
        find_task(name)
    except UsageError as problem:
        raise UsageError(f"{problem} (nor is there a folder of this name)") from None
    raise AssertionError("a task is found above")


def task_folder(name: str) -> Path:
    """Where the dataset of a named task lies in the cache, whether it is there or not."""
    return cached_path("datasets", name)


def task_lock(name: str) -> Path:
    """The lock of whoever makes that dataset; in a folder that can be written, whatever the dataset's own is."""
    return cache_folder("datasets") / f"{name}.lock"


def synthetic_settings(task: Task, preset: str) -> SyntheticSettings:
    """What the dataset of a synthetic task holds: all inputs, or for the task `synthetic` those that `preset` reads.

    Raises:
        UsageError: no such preset.
    """
    needed = settings_for(preset)
    if task.planted is None:
        return needed
    # GC content, for every preset that reads DNA can learn it; half the genes are enough for so plain a signal.
    return SyntheticSettings(INPUTS, task.planted, dna_signal="gc", genes=2500)


def _open_named(name: str) -> PreparedDataset:
    folder = task_folder(name)
    if not folder.exists():
        raise MissingDataError(f"task {name} is not prepared here; run: seqexpr fetch {name} && seqexpr prepare {name}")
    dataset = PreparedDataset.open(folder)
    if dataset.manifest.get("options", {}).get("rules") != RULES:
        raise MissingDataError(
            f"task {name} was prepared by another version of seqexpr; run: seqexpr prepare {name} --force"
        )
    return dataset


def _open_synthetic(task: Task, preset: str, remake: bool) -> PreparedDataset:
    """A synthetic dataset from the cache, made when it is absent or damaged; one process makes it."""
    from filelock import FileLock

    settings = synthetic_settings(task, preset)
    folder = task_folder(f"{task.name}-{settings.key()}")
    with FileLock(task_lock(folder.name)):
        if not remake:
            with suppress(InputError):
                return PreparedDataset.open(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return make_synthetic(folder, settings)
