"""One training run: split once, train, predict the genes that were held out, judge, report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from seqexpr.evaluation.audit import audit_stage
from seqexpr.evaluation.baselines import BaselineFeatures, training_mean
from seqexpr.evaluation.folds import SplitKind, split_once
from seqexpr.evaluation.metrics import metrics_row
from seqexpr.evaluation.report import write_report
from seqexpr.evaluation.scoring import MODEL, Part, Trial, audit, baseline_rows, judge, labelled, predict_baselines
from seqexpr.evaluation.tables import prediction_rows, write_table
from seqexpr.files import write_json
from seqexpr.manifest import describe_run
from seqexpr.models.trained import TrainedModel, save_model
from seqexpr.prediction.rows import predict_rows
from seqexpr.runs.folder import check_free, mark_done, start_run
from seqexpr.runs.observers import RunObserver
from seqexpr.runs.setup import Setup, settle
from seqexpr.training.job import TrainingJob
from seqexpr.training.trainer import EVALUATION_BATCH, train


@dataclass(frozen=True)
class SingleRun:
    """What is trained and how the genes are divided."""

    setup: Setup
    split: SplitKind
    valid_fraction: float = 0.1
    test_fraction: float = 0.1
    resamples: int = 1000
    groups_file: Path | None = None
    """The user's own groups, for the splits "group" and "homology"."""
    permute_labels: bool = False
    """A negative control: labels are dealt out anew among the genes."""


def train_once(
    run: SingleRun, folder: Path, device: torch.device, *, resume: bool, observer: RunObserver
) -> list[dict[str, Any]]:
    """Train into `folder`, or go on there, and judge the weights on the genes that were held out.

    Returns:
        the rows of `metrics.json`; the scope "test" only where the split has test genes, and then with all
        baselines that the inputs allow, as in `cv`. The scope "valid" is optimistic, for these genes chose the
        epoch.
    """
    check_free(folder, "train", resume=resume)
    protocol = settle(run.setup, run.split, run.groups_file, run.permute_labels, observer)
    setup = protocol.setup
    labels = setup.dataset.labels(setup.label_names)
    parts = split_once(protocol.genes, run.split, run.valid_fraction, run.test_fraction, setup.seed)
    train_rows, valid, test = (labelled(part, labels) for part in parts)
    shares = {"valid_fraction": run.valid_fraction, "test_fraction": run.test_fraction, "resamples": run.resamples}
    manifest = describe_run("train", {**protocol.options, **shares})
    start_run(folder, {**manifest, "device": device.type, "threads": torch.get_num_threads()}, resume=resume)
    job = TrainingJob(setup.dataset, setup.label_names, train_rows, valid, setup.config, setup.recipe, setup.seed)
    model = train(job, folder, device, name=folder.name, observer=observer).model
    observer.on_stage("predictions and intervals")
    own = np.full(labels.shape, np.nan)
    tables = []
    for scope, indices in (("valid", valid), ("test", test)):
        if len(indices):
            own[indices] = predict_rows(model, setup.dataset, indices, EVALUATION_BATCH[device.type])
            tables.append(
                prediction_rows(setup.dataset.genes, indices, own[indices], labels, setup.label_names, split=scope)
            )
    write_table(folder / "predictions.tsv", pd.concat(tables))
    rows = _judge_valid(run, setup, labels, own, train_rows, valid)
    if len(test):
        part = Part(0, test, np.sort(np.concatenate([train_rows, valid])))
        trial = Trial(setup.dataset, setup.label_names, setup.config, setup.seed, run.resamples, (part,))
        rows += _judge_test(folder, trial, own, device, observer)
    write_json(folder / "metrics.json", rows)
    _keep_numbers(model, folder, setup, rows)
    write_report(folder)
    mark_done(folder)
    return rows


def _judge_valid(
    run: SingleRun, setup: Setup, labels: np.ndarray, own: np.ndarray, train_rows: np.ndarray, valid: np.ndarray
) -> list[dict[str, Any]]:
    """The network beside the training mean, on the genes that chose the epoch."""
    config = setup.config
    features = BaselineFeatures(setup.dataset, config.upstream, config.downstream, config.protein_length)
    rows = []
    for column, name in enumerate(setup.label_names):
        actual = labels[:, column]
        tested, known = (part[~np.isnan(actual[part])] for part in (valid, train_rows))
        if len(tested) < 2:
            continue
        mean = training_mean(features, actual, known, tested, setup.seed)
        for model, values in ((MODEL, own[tested, column]), ("training_mean", mean)):
            options = {"resamples": run.resamples, "seed": setup.seed}
            rows.append(metrics_row(model, name, "valid", actual[tested], values, **options))
    return rows


def _judge_test(
    folder: Path, trial: Trial, own: np.ndarray, device: torch.device, observer: RunObserver
) -> list[dict[str, Any]]:
    """The network beside all baselines, on the genes that it never saw."""
    test = trial.parts[0].test
    tested = np.full_like(own, np.nan)
    tested[test] = own[test]
    observer.on_stage("baselines on the same genes")
    baselines = predict_baselines(trial, device)
    write_table(folder / "baselines.tsv", baseline_rows(trial, baselines, {"split": "test"}))
    observer.on_stage(audit_stage(trial.dataset))
    write_json(folder / "audit.json", audit(trial, tested))
    observer.on_stage("bootstrap intervals")
    return judge(trial, {MODEL: tested, **baselines}, "test")


def _keep_numbers(model: TrainedModel, folder: Path, setup: Setup, rows: list[dict[str, Any]]) -> None:
    """Store what the weights were trained on, and their numbers, beside them in the one file."""
    training = {
        **model.metadata.training,
        "task": setup.task,
        "dataset_genes": len(setup.dataset),
        "metrics": [row for row in rows if row["model"] == MODEL],
    }
    model.metadata = replace(model.metadata, training=training)
    save_model(folder / "weights.safetensors", model)
