from __future__ import annotations

import math

import pytest

from seqexpr.training.recipe import Recipe
from seqexpr.training.recipe_files import load_recipe
from seqexpr.training.schedules import half_cosine, learning_rate, noam


def test_noam_by_hand():
    # d = 32, warm-up 8,000: 32^-0.5 = 0.17677670. The peak is at step 8,000: x 8000^-0.5 = 0.01118034 -> 1.9764235e-3
    assert noam(8_000, 32, 8_000) == pytest.approx(1.9764235e-3, rel=1e-7)
    # the first step is 1/8,000 of the peak, the step before the peak 7,999/8,000 of it
    assert noam(1, 32, 8_000) == pytest.approx(2.4705294e-7, rel=1e-7)
    assert noam(7_999, 32, 8_000) == pytest.approx(1.9761765e-3, rel=1e-7)
    # the step after falls with the square root: x (8000 / 8001)^0.5 = 0.99993751
    assert noam(8_001, 32, 8_000) == pytest.approx(1.9763000e-3, rel=1e-7)
    # four times the warm-up: half the peak
    assert noam(32_000, 32, 8_000) == pytest.approx(0.98821177e-3, rel=1e-7)


def test_the_papers_dna_recipe_is_that_schedule():
    recipe = load_recipe("paper", "dna")
    values = [learning_rate(recipe, step, 25_600) for step in (1, 4_000, 8_000, 8_001, 25_600)]
    # half-way up the warm-up is half the peak; the end, step 25,600, is (8000 / 25600)^0.5 = 0.55901699 of it
    assert values == pytest.approx([2.4705294e-7, 0.98821177e-3, 1.9764235e-3, 1.9763000e-3, 1.1048543e-3], rel=1e-7)


def test_the_papers_protein_recipe_is_a_cosine_with_warm_up():
    recipe = load_recipe("paper", "protein")
    # 15,800 steps, of which the cosine has 7,800: step 9,950 is a quarter of it, 11,900 half, 13,850 three quarters
    values = [learning_rate(recipe, step, 15_800) for step in (1, 4_000, 8_000, 9_950, 11_900, 13_850, 15_800)]
    # (1 + cos(pi / 4)) / 2 = 0.85355339; (1 + cos(3 pi / 4)) / 2 = 0.14644661
    assert values == pytest.approx([6.25e-8, 2.5e-4, 5e-4, 4.26776695e-4, 2.5e-4, 0.73223305e-4, 0.0], abs=1e-12)
    # the step after the peak: 5e-4 x (1 + cos(pi / 7800)) / 2 = 5e-4 x (1 - 4.0555e-8)
    assert learning_rate(recipe, 8_001, 15_800) == pytest.approx(4.9999997972e-4, rel=1e-10)


def test_cosine_with_warm_up_by_hand():
    recipe = Recipe("r", learning_rate=2.0, schedule="cosine", warmup_steps=4)
    values = [learning_rate(recipe, step, 12) for step in (1, 2, 4, 5, 8, 12)]
    # the step after the peak: (1 + cos(pi / 8)) = 1.92387953
    assert values == pytest.approx([0.5, 1.0, 2.0, 1.92387953, 1.0, 0.0])
    assert half_cosine(1, 4) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert half_cosine(9, 4) == 0.0


def test_without_warm_up_the_cosine_starts_at_once():
    recipe = Recipe("r", learning_rate=1.0, schedule="cosine")
    assert [learning_rate(recipe, step, 2) for step in (1, 2)] == pytest.approx([0.5, 0.0])


def test_constant_after_warm_up():
    recipe = Recipe("r", learning_rate=1e-3, schedule="constant", warmup_steps=2)
    assert [learning_rate(recipe, step, 5) for step in (1, 2, 5)] == pytest.approx([5e-4, 1e-3, 1e-3])


def test_noam_is_scaled_by_the_learning_rate():
    recipe = Recipe("r", learning_rate=3.0, schedule="noam", warmup_steps=8_000, noam_width=32)
    assert learning_rate(recipe, 8_000, 10) == pytest.approx(3 * 1.9764235e-3, rel=1e-7)
