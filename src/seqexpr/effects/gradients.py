"""Integrated gradients (Sundararajan et al. 2017) over mixtures of letters: effects estimated, not predicted.

The way goes from a window in which each known position is a quarter of each letter to the window as it is. The query
tower reads the mixture where it reads one-hot letters, the latents attend to the mixture of the letters' embeddings.
What is counted in words has no gradient and stays as it is all the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqexpr.errors import UsageError
from seqexpr.models.config import HALF_LIFE_FEATURES
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.precision import widest_float
from seqexpr.models.trained import ModelMetadata, TrainedModel
from seqexpr.models.transfers import to_device

STEPS = 64
"""Places on the way at which gradients are taken: the middles of as many even parts."""

_AT_ONCE = 4
"""Mixtures in a pass: each holds the activations of a whole window."""

_LETTERS = 4


@dataclass(frozen=True)
class IntegratedGradients:
    """Estimated effects, and how far they add up."""

    deltas: np.ndarray
    """float32 (4, letters): the mean gradient of each letter minus that of the letter that is there; NaN at unknown
    ones. Three quarters of minus the mean of a position's three is its attribution."""
    sum: float
    """Of the attributions over the whole window."""
    difference: float
    """What they must add up to: the level of the window minus that of the even mixture."""

    def describe(self, unit: str) -> str:
        """How far the two are apart, in words."""
        off = self.sum - self.difference
        share = f", {abs(off / self.difference):.1%}" if self.difference else ""
        return (
            f"integrated gradients add up to {self.sum:.4g}, the level differs by {self.difference:.4g} from that of "
            f"an even mixture of letters: off by {off:.2g}{share}{f' [{unit}]' if unit else ''}"
        )


def check_differentiable(models: Sequence[ModelMetadata]) -> list[str]:
    """A line about what gradients cannot see of these models; none where they see all.

    Raises:
        UsageError: a model has no part that gradients can see.
    """
    hidden = []
    for config in (model.config for model in models):
        if not config.sequence_flows:
            raise UsageError("--method gradient: the model counts words, which have no gradient; use --method ism")
        if config.promoter_words and (said := "words that promoters are rich in") not in hidden:
            hidden.append(said)
        if config.kernel_genes and config.kernel_words and (said := "word counts of the kernel flow") not in hidden:
            hidden.append(said)
    return [f"gradients cannot see a part of the prediction: {' and '.join(hidden)}"] if hidden else []


def integrated_gradients(
    models: Sequence[TrainedModel], upstream: int, window: np.ndarray, half_life: np.ndarray | None, output: int
) -> IntegratedGradients:
    """Estimate what each letter of a window does to one output.

    Args:
        models: that read DNA alone, each with its own window in the middle of the widest.
        upstream: where the TSS boundary lies in `window`.
        window: uint8 (letters,) tokens, as wide as the widest of the models' windows.
        half_life: float (8,) features as the models read them, NaN = unknown; None for models that read none.
        output: its place among the models' outputs.
    """
    gradients = np.zeros((len(window), _LETTERS))
    difference = 0.0
    members = sum(model.metadata.config.members for model in models)
    for model in models:
        config = model.metadata.config
        own = slice(upstream - config.upstream, upstream + config.downstream)
        share = config.members / members * model.metadata.outputs[output].sd
        found, ends = _along_the_way(model, window[own], half_life, output)
        gradients[own] += share * found
        difference += share * ends
    known = np.flatnonzero(window)
    there = gradients[known, window[known] - 1]
    deltas = np.full((_LETTERS, len(window)), np.nan, np.float32)
    deltas[:, known] = (gradients[known] - there[:, None]).T
    total = float((there - gradients[known].mean(axis=1)).sum())
    return IntegratedGradients(deltas, total, difference)


def _along_the_way(
    model: TrainedModel, window: np.ndarray, half_life: np.ndarray | None, output: int
) -> tuple[np.ndarray, float]:
    """Mean gradients over the way, `widest_float` (letters, 4), and the difference of its ends; in network units."""
    network, schema = model.network, model.metadata.half_life
    network.eval()
    tokens = to_device(window[None], network.device)
    features = None
    if schema is not None and half_life is not None:
        features = to_device(schema.standardise(half_life[None]), network.device)
    letters = functional.one_hot(tokens[0].long(), _LETTERS + 1)[:, 1:].to(network.embedding.weight.dtype)
    even = (tokens[0] != 0)[:, None] * letters.new_full((1, _LETTERS), 1 / _LETTERS)
    total = torch.zeros_like(letters, dtype=widest_float(letters.device))
    middles = (torch.arange(STEPS, device=letters.device) + 0.5) / STEPS
    for part in middles.split(_AT_ONCE):
        mixtures = (even + part[:, None, None] * (letters - even)).requires_grad_()
        said = _of_mixtures(network, mixtures, tokens, features)[:, output].sum()
        total += torch.autograd.grad(said, mixtures)[0].sum(dim=0)
    with torch.no_grad():
        start, end = _of_mixtures(network, torch.stack([even, letters]), tokens, features)[:, output].tolist()
    return (total / STEPS).cpu().numpy(), end - start


def _of_mixtures(network: Perceiver, mixtures: Tensor, tokens: Tensor, half_life: Tensor | None) -> Tensor:
    """What the network says of mixtures of letters, float (n, letters, 4) -> (n, outputs), in its own units.

    Args:
        network: that reads DNA alone, with sequence flows.
        mixtures: shares of A, C, G and T; none at PAD.
        tokens: uint8 (1, letters): what words are counted in.
        half_life: float (1, 8), standardised, NaN = unknown; None = all unknown.
    """
    config, count = network.config, len(mixtures)
    tokens = tokens.expand(count, -1)
    given = None if half_life is None else half_life.expand(count, -1)
    known = mixtures.new_zeros(count, HALF_LIFE_FEATURES) if given is None else given.nan_to_num()
    nothing = 1 - mixtures.sum(dim=2, keepdim=True)
    context = mixtures @ network.embedding.weight[1:] + nothing * network.embedding.weight[0]
    context = context + network.positions[: context.shape[1]]
    mask = tokens != 0
    mask = mask | ~mask.any(dim=1, keepdim=True)
    latents = network.first_latents(count, known if config.reads_half_life else None)
    for block in network.blocks:
        latents = block(latents, context, mask, None)
    tower = network.tower
    queried = tower.later_stages(tower.pool(tower.residual(tower.stem(mixtures)))).flatten(1)
    if config.half_life_query:
        queried = torch.cat([queried, known], dim=1)
    return network.members_of(network.join(queried, latents), tokens, tokens, given).mean(dim=1)
