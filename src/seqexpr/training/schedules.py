"""Learning rates as functions of the step, counted from 1."""

from __future__ import annotations

import math

from seqexpr.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, total_steps: int) -> float:
    """The learning rate of a step.

    Args:
        recipe: names the schedule, its peak (or factor) and its warm-up.
        step: 1 for the first step.
        total_steps: steps of a whole training without early stopping; where the cosine ends.
    """
    if recipe.schedule == "noam":
        return recipe.learning_rate * noam(step, recipe.noam_width, recipe.warmup_steps)
    if recipe.schedule == "constant" and step > recipe.warmup_steps:
        return recipe.learning_rate
    return warmup_cosine(recipe.learning_rate, step, recipe.warmup_steps, total_steps)


def warmup_cosine(peak: float, step: int, warmup_steps: int, total_steps: int) -> float:
    """From 0 up to `peak` in a line of `warmup_steps`, then down to 0 at the last step in half a cosine."""
    if step <= warmup_steps:
        return peak * step / warmup_steps
    return peak * half_cosine(step - warmup_steps, total_steps - warmup_steps)


def noam(step: int, width: int, warmup_steps: int) -> float:
    """Vaswani et al. 2017, section 5.3: width^-0.5 x min(step^-0.5, step x warmup^-1.5)."""
    return width**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)


def half_cosine(step: int, steps: int) -> float:
    """From 1 before the first step down to 0 at the last one (Loshchilov & Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0)))
