"""Genes with one letter changed, computed from what the network made of the genes as they are.

A substitution changes one of the terms over which latents average, and three positions of the query tower; or one of
the two, where they read different sequences. So the averages are corrected, the tower is computed around these
positions alone, and only what follows is computed as ever. It is the same function as a full pass, to the rounding of
float32.

Several genes are computed together: what has one row for each window or substitution costs as much for one
of them as for sixteen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from seqexpr.effects.shared_attention import Attention, SharedAttention
from seqexpr.models.config import HALF_LIFE_FEATURES, PerceiverConfig
from seqexpr.models.config import Sequence as Input
from seqexpr.models.fixed_batch import in_fixed_batches
from seqexpr.models.perceiver import LatentBlock, Perceiver, TowerBlock

_ROWS = 16
"""Substitutions that are computed together, always, so that none depends on the others."""

_JOINED = 16
"""Passes through the latent block whose latents are in memory together. A CPU does them one by one: each of them has
rows enough for its matrix products."""

_STRETCH = 1024
"""Substitutions that are in memory together."""


def fits(config: PerceiverConfig) -> bool:
    """Whether networks of this config have an incremental form: sequence flows, with one block of latents."""
    return config.sequence_flows and config.depth == 1


@dataclass(frozen=True, slots=True)
class FullPasses:
    """What is kept of full passes of windows; the first dimension of each tensor is the windows."""

    half_life: Tensor | None
    """(windows, 8), 0 where unknown; None for a network that reads none."""
    letters: Tensor
    """Tokens that the latents attend to, (windows, letters)."""
    attention: Attention
    attended: Tensor
    """The latents when they have attended to the letters: (windows, latents, latent_width)."""
    latents: Tensor
    """The same behind the latent block."""
    tower: TowerPasses

    def each(self) -> list[FullPasses]:
        """Those of each window, in memory of their own: one that is kept does not keep the others."""
        return [self._one(slice(window, window + 1)) for window in range(len(self.latents))]

    def _one(self, window: slice) -> FullPasses:
        attention, tower = self.attention, self.tower
        return FullPasses(
            None if self.half_life is None else self.half_life[window].clone(),
            self.letters[window].clone(),
            Attention(
                attention.means[window].clone(),
                attention.log_sums[window].clone(),
                None if attention.query is None else attention.query[window].clone(),
            ),
            self.attended[window].clone(),
            self.latents[window].clone(),
            TowerPasses(
                tower.letters[window].clone(),
                tuple(stage[window].clone() for stage in tower.activated),
                tower.output[window].clone(),
            ),
        )


@dataclass(frozen=True, slots=True)
class TowerPasses:
    """What is kept of the query tower of windows; the first dimension of each tensor is the windows."""

    letters: Tensor
    """Tokens with a margin of PAD at both ends."""
    activated: tuple[Tensor, ...]
    """What each block convolves, (windows, positions, channels), with margins of zeros."""
    output: Tensor
    """(windows, positions, channels)"""


def joined(passes: Sequence[FullPasses]) -> FullPasses:
    """Passes of several windows, at least one and all as long, as one."""
    if len(passes) == 1:
        return passes[0]
    queries = [one.attention.query for one in passes]
    halves = [one.half_life for one in passes]
    return FullPasses(
        None if halves[0] is None else torch.cat([one for one in halves if one is not None]),
        torch.cat([one.letters for one in passes]),
        Attention(
            torch.cat([one.attention.means for one in passes]),
            torch.cat([one.attention.log_sums for one in passes]),
            None if queries[0] is None else torch.cat([one for one in queries if one is not None]),
        ),
        torch.cat([one.attended for one in passes]),
        torch.cat([one.latents for one in passes]),
        TowerPasses(
            torch.cat([one.tower.letters for one in passes]),
            tuple(map(torch.cat, zip(*(one.tower.activated for one in passes), strict=True))),
            torch.cat([one.tower.output for one in passes]),
        ),
    )


class Incremental:
    """Computes substitutions in windows.

    Args:
        shared: of a network in evaluation, whose config `fits`, without half-life features that all windows have.
        changed: the input in which letters are replaced. A flow that does not read it stays as it is.
    """

    def __init__(self, shared: SharedAttention, changed: Input) -> None:
        self.network = network = shared.network
        self.shared = shared
        self.latents_change = network.config.latent_input == changed
        self._query_changes = network.config.query_input == changed
        block = network.blocks[0]
        assert isinstance(block, LatentBlock)
        self.block = block
        self._tower = _Tower(network)
        with torch.no_grad():
            self._of_change = (block.cross.to_output.weight @ block.cross.to_value.weight).T
            """What a change of the means adds to the latents, as one map: (context width, latent_width)."""

    @torch.no_grad()
    def passes(self, latent_tokens: Tensor, query_tokens: Tensor, half_life: Tensor | None) -> FullPasses:
        """Full passes of windows.

        Args:
            latent_tokens: uint8 (windows, letters), with two known letters each at least.
            query_tokens: uint8 (windows, letters); the same where both flows read one input.
            half_life: float (windows, 8), standardised, as `Perceiver.forward` takes it.
        """
        network, count = self.network, len(latent_tokens)
        if network.config.reads_half_life:
            unknown = network.positions.new_zeros(count, HALF_LIFE_FEATURES)
            half_life = unknown if half_life is None else half_life.nan_to_num()
        first = self.shared.first_latents(count, half_life)
        attention = self.shared.attend(latent_tokens, first)
        attended = first + self.block.cross.of_means(attention.means)
        latents, tower = self.block.later_steps(attended), self._tower.passes(query_tokens)
        return FullPasses(half_life, latent_tokens, attention, attended, latents, tower)

    @torch.no_grad()
    def reference(self, passes: FullPasses) -> Tensor:
        """`Perceiver.features` of the windows as they are: (windows, 2 x query_dim)."""
        return in_fixed_batches(self.network.join, self.queried(passes), passes.latents, fixed=True)

    @torch.no_grad()
    def features(self, passes: FullPasses, which: Tensor, positions: Tensor, letters: Tensor) -> Tensor:
        """`Perceiver.features` of windows with a letter replaced.

        Args:
            passes: of windows.
            which: int64 (n,), of these windows.
            positions: int64 (n,) offsets in the windows.
            letters: int64 (n,) tokens that stand there instead.

        Returns:
            (n, 2 x query_dim)
        """
        parts = []
        for own, at, new in zip(which.split(_STRETCH), positions.split(_STRETCH), letters.split(_STRETCH), strict=True):
            if self.latents_change:
                queried, change, _ = self.changed(passes, own, at, new, rows=_ROWS)
                parts.append(self.through_block(passes, own, queried, change))
            else:
                queried = self.queried_after(passes, own, at, new, rows=_ROWS)
                parts.append(in_fixed_batches(self.network.join, queried, passes.latents[own], fixed=True))
        return torch.cat(parts)

    def queried(self, passes: FullPasses) -> Tensor:
        """What the query flow makes of the windows as they are: (windows, query_features)."""
        return self._with_half_life(passes.tower.output.flatten(1), passes.half_life)

    def queried_after(
        self, passes: FullPasses, which: Tensor, positions: Tensor, letters: Tensor, *, rows: int
    ) -> Tensor:
        """What the query flow makes of the changed windows, (n, query_features); arguments as for `changed`."""

        def of_rows(which: Tensor, positions: Tensor, letters: Tensor) -> tuple[Tensor]:
            return (self._queried_after(passes, which, positions, letters),)

        (queried,) = in_rows(of_rows, which, positions, letters, rows=rows)
        return queried

    def _queried_after(self, passes: FullPasses, which: Tensor, positions: Tensor, letters: Tensor) -> Tensor:
        tower = passes.tower
        if self._query_changes:
            queried = self._tower.features(tower, which, positions, letters)
        else:
            queried = tower.output[which].flatten(1)
        return self._with_half_life(queried, None if passes.half_life is None else passes.half_life[which])

    def changed(
        self, passes: FullPasses, which: Tensor, positions: Tensor, letters: Tensor, *, rows: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What substitutions change where the latents read them; arguments as for `features`, so many `rows` at a time.

        Returns:
            what the query flow makes of the changed windows, (n, query_features); what is added to the latents' means,
            (n, latents, context width); the largest attention weight that comes or goes, (n,)
        """

        def of_rows(which: Tensor, positions: Tensor, letters: Tensor) -> tuple[Tensor, ...]:
            queried = self._queried_after(passes, which, positions, letters)
            return queried, *self._change_of_means(passes, which, positions, letters)

        queried, change, largest = in_rows(of_rows, which, positions, letters, rows=rows)
        return queried, change, largest

    def through_block(self, passes: FullPasses, which: Tensor, queried: Tensor, change: Tensor) -> Tensor:
        """Features, (n, 2 x query_dim), of what `changed` gives, by a pass through the latent block."""
        found = []
        for own, own_query, own_change in zip(*(one.split(_JOINED) for one in (which, queried, change)), strict=True):
            rows = 1 if change.device.type == "cpu" else _JOINED
            (latents,) = in_rows(
                lambda one, added: (self.block.later_steps(passes.attended[one] + added @ self._of_change),),
                own,
                own_change,
                rows=rows,
            )
            found.append(in_fixed_batches(self.network.join, own_query, latents, fixed=True))
        return torch.cat(found)

    def _with_half_life(self, queried: Tensor, half_life: Tensor | None) -> Tensor:
        """What the tower makes of windows, and the half-life features behind it where the query flow reads them."""
        if not self.network.config.half_life_query:
            return queried
        assert half_life is not None
        return torch.cat([queried, half_life.to(queried.dtype)], dim=1)

    def _change_of_means(
        self, passes: FullPasses, which: Tensor, positions: Tensor, letters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The last two of what `changed` gives."""
        shared, attention = self.shared, passes.attention
        gone, means = passes.letters[which, positions].long(), attention.means[which]
        new, old = (shared.context[positions, there][:, None] - means for there in (letters, gone))
        comes, goes = (shared.weights(attention, which, positions, there) for there in (letters, gone))
        moved = comes[..., None] * new - goes[..., None] * old
        return moved / (1 - goes + comes)[..., None], torch.maximum(comes, goes).amax(dim=1)


class _Tower:
    """The query tower around a substitution; all else is that of the window as it is."""

    def __init__(self, network: Perceiver) -> None:
        self._tower = network.tower
        config = network.config
        self._length = config.query_length
        self._size, reach = config.stem_pool, config.stem_kernel // 2
        self._reach = reach
        self._beside = -(-reach // self._size)
        """Groups beside those that change, which the stem must see."""
        self._margin = self._beside * self._size
        self._pooled = positions = config.query_length // self._size
        self._changed = changed = min(_groups(2 * reach + 1, self._size), positions)
        self._stages = []
        for block in network.tower.blocks:
            assert isinstance(block, TowerBlock)
            stage = _TowerStage(block, positions, changed)
            self._stages.append(stage)
            positions, changed = stage.positions, stage.changed

    def passes(self, tokens: Tensor) -> TowerPasses:
        """Full passes of windows, uint8 (windows, letters); what they lack in length counts as PAD."""
        tokens = functional.pad(tokens, (0, self._length - tokens.shape[1]))
        # A rest of letters that fills no group is dropped by the pooling, but the stem sees it.
        letters = functional.pad(tokens, (self._margin, self._margin + self._size))
        x = self._tower.first_stage(tokens)
        activated = []
        for stage in self._stages:
            own, x = stage.whole(x)
            activated.append(own)
        return TowerPasses(letters, tuple(activated), x)

    def features(self, passes: TowerPasses, which: Tensor, positions: Tensor, letters: Tensor) -> Tensor:
        """What `QueryTower` makes of windows with a letter replaced, flattened: (n, positions x channels)."""
        first = ((positions - self._reach).clamp(min=0) // self._size).clamp(max=self._pooled - self._changed)
        groups = self._changed + 2 * self._beside
        start = first * self._size  # of the groups beside, in the padded letters
        places = start[:, None] + torch.arange(groups * self._size, device=start.device)
        segments = passes.letters[which[:, None], places]
        own = positions + self._margin - start
        inside = own < segments.shape[1]  # else it lies in the rest behind the last group, out of the stem's reach
        rows = torch.arange(len(segments), device=start.device)[inside]
        segments[rows, own[inside]] = letters[inside].to(segments.dtype)
        x = self._tower.first_stage(segments)[:, self._beside : self._beside + self._changed]
        for stage, activated in zip(self._stages, passes.activated, strict=True):
            x, first = stage(x, first, activated, which)
        whole = passes.output[which]
        places = first[:, None] + torch.arange(x.shape[1], device=first.device)
        whole[torch.arange(len(x), device=first.device)[:, None], places] = x
        return whole.flatten(1)


class _TowerStage:
    """A block of the tower where only a few of its positions are others than before.

    Args:
        block: of the tower.
        positions: that it reads.
        changed: how many of them are others than before.
    """

    def __init__(self, block: TowerBlock, positions: int, changed: int) -> None:
        self._block = block
        self._margin, self._size = block.convolution.kernel // 2, block.pool.size
        self.positions = positions // self._size
        """Of the output."""
        self.changed = min(_groups(changed + 2 * self._margin, self._size), self.positions)
        """Positions of the output that a change of so many positions may change."""

    def whole(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is convolved, with its margins, and the output; (windows, positions, channels), as x."""
        block = self._block
        activated = functional.gelu(block.norm(x))
        output = block.pool(block.residual(block.convolution(activated)))
        return functional.pad(activated, (0, 0, self._margin, self._margin)), output

    def __call__(self, x: Tensor, first: Tensor, activated: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """The positions that change, and where they begin, in the input and in the output.

        Args:
            x: (n, changed positions of the input, channels).
            first: int64 (n,).
            activated: what `whole` gave of the windows.
            which: int64 (n,), of these windows.

        Returns:
            (n, `changed`, channels) and int64 (n,)
        """
        block = self._block
        new = functional.gelu(block.norm(x))
        begin = ((first - self._margin).clamp(min=0) // self._size).clamp(max=self.positions - self.changed)
        positions = self.changed * self._size
        places = begin[:, None] * self._size + torch.arange(positions + 2 * self._margin, device=x.device)
        own = places - self._margin - first[:, None]  # which of the changed positions stands there
        is_new = (own >= 0) & (own < x.shape[1])
        chosen = own.clamp(0, x.shape[1] - 1)[..., None].expand(-1, -1, x.shape[2])
        seen = torch.where(is_new[..., None], new.gather(1, chosen), activated[which[:, None], places])
        rows = seen.unfold(1, block.convolution.kernel, 1).transpose(2, 3).flatten(2)  # (n, m, kernel x channels)
        return block.pool(block.residual(block.convolution.linear(rows))), begin


def _groups(letters: int, size: int) -> int:
    """How many groups of `size` a stretch of letters may touch."""
    return (letters + size - 2) // size + 1


def in_rows(function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor, rows: int) -> tuple[Tensor, ...]:
    """`function(*inputs)`, always so many rows at a time: a matrix product adds up in another order for others."""
    count = len(inputs[0])
    parts = []
    for start in range(0, count, rows):
        chosen = [one[start : start + rows] for one in inputs]
        missing = rows - len(chosen[0])
        parts.append(function(*(torch.cat([one, one[-1:].expand(missing, *one.shape[1:])]) for one in chosen)))
    return tuple(torch.cat(kind)[:count] for kind in zip(*parts, strict=True))
