"""How the latents first attend to a sequence, with the work that all sequences of a model share done once.

A letter at a position has the same normalised context in every window; and where the latents' query is the same for
all genes, the same logits too. Both are tables of every letter at every position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seqexpr.models import kernels
from seqexpr.models.perceiver import CrossAttention, LatentBlock, Perceiver, known_letters


class SharedAttention:
    """The tables of one network.

    Args:
        network: in evaluation.
        half_life: float (1, 8), standardised, that all windows have; None where each window may have its own.
    """

    def __init__(self, network: Perceiver, half_life: Tensor | None = None) -> None:
        self.network = network
        block = network.blocks[0]
        assert isinstance(block, LatentBlock)
        self.cross: CrossAttention = block.cross
        self.first: Tensor | None = None
        """What attends first, (1, latents, latent_width); None where windows differ."""
        self.logits: kernels.SharedLogits | None = None
        """None where windows differ, or torch computes alone."""
        # Not in inference mode: `first` takes part in derivatives.
        with torch.no_grad():
            self.context = self.cross.norm_context(network.embedding.weight + network.positions[:, None])
            """(letters, vocabulary, context width), normalised"""
            if half_life is None and network.config.half_life_latent:
                return
            self.first = network.first_latents(1, half_life)
            if network.config.latent_input != "dna":  # proteins are too short to gain by a table of all logits
                return
            query = self.cross.folded_query(self.first)
            if kernels.attends(query, self.context, network.positions[None, :, 0]):
                self.logits = kernels.SharedLogits(query[0], self.context, self.cross.head_dim**-0.5)

    def first_latents(self, windows: int, half_life: Tensor | None) -> Tensor:
        """`Perceiver.first_latents`: (windows, latents, latent_width)."""
        if self.first is None:
            return self.network.first_latents(windows, half_life)
        return self.first.expand(windows, -1, -1)

    def attend(self, tokens: Tensor, first: Tensor) -> Attention:
        """What windows give.

        Args:
            tokens: uint8 (windows, letters), with one known letter each at least.
            first: what `first_latents` gave for them.
        """
        if self.logits is not None:
            return Attention(*self.logits.attend(tokens, known_letters(tokens)), None)
        means = self.cross.means(first, *self.network.attended(tokens, first))
        query = self.cross.folded_query(first) * (self.cross.head_dim**-0.5 / math.log(2))
        log_sums = []
        for own_query, own in zip(query, tokens, strict=True):
            known = own.nonzero().squeeze(1)
            logits = own_query @ self.context[known, own[known].long()].T
            largest = logits.amax(dim=1)
            log_sums.append(largest + (logits - largest[:, None]).exp2_().sum(dim=1).log2_())
        return Attention(means, torch.stack(log_sums), query)

    def weights(self, attention: Attention, which: Tensor, positions: Tensor, letters: Tensor) -> Tensor:
        """exp(logit) of letters by their windows' sums of it, int64 (n,) each: (n, latents), 0 for unknown letters.

        Args:
            attention: what `attend` gave.
            which: of its windows each letter is in, or would be.
            positions, letters: offsets and tokens.
        """
        if self.logits is None:
            assert attention.query is not None
            # Not a matrix product: it would add up in another order where neighbours are of other windows.
            logits = (attention.query[which] * self.context[positions, letters][:, None]).sum(dim=2)
        else:
            logits = self.logits.logits[positions, letters]
        return (logits - attention.log_sums[which]).exp2_() * (letters != 0)[:, None]


@dataclass(frozen=True, slots=True)
class Attention:
    """What the latents found in windows; the first dimension of each tensor is the windows."""

    means: Tensor
    """Of the letters' contexts, weighted by attention: (windows, latents, context width)."""
    log_sums: Tensor
    """log2 of the sums of exp(logit): (windows, latents)."""
    query: Tensor | None
    """What is compared with contexts, times log2(e): (windows, latents, context width); None where the logits of all
    letters are kept."""
