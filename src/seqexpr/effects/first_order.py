"""Thousands of substitutions of one gene, computed to first order in what they change of the latents' means.

The derivatives of the latent block cost as much as some two hundred passes through it. After that a substitution needs
none, unless it changes much.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from seqexpr.effects.incremental import FullPasses, Incremental, in_rows
from seqexpr.models.perceiver import Perceiver

ATTENTION = 1e-3
"""Attention weight up to which a letter's part in the latents may be computed to first order. Weights of ten thousand
letters are some 1e-4, so that what is left out, of second order, is below 5e-6 of an output's sd."""

MOVED = 0.015
"""The same of the change of features by the query tower, relative to all features: both changes together are of second
order too. Some 7 % of the substitutions exceed it, most of them near the TSS."""

_ROWS = 64
"""Substitutions that are computed together, always, so that none depends on the others."""

_JACOBIAN_ROWS = 16
"""Features whose derivatives are computed together."""

_STRETCH = 1024
"""Substitutions that are in memory together."""


class FirstOrder:
    """What substitutions of one gene change; where latents do not read them, it is no approximation.

    Args:
        incremental: of the network.
        passes: of one gene.
    """

    def __init__(self, incremental: Incremental, passes: FullPasses) -> None:
        self._incremental, self._passes = incremental, passes
        with torch.no_grad():
            queried = incremental.queried(passes)
            self._decoder = _Decoder(incremental.network, passes.latents)
        self._linear: _Linear | None = None
        if incremental.latents_change:
            jacobian = self._derivatives(queried)
            with torch.no_grad():
                self._linear = _Linear(jacobian, self._decoder, queried)

    @torch.no_grad()
    def features(self, positions: Tensor, letters: Tensor) -> Tensor:
        """As `Incremental.features`, of the window."""
        pairs = zip(positions.split(_STRETCH), letters.split(_STRETCH), strict=True)
        return torch.cat([self._features(*pair) for pair in pairs])

    def _features(self, positions: Tensor, letters: Tensor) -> Tensor:
        which = torch.zeros_like(positions)
        if self._linear is None:
            queried = self._incremental.queried_after(self._passes, which, positions, letters, rows=_ROWS)
            (found,) = in_rows(lambda one: (self._decoder(one),), queried, rows=_ROWS)
            return found
        queried, change, largest = self._incremental.changed(self._passes, which, positions, letters, rows=_ROWS)
        found, moved = in_rows(self._linear, queried, change, rows=_ROWS)
        large = ((moved > MOVED) | (largest > ATTENTION)).nonzero().squeeze(1)
        if len(large):
            exactly = self._incremental.through_block
            found[large] = exactly(self._passes, which[large], queried[large], change[large])
        return found

    def _derivatives(self, queried: Tensor) -> Tensor:
        """What each mean adds to each feature, to first order: (latents x context width, 2 x query_dim)."""
        network, block = self._incremental.network, self._incremental.block
        features, means = 2 * network.config.query_dim, self._passes.attention.means
        first = self._incremental.shared.first_latents(1, self._passes.half_life)
        columns = []
        with torch.enable_grad():
            for start in range(0, features, _JACOBIAN_ROWS):
                rows = torch.arange(start, min(start + _JACOBIAN_ROWS, features), device=means.device)
                own = means.expand(len(rows), -1, -1).clone().requires_grad_()
                latents = block.later_steps(first + block.cross.of_means(own))
                joined = network.join(queried.expand(len(rows), -1), latents)
                (slope,) = torch.autograd.grad(joined[torch.arange(len(rows)), rows].sum(), own)
                columns.append(slope.flatten(1))
        return torch.cat(columns).T.contiguous()


class _Linear:
    """Features to first order in the latents' means.

    Args:
        jacobian: (latents x context width, 2 x query_dim).
        decoder: of the window's latents.
        reference: (1, query_features), the window's.
    """

    def __init__(self, jacobian: Tensor, decoder: _Decoder, reference: Tensor) -> None:
        self._jacobian, self._decoder = jacobian, decoder
        self._reference = decoder(reference)

    def __call__(self, queried: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Features, (n, 2 x query_dim), and how far the query alone moves them, relative to all features, (n,)."""
        alone = self._decoder(queried)
        moved = (alone - self._reference).norm(dim=1) / self._reference.norm()
        return alone + change.flatten(1) @ self._jacobian, moved


class _Decoder:
    """`Perceiver.join` for many genes with the same latents."""

    def __init__(self, network: Perceiver, latents: Tensor) -> None:
        self._network = network
        decoder = network.decoder
        self._context = decoder.norm_context(latents)[0]
        self._scale = decoder.head_dim**-0.5
        self._mean = network.mean(network.mean_norm(latents.mean(dim=1)))

    def __call__(self, queried: Tensor) -> Tensor:
        """(n, query_features) -> (n, 2 x query_dim)"""
        network = self._network
        query = functional.relu(network.query(queried))
        logits = network.decoder.folded_query(query) @ self._context.T * self._scale
        decoded = query + network.decoder.of_means(logits.softmax(dim=1) @ self._context)
        return torch.cat([decoded, self._mean.expand(len(decoded), -1)], dim=1)
