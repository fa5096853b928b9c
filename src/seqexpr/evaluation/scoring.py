"""How good predictions of held-out genes are, beside simple baselines that learnt from the same genes.

`cv` judges its folds and `train` its test part by the same functions: a baseline is fitted on all genes that the
network was trained or validated on, and predicts exactly the genes that the network is tested on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.evaluation.audit import audit_overlap
from seqexpr.evaluation.baselines import BaselineFeatures, applicable_baselines
from seqexpr.evaluation.metrics import metrics_row, paired_metrics
from seqexpr.evaluation.tables import prediction_rows
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel
from seqexpr.prediction.rows import predict_rows
from seqexpr.training.trainer import EVALUATION_BATCH

MODEL = "seqexpr"
"""The trained network in `metrics.json`; every other model there is a baseline."""

UNTRAINED = "untrained model"


class Part(NamedTuple):
    """Genes that are tested together: a fold of `cv`, or the test part of `train`."""

    fold: int
    """Number of the fold; 0 for `train`."""
    test: np.ndarray
    """Rows of the dataset that are tested (n,), with a label or without."""
    train: np.ndarray
    """Labelled rows that were trained on, the validation part included (m,)."""


@dataclass(frozen=True)
class Trial:
    """What is judged: which labels of which genes, and who was trained on what."""

    dataset: PreparedDataset
    """With the labels that were trained on: permuted ones in a negative control."""
    label_names: tuple[str, ...]
    config: PerceiverConfig
    seed: int
    resamples: int
    parts: tuple[Part, ...]

    def labels(self) -> np.ndarray:
        """Labels of all genes, (genes, outputs), NaN where missing."""
        return self.dataset.labels(self.label_names)


def labelled(indices: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Those rows that have at least one label."""
    return indices[~np.isnan(labels[indices]).all(axis=1)]


def fold_parts(fold_of: np.ndarray, labels: np.ndarray) -> tuple[Part, ...]:
    """The parts of a cross-validation.

    Args:
        fold_of: the fold in which each gene is tested (genes,).
        labels: (genes, outputs).
    """
    return tuple(
        Part(fold, np.flatnonzero(fold_of == fold), labelled(np.flatnonzero(fold_of != fold), labels))
        for fold in range(int(fold_of.max()) + 1)
    )


def predict_baselines(trial: Trial, device: torch.device) -> dict[str, np.ndarray]:
    """Predictions of the tested genes by each baseline and by the network before training.

    Returns:
        by the baseline's name, float64 (genes, outputs), NaN for genes that are not tested.
    """
    labels, config = trial.labels(), trial.config
    features = BaselineFeatures(trial.dataset, config.upstream, config.downstream, config.protein_length)
    predicted: dict[str, np.ndarray] = {}
    for baseline in applicable_baselines(features):
        table = predicted[baseline.name] = np.full(labels.shape, np.nan)
        for part in trial.parts:
            for column in range(labels.shape[1]):
                train = part.train[~np.isnan(labels[part.train, column])]
                table[part.test, column] = baseline.fit_predict(
                    features, labels[:, column], train, part.test, trial.seed
                )
    predicted[UNTRAINED] = _predict_untrained(trial, device)
    return predicted


def _predict_untrained(trial: Trial, device: torch.device) -> np.ndarray:
    """The paper's random baseline: its network as it starts, the output scaled by each part's training labels.

    Without a composition flow: the paper's has none, and one that was never standardised says nothing.
    """
    torch.manual_seed(trial.seed)
    config = trial.config.without_composition()
    network = Perceiver(config).to(device).eval()
    outputs = tuple(Output(name) for name in trial.label_names)
    model = TrainedModel(UNTRAINED, network, ModelMetadata(config, outputs))
    labels = trial.labels()
    tested = np.sort(np.concatenate([part.test for part in trial.parts]))
    scaled = np.full(labels.shape, np.nan)
    scaled[tested] = predict_rows(model, trial.dataset, tested, EVALUATION_BATCH[device.type])
    for part in trial.parts:
        known = labels[part.train]
        scaled[part.test] = scaled[part.test] * np.nanstd(known, axis=0) + np.nanmean(known, axis=0)
    return scaled


def baseline_rows(
    trial: Trial, predicted: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray | str]
) -> pd.DataFrame:
    """The table `baselines.tsv`: predictions.tsv's columns, and the baseline's name as `model` before the output.

    Args:
        trial: what is judged.
        predicted: as `predict_baselines` gives them.
        columns: what says where a gene was tested, for all tested genes in the dataset's order: `fold` (n,), or
            `split` as one text.
    """
    tested = np.sort(np.concatenate([part.test for part in trial.parts]))
    genes, labels, names = trial.dataset.genes, trial.labels(), trial.label_names
    tables = []
    for model, values in predicted.items():
        rows = prediction_rows(genes, tested, values[tested], labels, names, **columns, model=model)
        by_gene = np.arange(len(rows)).reshape(len(names), -1).T.reshape(-1)  # all outputs of a gene, then the next
        tables.append(rows.iloc[by_gene])
    return pd.concat(tables, ignore_index=True)


def judge(trial: Trial, predicted: Mapping[str, np.ndarray], scope: str) -> list[dict[str, Any]]:
    """The rows of `metrics.json`.

    Args:
        trial: what is judged.
        predicted: (genes, outputs) by model, the network's under `MODEL` among them.
        scope: name for all tested genes together; several parts are judged one by one too, as "fold K".

    Returns:
        a row for each output, model and scope. Rows of baselines over all tested genes carry `difference`: each
        metric of the network minus that of the baseline, with its interval by paired bootstrap.
    """
    labels = trial.labels()
    rows = []
    for column, name in enumerate(trial.label_names):
        actual = labels[:, column]
        tested = np.sort(np.concatenate([part.test for part in trial.parts]))
        tested = tested[~np.isnan(actual[tested])]
        if len(tested) < 2:
            continue
        own = predicted[MODEL][:, column]
        for model, values in ((model, table[:, column]) for model, table in predicted.items()):
            row = _row(trial, model, name, scope, actual, values, tested)
            if model != MODEL:
                row["difference"] = _difference(trial, actual[tested], own[tested], values[tested])
            rows.append(row)
            rows += _fold_rows(trial, model, name, actual, values)
    return rows


def _fold_rows(trial: Trial, model: str, name: str, actual: np.ndarray, values: np.ndarray) -> list[dict[str, Any]]:
    if len(trial.parts) < 2:
        return []
    known = [(part.fold, part.test[~np.isnan(actual[part.test])]) for part in trial.parts]
    return [
        _row(trial, model, name, f"fold {fold}", actual, values, tested) for fold, tested in known if len(tested) >= 2
    ]


def _row(
    trial: Trial, model: str, name: str, scope: str, actual: np.ndarray, values: np.ndarray, rows: np.ndarray
) -> dict[str, Any]:
    options = {"resamples": trial.resamples, "seed": trial.seed}
    return metrics_row(model, name, scope, actual[rows], values[rows], **options)


def _difference(trial: Trial, actual: np.ndarray, own: np.ndarray, baseline: np.ndarray) -> dict[str, Any]:
    paired = paired_metrics(actual, own, baseline, resamples=trial.resamples, seed=trial.seed)
    return {metric: of_both.difference.to_dict() for metric, of_both in paired.items()}


def audit(trial: Trial, own: np.ndarray) -> list[dict[str, Any]]:
    """How much of what was tested is alike to what was trained on, as `audit.json` holds it.

    Args:
        trial: what is judged.
        own: the network's predictions (genes, outputs), NaN for genes that are not tested.
    """
    return audit_overlap(
        trial.dataset,
        trial.config,
        trial.parts,
        trial.labels(),
        own,
        trial.label_names,
        threads=torch.get_num_threads(),
        resamples=trial.resamples,
        seed=trial.seed,
    )
