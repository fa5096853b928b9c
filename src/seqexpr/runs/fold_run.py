"""Train on one split, predict its genes and write its weights: one fold of `cv`, or all that `train` trains."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from seqexpr.errors import SeqexprError
from seqexpr.evaluation.scoring import own_rows
from seqexpr.evaluation.tables import prediction_rows, write_table
from seqexpr.finished import fold_folder, is_done, mark_done
from seqexpr.models.calibration import Calibration
from seqexpr.models.trained import save_model
from seqexpr.prediction.rows import predict_members
from seqexpr.runs.observers import FoldObserver
from seqexpr.training.distributed import Ranks
from seqexpr.training.experiment import Experiment, Split
from seqexpr.training.trainer import EVALUATION_BATCH, Observer, train

logger = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class HeldOutPredictions:
    """What a trained network says of the genes that it did not learn from."""

    values: np.ndarray
    """float64 (genes, outputs), NaN for the training genes."""
    sd: np.ndarray
    """The error to expect, calibrated on the validation genes; NaN where the network has no members."""
    scores: list[dict[str, Any]]
    """Rows of `metrics.json`."""


def train_and_predict(
    experiment: Experiment,
    split: Split,
    folder: Path,
    device: torch.device,
    observer: Observer,
    *,
    name: str,
    scope: str,
    ranks: Ranks | None = None,
) -> HeldOutPredictions:
    """Train on one split, or continue in `folder`, and write `weights.safetensors` with its numbers.

    Args:
        experiment: what is learnt.
        split: which genes teach, choose the epoch and are tested.
        folder: of the training.
        device: to train on.
        observer: hears of each step and epoch.
        name: of the model, as the log and errors call it.
        scope: of the test genes, as the weights' numbers call them.
        ranks: the processes that train with this one, which is the first; the others call `train`.

    Returns:
        predictions of the validation and test genes, with their numbers.
    """
    result = train(experiment, split, folder, device, name=name, observer=observer, ranks=ranks)
    if ranks is not None:
        ranks.leave()  # what follows needs one process; the others end
    logger.info("%s: %s", name, result.choice())
    own = np.full((len(experiment.dataset), len(experiment.labels)), np.nan)
    spread, sd = own.copy(), own.copy()
    for part in (split.valid, split.test):
        if len(part):
            members = predict_members(result.model, experiment.dataset, part, EVALUATION_BATCH[device.type])
            own[part] = members.mean(axis=0)
            if len(members) > 1:
                spread[part] = members.std(axis=0, ddof=1)
    metadata = result.model.metadata
    outputs = list(metadata.outputs)
    for column, calibration in enumerate(_calibrations(experiment, split.valid, own, spread)):
        if calibration is not None:
            outputs[column] = replace(outputs[column], calibration=calibration)
            sd[:, column] = calibration.sd(own[:, column], spread[:, column])
    rows = own_rows(experiment, split, own, scope=scope, resamples=experiment.options["resamples"])
    training = {
        **metadata.training,
        "task": experiment.task,
        "dataset_genes": len(experiment.dataset),
        "test_genes": len(split.test),
        "metrics": rows,
    }
    result.model.metadata = replace(metadata, outputs=tuple(outputs), training=training)
    save_model(folder / WEIGHTS, result.model)
    return HeldOutPredictions(own, sd, rows)


def _calibrations(
    experiment: Experiment, valid: np.ndarray, own: np.ndarray, spread: np.ndarray
) -> list[Calibration | None]:
    """For each output, how far predictions of the validation genes are off; None where too few tell."""
    found: list[Calibration | None] = []
    for column, actual in enumerate(experiment.values()[valid].T):
        predicted, apart = own[valid, column], spread[valid, column]
        known = np.isfinite(actual) & np.isfinite(apart)
        try:
            found.append(Calibration.fit(actual[known], predicted[known], apart[known]))
        except ValueError:
            found.append(None)
    return found


def run_fold(
    experiment: Experiment,
    split: Split,
    folds: int,
    folder: Path,
    device: torch.device,
    observer: FoldObserver,
    *,
    wait: bool,
) -> bool:
    """Train one fold of the run in `folder` and predict its test genes, unless that is done already.

    Args:
        experiment: what the folds share.
        split: the fold.
        folds: how many there are.
        folder: of the run.
        device: to train on.
        observer: hears when the fold begins and ends.
        wait: when another process runs this fold, wait for it, and take the fold over if that process died.

    Returns:
        whether the fold is done; False only without `wait`, when another process is at it.

    Raises:
        SeqexprError: as `train` does, with the fold named.
    """
    fold = split.number
    target = fold_folder(folder, fold)
    target.parent.mkdir(exist_ok=True)
    try:
        with FileLock(target.with_name(f".{fold}.lock"), timeout=-1 if wait else 0):
            if not is_done(target):
                training = observer.on_fold(fold, folds)
                scope = f"fold {fold}"
                held_out = train_and_predict(experiment, split, target, device, training, name=scope, scope=scope)
                genes, values = experiment.dataset.genes, experiment.values()
                tested, sd = held_out.values[split.test], held_out.sd[split.test]
                table = prediction_rows(genes, split.test, tested, values, experiment.labels, sd=sd, fold=fold)
                write_table(target / "predictions.tsv", table)
                mark_done(target, ("predictions.tsv", "metrics.jsonl"))
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
