"""The metrics of two models over the same resampled genes.

What makes genes easy or hard for both cancels out: two intervals of their own may overlap where the difference is sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqexpr.evaluation.metrics import (
    LOWER_IS_BETTER,
    METRICS,
    Estimate,
    interval,
    resampled_weights,
    weighted_metrics,
)


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
