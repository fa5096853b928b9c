"""Optimisers by name; LAMB is the one of pytorch-optimizer."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from seqexpr.errors import UsageError
from seqexpr.training.recipe import Recipe


def make_optimizer(recipe: Recipe, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The recipe's optimiser, of no parameters too; the learning rate is set anew before every step.

    Raises:
        UsageError: LAMB is asked for and pytorch-optimizer is not installed.
    """
    groups = [{"params": list(parameters)}]
    if recipe.optimizer == "lamb":
        try:
            from pytorch_optimizer import Lamb
        except ImportError:
            raise UsageError(
                "the LAMB optimiser needs pytorch-optimizer, which is not installed; run: pip install pytorch-optimizer"
            ) from None
        return Lamb(groups, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(groups, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay)
