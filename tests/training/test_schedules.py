from __future__ import annotations

import math

import pytest

from seqexpr.training.recipe import Recipe
from seqexpr.training.schedules import half_cosine, learning_rate, noam


def test_noam_by_hand():
    # d = 32, warm-up 8,000: the peak is 32^-0.5 x 8000^-0.5 = 0.1767767 x 0.0111803 = 0.00197642
    assert noam(8_000, 32, 8_000) == pytest.approx(0.00197642, rel=1e-5)
    assert noam(1, 32, 8_000) == pytest.approx(0.00197642 / 8_000, rel=1e-5)
    assert noam(32_000, 32, 8_000) == pytest.approx(0.00197642 / 2, rel=1e-5)


def test_cosine_with_warm_up_by_hand():
    recipe = Recipe("r", learning_rate=2.0, schedule="cosine", warmup_steps=4)
    values = [learning_rate(recipe, step, 12) for step in (1, 2, 4, 8, 12)]
    assert values == pytest.approx([0.5, 1.0, 2.0, 1.0, 0.0])
    assert half_cosine(1, 4) == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_constant_after_warm_up():
    recipe = Recipe("r", learning_rate=1e-3, schedule="constant", warmup_steps=2)
    assert [learning_rate(recipe, step, 5) for step in (1, 2, 5)] == pytest.approx([5e-4, 1e-3, 1e-3])


def test_noam_is_scaled_by_the_learning_rate():
    recipe = Recipe("r", learning_rate=3.0, schedule="noam", warmup_steps=8_000, noam_width=32)
    assert learning_rate(recipe, 8_000, 10) == pytest.approx(3 * 0.00197642, rel=1e-5)
