"""How good a bundled model is: trained anew for each fold of whole chromosomes, beside baselines on the same genes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.tables import tell
from scipy.stats import spearmanr

from seqexpr.evaluation.baselines import BaselineFeatures, applicable_baselines
from seqexpr.evaluation.folds import make_folds
from seqexpr.evaluation.metrics import evaluate, paired_metrics
from seqexpr.files import atomic_path
from seqexpr.models.calibration import Calibration
from seqexpr.prediction.rows import predict_members
from seqexpr.training.experiment import Experiment, Split, labelled
from seqexpr.training.trainer import EVALUATION_BATCH, train

WATCHED = 2
"""Genes that a training sets aside because it must have some; the recipes' epochs are fixed, so they choose nothing."""

WITH, WITHOUT = "half_life", "sequence"
"""Predictions with the half-life features, and from the sequence alone."""

METRICS = ("pearson_r2", "r2", "spearman")


def split_for(trained: Experiment, judged: tuple[str, ...], genes: np.ndarray) -> Split:
    """A split that trains on these rows, all but `WATCHED` of them, which have a label among `judged`."""
    known = labelled(genes, trained.dataset.labels(judged))
    watched = np.sort(np.random.default_rng(trained.seed).permutation(known)[:WATCHED])
    return Split(0, np.setdiff1d(labelled(genes, trained.values()), watched), watched)


def folds_of(trained: Experiment, folds: int) -> np.ndarray:
    """The fold of whole chromosomes in which each gene is tested, (genes,)."""
    return make_folds(trained.dataset.genes, "chromosome", folds, trained.seed)


def predict_folds(
    trained: Experiment, judged: tuple[str, ...], folder: Path, folds: int, only: list[int], device: torch.device
) -> np.ndarray:
    """Each gene's members from a network that never saw its chromosome: (2, members, genes, judged labels).

    First with the half-life features, then without. What a folder holds already is not trained again.
    """
    fold_of = folds_of(trained, folds)
    columns = [trained.labels.index(name) for name in judged]
    shape = (2, trained.config.members, len(fold_of), len(columns))
    predicted = np.full(shape, np.nan)
    for fold in only:
        stored, test = folder / f"fold-{fold}.npy", np.flatnonzero(fold_of == fold)
        if not stored.exists():
            split = split_for(trained, judged, np.flatnonzero(fold_of != fold))
            model = train(trained, split, folder / f"fold-{fold}", device, name="").model
            size = EVALUATION_BATCH[device.type]
            members = [
                predict_members(model, trained.dataset, test, size, hide_half_life=hidden)[:, :, columns]
                for hidden in (False, True)
            ]
            with atomic_path(stored) as temporary, temporary.open("wb") as file:
                np.save(file, np.stack(members))
        predicted[:, :, test] = np.load(stored)
        tell(f"{folder.name}: fold {fold + 1} of {folds} done")
    return predicted


def predict_baselines(trained: Experiment, judged: tuple[str, ...], file: Path, folds: int) -> dict[str, np.ndarray]:
    """Each baseline's predictions from the same folds: (genes, judged labels) by name."""
    if file.exists():
        with np.load(file) as stored:
            return dict(stored)
    config, fold_of = trained.config, folds_of(trained, folds)
    labels = trained.dataset.labels(judged)
    features = BaselineFeatures(
        trained.dataset, config.upstream, config.downstream, config.protein_length, config.coding_length
    )
    found = {}
    for baseline in applicable_baselines(features):
        table = found[baseline.name] = np.full(labels.shape, np.nan)
        for fold in range(folds):
            for column, actual in enumerate(labels.T):
                known = np.flatnonzero((fold_of != fold) & ~np.isnan(actual))
                test = np.flatnonzero((fold_of == fold) & ~np.isnan(actual))
                table[test, column] = baseline.fit_predict(features, actual, known, test, trained.seed)
        tell(f"{file.parent.name}: baseline {baseline.name} done")
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **found)
    return found


def judge(
    trained: Experiment,
    judged: tuple[str, ...],
    predicted: np.ndarray,
    baselines: dict[str, np.ndarray],
    folds: int,
) -> list[dict[str, Any]]:
    """A row for each label, with half-life features and without: metrics, leads over all baselines, spread."""
    labels, rows, fold_of = trained.dataset.labels(judged), [], folds_of(trained, folds)
    for variant, members in zip((WITH, WITHOUT), predicted, strict=True):
        for column, name in enumerate(judged):
            tested = ~np.isnan(labels[:, column]) & ~np.isnan(members[0, :, column])
            actual, of_members = labels[tested, column], members[:, tested, column]
            own = of_members.mean(axis=0)
            estimates = evaluate(actual, own)
            row: dict[str, Any] = {"output": name, "inputs": variant, "n": int(tested.sum())}
            row["metrics"] = {metric: estimates[metric].to_dict() for metric in METRICS}
            row["baselines"] = {
                baseline: _compared(actual, own, values[tested, column])
                for baseline, values in baselines.items()
                if baseline != "training_mean"
            }
            if len(of_members) > 1 and len(np.unique(fold_of[tested])) > 1:
                row["spread"] = spread(actual, own, of_members.std(axis=0, ddof=1), fold_of[tested])
            rows.append(row)
    return rows


def strongest(row: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The best of the baselines that read what the row's predictions were made from, and how it compares."""
    fair = [item for item in row["baselines"].items() if row["inputs"] == WITH or "half_life" not in item[0]]
    return max(fair, key=lambda item: item[1]["pearson_r2"], default=None)


def spread(actual: np.ndarray, predicted: np.ndarray, members_sd: np.ndarray, fold_of: np.ndarray) -> dict[str, float]:
    """Does the sd that is told tell the error? Each fold's is calibrated on the other folds; (n,) each.

    Returns:
        Spearman's correlation of the absolute error with the members' own sd and with the calibrated one, the root mean
        square error of the quarters of genes with the smallest and the largest calibrated sd, the root mean square of
        error / sd, and the shares of genes within one and two sds.
    """
    sd = np.empty(len(actual))
    for fold in np.unique(fold_of):
        test = fold_of == fold
        calibration = Calibration.fit(actual[~test], predicted[~test], members_sd[~test])
        sd[test] = calibration.sd(predicted[test], members_sd[test])
    error = np.abs(predicted - actual)
    low, high = np.quantile(sd, (0.25, 0.75))
    return {
        "spearman_members": float(spearmanr(members_sd, error).statistic),
        "spearman": float(spearmanr(sd, error).statistic),
        "rmse_smallest": float(np.sqrt((error[sd <= low] ** 2).mean())),
        "rmse_largest": float(np.sqrt((error[sd >= high] ** 2).mean())),
        "rms_ratio": float(np.sqrt(((error / sd) ** 2).mean())),
        "within_one": float((error <= sd).mean()),
        "within_two": float((error <= 2 * sd).mean()),
    }


def calibrate(trained: Experiment, judged: tuple[str, ...], predicted: np.ndarray) -> dict[str, Calibration]:
    """A calibration for each judged label, on all genes that were held out, with half-life features and without."""
    labels, found = trained.dataset.labels(judged), {}
    for column, name in enumerate(judged):
        known = ~np.isnan(labels[:, column])
        members = np.concatenate(list(predicted[:, :, known, column]), axis=1)  # (members, genes twice)
        actual = np.tile(labels[known, column], len(predicted))
        found[name] = Calibration.fit(actual, members.mean(axis=0), members.std(axis=0, ddof=1))
    return found


def _compared(actual: np.ndarray, own: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    paired = paired_metrics(actual, own, other, ("pearson_r2",))["pearson_r2"]
    return {"pearson_r2": paired.other, "lead": paired.difference.to_dict()}


def read_rows(file: Path) -> list[dict[str, Any]]:
    """What an evaluation has found."""
    return json.loads(file.read_text(encoding="utf-8"))
