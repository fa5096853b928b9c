"""A gene with one letter changed, computed from what the network made of the gene as it is.

A substitution changes one of the terms over which latents average, and three positions of the query tower; or one of
the two, where they read different sequences. So the averages are corrected, the tower is computed around these
positions alone, and only what follows is computed as ever. It is the same function as a full pass, to the rounding of
float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from seqexpr.effects.shared_attention import SharedAttention, WindowAttention
from seqexpr.models.config import HALF_LIFE_FEATURES, PerceiverConfig, Sequence
from seqexpr.models.fixed_batch import in_fixed_batches
from seqexpr.models.perceiver import LatentBlock, Perceiver, TowerBlock

_MANY_ROWS = 64
"""Substitutions that are computed together, always, so that none depends on the others."""

_FEW_ROWS = 16
"""The same where each of them passes through the block, and there may be one alone."""

_JOINED = 16
"""Passes through the latent block whose latents are in memory together. A CPU does them one by one: each of them has
rows enough for its matrix products."""

FIRST_ORDER = 1e-3
"""Attention weight up to which a letter's part in the latents may be computed to first order. Weights of ten thousand
letters are some 1e-4, so that what is left out, of second order, is below 5e-6 of an output's sd."""

_MOVED = 0.015
"""The same of the change of features by the query tower, relative to all features: both changes together are of second
order too. Some 7 % of the substitutions exceed it, most of them near the TSS."""

_JACOBIAN_ROWS = 16
"""Features whose derivatives are computed together."""

_STRETCH = 1024
"""Substitutions that are in memory together."""


def fits(config: PerceiverConfig) -> bool:
    """Whether networks of this config have an incremental form: sequence flows, with one block of latents."""
    return config.sequence_flows and config.depth == 1


class IncrementalWindow:
    """One gene's sequences, and what is kept of their full pass; one of them is changed.

    Args:
        shared: of a network in evaluation, whose config `fits`, without half-life features that all windows have.
        latent_tokens: uint8 (1, letters), with two known letters at least.
        query_tokens: uint8 (1, letters); the same as `latent_tokens` where both flows read one sequence.
        half_life: float (1, 8), standardised, as `Perceiver.forward` takes it.
        changed: in which sequence letters will be replaced. A flow that does not read it stays as it is.
        first_order: whether substitutions will be so many that the derivatives of the latent block, which cost as much
            as some two hundred of them, save time. Without it each substitution passes through the block.
    """

    def __init__(
        self,
        shared: SharedAttention,
        latent_tokens: Tensor,
        query_tokens: Tensor,
        half_life: Tensor | None,
        *,
        changed: Sequence,
        first_order: bool,
    ) -> None:
        network = shared.network
        config = network.config
        self._network, self._tokens, self._half_life = network, latent_tokens, half_life
        self._latents_change, query_changes = config.latent_input == changed, config.query_input == changed
        block = network.blocks[0]
        assert isinstance(block, LatentBlock)
        self._block, self._cross = block, block.cross
        with torch.no_grad():
            if config.reads_half_life:
                unknown = network.positions.new_zeros(1, HALF_LIFE_FEATURES)
                self._half_life = unknown if half_life is None else half_life.nan_to_num()
            self._attention = WindowAttention(shared, latent_tokens, self._half_life)
            self._first, self._means = self._attention.first, self._attention.means
            self._attended = self._first + self._cross.of_means(self._means[None])
            self._of_change = (self._cross.to_output.weight @ self._cross.to_value.weight).T
            """What a change of the means adds to the latents, as one map: (context width, latent_width)."""
            self._latents = self._block.later_steps(self._attended)
            self._tower = _Tower(network, query_tokens) if query_changes else None
            queried = network.tower(query_tokens).flatten(1) if self._tower is None else self._tower.reference
            self._reference = self._with_half_life(queried)
            decoder = _Decoder(network, self._latents)
        self._without_latents = None if self._latents_change else decoder
        """What follows a change that the latents do not see."""
        self._first_order: _FirstOrder | None = None
        if first_order and self._latents_change:
            jacobian = self._derivatives()
            with torch.no_grad():
                self._first_order = _FirstOrder(jacobian, decoder, self._reference)

    @torch.no_grad()
    def reference(self) -> Tensor:
        """`Perceiver.features` of the window as it is: (1, 2 x query_dim)."""
        return in_fixed_batches(self._network.join, self._reference, self._latents, fixed=True)

    @torch.no_grad()
    def features(self, positions: Tensor, letters: Tensor) -> Tensor:
        """`Perceiver.features` of the window with a letter replaced.

        Args:
            positions: int64 (n,) offsets in the window.
            letters: int64 (n,) tokens that stand there instead.

        Returns:
            (n, 2 x query_dim)
        """
        pairs = zip(positions.split(_STRETCH), letters.split(_STRETCH), strict=True)
        return torch.cat([self._features(*pair) for pair in pairs])

    def _features(self, positions: Tensor, letters: Tensor) -> Tensor:
        if self._without_latents is not None:
            decoder = self._without_latents
            (found,) = _in_rows(lambda *one: (decoder(self._queried(*one)),), positions, letters, rows=_FEW_ROWS)
            return found
        if self._first_order is None:
            queried, change, _ = _in_rows(self._changed, positions, letters, rows=_FEW_ROWS)
            return self._exactly(queried, change)
        queried, change, largest = _in_rows(self._changed, positions, letters, rows=_MANY_ROWS)
        found, moved = _in_rows(self._first_order, queried, change, rows=_MANY_ROWS)
        large = ((moved > _MOVED) | (largest > FIRST_ORDER)).nonzero().squeeze(1)
        if len(large):
            found[large] = self._exactly(queried[large], change[large])
        return found

    def _changed(self, positions: Tensor, letters: Tensor) -> tuple[Tensor, ...]:
        """What the query tower gives, and what `_change_of_means` does."""
        return self._queried(positions, letters), *self._change_of_means(positions, letters)

    def _queried(self, positions: Tensor, letters: Tensor) -> Tensor:
        """What the query tower gives, with the half-life features behind it: (n, query_features)."""
        if self._tower is None:
            return self._reference.expand(len(positions), -1)
        return self._with_half_life(self._tower.features(positions, letters))

    def _with_half_life(self, queried: Tensor) -> Tensor:
        """What the tower makes of windows, and the half-life features behind it where the query flow reads them."""
        if not self._network.config.half_life_query:
            return queried
        assert self._half_life is not None
        return torch.cat([queried, self._half_life.expand(len(queried), -1)], dim=1)

    def _exactly(self, queried: Tensor, change: Tensor) -> Tensor:
        """Features by a pass through the latent block."""
        found = []
        for own_query, own_change in zip(queried.split(_JOINED), change.split(_JOINED), strict=True):
            rows = 1 if change.device.type == "cpu" else _JOINED
            (latents,) = _in_rows(self._through_block, own_change, rows=rows)
            found.append(in_fixed_batches(self._network.join, own_query, latents, fixed=True))
        return torch.cat(found)

    def _through_block(self, change: Tensor) -> tuple[Tensor]:
        return (self._block.later_steps(self._attended + change @ self._of_change),)

    def _change_of_means(self, positions: Tensor, letters: Tensor) -> tuple[Tensor, Tensor]:
        """What substitutions add to the latents' means, (n, latents, context width), and the largest attention weight
        that comes or goes, (n,)."""
        gone, window = self._tokens[0, positions].long(), self._attention
        new, old = (window.context(positions, there)[:, None] - self._means for there in (letters, gone))
        comes, goes = (window.weights(positions, there) for there in (letters, gone))
        moved = comes[..., None] * new - goes[..., None] * old
        return moved / (1 - goes + comes)[..., None], torch.maximum(comes, goes).amax(dim=1)

    def _derivatives(self) -> Tensor:
        """What each mean adds to each feature, to first order: (latents x context width, 2 x query_dim)."""
        network = self._network
        features = 2 * network.config.query_dim
        columns = []
        with torch.enable_grad():
            for start in range(0, features, _JACOBIAN_ROWS):
                rows = torch.arange(start, min(start + _JACOBIAN_ROWS, features), device=self._means.device)
                means = self._means.expand(len(rows), -1, -1).clone().requires_grad_()
                latents = self._block.later_steps(self._first + self._cross.of_means(means))
                joined = network.join(self._reference.expand(len(rows), -1), latents)
                (slope,) = torch.autograd.grad(joined[torch.arange(len(rows)), rows].sum(), means)
                columns.append(slope.flatten(1))
        return torch.cat(columns).T.contiguous()


class _Tower:
    """The query tower around a substitution; all else is that of the window as it is."""

    def __init__(self, network: Perceiver, tokens: Tensor) -> None:
        self._network = network
        config, tower = network.config, network.tower
        tokens = functional.pad(tokens, (0, config.query_length - tokens.shape[1]))
        self._size, reach = config.stem_pool, config.stem_kernel // 2
        self._reach = reach
        self._beside = -(-reach // self._size)
        """Groups beside those that change, which the stem must see."""
        margin = self._beside * self._size
        # A rest of letters that fills no group is dropped by the pooling, but the stem sees it.
        self._letters = functional.pad(tokens[0], (margin, margin + self._size))
        self._margin = margin
        pooled = tower.first_stage(tokens)[0]
        self._pooled = len(pooled)
        self._changed = min(_groups(2 * reach + 1, self._size), self._pooled)
        self._blocks = []
        x, changed = pooled, self._changed
        for block in tower.blocks:
            assert isinstance(block, TowerBlock)
            stage = _TowerStage(block, x, changed)
            self._blocks.append(stage)
            x, changed = stage.output, stage.changed
        self._last = x
        self.reference = x.flatten()[None]
        """(1, query_features without half-life)"""

    def features(self, positions: Tensor, letters: Tensor) -> Tensor:
        """What `QueryTower` makes of the window with a letter replaced, flattened: (n, positions x channels)."""
        first = ((positions - self._reach).clamp(min=0) // self._size).clamp(max=self._pooled - self._changed)
        groups = self._changed + 2 * self._beside
        start = first * self._size  # of the groups beside, in the padded letters
        places = start[:, None] + torch.arange(groups * self._size, device=start.device)
        segments = self._letters[places]
        own = positions + self._margin - start
        inside = own < segments.shape[1]  # else it lies in the rest behind the last group, out of the stem's reach
        rows = torch.arange(len(segments), device=start.device)[inside]
        segments[rows, own[inside]] = letters[inside].to(segments.dtype)
        x = self._network.tower.first_stage(segments)[:, self._beside : self._beside + self._changed]
        for stage in self._blocks:
            x, first = stage(x, first)
        whole = self._last.expand(len(x), -1, -1).clone()
        places = first[:, None] + torch.arange(x.shape[1], device=first.device)
        whole[torch.arange(len(x), device=first.device)[:, None], places] = x
        return whole.flatten(1)


class _TowerStage:
    """A block of the tower where only a few of its positions are others than before."""

    def __init__(self, block: TowerBlock, x: Tensor, changed: int) -> None:
        self._block = block
        self._margin, self._size = block.convolution.kernel // 2, block.pool.size
        activated = functional.gelu(block.norm(x[None]))
        self._activated = functional.pad(activated[0], (0, 0, self._margin, self._margin))
        self.output = block.pool(block.residual(block.convolution(activated)))[0]
        """(positions, channels) of the window as it is."""
        self.changed = min(_groups(changed + 2 * self._margin, self._size), len(self.output))
        """Positions of the output that a change of so many positions may change."""

    def __call__(self, x: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """The positions that change, and where they begin, in the input and in the output.

        Args:
            x: (n, changed positions of the input, channels).
            first: int64 (n,).

        Returns:
            (n, `changed`, channels) and int64 (n,)
        """
        block = self._block
        new = functional.gelu(block.norm(x))
        begin = ((first - self._margin).clamp(min=0) // self._size).clamp(max=len(self.output) - self.changed)
        positions = self.changed * self._size
        places = begin[:, None] * self._size + torch.arange(positions + 2 * self._margin, device=x.device)
        own = places - self._margin - first[:, None]  # which of the changed positions stands there
        is_new = (own >= 0) & (own < x.shape[1])
        chosen = own.clamp(0, x.shape[1] - 1)[..., None].expand(-1, -1, x.shape[2])
        seen = torch.where(is_new[..., None], new.gather(1, chosen), self._activated[places])
        rows = seen.unfold(1, block.convolution.kernel, 1).transpose(2, 3).flatten(2)  # (n, m, kernel x channels)
        return block.pool(block.residual(block.convolution.linear(rows))), begin


class _FirstOrder:
    """What substitutions change, to first order in the latents' means.

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


def _groups(letters: int, size: int) -> int:
    """How many groups of `size` a stretch of letters may touch."""
    return (letters + size - 2) // size + 1


def _in_rows(function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor, rows: int) -> tuple[Tensor, ...]:
    """`function(*inputs)`, always so many rows at a time: a matrix product adds up in another order for others."""
    count = len(inputs[0])
    parts = []
    for start in range(0, count, rows):
        chosen = [one[start : start + rows] for one in inputs]
        missing = rows - len(chosen[0])
        parts.append(function(*(torch.cat([one, one[-1:].expand(missing, *one.shape[1:])]) for one in chosen)))
    return tuple(torch.cat(kind)[:count] for kind in zip(*parts, strict=True))
