"""How good predictions are: metrics with bootstrap intervals.

- `r2`: 1 - SSR/SST, SST around the mean of the actual values; predictions must be right in scale too.
- `pearson_r2`: squared Pearson correlation, what the paper and Xpresso publish as r2.
- `spearman`: rank correlation, ties sharing their mean rank.
- `rmse`: root of the mean squared error, in the label's unit.
- `high_expressed_found`: share of the genes in the top decile of the actual values whose prediction is
  above the median prediction, the paper's "most highly expressed proteins predicted as expressed" (section
  3).

Intervals are 95 % percentile bootstrap intervals over genes. A resample is held as the number of times each
gene was drawn, so that ranks and quantiles of all resamples come from one sort of the genes instead of one
sort each.

Two models are compared over the same resampled genes: what makes genes easy or hard for both cancels out, so two
intervals of their own may overlap where the difference is certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqexpr.errors import UsageError

METRICS = ("r2", "pearson_r2", "spearman", "rmse", "high_expressed_found")
"""What `evaluate` returns, in the order of tables."""

LOWER_IS_BETTER = ("rmse",)
"""Of all other metrics, higher values are better."""

TOP_SHARE = 0.1
"""Share of the genes that counts as highly expressed."""

CONFIDENCE = 0.95
"""Coverage of every interval."""

_BLOCK_CELLS = 1 << 21
"""Resamples x genes that are held at once: about 16 MB for each intermediate array."""


Weighted = Callable[[np.ndarray], np.ndarray]
"""A metric bound to its data: from weights (resamples, n), how often each gene counts, to values (resamples,)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; NaN where the metric is not defined (constant predictions, say)."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """As JSON can hold it: None in place of NaN."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if math.isnan(number) else number for name, number in numbers.items()}


def evaluate(
    actual: np.ndarray,
    predicted: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """All metrics of one set of predictions.

    Args:
        actual: labels (n,), finite: genes without a label are the caller's to leave out.
        predicted: predictions (n,), finite, in the label's unit.
        resamples: bootstrap resamples; 0 gives no intervals (NaN).
        seed: of the resampling. The same seed and n draw the same genes, for any predictions.

    Returns:
        one Estimate for each name of `METRICS`.

    Raises:
        ValueError: no genes, shapes that differ, or values that are not finite.
    """
    metrics = weighted_metrics(actual, predicted)
    once = np.ones((1, len(actual)))
    samples: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in metrics}
    for weights in resampled_weights(len(actual), resamples, seed):
        for name, metric in metrics.items():
            samples[name].append(metric(weights))
    return {name: interval(float(metrics[name](once)[0]), np.concatenate(samples[name])) for name in metrics}


def metrics_row(
    model: str, output: str, scope: str, actual: np.ndarray, predicted: np.ndarray, **options: Any
) -> dict[str, Any]:
    """One row of `metrics.json`: who, which label, which genes ("all", "fold 0"), how many, and all metrics.

    Args:
        model: "seqexpr" or a baseline's name.
        output: the label's name.
        scope: which genes.
        actual: labels (n,).
        predicted: predictions (n,).
        options: `resamples` and `seed` of `evaluate`.
    """
    estimates = evaluate(actual, predicted, **options)
    metrics = {name: estimate.to_dict() for name, estimate in estimates.items()}
    return {"model": model, "output": output, "scope": scope, "n": len(actual), "metrics": metrics}


def weighted_metrics(actual: np.ndarray, predicted: np.ndarray, names: Sequence[str] = METRICS) -> dict[str, Weighted]:
    """Metrics bound to one set of predictions.

    Args:
        actual: labels (n,), finite.
        predicted: predictions (n,), finite.
        names: of `METRICS`.

    Raises:
        UsageError: an unknown metric.
        ValueError: as for `evaluate`.
    """
    if unknown := [name for name in names if name not in METRICS]:
        raise UsageError(f"unknown metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    actual, predicted = np.asarray(actual, np.float64), np.asarray(predicted, np.float64)
    if actual.ndim != 1 or actual.shape != predicted.shape or not len(actual):
        raise ValueError(f"labels of shape {actual.shape} and predictions of {predicted.shape}; expected both (n,)")
    for what, values in (("labels", actual), ("predictions", predicted)):
        if bad := int((~np.isfinite(values)).sum()):
            raise ValueError(f"{bad} of {len(values)} {what} are NaN or infinite; expected finite numbers")
    return {name: _METRICS[name](actual, predicted) for name in names}


def resampled_weights(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of `n` genes was drawn: float64 (block, n), in blocks that together have `resamples` rows."""
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK_CELLS // n)
    for start in range(0, resamples, rows):
        block = min(rows, resamples - start)
        drawn = generator.integers(0, n, (block, n)) + n * np.arange(block)[:, None]
        yield np.bincount(drawn.reshape(-1), minlength=block * n).reshape(block, n).astype(np.float64)


def interval(value: float, sample: np.ndarray) -> Estimate:
    """The value with its percentile interval.

    Args:
        value: of the genes as they are; where it is not defined (NaN), there is no interval either.
        sample: values of the resamples (resamples,); those that are NaN are left out.
    """
    defined = sample[~np.isnan(sample)]
    if math.isnan(value) or not len(defined):
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def _squares(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Weighted sum of squares around the weighted mean (resamples,); 0 where only rounding is left."""
    around_zero = weights @ (x * x)
    squares = around_zero - (weights @ x) ** 2 / weights.sum(1)
    return np.where(squares > 1e-12 * around_zero, squares, 0.0)


def _centred(x: np.ndarray) -> np.ndarray:
    """`x` around its mean (less cancellation in sums of squares); exactly 0 when constant."""
    return x - (x[0] if x.min() == x.max() else x.mean())


def _r2(actual: np.ndarray, predicted: np.ndarray) -> Weighted:
    residuals, centred = (actual - predicted) ** 2, _centred(actual)
    return lambda w: 1 - _ratio(w @ residuals, _squares(w, centred))


def _pearson_r2(actual: np.ndarray, predicted: np.ndarray) -> Weighted:
    x, y = _centred(actual), _centred(predicted)

    def metric(w: np.ndarray) -> np.ndarray:
        products = w @ (x * y) - (w @ x) * (w @ y) / w.sum(1)
        return np.minimum(_ratio(products**2, _squares(w, x) * _squares(w, y)), 1.0)

    return metric


def _spearman(actual: np.ndarray, predicted: np.ndarray) -> Weighted:
    ranks_of_actual, ranks_of_predicted = _ranks(actual), _ranks(predicted)

    def metric(w: np.ndarray) -> np.ndarray:
        middle = (w.sum(1, keepdims=True) + 1) / 2  # the mean of the ranks, with or without ties
        x, y = ranks_of_actual(w) - middle, ranks_of_predicted(w) - middle
        weighted = w * x
        squares = np.einsum("ij,ij->i", weighted, x) * np.einsum("ij,ij,ij->i", w, y, y)
        return np.clip(_ratio(np.einsum("ij,ij->i", weighted, y), np.sqrt(squares)), -1.0, 1.0)

    return metric


def _ranks(values: np.ndarray) -> Weighted:
    """From weights (resamples, n) to each gene's mean rank among its ties in that resample (resamples, n)."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf) > 0)  # the first gene of each distinct value
    group = np.empty(len(values), np.int64)
    group[order] = np.searchsorted(starts, np.arange(len(values)), side="right") - 1

    def ranks(w: np.ndarray) -> np.ndarray:
        size = np.add.reduceat(np.take(w, order, axis=1), starts, axis=1)
        return np.take(np.cumsum(size, axis=1) - size + (size + 1) / 2, group, axis=1)

    return ranks


def _rmse(actual: np.ndarray, predicted: np.ndarray) -> Weighted:
    residuals = (actual - predicted) ** 2
    return lambda w: np.sqrt(w @ residuals / w.sum(1))


def _high_expressed_found(actual: np.ndarray, predicted: np.ndarray) -> Weighted:
    threshold, median = _quantile(actual, 1 - TOP_SHARE), _quantile(predicted, 0.5)

    def metric(w: np.ndarray) -> np.ndarray:
        top = w * (actual >= threshold(w)[:, None])
        found = top * (predicted > median(w)[:, None])
        return _ratio(found.sum(1), top.sum(1))

    return metric


def _quantile(values: np.ndarray, share: float) -> Weighted:
    """From weights (resamples, n) to the quantile of each resample, interpolated as `numpy.quantile` does."""
    order = np.argsort(values, kind="stable")
    ascending = values[order]

    def quantile(w: np.ndarray) -> np.ndarray:
        up_to = np.cumsum(np.take(w, order, axis=1), axis=1)
        position = np.round(share * (up_to[:, -1] - 1), 9)  # a whole number must stay one
        below = np.floor(position)
        lower = ascending[(up_to <= below[:, None]).sum(1)]
        upper = ascending[(up_to <= np.ceil(position)[:, None]).sum(1)]
        return lower + (upper - lower) * (position - below)

    return quantile


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], Weighted]] = {
    "r2": _r2,
    "pearson_r2": _pearson_r2,
    "spearman": _spearman,
    "rmse": _rmse,
    "high_expressed_found": _high_expressed_found,
}


@dataclass(frozen=True)
class PairedMetric:
    """One metric of two models over the same genes."""

    first: float
    other: float
    difference: Estimate
    """First minus other."""
    first_better: float
    """Share of the resamples in which the first is better, ties counting half; NaN where none is defined."""


def paired_metrics(
    actual: np.ndarray,
    first: np.ndarray,
    other: np.ndarray,
    names: Sequence[str] = METRICS,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, PairedMetric]:
    """Metrics of two models and their differences, by paired bootstrap.

    Args:
        actual: labels (n,), finite.
        first: predictions (n,) of the one model.
        other: predictions (n,) of the other, for the same genes.
        names: of `METRICS`.
        resamples: bootstrap resamples, the same for all metrics; 0 gives no intervals (NaN).
        seed: of the resampling. The same seed and n draw the same genes as `evaluate` does.

    Raises:
        UsageError: an unknown metric.
        ValueError: as for `evaluate`.
    """
    sides = [weighted_metrics(actual, predicted, names) for predicted in (first, other)]
    drawn: dict[str, list[np.ndarray]] = {name: [np.empty((2, 0))] for name in names}
    for weights in resampled_weights(len(actual), resamples, seed):
        for name in names:
            drawn[name].append(np.stack([side[name](weights) for side in sides]))
    once = np.ones((1, len(actual)))
    paired = {}
    for name in names:
        value, value_of_other = (float(side[name](once)[0]) for side in sides)
        sample, sample_of_other = np.concatenate(drawn[name], axis=1)
        differences = sample - sample_of_other
        difference = interval(value - value_of_other, differences)
        paired[name] = PairedMetric(value, value_of_other, difference, _share_better(differences, name))
    return paired


def _share_better(differences: np.ndarray, name: str) -> float:
    gains = -differences if name in LOWER_IS_BETTER else differences
    defined = gains[~np.isnan(gains)]
    return float(((defined > 0) + 0.5 * (defined == 0)).mean()) if len(defined) else np.nan
