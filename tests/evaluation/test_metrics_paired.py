from __future__ import annotations

import math

import numpy as np
import pytest

from seqexpr.errors import UsageError
from seqexpr.evaluation.metrics import METRICS, Estimate, evaluate, paired_metrics


def three_sets(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions, and predictions a little further off."""
    generator = np.random.default_rng(seed)
    actual = generator.normal(size=n)
    close = actual + generator.normal(size=n)
    return actual, close, close + generator.normal(scale=0.5, size=n)


def test_golden_numbers_by_hand():
    # Of labels 1 2 3 4 (sum of squares 5) the first misses each by 0.5 (r2 0.8, rmse 0.5), the other by 1 (0.2, 1).
    actual = np.array([1.0, 2.0, 3.0, 4.0])
    paired = paired_metrics(actual, actual + 0.5, actual - 1, resamples=200)
    assert tuple(paired) == METRICS
    assert (paired["r2"].first, paired["r2"].other) == pytest.approx((0.8, 0.2))
    assert paired["r2"].difference.value == pytest.approx(0.6)
    error = paired["rmse"].difference  # whichever genes are drawn
    assert (error.value, error.low, error.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert paired["rmse"].first_better == 1.0  # the lower error is the better one
    assert paired["spearman"].first_better == 0.5  # both are right in order, always


@pytest.mark.slow
def test_both_are_judged_on_the_draws_of_evaluate():
    """The intervals are those of differences that are taken draw by draw."""
    actual, first, other = three_sets(40)
    drawn = np.random.default_rng(5).integers(0, 40, (300, 40))
    for name, paired in paired_metrics(actual, first, other, resamples=300, seed=5).items():
        plain = np.array(
            [[evaluate(actual[rows], side[rows], resamples=0)[name].value for side in (first, other)] for rows in drawn]
        )
        differences = plain[:, 0] - plain[:, 1]
        low, high = np.quantile(differences, [0.025, 0.975])
        assert (paired.difference.low, paired.difference.high) == pytest.approx((low, high)), name
        ahead = -differences if name == "rmse" else differences
        ties = np.isclose(ahead, 0, atol=1e-12)
        expected = ((ahead > 0) & ~ties).mean() + 0.5 * ties.mean()
        assert paired.first_better == pytest.approx(expected), name


def test_a_difference_is_sharper_than_two_intervals():
    actual, first, other = three_sets(500)
    difference = paired_metrics(actual, first, other, ("spearman",), resamples=300)["spearman"].difference
    a, b = (evaluate(actual, predicted, resamples=300)["spearman"] for predicted in (first, other))
    assert difference.value == pytest.approx(a.value - b.value)
    assert 0 < difference.low < difference.high
    assert difference.high - difference.low < 0.75 * (a.high - a.low)
    assert a.low < b.high  # and so their own intervals tell nothing


def test_a_metric_gives_the_same_alone_and_among_others():
    actual, first, other = three_sets(50)
    whole = paired_metrics(actual, first, other, resamples=50, seed=2)
    for name in METRICS:
        assert paired_metrics(actual, first, other, (name,), resamples=50, seed=2) == {name: whole[name]}


def test_swapping_the_sides_turns_every_sign():
    actual, first, other = three_sets(50)
    forth = paired_metrics(actual, first, other, resamples=100)
    back = paired_metrics(actual, other, first, resamples=100)
    for name, paired in forth.items():
        mirrored = Estimate(-paired.difference.value, -paired.difference.high, -paired.difference.low)
        assert back[name].difference.to_dict() == pytest.approx(mirrored.to_dict(), abs=1e-12), name
        assert back[name].first_better == pytest.approx(1 - paired.first_better), name


def test_a_model_does_not_differ_from_itself():
    actual, predicted, _ = three_sets(30)
    for paired in paired_metrics(actual, predicted, predicted, resamples=20).values():
        assert (paired.difference, paired.first_better) == (Estimate(0.0, 0.0, 0.0), 0.5)


def test_what_is_not_defined_for_one_side_has_no_difference():
    actual, predicted, _ = three_sets(30)
    paired = paired_metrics(actual, predicted, np.full(30, 2.0), resamples=20)
    assert paired["spearman"].difference.to_dict() == {"value": None, "low": None, "high": None}
    assert math.isnan(paired["spearman"].other) and math.isnan(paired["spearman"].first_better)
    assert not math.isnan(paired["spearman"].first)
    assert paired["r2"].first_better == 1.0


def test_without_resamples_there_are_values_alone():
    actual, first, other = three_sets(30)
    r2 = paired_metrics(actual, first, other, ("r2",), resamples=0)["r2"]
    assert r2.difference.value == r2.first - r2.other
    assert math.isnan(r2.difference.low) and math.isnan(r2.first_better)


def test_what_cannot_be_judged_is_an_error():
    with pytest.raises(UsageError, match="unknown metric 'auc'"):
        paired_metrics(np.ones(2), np.ones(2), np.ones(2), ("auc",))
    with pytest.raises(ValueError, match="1 of 2 predictions are NaN"):
        paired_metrics(np.ones(2), np.ones(2), np.array([1.0, np.nan]))
