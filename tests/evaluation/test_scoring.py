from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from seqexpr.evaluation import scoring
from seqexpr.evaluation.scoring import MODEL, UNTRAINED, baseline_rows, own_rows, predict_baselines, score
from seqexpr.training.experiment import Experiment, Split, labelled
from seqexpr.training.recipe import Recipe

from ..small_dataset import make_small_dataset, tiny_config


class FourGenes:
    """What the functions that are tested here read of a dataset."""

    ids = ("g0", "g1", "g2", "g3")
    genes = pd.DataFrame({"id": ids, "chrom": ["1", "1", "2", "2"]})

    def labels(self, names):
        values = {"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0, np.nan, 7.0, 8.0]}
        return np.column_stack([values[name] for name in names])


def experiment(names=("a", "b")):
    return Experiment(FourGenes(), names, tiny_config(outputs=len(names)), Recipe("r"), 0)


def fold(number, test, seen):
    return Split(number, np.array(seen), np.empty(0, np.int64), np.array(test))


FOLDS = (fold(0, [1, 3], [0, 2]), fold(1, [0, 2], [1, 3]))


def test_genes_with_any_label_are_labelled():
    labels = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, 3.0], [np.nan, 4.0]])
    assert labelled(np.arange(4), labels).tolist() == [0, 2, 3]
    assert labelled(np.array([3, 1]), labels).tolist() == [3]


def test_baselines_learn_from_training_and_validation_genes():
    assert Split(0, np.array([4, 1]), np.array([2]), np.array([3])).seen.tolist() == [1, 2, 4]


def test_baseline_table_has_a_gene_s_outputs_side_by_side():
    values = np.arange(8.0).reshape(4, 2)
    table = baseline_rows(experiment(), FOLDS, {"mean": values, "ridge": values + 10}, {"fold": np.array([1, 0, 1, 0])})
    assert list(table) == ["id", "chrom", "fold", "model", "output", "label", "prediction"]
    assert table["model"].tolist() == ["mean"] * 8 + ["ridge"] * 8
    first = table[:4].to_dict("list")
    assert (first["id"], first["fold"]) == (["g0", "g0", "g1", "g1"], [1, 1, 0, 0])
    assert (first["output"], first["label"]) == (
        ["a", "b", "a", "b"],
        [1.0, 5.0, 2.0, pytest.approx(np.nan, nan_ok=True)],
    )
    assert first["prediction"] == [0.0, 1.0, 2.0, 3.0]


def test_rows_and_paired_differences():
    """By hand: labels 1 to 4 (sum of squares 5), errors of 0.5 each (r2 0.8) and of 1 each (r2 0.2); in a fold 2."""
    actual = FourGenes().labels(("a",))
    predicted = {"seqexpr": actual + 0.5, "ridge": actual - 1}
    rows, failed = score(experiment(("a",)), FOLDS, predicted, scope="all", resamples=200)
    assert not failed
    assert [(row["model"], row["scope"], row["n"]) for row in rows] == [
        *(("seqexpr", scope, n) for scope, n in (("all", 4), ("fold 0", 2), ("fold 1", 2))),
        *(("ridge", scope, n) for scope, n in (("all", 4), ("fold 0", 2), ("fold 1", 2))),
    ]
    assert [row["metrics"]["r2"]["value"] for row in rows] == pytest.approx([0.8, 0.75, 0.75, 0.2, 0, 0])
    assert [row["model"] for row in rows if "difference" in row] == ["ridge"]
    difference = rows[3]["difference"]
    assert difference["r2"]["value"] == pytest.approx(0.6)
    assert difference["rmse"] == pytest.approx({"value": -0.5, "low": -0.5, "high": -0.5})  # whichever genes are drawn
    assert set(difference) == set(rows[0]["metrics"])


def test_one_part_is_judged_once_and_too_few_labels_not_at_all():
    actual = FourGenes().labels(("a", "b"))
    predictions = {"seqexpr": actual, "mean": np.zeros((4, 2))}
    rows, failed = score(experiment(), [fold(0, [0, 1], [2, 3])], predictions, scope="test", resamples=200)
    assert not failed
    assert [(row["model"], row["output"], row["scope"]) for row in rows] == [
        ("seqexpr", "a", "test"),
        ("mean", "a", "test"),  # of b only one of the two genes has a label
    ]
    assert rows[1]["difference"]["spearman"] == {"value": None, "low": None, "high": None}  # constant predictions


def test_a_model_that_cannot_be_scored_takes_nothing_from_the_others():
    actual = FourGenes().labels(("a",))
    predictions = {MODEL: actual + 0.5, "broken": np.full((4, 1), np.nan), "ridge": actual - 1}
    rows, failed = score(experiment(("a",)), FOLDS, predictions, scope="all", resamples=20)
    assert [row["model"] for row in rows if row["scope"] == "all"] == [MODEL, "ridge"]
    assert list(failed) == ["broken"] and "NaN or infinite" in str(failed["broken"])


def test_rows_that_are_known_are_not_computed_again(monkeypatch):
    actual = FourGenes().labels(("a",))
    predictions, parts = {MODEL: actual + 0.5, "ridge": actual - 1}, []
    options = {"scope": "all", "resamples": 20}
    whole, _ = score(experiment(("a",)), FOLDS, predictions, **options, progress=lambda *part: parts.append(part))
    assert parts == [("a: seqexpr", 0, 2), ("a: ridge", 1, 2)]
    computed = []
    honest = scoring.metrics_row
    monkeypatch.setattr(scoring, "metrics_row", lambda *row, **kw: computed.append(row[0]) or honest(*row, **kw))
    known = [row for row in whole if row["model"] == MODEL]
    again, _ = score(experiment(("a",)), FOLDS, predictions, **options, known=known)
    assert again == whole
    assert set(computed) == {"ridge"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


def test_a_feature_that_no_training_gene_has_is_left_out_of_the_trees(small):
    """Half-life features of a GTF without UTRs: their lengths are missing for every gene; in one fold GC is, too."""
    import copy

    dataset = copy.copy(small)
    dataset.genes = small.genes.copy()
    rows = np.arange(48)
    dataset.genes[["utr5_len", "utr3_len"]] = np.nan
    dataset.genes.loc[rows % 2 == 0, "cds_gc"] = np.nan
    splits = [Split(k, rows[rows % 2 == k], np.empty(0, np.int64), rows[rows % 2 != k]) for k in (0, 1)]
    learnt = Experiment(dataset, ("a",), tiny_config(), Recipe("r"), 0)
    predicted, failed = predict_baselines(learnt, splits, torch.device("cpu"))
    assert not failed
    assert "composition_half_life_boosted_trees" in predicted
    assert all(np.isfinite(values).all() for values in predicted.values())


def test_fits_at_once_give_the_same_digits(tmp_path):
    dataset = make_small_dataset(tmp_path / "small")
    learnt = Experiment(dataset, ("a", "b"), tiny_config(outputs=2), Recipe("r"), 0)
    rows = np.arange(len(dataset))
    splits = [fold(number, rows[number::4], rows[rows % 4 != number]) for number in range(4)]
    alone, together = (predict_baselines(learnt, splits, torch.device("cpu"), at_once=count)[0] for count in (1, 8))
    assert {"composition_ridge", "composition_boosted_trees"} <= set(alone)
    for name, values in alone.items():
        np.testing.assert_array_equal(values, together[name])


def test_a_baseline_that_fails_is_named_and_the_others_are_there(small, monkeypatch):
    def broken(*_):
        raise ValueError("no trees today")

    monkeypatch.setattr("seqexpr.evaluation.baselines._boosted_trees", broken)
    rows = np.arange(48)
    learnt = Experiment(small, ("a",), tiny_config(), Recipe("r"), 0)
    splits, parts = [Split(0, rows[:30], rows[30:36], rows[36:])], []
    predicted, failed = predict_baselines(
        learnt, splits, torch.device("cpu"), progress=lambda *part: parts.append(part[0])
    )
    assert set(failed) == {"composition_boosted_trees", "composition_half_life_boosted_trees"}
    assert {"training_mean", "half_life_ridge", "composition_ridge", UNTRAINED} < set(predicted)
    assert parts[:2] == ["training mean", "half-life ridge"]
    kept, _ = predict_baselines(learnt, splits, torch.device("cpu"), known=predicted)
    assert list(kept) == list(predicted) and all(kept[name] is predicted[name] for name in kept)


def test_the_numbers_that_weights_carry(small):
    """By hand: errors of 0.1 each; gene 5 has no label b."""
    learnt = Experiment(small, ("a", "b"), tiny_config(outputs=2), Recipe("r"), 0)
    split = Split(3, np.arange(20, 48), np.arange(0, 8), np.arange(8, 20))
    rows = own_rows(learnt, split, learnt.values() + 0.1, scope="fold 3", resamples=20)
    assert [(row["model"], row["output"], row["scope"], row["n"]) for row in rows] == [
        (MODEL, "a", "valid", 8),
        (MODEL, "b", "valid", 7),
        (MODEL, "a", "fold 3", 12),
        (MODEL, "b", "fold 3", 12),
    ]
    assert all(row["metrics"]["rmse"]["value"] == pytest.approx(0.1) for row in rows)


def test_a_fit_that_fails_ends_those_that_queue(small, monkeypatch):
    """The second fit, which may have begun, goes on until the queue is given up."""
    begun, pools = [], []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers):
            super().__init__(workers)
            self.given_up = threading.Event()
            pools.append(self)

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            self.given_up.set()
            super().shutdown(wait=wait)

    def broken(features, values, train, test, seed):
        begun.append(len(train))
        if len(begun) > 1:
            pools[-1].given_up.wait(60)
        raise ValueError("no ridge today")

    monkeypatch.setattr(scoring, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr("seqexpr.evaluation.baselines.composition_ridge", broken)
    rows = np.arange(48)
    learnt = Experiment(small, ("a",), tiny_config(), Recipe("r"), 0)
    splits = [fold(number, rows[number::8], rows[rows % 8 != number]) for number in range(8)]
    _, failed = predict_baselines(learnt, splits, torch.device("cpu"))
    assert "composition_ridge" in failed and len(begun) <= 2
