from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seqexpr.evaluation.scoring import Part, Trial, baseline_rows, fold_parts, judge


class FourGenes:
    """What the functions that are tested here read of a dataset."""

    ids = ("g0", "g1", "g2", "g3")
    genes = pd.DataFrame({"id": ids, "chrom": ["1", "1", "2", "2"]})

    def labels(self, names):
        values = {"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0, np.nan, 7.0, 8.0]}
        return np.column_stack([values[name] for name in names])


def trial(parts, names=("a", "b")):
    return Trial(FourGenes(), names, None, 0, 200, parts)


FOLDS = (Part(0, np.array([1, 3]), np.array([0, 2])), Part(1, np.array([0, 2]), np.array([1, 3])))


def test_parts_train_on_the_labelled_genes_of_other_folds():
    labels = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, 3.0], [np.nan, 4.0]])
    first, second = fold_parts(np.array([0, 1, 1, 0]), labels)
    assert (first.fold, first.test.tolist(), first.train.tolist()) == (0, [0, 3], [2])  # gene 1 has no label
    assert (second.fold, second.test.tolist(), second.train.tolist()) == (1, [1, 2], [0, 3])


def test_baseline_table_has_a_gene_s_outputs_side_by_side():
    values = np.arange(8.0).reshape(4, 2)
    table = baseline_rows(trial(FOLDS), {"mean": values, "ridge": values + 10}, {"fold": np.array([1, 0, 1, 0])})
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
    rows = judge(trial(FOLDS, ("a",)), predicted, "all")
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
    one = (Part(0, np.array([0, 1]), np.array([2, 3])),)
    rows = judge(trial(one), {"seqexpr": actual, "mean": np.zeros((4, 2))}, "test")
    assert [(row["model"], row["output"], row["scope"]) for row in rows] == [
        ("seqexpr", "a", "test"),
        ("mean", "a", "test"),  # of b only one of the two genes has a label
    ]
    assert rows[1]["difference"]["spearman"] == {"value": None, "low": None, "high": None}  # constant predictions
