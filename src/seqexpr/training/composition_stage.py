"""The first stage of a training with a composition flow: the flow learns alone, in seconds, before the network does.

Word shares say much about a few thousand genes, and a small flow that reads them wants tens of passes; the sequence
flows remember single genes long before. So each is trained for as long as suits it: first the composition, for a fixed
number of passes, then the rest of the network on what is left over, for as long as the validation genes gain.

The first stage does not ask the validation genes: its dropout keeps it from learning genes by heart, and a few hundred
validation genes choose a pass by chance (docs/results.md).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from seqexpr.models.composition.flow import CompositionFlow
from seqexpr.models.config import HALF_LIFE_FEATURES
from seqexpr.training.batches import BatchLoader
from seqexpr.training.optimizers import make_optimizer
from seqexpr.training.recipe import Recipe
from seqexpr.training.schedules import learning_rate

BATCH = 64
"""Genes a step; also the genes whose composition is counted at once."""

_AVERAGE_DECAY = 0.99

Loss = Callable[[Tensor, Tensor, int], Tensor]
"""(predicted (n, outputs), labels (n, outputs) with NaN, number of labels that are there) -> a number"""


def train_composition(
    flow: CompositionFlow,
    loader: BatchLoader,
    train: np.ndarray,
    recipe: Recipe,
    loss: Loss,
    seed: int,
) -> float:
    """Standardise the flow on the training genes and train it for `recipe.composition_epochs` passes.

    AdamW under the warm-up cosine; what is kept is the running mean of the weights.

    Args:
        flow: of the network; trained in place.
        loader: makes the batches.
        train: rows of the dataset.
        recipe: epochs, learning rate, weight decay, dropout of optional inputs.
        loss: the training's own.
        seed: of the order of the genes and of dropout.

    Returns:
        the mean training loss of the last pass; NaN without one.
    """
    if flow.codons is not None:
        flow.codons.fit(loader.codon_counts(train), torch.from_numpy(loader.labels[train]))
    flow.fit((batch.latent_tokens, batch.query_tokens, batch.coding) for batch in loader.batches(train, BATCH))
    if not recipe.composition_epochs:
        return math.nan
    genes = _Genes(flow, loader, train)
    steps = math.ceil(len(train) / BATCH)
    settings = recipe.changed(
        optimizer="adamw",
        schedule="cosine",
        learning_rate=recipe.composition_learning_rate,
        warmup_steps=min(100, steps),
    )
    roots = _bootstrap_roots(flow.config.composition_members, len(train), recipe.composition_bootstrap, seed)
    roots = roots.to(genes.scores.device)
    optimizer = make_optimizer(settings, flow.parameters())
    averaged = copy.deepcopy(flow).eval()
    losses: list[float] = []
    for epoch in range(recipe.composition_epochs):
        generator = np.random.default_rng([seed, 0, epoch])
        torch.manual_seed(int(generator.integers(2**62)))
        order = torch.from_numpy(generator.permutation(len(train))).to(genes.scores.device)
        losses = []
        for step in range(steps):
            overall = epoch * steps + step + 1
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, overall, steps * recipe.composition_epochs)
            rows = order[step * BATCH : (step + 1) * BATCH]
            hidden = torch.rand(len(rows), 1, device=rows.device) < recipe.half_life_dropout
            hidden_coding = None
            if flow.codons is not None:
                hidden_coding = torch.rand(len(rows), 1, device=rows.device) < recipe.coding_dropout
            optimizer.zero_grad(set_to_none=True)
            labels = genes.labels[rows]
            predicted = genes.predict(flow.train(), rows, hidden, hidden_coding)
            count = int((~labels.isnan()).sum())
            # The sum over the members: each learns as if it were alone. A gene's weight is within the squares.
            weighted = zip(predicted.unbind(1), roots[:, rows, None], strict=True)
            error = torch.stack([loss(member * root, labels * root, count) for member, root in weighted]).sum()
            error.backward()
            optimizer.step()
            _follow(averaged, flow, min(_AVERAGE_DECAY, (1 + overall) / (10 + overall)))
            losses.append(float(error.detach()) / predicted.shape[1])
    optimizer.zero_grad(set_to_none=True)  # what is left would count when the network's gradients are clipped
    flow.load_state_dict(averaged.state_dict())
    return float(np.mean(losses))


def _bootstrap_roots(members: int, genes: int, bootstrap: bool, seed: int) -> Tensor:
    """Square roots of how often each gene is in each member's sample, float32 (members, genes)."""
    if not bootstrap:
        return torch.ones(members, genes)
    drawn = np.random.default_rng([seed, 1]).multinomial(genes, np.full(genes, 1 / genes), size=members)
    return torch.from_numpy(drawn).float().sqrt()


class _Genes:
    """Scores, half-life features and labels of some genes, counted once."""

    def __init__(self, flow: CompositionFlow, loader: BatchLoader, rows: np.ndarray) -> None:
        batches = [
            (
                flow.scores(batch.latent_tokens, batch.query_tokens, batch.told, batch.coding),
                batch.half_life,
                batch.labels,
            )
            for batch in loader.batches(rows, BATCH)
        ]
        scores, half_life, labels = zip(*batches, strict=True)
        self.scores, self.labels = torch.cat(scores), torch.cat(labels)
        unknown = self.scores.new_full((len(rows), HALF_LIFE_FEATURES), math.nan)
        self.half_life = unknown if half_life[0] is None else torch.cat(half_life)

    def predict(self, flow: CompositionFlow, rows: Tensor, hidden: Tensor, hidden_coding: Tensor | None) -> Tensor:
        """The members' answers for some of them.

        Args:
            flow: that answers.
            rows: which genes.
            hidden: bool (rows, 1): whose half-life features it does not see.
            hidden_coding: the same of coding sequences; None: it sees all.
        """
        scores = self.scores[rows]
        if hidden_coding is not None:
            scores = flow.without_coding(scores, hidden_coding)
        return flow.predict(scores, self.half_life[rows].masked_fill(hidden, math.nan))


@torch.no_grad()
def _follow(averaged: CompositionFlow, flow: CompositionFlow, decay: float) -> None:
    for mean, value in zip(averaged.parameters(), flow.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
