"""Cross-validation: every gene is predicted once by a network that never saw it, and so by each baseline.

The test fold chooses nothing: an inner validation part of the other folds stops the training, and all scalings are
fitted on the remaining genes. (The paper's code stops on the test fold; its numbers are therefore optimistic.)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seqexpr.errors import UsageError
from seqexpr.evaluation.folds import FoldKind, make_folds
from seqexpr.evaluation.scoring import Trial, fold_parts
from seqexpr.manifest import describe_run
from seqexpr.runs.fold_pool import run_in_workers
from seqexpr.runs.fold_run import FoldPlan, run_fold, torch_threads
from seqexpr.runs.folder import check_free, folds_digest, start_run
from seqexpr.runs.merging import done_folds, finish_run
from seqexpr.runs.observers import FoldObserver, StageObserver
from seqexpr.runs.setup import Setup, settle

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossValidation:
    """What is cross-validated and how."""

    setup: Setup
    split: FoldKind
    folds: int
    valid_fraction: float = 0.1
    resamples: int = 1000
    groups_file: Path | None = None
    """The user's own groups, for the splits "group" and "homology"."""
    permute_labels: bool = False
    """A negative control: labels are dealt out anew among the genes."""

    def plan(self, observer: StageObserver | None = None) -> tuple[FoldPlan, dict[str, Any]]:
        """Divide the genes: what all folds share, and the resolved options for the manifest.

        Args:
            observer: is told of a search that can take minutes.

        Raises:
            UsageError: folds cannot be made as asked.
            SeqexprError: as `protocol.settle` does.
        """
        protocol = settle(self.setup, self.split, self.groups_file, self.permute_labels, observer)
        fold_of = make_folds(protocol.genes, self.split, self.folds, self.setup.seed)
        options = {
            **protocol.options,
            "folds": self.folds,
            "valid_fraction": self.valid_fraction,
            "resamples": self.resamples,
            "digests": {**protocol.options["digests"], "folds": folds_digest(fold_of)},
        }
        plan = FoldPlan(protocol.setup, protocol.genes, self.split, fold_of, self.folds, self.valid_fraction)
        return plan, options


def cross_validate(
    cv: CrossValidation, folder: Path, device: torch.device, *, resume: bool, observer: FoldObserver, jobs: int = 1
) -> list[dict[str, Any]]:
    """Run all folds into `folder`, or those that are missing there, and judge the out-of-fold predictions.

    Args:
        cv: what is cross-validated.
        folder: of the run. Folds that another process is running there are waited for.
        device: to train on.
        resume: go on in a folder that is in use.
        observer: is told how it goes.
        jobs: folds at once, each in a process of its own with this process's threads divided among them. On a CPU
            a result depends on the number of threads in its last digits: equal are runs with equal threads a fold.

    Returns:
        the rows of `metrics.json`: model, output, scope ("all" or "fold K"), n, metrics with intervals, and for
        baselines the network's `difference` from them.

    Raises:
        UsageError: the folder is in use, or folds cannot be made as asked.
    """
    check_free(folder, "cv", resume=resume)
    plan, options = cv.plan(observer)
    threads = _divide_threads(jobs, cv.folds)  # all of them, so that a fold which is left over counts as the others did
    start_run(folder, _manifest(options, device, threads), resume=resume)
    if elsewhere := _run(plan, range(cv.folds), folder, device, observer, jobs, threads, wait=False):
        observer.on_stage(f"waiting for folds that another process is running: {_numbers(elsewhere)}")
        _run(plan, elsewhere, folder, device, observer, jobs, threads, wait=True)
    setup = plan.setup
    parts = fold_parts(plan.fold_of, setup.dataset.labels(setup.label_names))
    trial = Trial(setup.dataset, setup.label_names, setup.config, setup.seed, cv.resamples, parts)
    return finish_run(folder, trial, device, observer, threads)


def run_folds(
    cv: CrossValidation,
    folder: Path,
    device: torch.device,
    only: Sequence[int],
    *,
    observer: FoldObserver,
    jobs: int = 1,
) -> list[int]:
    """Run some folds into `folder`, which other processes may be doing with other folds at the same time.

    Args:
        cv, folder, device, observer, jobs: as for `cross_validate`.
        only: the folds. Those that are done already, or that another process is at, are left alone.

    Returns:
        the folds of the run that are done now, whoever did them.

    Raises:
        UsageError: no such fold, or the folder was started with other options.
    """
    if absent := [fold for fold in only if not 0 <= fold < cv.folds]:
        raise UsageError(f"there is no fold {absent[0]}; {cv.folds} folds are numbered from 0 to {cv.folds - 1}")
    check_free(folder, "cv", resume=True)
    plan, options = cv.plan(observer)
    chosen = list(dict.fromkeys(only))
    threads = _divide_threads(jobs, len(chosen))
    start_run(folder, _manifest(options, device, threads), resume=True)
    if elsewhere := _run(plan, chosen, folder, device, observer, jobs, threads, wait=False):
        observer.on_stage(f"left to the process that is running them: folds {_numbers(elsewhere)}")
    return done_folds(folder, cv.folds)


def _divide_threads(jobs: int, folds: int) -> int:
    """Threads for each fold that runs, `jobs` of `folds` at once."""
    return max(1, torch.get_num_threads() // max(1, min(jobs, folds)))


def _manifest(options: dict[str, Any], device: torch.device, threads: int) -> dict[str, Any]:
    return {**describe_run("cv", options), "device": device.type, "threads": threads}


def _run(
    plan: FoldPlan,
    folds: Sequence[int],
    folder: Path,
    device: torch.device,
    observer: FoldObserver,
    jobs: int,
    threads: int,
    *,
    wait: bool,
) -> list[int]:
    """Run folds, one after the other or several at once; returns those that another process is at."""
    missing = sorted(set(folds) - set(done_folds(folder, plan.folds)))
    if jobs == 1 or len(missing) < 2:
        with torch_threads(threads):
            return [fold for fold in missing if not run_fold(plan, fold, folder, device, observer, wait=wait)]
    workers = min(jobs, len(missing))
    where = f"{threads} thread{'s' if threads > 1 else ''} each"
    if device.type != "cpu":
        where = f"which share the {device.type} device and its memory"
    logger.info("%d folds at once, %s", workers, where)
    return run_in_workers(plan, missing, folder, device, observer, workers=workers, threads=threads, wait=wait)


def _numbers(folds: Sequence[int]) -> str:
    return ", ".join(map(str, folds))
