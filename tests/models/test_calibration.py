from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.models.calibration import Calibration


def test_sd_by_hand():
    calibration = Calibration((0.0, 1.0), (0.5, 1.0), usual_spread=0.1, power=0.5)
    # Half-way 0.75; twice the square root for four times the spread; beyond the levels as at the last one.
    predicted, spread = np.array([0.5, 0.5, -3.0, 9.0]), np.array([0.1, 0.4, 0.1, 0.1])
    np.testing.assert_allclose(calibration.sd(predicted, spread), [0.75, 1.5, 0.5, 1.0])
    np.testing.assert_allclose(calibration.sd(np.zeros(2), np.array([100.0, 0.0])), [1.0, 0.25])  # ratios end at 4


def made(power: float, count: int = 6000):
    generator = np.random.default_rng(0)
    predicted = generator.uniform(0, 4, count)
    spread = np.exp(generator.normal(-2, 0.4, count))
    sd = (0.3 + 0.2 * predicted) * (spread / np.exp(-2)) ** power
    return predicted + generator.normal(size=count) * sd, predicted, spread, sd


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_fit_finds_what_was_planted(power):
    actual, predicted, spread, sd = made(power)
    calibration = Calibration.fit(actual, predicted, spread)
    assert calibration.power == pytest.approx(power, abs=0.1)
    told = calibration.sd(predicted, spread)
    assert np.corrcoef(told, sd)[0, 1] > 0.98
    assert (told / sd).mean() == pytest.approx(1, abs=0.05)
    assert np.sqrt((((actual - predicted) / told) ** 2).mean()) == pytest.approx(1, abs=0.01)


def test_fit_scales_with_the_unit():
    actual, predicted, spread, _ = made(0.5, 600)
    one, ten = (Calibration.fit(k * actual, k * predicted, k * spread) for k in (1, 10))
    np.testing.assert_allclose(ten.sd(10 * predicted, 10 * spread), 10 * one.sd(predicted, spread))


@given(st.integers(0, 2**32 - 1), st.integers(30, 400))
def test_whatever_is_fitted_gives_positive_numbers(seed, count):
    generator = np.random.default_rng(seed)
    predicted, spread = generator.normal(size=count), generator.exponential(size=count)
    calibration = Calibration.fit(generator.normal(size=count), predicted, spread)
    sd = calibration.sd(generator.normal(size=50) * 10, generator.exponential(size=50) * 10)
    assert np.isfinite(sd).all() and (sd > 0).all()


@pytest.mark.parametrize(
    ("levels", "errors", "usual"),
    [((), (), 1.0), ((0.0, 0.0), (1.0, 1.0), 1.0), ((0.0,), (0.0,), 1.0), ((0.0,), (1.0,), 0.0)],
)
def test_what_is_no_calibration_is_refused(levels, errors, usual):
    with pytest.raises(ValueError):
        Calibration(levels, errors, usual, 0.5)


def test_few_genes_calibrate_nothing():
    with pytest.raises(ValueError, match="29 genes are too few"):
        Calibration.fit(*np.random.default_rng(0).random((3, 29)))
