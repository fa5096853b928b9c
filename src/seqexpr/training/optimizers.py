"""Optimisers by name; LAMB is the one of pytorch-optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from seqexpr.errors import UsageError
from seqexpr.models.perceiver import Perceiver
from seqexpr.training.recipe import Recipe


def parameter_groups(network: Perceiver, recipe: Recipe) -> list[dict[str, Any]]:
    """The network's parameters as an optimiser takes them; `rate` multiplies a group's learning rate."""
    if network.composition is None:
        return [{"params": list(network.parameters()), "rate": 1.0}]
    flow = list(network.composition.parameters())
    others = [parameter for parameter in network.parameters() if all(parameter is not own for own in flow)]
    return [{"params": others, "rate": 1.0}, {"params": flow, "rate": recipe.composition_rate}]


def make_optimizer(
    recipe: Recipe, parameters: Iterable[torch.nn.Parameter] | list[dict[str, Any]]
) -> torch.optim.Optimizer:
    """The recipe's optimiser; the learning rate is set anew before every step.

    Args:
        recipe: names it, and its settings.
        parameters: what it trains, as a list or as `parameter_groups` gives them.

    Raises:
        UsageError: LAMB is asked for and pytorch-optimizer is not installed.
    """
    if recipe.optimizer == "lamb":
        try:
            from pytorch_optimizer import Lamb
        except ImportError:
            raise UsageError("the LAMB optimiser needs pytorch-optimizer: pip install 'seqexpr[train]'") from None
        return Lamb(parameters, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(parameters, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay)
