"""How the latents first attend to a sequence, with the work that all sequences of a model share done once.

A letter at a position has the same normalised context in every window; and where the latents' query is the same for
all genes, the same logits too. Both are tables of every letter at every position.
"""

from __future__ import annotations

import math

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


class WindowAttention:
    """Means over one window's letters, and the weight that any letter has, or would have, in them.

    Args:
        shared: of the network.
        tokens: uint8 (1, letters), with one known letter at least.
        half_life: float (1, 8), as `Perceiver.first_latents` takes it.
    """

    def __init__(self, shared: SharedAttention, tokens: Tensor, half_life: Tensor | None) -> None:
        network, cross = shared.network, shared.cross
        self._context, self._logits = shared.context, shared.logits
        self.first = network.first_latents(1, half_life) if shared.first is None else shared.first
        """(1, latents, latent_width)"""
        if self._logits is not None:
            (self.means,), (self._log_sums,) = self._logits.attend(tokens, known_letters(tokens))
            """The means: (latents, context width)."""
            return
        self.means = cross.means(self.first, *network.attended(tokens, self.first))[0]
        self._query = cross.folded_query(self.first)[0] * (cross.head_dim**-0.5 / math.log(2))
        known = tokens[0].nonzero().squeeze(1)
        logits = self._query @ self.context(known, tokens[0, known].long()).T
        largest = logits.amax(dim=1)
        self._log_sums = largest + (logits - largest[:, None]).exp2_().sum(dim=1).log2_()

    def context(self, positions: Tensor, letters: Tensor) -> Tensor:
        """The normalised context of letters at positions, int64 (n,) each: (n, context width)."""
        return self._context[positions, letters]

    def weights(self, positions: Tensor, letters: Tensor) -> Tensor:
        """exp(logit) of these letters by the window's sum of it: (n, latents), 0 for unknown letters."""
        if self._logits is None:
            logits = self.context(positions, letters) @ self._query.T
        else:
            logits = self._logits.logits[positions, letters]
        return (logits - self._log_sums).exp2_() * (letters != 0)[:, None]
