"""Integrated gradients (Sundararajan et al. 2017) over mixtures of letters: effects estimated, not predicted.

The way goes from a sequence in which each known position is an even mixture of all bases, or of all amino acids, to
the sequence as it is. The query tower reads the mixture where it reads one-hot letters, the latents attend to the
mixture of the letters' embeddings. What is counted in words has no gradient and stays as it is all the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqexpr.effects.letters import Letters
from seqexpr.errors import UsageError
from seqexpr.models.config import HALF_LIFE_FEATURES
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.precision import widest_float
from seqexpr.models.trained import ModelMetadata, TrainedModel
from seqexpr.models.transfers import to_device
from seqexpr.prediction.inputs import InputRecord

STEPS = 64
"""Places on the way at which gradients are taken: the middles of as many even parts."""

_AT_ONCE = 4
"""Mixtures in a pass: each holds the activations of a whole window."""


@dataclass(frozen=True)
class IntegratedGradients:
    """Estimated effects, and how far they add up."""

    deltas: np.ndarray
    """float32 (4 or 20, length): the mean gradient of each letter minus that of the letter that is there; NaN at
    unknown ones. Minus the mean over all of a position's letters, the one that is there too, is its attribution."""
    sum: float
    """Of the attributions over the whole sequence."""
    difference: float
    """What they must add up to: the level of the sequence minus that of the even mixture."""

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
    models: Sequence[TrainedModel], upstream: int, record: InputRecord, letters: Letters, output: int
) -> IntegratedGradients:
    """Estimate what each letter of a gene's window or protein does to one output.

    Args:
        models: each with its own window in the middle of the widest.
        upstream: where the TSS boundary lies in the record's window.
        record: what the models read of the gene.
        letters: of the input that is explained; all else stays as it is.
        output: its place among the models' outputs.
    """
    tokens = record.dna if letters.input == "dna" else record.protein
    assert tokens is not None
    kinds = len(letters.letters)
    gradients = np.zeros((len(tokens), kinds + 1))
    difference = 0.0
    members = sum(model.metadata.config.members for model in models)
    for model in models:
        share = model.metadata.config.members / members * model.metadata.outputs[output].sd
        start, found, ends = _along_the_way(model, upstream, record, letters, output)
        gradients[start : start + len(found)] += share * found
        difference += share * ends
    known = np.flatnonzero(letters.known(tokens))
    there = gradients[known, kinds]
    deltas = np.full((kinds, len(tokens)), np.nan, np.float32)
    deltas[:, known] = (gradients[known, :kinds] - there[:, None]).T
    total = float((there - gradients[known, :kinds].mean(axis=1)).sum())
    return IntegratedGradients(deltas, total, difference)


def _along_the_way(
    model: TrainedModel, upstream: int, record: InputRecord, letters: Letters, output: int
) -> tuple[int, np.ndarray, float]:
    """Where the model's part of the sequence begins, the mean gradients over the way of each letter that is substituted
    and behind them of the letter that is there, `widest_float` (length, 4 + 1 or 20 + 1), and the difference of the
    way's ends; in network units."""
    network, schema, config = model.network, model.metadata.half_life, model.metadata.config
    network.eval()
    tokens: dict[str, Tensor] = {}
    start = upstream - config.upstream
    if record.dna is not None and config.reads_dna:
        own = record.dna[start : upstream + config.downstream]
        tokens["dna"] = to_device(np.ascontiguousarray(own)[None], network.device)
    if record.protein is not None and config.reads_protein:
        tokens["protein"] = to_device(record.protein[None, : config.protein_length], network.device)
    given = _Given(tokens)
    if schema is not None and record.half_life is not None:
        given.half_life = to_device(schema.standardise(record.half_life[None]), network.device)
    if record.coding is not None and config.reads_coding:
        given.coding = to_device(record.coding[None, : config.coding_length], network.device)
    (own_tokens,) = tokens[letters.input]
    there = functional.one_hot(own_tokens.long(), letters.alphabet.size)[:, 1:].to(network.embedding.weight.dtype)
    kinds = len(letters.letters)
    mixture = there.new_zeros(there.shape[1])
    mixture[:kinds] = 1 / kinds
    known = torch.from_numpy(letters.known(own_tokens.cpu().numpy())).to(there.device)[:, None]
    even = torch.where(known, mixture, there)
    total = torch.zeros_like(there, dtype=widest_float(there.device))
    middles = (torch.arange(STEPS, device=there.device) + 0.5) / STEPS
    for part in middles.split(_AT_ONCE):
        mixtures = (even + part[:, None, None] * (there - even)).requires_grad_()
        said = _of_mixtures(network, mixtures, letters.input, given)[:, output].sum()
        total += torch.autograd.grad(said, mixtures)[0].sum(dim=0)
    total /= STEPS
    own_gradient = (total * there).sum(dim=1, keepdim=True)
    with torch.no_grad():
        ends = _of_mixtures(network, torch.stack([even, there]), letters.input, given)[:, output].tolist()
    found = torch.cat([total[:, :kinds], own_gradient], dim=1).cpu().numpy()
    return (start if letters.input == "dna" else 0), found, ends[1] - ends[0]


@dataclass
class _Given:
    """What a network reads of one gene."""

    tokens: dict[str, Tensor]
    """uint8 (1, letters) by input."""
    half_life: Tensor | None = None
    """float (1, 8), standardised, NaN = unknown; None = all unknown."""
    coding: Tensor | None = None
    """uint8 (1, codons); None = none."""


def _of_mixtures(network: Perceiver, mixtures: Tensor, mixed: str, given: _Given) -> Tensor:
    """What the network says of mixtures of letters, (n, outputs), in its own units.

    Args:
        network: with sequence flows.
        mixtures: float (n, letters, vocabulary without PAD), shares of each; none at PAD.
        mixed: which of the inputs they stand for.
        given: the gene as it is: the other input, and what words are counted in.
    """
    config, count = network.config, len(mixtures)
    tokens = {name: one.expand(count, -1) for name, one in given.tokens.items()}
    half_life = None if given.half_life is None else given.half_life.expand(count, -1)
    coding = None if given.coding is None else given.coding.expand(count, -1)
    known = mixtures.new_zeros(count, HALF_LIFE_FEATURES) if half_life is None else half_life.nan_to_num()
    if config.latent_input == mixed:
        nothing = 1 - mixtures.sum(dim=2, keepdim=True)
        context = mixtures @ network.embedding.weight[1:] + nothing * network.embedding.weight[0]
        context = context + network.positions[: context.shape[1]]
        mask = tokens[mixed] != 0
        mask = mask | ~mask.any(dim=1, keepdim=True)
        latents = network.first_latents(count, known if config.reads_half_life else None)
        for block in network.blocks:
            latents = block(latents, context, mask, None)
    else:
        latents = network.encode(tokens[config.latent_input], known if config.reads_half_life else None)
    tower = network.tower
    if config.query_input == mixed:
        rest = config.query_length - mixtures.shape[1]
        stem = tower.stem(functional.pad(mixtures, (0, 0, 0, rest)))
        queried = tower.later_stages(tower.pool(tower.residual(stem))).flatten(1)
    else:
        queried = tower(tokens[config.query_input]).flatten(1)
    if config.half_life_query:
        queried = torch.cat([queried, known], dim=1)
    flows = (tokens[config.latent_input], tokens[config.query_input])
    joined = network.join(queried, latents)
    return network.members_of(joined, *flows, half_life, coding=coding).mean(dim=1)
