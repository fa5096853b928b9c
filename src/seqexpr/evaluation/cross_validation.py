"""Cross-validation: every gene is predicted once by a network that never saw it, and so by each baseline.

The test fold chooses nothing: an inner validation part of the other folds stops the training, and all scalings are
fitted on the remaining genes. (The paper's code stops on the test fold; its numbers are therefore optimistic.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from seqexpr.evaluation.baselines import BaselineFeatures, applicable_baselines
from seqexpr.evaluation.folds import FoldKind, inner_validation, make_folds
from seqexpr.evaluation.metrics import metrics_row
from seqexpr.evaluation.report import write_report
from seqexpr.evaluation.run_folder import (
    is_done,
    mark_done,
    prediction_rows,
    read_lines,
    read_table,
    start_run,
    write_lines,
    write_table,
)
from seqexpr.evaluation.setup import Setup
from seqexpr.files import write_json
from seqexpr.manifest import describe_run
from seqexpr.models.checkpoint import TrainedModel
from seqexpr.models.perceiver import Perceiver
from seqexpr.prediction.rows import predict_rows
from seqexpr.training.trainer import EVALUATION_BATCH, Observer, TrainingJob, train

MODEL = "seqexpr"
UNTRAINED = "untrained model"


class FoldObserver(Observer, Protocol):
    """Is told how a cross-validation goes."""

    def on_fold(self, fold: int, folds: int) -> None:
        """Fold `fold` (from 0) of `folds` begins."""

    def on_stage(self, stage: str) -> None:
        """What is done between and after the trainings, in a few words."""


@dataclass(frozen=True)
class CrossValidation:
    """What is cross-validated and how."""

    setup: Setup
    split: FoldKind
    folds: int
    valid_fraction: float = 0.1
    resamples: int = 1000

    def options(self) -> dict[str, Any]:
        """The resolved options for the manifest."""
        return {
            **self.setup.to_dict(),
            "split": self.split,
            "folds": self.folds,
            "valid_fraction": self.valid_fraction,
            "resamples": self.resamples,
        }


def cross_validate(
    cv: CrossValidation, folder: Path, device: torch.device, *, resume: bool, observer: FoldObserver
) -> list[dict[str, Any]]:
    """Run all folds into `folder`, or those that are missing there, and judge the out-of-fold predictions.

    Returns:
        the rows of `metrics.json`: model, output, scope ("all" or "fold K"), n, metrics with intervals.

    Raises:
        UsageError: the folder is in use, or folds cannot be made as asked.
    """
    setup = cv.setup
    fold_of = make_folds(setup.dataset.genes, cv.split, cv.folds, setup.seed)
    start_run(folder, {**describe_run("cv", cv.options()), "device": device.type}, resume=resume)
    (folder / "folds").mkdir(exist_ok=True)
    tables = []
    for fold in range(cv.folds):
        fold_folder = folder / "folds" / str(fold)
        if not is_done(fold_folder):
            observer.on_fold(fold, cv.folds)
            _run_fold(cv, fold, fold_of, fold_folder, device, observer)
        tables.append(read_table(fold_folder / "predictions.tsv"))
    observer.on_stage("baselines on the same folds")
    predictions = _in_dataset_order(pd.concat(tables), setup)
    baselines = _predict_baselines(cv, fold_of, device)
    write_table(folder / "predictions.tsv", predictions)
    observer.on_stage("bootstrap intervals")
    rows = _judge(cv, predictions, baselines, fold_of)
    write_json(folder / "metrics.json", rows)
    write_lines(
        folder / "metrics.jsonl",
        [
            {"fold": fold, **row}
            for fold in range(cv.folds)
            for row in read_lines(folder / "folds" / str(fold) / "metrics.jsonl")
        ],
    )
    write_report(folder)
    mark_done(folder)
    return rows


def _run_fold(
    cv: CrossValidation, fold: int, fold_of: np.ndarray, folder: Path, device: torch.device, observer: Observer
) -> None:
    setup = cv.setup
    labels = setup.dataset.labels(setup.label_names)
    chosen, valid = inner_validation(fold_of, fold, setup.dataset.genes, cv.split, cv.valid_fraction, setup.seed)
    job = TrainingJob(
        setup.dataset,
        setup.label_names,
        labelled(chosen, labels),
        labelled(valid, labels),
        setup.config,
        setup.recipe,
        setup.seed,
    )
    result = train(job, folder, device, name=f"fold {fold}", observer=observer)
    test = np.flatnonzero(fold_of == fold)
    predicted = predict_rows(result.model, setup.dataset, test, EVALUATION_BATCH[device.type])
    table = prediction_rows(setup.dataset.genes, test, predicted, labels, setup.label_names, fold=fold)
    write_table(folder / "predictions.tsv", table)
    mark_done(folder)


def labelled(indices: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Those rows that have at least one label."""
    return indices[~np.isnan(labels[indices]).all(axis=1)]


def _in_dataset_order(predictions: pd.DataFrame, setup: Setup) -> pd.DataFrame:
    place = {gene: row for row, gene in enumerate(setup.dataset.ids)}
    output = {name: number for number, name in enumerate(setup.label_names)}
    order = np.lexsort((predictions["output"].map(output), predictions["id"].map(place)))
    return predictions.iloc[order].reset_index(drop=True)


def _predict_baselines(cv: CrossValidation, fold_of: np.ndarray, device: torch.device) -> dict[str, np.ndarray]:
    """Out-of-fold predictions (genes, outputs) of each baseline and of the network before training."""
    setup = cv.setup
    labels = setup.dataset.labels(setup.label_names)
    features = BaselineFeatures(
        setup.dataset, setup.config.upstream, setup.config.downstream, setup.config.protein_length
    )
    predicted: dict[str, np.ndarray] = {}
    for baseline in applicable_baselines(features):
        table = predicted.setdefault(baseline.name, np.full(labels.shape, np.nan))
        for fold in range(cv.folds):
            test = np.flatnonzero(fold_of == fold)
            for column in range(labels.shape[1]):
                train_rows = np.flatnonzero((fold_of != fold) & ~np.isnan(labels[:, column]))
                table[test, column] = baseline.fit_predict(features, labels[:, column], train_rows, test, setup.seed)
    predicted[UNTRAINED] = _predict_untrained(cv, fold_of, device)
    return predicted


def _predict_untrained(cv: CrossValidation, fold_of: np.ndarray, device: torch.device) -> np.ndarray:
    """The paper's random baseline: the network as it starts, its output scaled by each fold's training labels."""
    setup = cv.setup
    from seqexpr.models.checkpoint import ModelMetadata, Output

    torch.manual_seed(setup.seed)
    network = Perceiver(setup.config).to(device).eval()
    outputs = tuple(Output(name) for name in setup.label_names)
    model = TrainedModel(UNTRAINED, network, ModelMetadata(setup.config, outputs))
    scaled = predict_rows(model, setup.dataset, np.arange(len(setup.dataset)), EVALUATION_BATCH[device.type])
    labels = setup.dataset.labels(setup.label_names)
    predicted = np.empty_like(scaled)
    for fold in range(cv.folds):
        test, others = fold_of == fold, labels[fold_of != fold]
        predicted[test] = scaled[test] * np.nanstd(others, axis=0) + np.nanmean(others, axis=0)
    return predicted


def _judge(
    cv: CrossValidation, predictions: pd.DataFrame, baselines: dict[str, np.ndarray], fold_of: np.ndarray
) -> list[dict[str, Any]]:
    setup = cv.setup
    labels = setup.dataset.labels(setup.label_names)
    own = np.column_stack([predictions.loc[predictions["output"] == name, "prediction"] for name in setup.label_names])
    rows = []
    for column, name in enumerate(setup.label_names):
        present = ~np.isnan(labels[:, column])
        actual = labels[:, column]
        for model, predicted in {MODEL: own, **baselines}.items():
            values = predicted[:, column]
            rows.append(
                metrics_row(
                    model, name, "all", actual[present], values[present], resamples=cv.resamples, seed=setup.seed
                )
            )
            for fold in range(cv.folds):
                chosen = present & (fold_of == fold)
                if chosen.sum() >= 2:
                    scope = f"fold {fold}"
                    rows.append(
                        metrics_row(
                            model,
                            name,
                            scope,
                            actual[chosen],
                            values[chosen],
                            resamples=cv.resamples,
                            seed=setup.seed,
                        )
                    )
    return rows
