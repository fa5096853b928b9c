from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seqexpr.errors import InputError, UsageError
from seqexpr.evaluation.compare import HeldOut, compare, split_difference
from seqexpr.evaluation.metrics import METRICS, paired_metrics

LABELS = {f"g{gene}": float(value) for gene, value in enumerate((3, 1, 4, 1, 5, 9, 2, 6, 5, 3))}


def held_out(name, error, labels=LABELS, outputs=("",), **more):
    """A model whose predictions are off by `error` times 0, 1, 2, -1, 0, 1, ... gene by gene."""
    wrong = error * (np.arange(len(labels)) % 4 - 4 * (np.arange(len(labels)) % 4 == 3))
    columns = {
        "id": list(labels),
        "label": list(labels.values()),
        "prediction": np.array(list(labels.values())) + wrong,
    }
    table = pd.concat([pd.DataFrame({"output": output, **columns}) for output in outputs], ignore_index=True)
    return HeldOut(name, f"{name}.tsv", table, **more)


def test_the_genes_that_both_tested_are_compared_whatever_their_order():
    first = held_out("one", 0.5)
    fewer = {gene: LABELS[gene] for gene in reversed(LABELS) if gene not in ("g0", "g1", "g2")}
    other = held_out("two", 2.0, {**fewer, "new": 7.0})
    (found,) = compare(first, other, resamples=50, seed=3)
    assert (found.first, found.other, found.output) == ("one", "two", "")
    assert (found.n, found.only_first, found.only_other) == (7, 3, 1)
    both = first.table.merge(other.table, on="id")
    expected = paired_metrics(both["label_x"], both["prediction_x"], both["prediction_y"], resamples=50, seed=3)
    assert tuple(found.metrics) == METRICS
    assert found.metrics == expected
    assert found.metrics["r2"].first > found.metrics["r2"].other


def test_only_the_metrics_that_are_asked_for():
    (found,) = compare(held_out("one", 0.5), held_out("two", 2.0), names=("rmse", "r2"), resamples=20)
    assert list(found.metrics) == ["rmse", "r2"]


@pytest.mark.parametrize(
    ("first", "other", "output", "compared"),
    [
        (("a", "b", "c"), ("c", "a"), None, ["a", "c"]),  # in the order of the first
        (("a", "b"), ("b", "a"), "b", ["b"]),
        (("",), ("",), None, [""]),
        (("a",), ("",), None, ["a"]),  # a table without a name is taken for the only output there is
        (("",), ("b",), None, ["b"]),
        (("a", "b"), ("",), "b", ["b"]),
        (("",), ("",), "b", ["b"]),
    ],
)
def test_which_outputs_are_compared(first, other, output, compared):
    sides = held_out("one", 0.5, outputs=first), held_out("two", 2.0, outputs=other)
    found = compare(*sides, names=("rmse",), output=output, resamples=20)
    assert [comparison.output for comparison in found] == compared
    assert {comparison.n for comparison in found} == {len(LABELS)}


@pytest.mark.parametrize(
    ("first", "other", "output", "message"),
    [
        (("a", "b"), ("c",), None, "no label in common: one has a, b and two has c"),
        (("a", "b"), ("",), None, "two does not say which of a, b it holds; choose with --label"),
        (("",), ("a", "b"), None, "one does not say which of a, b it holds; choose with --label"),
        (("a", "b"), ("a",), "b", "two has no label 'b'; it has a"),
    ],
)
def test_outputs_that_do_not_fit(first, other, output, message):
    with pytest.raises(UsageError) as problem:
        compare(held_out("one", 1, outputs=first), held_out("two", 1, outputs=other), output=output)
    assert str(problem.value) == message


@pytest.mark.parametrize(("shared", "count"), [((), 0), (("g4",), 1)])
def test_two_genes_in_common_are_needed(shared, count):
    others = {**{gene: LABELS[gene] for gene in shared}, "x": 1.0, "y": 2.0}
    with pytest.raises(InputError) as problem:
        compare(held_out("one", 1, outputs=("a",)), held_out("two", 1, others))
    expected = f"two.tsv: found {count} of the 10 genes of one for 'a'; expected at least two genes that both"
    assert str(problem.value).startswith(expected)


def test_rounded_labels_are_the_same_and_the_first_s_count():
    """Labels are 1 to 9 with a standard deviation of 2.4: 0.002 apart is rounding, 0.003 is not."""
    first = held_out("one", 0.5)
    (found,) = compare(first, held_out("two", 0.5, {**LABELS, "g3": 1.002}), names=("rmse",), resamples=20)
    (same,) = compare(first, held_out("two", 0.5), names=("rmse",), resamples=20)
    assert found.metrics["rmse"].first == same.metrics["rmse"].first
    with pytest.raises(InputError) as problem:
        compare(first, held_out("two", 0.5, {**LABELS, "g3": 1.003, "g7": 0.0}))
    assert str(problem.value) == (
        "two.tsv, 'g3': found label 1.003, and other labels than there for 2 of 10 genes; expected 1 as in one"
    )


def test_labels_that_differ_name_the_output_and_the_negative_control():
    permuted = dict(zip(LABELS, [*LABELS.values()][::-1], strict=True))
    control = held_out("two", 1, permuted, outputs=("a",), manifest={"options": {"permute_labels": True}})
    with pytest.raises(InputError) as problem:
        compare(held_out("one", 1, outputs=("a",)), control)
    assert "'g1': found label 'a' 5, and" in str(problem.value)  # g0 has 3 both ways
    assert str(problem.value).endswith("expected 1 as in one (labels were permuted in two)")


def manifest(kind="cv", folds=5, split="random", genes=100, digest="d1", **more):
    named = {"split": split, "folds": folds, "test_fraction": None, "seed": 0, "dataset": {"genes": genes}, **more}
    return {"kind": kind, "options": named | ({"digests": {"folds": digest}} if digest else {})}


@pytest.mark.parametrize(
    ("first", "other", "said"),
    [
        (manifest(), manifest(), ""),
        (manifest(), manifest(seed=3), ""),  # the same digest: the same folds, however they were asked for
        (manifest(), manifest(split="homology", digest="d2"), "split random and homology"),
        (manifest(), manifest(folds=10, genes=90, digest="d2"), "folds 5 and 10, genes in the dataset 100 and 90"),
        (manifest(), manifest(digest="d2"), "the genes are divided otherwise"),
        (manifest(digest=""), manifest(digest="d2"), ""),  # an older run has no digest; its options are the same
        (manifest(digest=""), manifest(seed=3, digest=""), "seed 0 and 3"),
        (manifest(), manifest("train", folds=None, digest=""), "command cv and train"),
        ({}, manifest(), ""),  # of a table nothing is known
    ],
)
def test_how_splits_differ(first, other, said):
    sides = (held_out(name, 1, manifest=stored) for name, stored in (("one", first), ("two", other)))
    assert split_difference(*sides) == said
