"""A query tower over overlapping windows of one stretch of letters, with the work that they share done once.

The tower's first stages see a few letters at a time, so a letter gives the same numbers in every window that holds it.
Only two things tell windows apart there: where pooling begins, which is the window's start modulo the pooling, and the
positions next to the window's two ends, which see padding instead of the letters beyond. So the stretch is computed
once for each start modulo the stem's pooling and pooled once for each start modulo that of the first block; of each
window a few letters at its ends are computed by themselves, and the rest is a slice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from seqexpr.models.perceiver import QueryTower, TowerBlock

_WORTH_SHARING = 0.5
"""Share of all letters of the windows that sharing may compute; above, every window is computed by itself."""


class SharedTower:
    """A query tower for windows of its full length, at any offsets of a stretch.

    Args:
        tower: in evaluation, on any device.
    """

    def __init__(self, tower: QueryTower) -> None:
        config = tower.config
        self._tower = tower
        self._length = config.query_length
        self._blocks = min(1, len(config.tower_channels))
        self._block = cast("TowerBlock", next(iter(tower.blocks), None))
        self._pool = config.tower_pool if self._blocks else 1
        self._stride = config.stem_pool * self._pool
        """Letters from one shared position to the next."""
        self._positions = self._length // config.stem_pool // self._pool
        first = -(-(config.stem_kernel // 2) // config.stem_pool)
        if self._blocks:
            first = -(-(first + config.tower_kernel // 2) // self._pool)
        self._first = first
        """Shared positions before it see the padding before a window."""
        self._end = min(self._end_of(self._length), self._positions)
        """Shared positions from here on see the padding behind a window."""
        self._head = next(
            (n for n in range(0, self._length, config.stem_pool) if self._end_of(n) >= first), self._length
        )
        """Letters that give a window's first positions."""
        self._tail = (self._end - first) * self._stride if self._end < self._positions else self._length
        """Where the letters begin that give its last positions."""

    def pays(self, letters: int, offsets: list[int]) -> bool:
        """Whether sharing among windows at these offsets of a stretch of so many letters saves work."""
        if self._first >= self._end or self._head >= self._length:
            return False
        phases = len({offset % self._tower.config.stem_pool for offset in offsets})
        ends = len(offsets) * (self._head + self._length - self._tail)
        return phases * letters + ends <= _WORTH_SHARING * len(offsets) * self._length

    def windows(self, stretch: Tensor, offsets: list[int]) -> SharedWindows:
        """Do the shared work for windows at these offsets, all of which lie inside the stretch.

        Args:
            stretch: uint8 (letters,), on the tower's device.
            offsets: of the windows' first letters.
        """
        pool = self._tower.config.stem_pool
        phases = sorted({offset % pool for offset in offsets})
        shifts = sorted({offset % self._stride // pool for offset in offsets})
        row = -(-len(stretch) // pool) * pool
        padded = functional.pad(stretch, (0, row + pool - len(stretch)))
        x = self._tower.first_stage(torch.stack([padded[phase : phase + row] for phase in phases]))
        if self._blocks:
            block = self._block
            x = block.before_pool(x)  # (phases, positions of the stem, channels)
            pooled = -(-x.shape[1] // self._pool) * self._pool
            x = functional.pad(x, (0, 0, 0, pooled + self._pool - x.shape[1]))
            x = torch.cat([block.pool(x[:, shift : shift + pooled]) for shift in shifts])
        rows = [shifts.index(at % self._stride // pool) * len(phases) + phases.index(at % pool) for at in offsets]
        return SharedWindows(self, stretch, offsets, x, rows)

    def _end_of(self, letters: int) -> int:
        """Shared positions of so many letters that do not see what is behind them."""
        config = self._tower.config
        end = (letters - config.stem_kernel // 2) // config.stem_pool
        return (end - config.tower_kernel // 2) // self._pool if self._blocks else end

    def _shared_stages(self, tokens: Tensor) -> Tensor:
        """The stages that windows share, of letters by themselves."""
        x = self._tower.first_stage(tokens)
        return self._block(x) if self._blocks else x


class SharedWindows:
    """Windows of a stretch whose shared work is done; `SharedTower.windows` makes it."""

    def __init__(
        self, shared: SharedTower, stretch: Tensor, offsets: list[int], table: Tensor, rows: list[int]
    ) -> None:
        self._shared, self._table = shared, table
        self._rows = torch.tensor(rows, device=stretch.device)
        self._starts = torch.tensor(offsets, device=stretch.device)
        self._letters = stretch.unfold(0, shared._length, 1)  # (places, length): a view

    def tokens(self, chosen: slice) -> Tensor:
        """The letters of some of the windows: uint8 (windows, length)."""
        return self._letters[self._starts[chosen]]

    def tower(self, chosen: slice) -> Tensor:
        """What the tower makes of them: (windows, query_positions, channels)."""
        shared, starts = self._shared, self._starts[chosen]
        tokens = self.tokens(chosen)
        middle = torch.arange(shared._first, shared._end, device=starts.device)
        parts = [self._table[self._rows[chosen, None], starts[:, None] // shared._stride + middle]]
        if shared._first:
            parts.insert(0, shared._shared_stages(tokens[:, : shared._head])[:, : shared._first])
        if shared._end < shared._positions:
            parts.append(shared._shared_stages(tokens[:, shared._tail :])[:, shared._first :])
        return shared._tower.later_stages(torch.cat(parts, dim=1), done=shared._blocks)
