"""Score predictions of held-out genes, next to simple baselines that learnt from the same genes.

`cv` scores its folds and `train` its test part by the same functions: a baseline is fitted on all genes that the
network was trained or validated on, and predicts exactly the genes that the network is tested on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import torch

from seqexpr.evaluation.baselines import BaselineFeatures, applicable_baselines, training_mean
from seqexpr.evaluation.metrics import METRICS, metrics_row, paired_metrics
from seqexpr.evaluation.tables import prediction_rows
from seqexpr.evaluation.verdict import MODEL, spoken
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel
from seqexpr.prediction.rows import predict_rows
from seqexpr.training.experiment import Experiment, Split
from seqexpr.training.trainer import EVALUATION_BATCH

UNTRAINED = "untrained_model"

_MOST_FITS = 8
"""Baselines that are fitted at once, each of which holds copies of all genes' features."""

Progress = Callable[[str, int, int], None]
"""Hears what is computed now, how many parts are done, and how many there are."""


def no_progress(part: str, done: int, total: int) -> None:
    """Show nothing."""


def tested_rows(splits: Sequence[Split]) -> np.ndarray:
    """All genes that some split tests, ascending (n,)."""
    return np.sort(np.concatenate([np.empty(0, np.int64), *(split.test for split in splits)]))


def predict_baselines(
    experiment: Experiment,
    splits: Sequence[Split],
    device: torch.device,
    *,
    known: Mapping[str, np.ndarray] | None = None,
    at_once: int = 1,
    progress: Progress = no_progress,
) -> tuple[dict[str, np.ndarray], dict[str, Exception]]:
    """Predict the tested genes by each baseline and by the network before training.

    Args:
        experiment: what is learnt.
        splits: the test genes of each, and the genes that its baselines learn from.
        device: for the untrained network.
        known: predictions of baselines that are computed already.
        at_once: fits that run at the same time, one thread each; their digits do not depend on it.
        progress: hears of each baseline.

    Returns:
        by the baseline's name its predictions, float64 (genes, outputs), NaN for genes that are not tested; and the
        errors of baselines that failed, which take nothing away from the others.
    """
    config = experiment.config
    features = BaselineFeatures(
        experiment.dataset, config.upstream, config.downstream, config.protein_length, config.coding_length
    )
    makers: dict[str, Callable[[], np.ndarray]] = {
        baseline.name: lambda baseline=baseline: _predict_baseline(  # type: ignore[misc]
            baseline.fit_predict, features, experiment, splits, min(at_once, _MOST_FITS)
        )
        for baseline in applicable_baselines(features)
    }
    makers[UNTRAINED] = lambda: _predict_untrained(experiment, splits, device)
    predicted: dict[str, np.ndarray] = {}
    failed: dict[str, Exception] = {}
    for done, (name, make) in enumerate(makers.items()):
        if known is not None and name in known:
            predicted[name] = known[name]
            continue
        progress(spoken(name), done, len(makers))
        try:
            predicted[name] = make()
        except Exception as error:
            failed[name] = error
    return predicted, failed


def _predict_baseline(
    fit_predict: Callable[..., np.ndarray],
    features: BaselineFeatures,
    experiment: Experiment,
    splits: Sequence[Split],
    at_once: int,
) -> np.ndarray:
    """Fit on each split and label, some at once with a thread each.

    Threads that share one fit wait for one another, which takes ten times as long where other processes use the cores;
    and with one thread a fit gives the same digits everywhere.
    """
    from threadpoolctl import threadpool_limits

    values = experiment.values()
    table = np.full(values.shape, np.nan)

    def fit(split: Split, column: int) -> None:
        seen = split.seen[~np.isnan(values[split.seen, column])]
        with threadpool_limits(1, user_api="openmp"):  # a setting of each thread
            found = fit_predict(features, values[:, column], seen, split.test, experiment.seed)
        if not np.isfinite(found).all():
            raise ValueError(f"{int((~np.isfinite(found)).sum())} of {len(found)} predictions are not finite")
        table[split.test, column] = found

    fits = [(split, column) for split in splits for column in range(values.shape[1])]
    # BLAS has one setting for all threads: it is set, and set back, around them all.
    with threadpool_limits(1):
        pool = ThreadPoolExecutor(at_once)
        try:
            for done in [pool.submit(fit, *one) for one in fits]:
                done.result()
        finally:  # Ctrl-C and a fit that fails wait for those that run, not for those that queue
            pool.shutdown(cancel_futures=True)
    return table


def _predict_untrained(experiment: Experiment, splits: Sequence[Split], device: torch.device) -> np.ndarray:
    """The paper's random baseline: its network as it starts, the output scaled by each split's own labels.

    Without a kernel flow: the paper's has none, and one that was never fitted says nothing.
    """
    torch.manual_seed(experiment.seed)
    config = experiment.config.without_kernel()
    network = Perceiver(config).to(device).eval()
    outputs = tuple(Output(name) for name in experiment.labels)
    model = TrainedModel(UNTRAINED, network, ModelMetadata(config, outputs))
    values, tested = experiment.values(), tested_rows(splits)
    scaled = np.full(values.shape, np.nan)
    scaled[tested] = predict_rows(model, experiment.dataset, tested, EVALUATION_BATCH[device.type])
    for split in splits:
        seen = values[split.seen]
        scaled[split.test] = scaled[split.test] * np.nanstd(seen, axis=0) + np.nanmean(seen, axis=0)
    return scaled


def baseline_rows(
    experiment: Experiment,
    splits: Sequence[Split],
    predicted: Mapping[str, np.ndarray],
    columns: Mapping[str, Any],
) -> pd.DataFrame:
    """The table `baselines.tsv`: predictions.tsv's columns, and the baseline's name as `model` before the output.

    Args:
        experiment: what is learnt.
        splits: whose test genes are in the table.
        predicted: as `predict_baselines` gives them.
        columns: what says where a gene was tested, for all tested genes in the dataset's order: `fold` (n,), or
            `split` as one text.
    """
    tested = tested_rows(splits)
    genes, values, names = experiment.dataset.genes, experiment.values(), experiment.labels
    tables = []
    for model, table in predicted.items():
        rows = prediction_rows(genes, tested, table[tested], values, names, **columns, model=model)
        by_gene = np.arange(len(rows)).reshape(len(names), -1).T.reshape(-1)  # all outputs of a gene, then the next
        tables.append(rows.iloc[by_gene])
    return pd.concat(tables, ignore_index=True)


def score(
    experiment: Experiment,
    splits: Sequence[Split],
    predictions: Mapping[str, np.ndarray],
    *,
    scope: str,
    resamples: int = 1000,
    known: Sequence[Mapping[str, Any]] = (),
    progress: Progress = no_progress,
) -> tuple[list[dict[str, Any]], dict[str, Exception]]:
    """Score the predictions of tested genes: the rows of `metrics.json`.

    Args:
        experiment: what is learnt.
        splits: whose test genes are scored together; several splits are scored one by one too, as "fold K".
        predictions: (genes, outputs) by model, the network's under `MODEL` among them.
        scope: name for all tested genes together.
        resamples: bootstrap resamples of the intervals.
        known: rows that an earlier call gave for the same predictions of the network; a model that has all its rows
            there is not scored again.
        progress: hears of each model.

    Returns:
        a row for each output, model and scope. Rows of baselines over all tested genes carry `difference`: each metric
        of the network minus that of the baseline, with its interval by paired bootstrap. And the errors of models that
        could not be scored, which take nothing away from the others.
    """
    values, tested = experiment.values(), tested_rows(splits)
    stored = {
        (row["output"], row["model"], row["scope"]): dict(row) for row in known if set(METRICS) <= row["metrics"].keys()
    }
    rows: list[dict[str, Any]] = []
    failed: dict[str, Exception] = {}
    total = len(predictions) * len(experiment.labels)
    for column, output in enumerate(experiment.labels):
        actual = values[:, column]
        of_all = tested[~np.isnan(actual[tested])]
        if len(of_all) < 2:
            continue
        parts = {scope: of_all}
        if len(splits) > 1:
            of_each = {f"fold {split.number}": split.test[~np.isnan(actual[split.test])] for split in splits}
            parts |= {name: part for name, part in of_each.items() if len(part) >= 2}
        own = predictions[MODEL][:, column]
        for place, (model, table) in enumerate(predictions.items()):
            progress(f"{output}: {model}", column * len(predictions) + place, total)
            wanted = [(output, model, name) for name in parts]
            if all(key in stored for key in wanted):
                rows += [stored[key] for key in wanted]
                continue
            options = {"resamples": resamples, "seed": experiment.seed}
            try:
                made = [
                    metrics_row(model, output, name, actual[part], table[part, column], **options)
                    for name, part in parts.items()
                ]
                if model != MODEL:
                    paired = paired_metrics(
                        actual[of_all], own[of_all], table[of_all, column], resamples=resamples, seed=experiment.seed
                    )
                    made[0]["difference"] = {name: of_both.difference.to_dict() for name, of_both in paired.items()}
            except Exception as error:
                failed[model] = error
            else:
                rows += made
    return rows, failed


def own_rows(
    experiment: Experiment, split: Split, own: np.ndarray, *, scope: str, resamples: int = 1000
) -> list[dict[str, Any]]:
    """The network's scores on one split, which its weights carry: on validation genes, then on test genes.

    The scope "valid" is optimistic, for these genes chose the epoch.

    Args:
        experiment: what was learnt.
        split: on which the network was trained.
        own: the network's predictions (genes, outputs).
        scope: name of the test genes' scope.
        resamples: bootstrap resamples of the intervals.
    """
    rows = []
    for name, part in (("valid", split.valid), (scope, split.test)):
        for column, output in enumerate(experiment.labels):
            actual = experiment.values()[:, column]
            known = part[~np.isnan(actual[part])]
            if len(known) >= 2:
                options = {"resamples": resamples, "seed": experiment.seed}
                rows.append(metrics_row(MODEL, output, name, actual[known], own[known, column], **options))
    return rows


def mean_rows(experiment: Experiment, split: Split, *, resamples: int = 1000) -> list[dict[str, Any]]:
    """The training mean's scores on the validation genes, which is what a network must beat there at least."""
    config, values, rows = experiment.config, experiment.values(), []
    features = BaselineFeatures(
        experiment.dataset, config.upstream, config.downstream, config.protein_length, config.coding_length
    )
    for column, output in enumerate(experiment.labels):
        actual = values[:, column]
        valid, seen = (part[~np.isnan(actual[part])] for part in (split.valid, split.train))
        if len(valid) >= 2:
            mean = training_mean(features, actual, seen, valid, experiment.seed)
            options = {"resamples": resamples, "seed": experiment.seed}
            rows.append(metrics_row("training_mean", output, "valid", actual[valid], mean, **options))
    return rows
