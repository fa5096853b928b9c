"""How far a prediction may be off: the error that held-out genes with such a prediction had.

The spread of a network's members tells where they disagree, not how much of an expression level no sequence tells. So
it is calibrated: the error as a function of the predicted level, as held-out genes had it, times a power of the spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FARTHEST = 4.0
"""Ratios of a spread to the usual one are cut off there and at its inverse."""

_POWERS = np.linspace(0, 1.5, 31)


@dataclass(frozen=True)
class Calibration:
    """From a prediction and the members' spread to the standard deviation of the error, in the label's unit."""

    levels: tuple[float, ...]
    """Predicted levels, ascending."""
    errors: tuple[float, ...]
    """Root mean square errors at these levels; between them they are interpolated, beyond them they stay."""
    usual_spread: float
    """Geometric mean of the members' sd over the held-out genes."""
    power: float
    """Of the ratio of a gene's spread to the usual one."""

    def __post_init__(self) -> None:
        numbers = (*self.levels, *self.errors, self.usual_spread, self.power)
        if not self.levels or len(self.levels) != len(self.errors) or not np.isfinite(numbers).all():
            raise ValueError("a calibration needs as many errors as levels, all finite")
        if min(*self.errors, self.usual_spread) <= 0 or np.diff(self.levels).min(initial=1.0) <= 0:
            raise ValueError("a calibration's levels must ascend, its errors and spread be above 0")

    def sd(self, predicted: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """The expected standard deviation of the error.

        Args:
            predicted: mean over the members, any shape.
            spread: standard deviation (n - 1) over the members, the same shape.
        """
        return np.interp(predicted, self.levels, self.errors) * self._factor(spread)

    def _factor(self, spread: np.ndarray) -> np.ndarray:
        return np.clip(spread / self.usual_spread, 1 / _FARTHEST, _FARTHEST) ** self.power

    @classmethod
    def fit(cls, actual: np.ndarray, predicted: np.ndarray, spread: np.ndarray) -> Calibration:
        """From labels, predictions and members' sd of held-out genes, (n,) each, by the likelihood of their errors.

        Levels are means of groups of equally many genes, about 150 in each, 3 to 12 groups.

        Raises:
            ValueError: fewer than 30 genes, predictions that do not vary, or no errors.
        """
        if len(actual) < 30:
            raise ValueError(f"{len(actual)} genes are too few to calibrate on")
        errors = actual - predicted
        groups = np.array_split(np.argsort(predicted, kind="stable"), int(np.clip(len(actual) // 150, 3, 12)))
        levels = tuple(float(predicted[group].mean()) for group in groups)
        of_groups = tuple(float(np.sqrt((errors[group] ** 2).mean())) for group in groups)
        usual = float(np.exp(np.log(np.maximum(spread, 1e-9)).mean()))
        candidates = []
        for power in _POWERS:
            plain = cls(levels, of_groups, usual, float(power))
            scale = float(np.sqrt(((errors / plain.sd(predicted, spread)) ** 2).mean()))
            scaled = cls(levels, tuple(error * scale for error in of_groups), usual, float(power))
            sd = scaled.sd(predicted, spread)
            candidates.append((float((np.log(sd) + (errors / sd) ** 2 / 2).mean()), scaled))
        return min(candidates, key=lambda candidate: candidate[0])[1]
