"""How good a bundled model is: trained anew for each fold of whole chromosomes, beside baselines on the same genes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.tables import tell
from scipy.stats import spearmanr

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.evaluation.baselines import BaselineFeatures, applicable_baselines
from seqexpr.evaluation.folds import make_folds
from seqexpr.evaluation.metrics import evaluate, paired_metrics
from seqexpr.evaluation.scoring import labelled
from seqexpr.files import atomic_path
from seqexpr.models.calibration import Calibration
from seqexpr.models.config import PerceiverConfig
from seqexpr.prediction.rows import predict_members
from seqexpr.training.job import TrainingJob
from seqexpr.training.recipe import Recipe
from seqexpr.training.trainer import EVALUATION_BATCH, train

WATCHED = 2
"""Genes that a training sets aside because it must have some; the recipes' epochs are fixed, so they choose nothing."""

WITH, WITHOUT = "half_life", "sequence"
"""Predictions with the half-life features, and from the sequence alone."""

METRICS = ("pearson_r2", "r2", "spearman")


@dataclass(frozen=True)
class Trained:
    """What is trained: a network and a recipe on some labels of a dataset."""

    dataset: PreparedDataset
    labels: tuple[str, ...]
    judged: tuple[str, ...]
    """Of the labels, those that are predicted to others; the rest helps to learn them."""
    preset: str
    recipe: Recipe
    seed: int

    def config(self) -> PerceiverConfig:
        """The network."""
        return self.recipe.fit(PerceiverConfig.from_preset(self.preset, outputs=len(self.labels)))

    def job(self, genes: np.ndarray) -> TrainingJob:
        """A training on these rows, all but `WATCHED` of them."""
        known = labelled(genes, self.dataset.labels(self.judged))
        watched = np.sort(np.random.default_rng(self.seed).permutation(known)[:WATCHED])
        rest = np.setdiff1d(labelled(genes, self.dataset.labels(self.labels)), watched)
        return TrainingJob(self.dataset, self.labels, rest, watched, self.config(), self.recipe, self.seed)

    def fold_of(self, folds: int) -> np.ndarray:
        """The fold in which each gene is tested, (genes,)."""
        return make_folds(self.dataset.genes, "chromosome", folds, self.seed)


def predict_folds(trained: Trained, folder: Path, folds: int, only: list[int], device: torch.device) -> np.ndarray:
    """Each gene's members from a network that never saw its chromosome: (2, members, genes, judged labels).

    First with the half-life features, then without. What a folder holds already is not trained again.
    """
    fold_of = trained.fold_of(folds)
    columns = [trained.labels.index(name) for name in trained.judged]
    shape = (2, trained.config().composition_members, len(fold_of), len(columns))
    predicted = np.full(shape, np.nan)
    for fold in only:
        stored, test = folder / f"fold-{fold}.npy", np.flatnonzero(fold_of == fold)
        if not stored.exists():
            model = train(trained.job(np.flatnonzero(fold_of != fold)), folder / f"fold-{fold}", device, name="").model
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


def predict_baselines(trained: Trained, file: Path, folds: int) -> dict[str, np.ndarray]:
    """Each baseline's predictions from the same folds: (genes, judged labels) by name."""
    if file.exists():
        with np.load(file) as stored:
            return dict(stored)
    config, fold_of = trained.config(), trained.fold_of(folds)
    labels = trained.dataset.labels(trained.judged)
    features = BaselineFeatures(trained.dataset, config.upstream, config.downstream, config.protein_length)
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
    trained: Trained, predicted: np.ndarray, baselines: dict[str, np.ndarray], folds: int
) -> list[dict[str, Any]]:
    """A row for each label, with half-life features and without: metrics, leads over all baselines, spread."""
    labels, rows, fold_of = trained.dataset.labels(trained.judged), [], trained.fold_of(folds)
    for variant, members in zip((WITH, WITHOUT), predicted, strict=True):
        for column, name in enumerate(trained.judged):
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


def calibrate(trained: Trained, predicted: np.ndarray) -> dict[str, Calibration]:
    """A calibration for each judged label, on all genes that were held out, with half-life features and without."""
    labels, found = trained.dataset.labels(trained.judged), {}
    for column, name in enumerate(trained.judged):
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
