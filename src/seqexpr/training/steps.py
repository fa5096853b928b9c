"""What each step of an epoch computes on: drawn at random, loaded, and on its way to the device ahead of its turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seqexpr.training.batches import Batch, BatchLoader, largest_shift
from seqexpr.training.distributed import Ranks
from seqexpr.training.recipe import Recipe

STEPS_AHEAD = 2
"""Steps whose tensors are made while another is computed."""


@dataclass(frozen=True)
class Step:
    """The tensors of one step of the optimiser."""

    groups: list[Batch]
    """What passes through the network together; of many processes each has its share."""
    total_groups: int
    """Of all processes."""
    labels: int
    """Labels that are present in all groups of all processes."""


class StepDrawer:
    """Draws the steps of an epoch for one recipe; with `ranks`, the groups of other processes are not loaded."""

    def __init__(self, loader: BatchLoader, recipe: Recipe, ranks: Ranks | None = None) -> None:
        self.loader, self.recipe, self.ranks = loader, recipe, ranks
        self.jitter = largest_shift(loader.dataset, loader.config, recipe.tss_jitter)

    def draw(self, genes: np.ndarray, generator: np.random.Generator) -> Iterator[Step]:
        """All genes once, in a random order, with the recipe's random shifts and hidden inputs."""
        order = generator.permutation(genes)
        for start in range(0, len(order), self.recipe.batch_size):
            indices = order[start : start + self.recipe.batch_size]
            shift = int(generator.integers(-self.jitter, self.jitter + 1))
            hidden = generator.random(len(indices)) < self.recipe.half_life_dropout
            hidden_coding = None
            if self.loader.config.reads_coding:  # else nothing is drawn: recipes without it keep their random numbers
                hidden_coding = generator.random(len(indices)) < self.recipe.coding_dropout
            yield self.load(indices, shift, hidden, hidden_coding)

    def load(
        self, indices: np.ndarray, shift: int, hidden_half_life: np.ndarray, hidden_coding: np.ndarray | None = None
    ) -> Step:
        """One step of these genes; see `BatchLoader.batch` for the rest."""
        every = self._groups(indices)
        groups = [
            self.loader.batch(
                indices[places],
                shift=shift,
                hidden_half_life=hidden_half_life[places],
                hidden_coding=None if hidden_coding is None else hidden_coding[places],
            )
            for places in (every if self.ranks is None else self.ranks.share(every))
        ]
        return Step(groups, len(every), int((~np.isnan(self.loader.labels[indices])).sum()))

    def _groups(self, indices: np.ndarray) -> list[np.ndarray]:
        """Places within a batch, divided into the recipe's groups; alike protein lengths side by side."""
        order = np.arange(len(indices))
        if self.loader.config.reads_protein:
            order = np.argsort(self.loader.dataset.protein_lengths[indices], kind="stable")
        size = self.recipe.group_size or len(order)
        return [order[start : start + size] for start in range(0, len(order), size)]
