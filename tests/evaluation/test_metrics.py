from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seqexpr.errors import UsageError
from seqexpr.evaluation.metrics import METRICS, evaluate, metrics_row, resampled_weights, weighted_metrics

# Integers and halves: many ties, and transformations of them are exact.
labels = arrays(np.float64, st.integers(3, 30), elements=st.integers(-20, 20).map(lambda x: x / 2))


def values_of(actual, predicted) -> dict[str, float]:
    return {name: estimate.value for name, estimate in evaluate(actual, predicted, resamples=0).items()}


def noisy_pair(n: int, seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    actual = generator.normal(size=n)
    return actual, actual + generator.normal(scale=noise, size=n)


def test_golden_numbers_by_hand():
    # residuals 0 0 -1 1: SSR 2. Mean 2.5: SST 5. Deviations of the predictions from 2.5: -1.5 -.5 1.5 .5;
    # products with -1.5 -.5 .5 1.5 sum to 2.25 + .25 + .75 + .75 = 4, squares to 5: r = 4 / 5.
    # Ranks of the predictions 1 2 4 3: rho = 1 - 6 * 2 / (4 * 15) = 0.8.
    # The 90 % quantile of 1..4 is 3.7: one gene is on top; its prediction 3 is above the median 2.5.
    values = values_of([1, 2, 3, 4], [1, 2, 4, 3])
    expected = {
        "r2": 1 - 2 / 5,
        "pearson_r2": 0.64,
        "spearman": 0.8,
        "rmse": math.sqrt(0.5),
        "high_expressed_found": 1.0,
    }
    assert values == pytest.approx(expected)
    assert tuple(values) == METRICS


def test_ties_share_their_mean_rank():
    # ranks 1.5 1.5 3 and 1 2 3: deviations -.5 -.5 1 and -1 0 1: 1.5 / sqrt(1.5 * 2)
    assert values_of([0, 0, 7], [1, 2, 3])["spearman"] == pytest.approx(1.5 / math.sqrt(3))


def test_high_expressed_found_counts_the_top_decile():
    actual = np.arange(20.0)  # 90 % quantile 17.1: genes 18 and 19
    predicted = np.zeros(20)
    predicted[[19, *range(5)]] = 1.0, -1, -1, -1, -1, -1
    assert values_of(actual, predicted)["high_expressed_found"] == 0.5


@settings(deadline=None, max_examples=50)
@given(actual=labels, seed=st.integers(0, 1000))
def test_values_agree_with_scipy(actual, seed):
    from scipy import stats

    predicted = np.random.default_rng(seed).integers(-5, 5, len(actual)).astype(float)
    if np.ptp(actual) == 0 or np.ptp(predicted) == 0:
        return
    values = values_of(actual, predicted)
    assert values["pearson_r2"] == pytest.approx(stats.pearsonr(actual, predicted)[0] ** 2, abs=1e-9)
    assert values["spearman"] == pytest.approx(stats.spearmanr(actual, predicted)[0], abs=1e-9)


@given(actual=labels, scale=st.sampled_from([-2.0, 0.5, 4.0]), shift=st.integers(-8, 8), seed=st.integers(0, 99))
def test_pearson_ignores_affine_maps_and_r2_does_not(actual, scale, shift, seed):
    predicted = np.random.default_rng(seed).integers(-5, 5, len(actual)).astype(float)
    before, after = values_of(actual, predicted), values_of(actual, scale * predicted + shift)
    assert after["pearson_r2"] == pytest.approx(before["pearson_r2"], abs=1e-9, nan_ok=True)


def test_r2_asks_for_the_right_scale():
    actual, _ = noisy_pair(50)
    assert values_of(actual, actual)["r2"] == 1.0
    assert values_of(actual, 3 * actual + 2)["r2"] < 0
    assert values_of(actual, 3 * actual + 2)["pearson_r2"] == pytest.approx(1.0)


@given(actual=labels, seed=st.integers(0, 99))
def test_spearman_ignores_monotone_maps(actual, seed):
    predicted = np.random.default_rng(seed).integers(-5, 5, len(actual)).astype(float)
    before, after = values_of(actual, predicted), values_of(actual, np.exp(predicted))
    assert after["spearman"] == pytest.approx(before["spearman"], abs=1e-12, nan_ok=True)
    assert after["high_expressed_found"] == before["high_expressed_found"]


def test_intervals_are_those_of_a_plain_bootstrap():
    """The counts of each resample stand for its genes: the same draws, resampled one by one, give the same."""
    actual, predicted = noisy_pair(40)
    predicted = predicted.round(1)
    drawn = np.random.default_rng(5).integers(0, 40, (300, 40))
    plain = {name: [] for name in METRICS}
    for rows in drawn:
        for name, value in values_of(actual[rows], predicted[rows]).items():
            plain[name].append(value)
    for name, estimate in evaluate(actual, predicted, resamples=300, seed=5).items():
        low, high = np.quantile(plain[name], [0.025, 0.975])
        assert (estimate.low, estimate.high) == pytest.approx((low, high)), name


def test_interval_of_the_correlation_has_its_textbook_width():
    actual, predicted = noisy_pair(2000)
    correlation = evaluate(actual, predicted, resamples=400)["pearson_r2"]
    expected = 2 * 1.96 * 2 * math.sqrt(0.5) * 0.5 / math.sqrt(2000)  # delta method: sd of r2 is 2 r (1 - r2) / sqrt n
    assert correlation.low < correlation.value < correlation.high
    assert correlation.high - correlation.low == pytest.approx(expected, rel=0.2)


def test_resampling_in_blocks_changes_nothing(monkeypatch):
    actual, predicted = noisy_pair(30)
    whole = evaluate(actual, predicted, resamples=50, seed=1)
    monkeypatch.setattr("seqexpr.evaluation.metrics._BLOCK_CELLS", 7 * 30)
    for name, estimate in evaluate(actual, predicted, resamples=50, seed=1).items():
        assert estimate.to_dict() == pytest.approx(whole[name].to_dict())


def test_seed_decides_the_resamples():
    actual, predicted = noisy_pair(30)
    assert evaluate(actual, predicted, seed=1, resamples=50) == evaluate(actual, predicted, seed=1, resamples=50)
    assert evaluate(actual, predicted, seed=1, resamples=50) != evaluate(actual, predicted, seed=2, resamples=50)


def test_constant_predictions_have_no_correlation():
    actual, _ = noisy_pair(100)
    estimates = evaluate(actual, np.full(100, 0.1), resamples=50)
    assert estimates["pearson_r2"].to_dict() == {"value": None, "low": None, "high": None}
    assert math.isnan(estimates["spearman"].value)
    assert estimates["r2"].value < 0
    assert estimates["high_expressed_found"].value == 0.0  # none is above the median


def test_constant_labels_leave_only_the_error_defined():
    values = values_of([2.0, 2.0, 2.0], [1.0, 2.0, 3.0])
    assert math.isnan(values["r2"]) and math.isnan(values["pearson_r2"]) and math.isnan(values["spearman"])
    assert values["rmse"] == pytest.approx(math.sqrt(2 / 3))


def test_a_single_gene_is_judged_without_warnings(recwarn):
    assert values_of([1.0], [2.0])["rmse"] == 1.0
    assert not recwarn.list


@pytest.mark.parametrize(
    ("actual", "predicted", "message"),
    [
        ([1.0, np.nan], [1.0, 2.0], "1 of 2 labels are NaN"),
        ([1.0, 2.0], [np.inf, np.nan], "2 of 2 predictions are NaN"),
        ([1.0, 2.0], [1.0], "shape"),
        ([], [], "shape"),
    ],
)
def test_values_that_cannot_be_judged_are_an_error(actual, predicted, message):
    with pytest.raises(ValueError, match=message):
        evaluate(actual, predicted)


def test_resamples_draw_as_many_genes_as_there_are():
    blocks = list(resampled_weights(7, 20, seed=3))
    weights = np.concatenate(blocks)
    assert weights.shape == (20, 7)
    assert (weights.sum(axis=1) == 7).all() and (weights == weights.round()).all()
    drawn = np.random.default_rng(3).integers(0, 7, (20, 7))
    assert weights[4].tolist() == [float((drawn[4] == gene).sum()) for gene in range(7)]


def test_a_gene_that_was_drawn_twice_counts_twice():
    bound = weighted_metrics([0.0, 2.0], [1.0, 5.0], ("rmse",))
    assert list(bound) == ["rmse"]
    once, twice = bound["rmse"](np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert (once, twice) == pytest.approx((math.sqrt(5), 3))  # errors 1 and 3


def test_unknown_metric_names_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown metric 'auc'.*pearson_r2"):
        weighted_metrics(np.ones(2), np.ones(2), ("r2", "auc"))


def test_metrics_row_is_what_the_report_reads():
    row = metrics_row("seqexpr", "mrna", "fold 0", [1, 2, 3, 4], [1, 2, 4, 3], resamples=0)
    assert {key: row[key] for key in ("model", "output", "scope", "n")} == {
        "model": "seqexpr",
        "output": "mrna",
        "scope": "fold 0",
        "n": 4,
    }
    assert row["metrics"]["r2"] == {"value": pytest.approx(0.6), "low": None, "high": None}
