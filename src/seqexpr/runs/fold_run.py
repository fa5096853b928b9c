"""One fold of a cross-validation, run by whichever process gets to it first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout

from seqexpr.errors import SeqexprError
from seqexpr.evaluation.folds import FoldKind, inner_validation
from seqexpr.evaluation.scoring import labelled
from seqexpr.evaluation.tables import prediction_rows, write_table
from seqexpr.prediction.rows import predict_rows
from seqexpr.runs.folder import fold_folder, is_done, mark_done
from seqexpr.runs.observers import FoldObserver
from seqexpr.runs.setup import Setup
from seqexpr.training.job import TrainingJob
from seqexpr.training.trainer import EVALUATION_BATCH, Observer, train


@dataclass(frozen=True)
class FoldPlan:
    """What all folds of a cross-validation share; it can be sent to another process."""

    setup: Setup
    """Its dataset has permuted labels in a negative control."""
    genes: pd.DataFrame
    """The dataset's genes, with the groups that the split needs."""
    split: FoldKind
    fold_of: np.ndarray
    """The fold in which each gene is tested, int64 (genes,)."""
    folds: int
    valid_fraction: float


def run_fold(
    plan: FoldPlan, fold: int, folder: Path, device: torch.device, observer: FoldObserver, *, wait: bool
) -> bool:
    """Train one fold of the run in `folder` and predict its test genes, unless that is done already.

    Args:
        plan: what the folds share.
        fold: number of the fold, from 0.
        folder: of the run.
        device: to train on.
        observer: is told when the fold begins and ends.
        wait: when another process runs this fold, wait for it, and go on with the fold if that process died.

    Returns:
        whether the fold is done; False only without `wait`, when another process is at it.

    Raises:
        SeqexprError: as `train` does, with the fold named.
    """
    target = fold_folder(folder, fold)
    target.parent.mkdir(exist_ok=True)
    try:
        with FileLock(target.with_name(f".{fold}.lock"), timeout=-1 if wait else 0):
            if not is_done(target):
                _train_and_test(plan, fold, target, device, observer.on_fold(fold, plan.folds))
                observer.on_fold_done(fold)
    except Timeout:
        return False
    except SeqexprError as error:
        error.args = (f"fold {fold}: {error}",)
        raise
    return True


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Compute with `count` threads of torch, on which the last digits depend on a CPU; as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train_and_test(plan: FoldPlan, fold: int, target: Path, device: torch.device, observer: Observer) -> None:
    setup = plan.setup
    labels = setup.dataset.labels(setup.label_names)
    chosen, valid = inner_validation(plan.fold_of, fold, plan.genes, plan.split, plan.valid_fraction, setup.seed)
    job = TrainingJob(
        setup.dataset,
        setup.label_names,
        labelled(chosen, labels),
        labelled(valid, labels),
        setup.config,
        setup.recipe,
        setup.seed,
    )
    result = train(job, target, device, name=f"fold {fold}", observer=observer)
    test = np.flatnonzero(plan.fold_of == fold)
    predicted = predict_rows(result.model, setup.dataset, test, EVALUATION_BATCH[device.type])
    table = prediction_rows(setup.dataset.genes, test, predicted, labels, setup.label_names, fold=fold)
    write_table(target / "predictions.tsv", table)
    mark_done(target)
