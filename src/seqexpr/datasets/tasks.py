"""Named tasks: what is predicted, from which sources, with which preset, recipe and split (tasks.toml)."""

from __future__ import annotations

import difflib
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from seqexpr.datasets.prepared import PreparedDataset
from seqexpr.datasets.synthetic import make_synthetic
from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.paths import cache_folder
from seqexpr.toml_files import packaged_toml

SYNTHETIC = "synthetic"


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
    recipe: Literal["dna", "protein"]
    """Which of the paper's recipes is the task's own."""
    split: Literal["given", "random"]
    """Default split: the dataset's own train/valid/test column, or random folds."""
    folds: int
    """Number of folds; 1 with a given split."""
    sources: tuple[str, ...]
    """Names of the sources to fetch."""
    loss_weights: tuple[float, ...]
    """Weight of each label in the loss."""
    model: dict[str, Any] = field(default_factory=dict)
    """Changes to the preset's network."""
    paper_r2: dict[str, dict[str, float]] = field(default_factory=dict)
    """Published r2 by preset, then by label."""


@cache
def list_tasks() -> tuple[Task, ...]:
    """Every named task, in the order of tasks.toml."""
    return tuple(_task(name, entry) for name, entry in packaged_toml("seqexpr.datasets", "tasks.toml").items())


def _task(name: str, entry: dict[str, Any]) -> Task:
    lists = {key: tuple(entry[key]) for key in ("labels", "sources", "loss_weights")}
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

    The synthetic task's dataset is made here when it is not there yet; every other task's is prepared by
    `seqexpr prepare NAME`, into the cache.

    Args:
        name_or_folder: a task's name, or a folder. A folder that is called like a task is reached as ./NAME.
        preset: for the synthetic task, what its dataset must hold; None is the task's own preset.
        remake: make the synthetic dataset again even if it is there.

    Raises:
        MissingDataError: the task is not prepared; the text names the commands that do it.
        UsageError: neither a task nor a folder.
        InputError: a folder that is no prepared dataset.
    """
    name = str(name_or_folder)
    if named_task(name):
        return _open_synthetic(preset, remake) if name == SYNTHETIC else _open_named(name)
    if Path(name).exists() or "/" in name:
        return PreparedDataset.open(name)
    try:
        find_task(name)
    except UsageError as problem:
        raise UsageError(f"{problem} (nor is there a folder of this name)") from None
    raise AssertionError("a task is found above")


def task_folder(name: str) -> Path:
    """Where the dataset of a named task lies in the cache, whether it is there or not."""
    return cache_folder("datasets") / name


def _open_named(name: str) -> PreparedDataset:
    folder = task_folder(name)
    if not folder.exists():
        raise MissingDataError(f"task {name} is not prepared here; run: seqexpr fetch {name} && seqexpr prepare {name}")
    return PreparedDataset.open(folder)


def _open_synthetic(preset: str | None, remake: bool) -> PreparedDataset:
    """The synthetic dataset from the cache, made when it is absent or damaged; one process makes it."""
    from filelock import FileLock

    preset = preset or find_task(SYNTHETIC).preset
    folder = task_folder(f"{SYNTHETIC}-{preset}")
    with FileLock(folder.with_suffix(".lock")):
        if not remake:
            with suppress(InputError):
                return PreparedDataset.open(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return make_synthetic(folder, preset)
