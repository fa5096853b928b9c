"""One training run: split once, train, predict the genes that were held out, judge, report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from seqexpr.evaluation.cross_validation import MODEL, FoldObserver, labelled
from seqexpr.evaluation.folds import SplitKind, split_once
from seqexpr.evaluation.metrics import metrics_row
from seqexpr.evaluation.report import write_report
from seqexpr.evaluation.run_folder import mark_done, prediction_rows, start_run, write_table
from seqexpr.evaluation.setup import Setup
from seqexpr.files import write_json
from seqexpr.manifest import describe_run
from seqexpr.models.checkpoint import save_model
from seqexpr.prediction.rows import predict_rows
from seqexpr.training.trainer import EVALUATION_BATCH, TrainingJob, train


@dataclass(frozen=True)
class SingleRun:
    """What is trained and how the genes are divided."""

    setup: Setup
    split: SplitKind
    valid_fraction: float = 0.1
    test_fraction: float = 0.1
    resamples: int = 1000

    def options(self) -> dict[str, Any]:
        """The resolved options for the manifest."""
        return {
            **self.setup.to_dict(),
            "split": self.split,
            "valid_fraction": self.valid_fraction,
            "test_fraction": self.test_fraction,
            "resamples": self.resamples,
        }


def train_once(
    run: SingleRun, folder: Path, device: torch.device, *, resume: bool, observer: FoldObserver
) -> list[dict[str, Any]]:
    """Train into `folder`, or go on there, and judge the weights on the genes that were held out.

    Returns:
        the rows of `metrics.json`; the scope "test" only where the split has test genes. The scope "valid" is
        optimistic, for these genes chose the epoch.
    """
    setup = run.setup
    labels = setup.dataset.labels(setup.label_names)
    parts = split_once(setup.dataset.genes, run.split, run.valid_fraction, run.test_fraction, setup.seed)
    train_rows, valid, test = (labelled(part, labels) for part in parts)
    start_run(folder, {**describe_run("train", run.options()), "device": device.type}, resume=resume)
    job = TrainingJob(setup.dataset, setup.label_names, train_rows, valid, setup.config, setup.recipe, setup.seed)
    result = train(job, folder, device, name=folder.name, observer=observer)
    observer.on_stage("predictions and intervals")
    rows: list[dict[str, Any]] = []
    tables = []
    for scope, indices in (("valid", valid), ("test", test)):
        if not len(indices):
            continue
        predicted = predict_rows(result.model, setup.dataset, indices, EVALUATION_BATCH[device.type])
        tables.append(prediction_rows(setup.dataset.genes, indices, predicted, labels, setup.label_names, split=scope))
        rows += _judge(run, scope, labels[indices], predicted, labels[train_rows])
    write_table(folder / "predictions.tsv", pd.concat(tables))
    write_json(folder / "metrics.json", rows)
    _keep_numbers(result.model, folder, setup, rows)
    write_report(folder)
    mark_done(folder)
    return rows


def _judge(
    run: SingleRun, scope: str, labels: np.ndarray, predicted: np.ndarray, train_labels: np.ndarray
) -> list[dict[str, Any]]:
    rows = []
    for column, name in enumerate(run.setup.label_names):
        present = ~np.isnan(labels[:, column])
        if present.sum() < 2:
            continue
        actual = labels[present, column]
        mean = np.full(len(actual), np.nanmean(train_labels[:, column]))
        for model, values in ((MODEL, predicted[present, column]), ("training mean", mean)):
            rows.append(metrics_row(model, name, scope, actual, values, resamples=run.resamples, seed=run.setup.seed))
    return rows


def _keep_numbers(model: Any, folder: Path, setup: Setup, rows: list[dict[str, Any]]) -> None:
    """Store what the weights were trained on, and their numbers, beside them in the one file."""
    training = {
        **model.metadata.training,
        "task": setup.task,
        "dataset_genes": len(setup.dataset),
        "metrics": [row for row in rows if row["model"] == MODEL],
    }
    model.metadata = replace(model.metadata, training=training)
    save_model(folder / "weights.safetensors", model)
