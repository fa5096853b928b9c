"""Cross-validate: every gene is predicted once by a network that never saw it, and so by each baseline.

The test fold chooses nothing: an inner validation part of the other folds stops the training, and all scalings are
fitted on the remaining genes. (The paper's code stops on the test fold; its numbers are therefore optimistic.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from seqexpr.errors import UsageError
from seqexpr.finished import done_folds
from seqexpr.manifest import describe_run
from seqexpr.runs.fold_pool import run_in_workers
from seqexpr.runs.fold_run import run_fold, torch_threads
from seqexpr.runs.folder import check_free, start_run
from seqexpr.runs.merging import finish_cv
from seqexpr.runs.observers import FoldObserver
from seqexpr.runs.setup import RunOptions, divide_into_folds
from seqexpr.runs.teaching import taught
from seqexpr.training.experiment import Experiment, Split

logger = logging.getLogger(__name__)

FoldRunner = Callable[[Path, Sequence[int], int, int, FoldObserver], None]
"""Runs folds into the folder of a run that is begun, in other processes: gets the folder, the folds, how many there are
of all, the threads of each, and who hears of it. All of them are done when it returns."""


def cross_validate(
    experiment: Experiment,
    options: RunOptions,
    folder: Path,
    device: torch.device,
    *,
    resume: bool,
    observer: FoldObserver,
    jobs: int = 1,
    elsewhere: FoldRunner | None = None,
) -> list[dict[str, Any]]:
    """Run all folds into `folder`, or those that are missing there, and score the out-of-fold predictions.

    What fails after the training (a baseline, the audit, the report) is in `failed.json`; all else is written.

    Args:
        experiment: what is learnt.
        options: how the genes are divided and scored.
        folder: of the run. Folds that another process is running there are waited for.
        device: to train on.
        resume: continue in a folder that is in use.
        observer: hears how it goes.
        jobs: folds at once, each in a process of its own with this process's threads divided among them. On a CPU
            a result depends on the number of threads in its last digits: equal are runs with equal threads a fold.
        elsewhere: runs the folds instead of this process, `jobs` of them at once on its threads, if any.

    Returns:
        the rows of `metrics.json`: model, output, scope ("all" or "fold K"), n, metrics with intervals, and for
        baselines the network's `difference` from them.

    Raises:
        UsageError: the folder is in use, or folds cannot be made as asked.
    """
    check_free(folder, "cv", resume=resume)
    experiment, splits = divide_into_folds(experiment, options, observer)
    threads = _divide_threads(jobs, len(splits))  # all of them, so that a fold left over counts as the others did
    start_run(folder, _manifest(experiment, device, threads), resume=resume)
    observer.on_begin(folder, experiment.recipe.max_epochs)
    experiment = taught(experiment, folder, device, observer)
    if elsewhere is not None:
        missing = sorted(set(range(len(splits))) - set(done_folds(folder, len(splits))))
        if missing:
            elsewhere(folder, missing, len(splits), threads, observer)
        return finish_cv(folder, experiment, splits, device, observer, threads)
    runner = partial(_run, experiment, splits, folder, device, observer, jobs, threads)
    if left := runner(range(len(splits)), wait=False):
        observer.on_stage(f"waiting for folds that another process is running: {_numbers(left)}")
        runner(left, wait=True)
    return finish_cv(folder, experiment, splits, device, observer, threads)


def run_folds(
    experiment: Experiment,
    options: RunOptions,
    folder: Path,
    device: torch.device,
    only: Sequence[int],
    *,
    observer: FoldObserver,
    jobs: int = 1,
) -> list[int]:
    """Run some folds into `folder`, which other processes may be doing with other folds at the same time.

    Args:
        experiment, options, folder, device, observer, jobs: as for `cross_validate`.
        only: the folds. Those that are done already, or that another process is at, are left alone.

    Returns:
        the folds of the run that are done now, whoever did them.

    Raises:
        UsageError: no such fold, or the folder was started with other options.
    """
    if absent := [fold for fold in only if not 0 <= fold < options.folds]:
        raise UsageError(
            f"there is no fold {absent[0]}; {options.folds} folds are numbered from 0 to {options.folds - 1}"
        )
    check_free(folder, "cv", resume=True)
    experiment, splits = divide_into_folds(experiment, options, observer)
    chosen = list(dict.fromkeys(only))
    threads = _divide_threads(jobs, len(chosen))
    start_run(folder, _manifest(experiment, device, threads), resume=True)
    observer.on_begin(folder, experiment.recipe.max_epochs)
    experiment = taught(experiment, folder, device, observer)
    if elsewhere := _run(experiment, splits, folder, device, observer, jobs, threads, chosen, wait=False):
        observer.on_stage(f"left to the process that is running them: folds {_numbers(elsewhere)}")
    return done_folds(folder, len(splits))


def _divide_threads(jobs: int, folds: int) -> int:
    """Threads for each fold that runs, `jobs` of `folds` at once."""
    return max(1, torch.get_num_threads() // max(1, min(jobs, folds)))


def _manifest(experiment: Experiment, device: torch.device, threads: int) -> dict[str, Any]:
    return {**describe_run("cv", experiment.to_dict()), "device": device.type, "threads": threads}


def _run(
    experiment: Experiment,
    splits: Sequence[Split],
    folder: Path,
    device: torch.device,
    observer: FoldObserver,
    jobs: int,
    threads: int,
    chosen: Sequence[int],
    *,
    wait: bool,
) -> list[int]:
    """Run folds, one after the other or several at once; returns those that another process is at."""
    folds = len(splits)
    missing = [splits[fold] for fold in sorted(set(chosen) - set(done_folds(folder, folds)))]
    if jobs == 1 or len(missing) < 2:
        with torch_threads(threads):
            return [
                split.number
                for split in missing
                if not run_fold(experiment, split, folds, folder, device, observer, wait=wait)
            ]
    workers = min(jobs, len(missing))
    where = f"{threads} thread{'s' if threads > 1 else ''} each"
    if device.type != "cpu":
        where = f"which share the {device.type} device and its memory"
    logger.info("%d folds at once, %s", workers, where)
    return run_in_workers(
        experiment, missing, folds, folder, device, observer, workers=workers, threads=threads, wait=wait
    )


def _numbers(folds: Sequence[int]) -> str:
    return ", ".join(map(str, folds))
