"""Sequences without labels for the teacher stage: places in unlabelled DNA, and the dataset's own genes.

A teacher answers for any sequence, so a student need never see one twice. What a step reads is drawn from the seed and
the number of the step alone: a stage that is resumed goes on as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seqexpr.errors import UsageError
from seqexpr.sequences.alphabet import DNA, reverse_complement

_C, _G = (int(token) for token in DNA.encode("CG"))

_TWIN_SD = 200
"""Standard deviation in bp of the middle of a twin's changed stretch around the TSS."""
_TWIN_LENGTHS = (10, 200)
"""Shortest and longest changed stretch of a twin, bp."""
_TWIN_SHARE = 0.3
"""Share of the letters of a twin's stretch that are replaced."""

_LONG_GAP = 100
"""Unknown letters in a row that no window of unlabelled DNA holds."""

_CHUNK = 1 << 22
"""Letters of a contig in which CpG pairs are counted at once."""


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """Which windows a teacher is asked about."""

    random_share: float = 0.25
    """Share of the windows, twins apart, at random places of the unlabelled DNA."""
    island_share: float = 0.25
    """Share of the windows, twins apart, at places of the unlabelled DNA that are rich in CpG around the TSS, as most
    promoters are."""
    island_pairs: int = 36
    """CpG pairs that such a window holds around its TSS at least."""
    island_span: int = 600
    """bp around the TSS in which they are counted."""
    tss_sd: float = 300.0
    """Standard deviation of the shift of the other windows, bp; they lie around the TSSs of the dataset's own genes."""
    reverse_share: float = 0.25
    """Share of all windows that are reverse complemented."""
    most_substituted: float = 0.06
    """Largest share of a window's letters that are replaced at random; each window's own lies between 0 and this."""
    twin_share: float = 0.125
    """Share of the windows that are copies of others in the step with a stretch near the TSS changed: such pairs teach
    what a change of sequence does."""


class Windows(Protocol):
    """What is read of a `PreparedDataset`."""

    upstream: int
    downstream: int

    def __len__(self) -> int:
        """Number of genes."""

    def dna(self, indices: np.ndarray, upstream: int, downstream: int) -> np.ndarray:
        """Windows as uint8 tokens (n, upstream + downstream)."""


class UnlabelledDna:
    """Contigs without labels, and the places in them where a window fits.

    Args:
        contigs: uint8 tokens of each; long stretches of unknown letters part them.
        upstream: bp of a window before the TSS.
        downstream: bp from the TSS on.
        settings: which places are rich in CpG.

    Raises:
        UsageError: no contig is as long as a window.
    """

    def __init__(self, contigs: Iterable[np.ndarray], upstream: int, downstream: int, settings: DrawSettings) -> None:
        self.length = upstream + downstream
        pieces = (piece for contig in contigs for piece in _known_pieces(contig))
        self._contigs = [piece for piece in pieces if len(piece) >= self.length]
        if not self._contigs:
            raise UsageError(f"no known stretch of the unlabelled DNA is as long as a window, {self.length:,} bp")
        ends = np.cumsum([len(contig) for contig in self._contigs])
        self._starts = np.concatenate([[0], ends[:-1]])
        """Of each contig, as if they lay one behind the other."""
        self._everywhere = _Places(np.stack([self._starts, ends - self.length + 1], axis=1))
        rich = [
            _rich_places(contig, upstream, self.length, settings) + start
            for contig, start in zip(self._contigs, self._starts, strict=True)
        ]
        self._islands = _Places(np.concatenate(rich))

    @property
    def islands(self) -> int:
        """Number of places that are rich in CpG."""
        return len(self._islands)

    def draw(self, count: int, generator: np.random.Generator, *, islands: bool = False) -> np.ndarray:
        """Windows at random places, or at random places rich in CpG: uint8 (count, length)."""
        places = (self._islands if islands else self._everywhere).draw(count, generator)
        contigs = np.searchsorted(self._starts, places, side="right") - 1
        windows = np.empty((count, self.length), np.uint8)
        for row, contig, first in zip(windows, contigs.tolist(), places - self._starts[contigs], strict=True):
            row[:] = self._contigs[contig][first : first + self.length]
        return windows


def _known_pieces(contig: np.ndarray) -> Iterator[np.ndarray]:
    """What lies between the long stretches of unknown letters: centromeres and gaps teach nothing."""
    unknown = np.concatenate([[False], contig == 0, [False]])
    edges = np.flatnonzero(unknown[1:] != unknown[:-1]).reshape(-1, 2)
    start = 0
    for begin, end in edges[edges[:, 1] - edges[:, 0] >= _LONG_GAP].tolist():
        yield contig[start:begin]
        start = end
    yield contig[start:]


class _Places:
    """Half-open intervals of positions, int64 (n, 2), drawn from as one set."""

    def __init__(self, intervals: np.ndarray) -> None:
        self._starts = intervals[:, 0]
        self._ends = np.cumsum(intervals[:, 1] - intervals[:, 0])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def draw(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Positions, int64 (count,)."""
        number = generator.integers(0, len(self), count)
        interval = np.searchsorted(self._ends, number, side="right")
        before = np.where(interval > 0, self._ends[interval - 1], 0)
        return self._starts[interval] + number - before


def _rich_places(contig: np.ndarray, upstream: int, length: int, settings: DrawSettings) -> np.ndarray:
    """Intervals of first letters of windows with enough CpG pairs around their TSS: int64 (n, 2), half-open."""
    places, span = len(contig) - length + 1, settings.island_span
    left, right = max(upstream - span // 2, 0), min(upstream + span - span // 2, length)
    edges = [np.empty(0, np.int64)]
    open_at_end = False
    for start in range(0, places, _CHUNK):
        stop = min(start + _CHUNK, places)
        middle = contig[start + left : stop - 1 + right]  # all middles of these windows
        pairs = np.concatenate([[0], np.cumsum((middle[:-1] == _C) & (middle[1:] == _G), dtype=np.int32)])
        count = stop - start
        held = pairs[right - left - 1 : right - left - 1 + count] - pairs[:count]
        rich = np.concatenate([[open_at_end], held >= settings.island_pairs])
        edges.append(np.flatnonzero(rich[1:] != rich[:-1]) + start)
        open_at_end = bool(rich[-1])
    if open_at_end:
        edges.append(np.array([places]))
    return np.concatenate(edges).reshape(-1, 2)


@dataclass(frozen=True)
class Drawn:
    """The windows of one step."""

    windows: np.ndarray
    """uint8 (n, length)"""
    twins: int
    """How many of the last windows are changed copies of as many of the first, in the same order."""


class WindowDraw:
    """Draws the windows of each step.

    Args:
        settings: of the draw.
        genes: whose windows are shifted at random, as far as they are wider than what is read.
        unlabelled: DNA without labels; without it all windows are those of genes.
        upstream: bp that are read before the TSS.
        downstream: bp from the TSS on.
        seed: of everything random.
    """

    def __init__(
        self,
        settings: DrawSettings,
        genes: Windows,
        unlabelled: UnlabelledDna | None,
        upstream: int,
        downstream: int,
        seed: int,
    ) -> None:
        self.settings, self.genes, self.unlabelled = settings, genes, unlabelled
        self.upstream, self.downstream, self.seed = upstream, downstream, seed

    def draw(self, step: int, count: int) -> Drawn:
        """The `count` windows of step number `step`."""
        settings, generator = self.settings, np.random.default_rng([self.seed, 3, step])
        twins = min(_in_step(settings.twin_share * count, step), count // 2)
        windows = self._fresh(step, count - twins, generator)
        generator.shuffle(windows)
        flipped = generator.random(len(windows)) < settings.reverse_share
        windows[flipped] = reverse_complement(windows[flipped])
        share = generator.random(len(windows)) * settings.most_substituted
        substitute(windows, generator.random(windows.shape, dtype=np.float32) < share[:, None], generator)
        changed = windows[:twins].copy()
        substitute(changed, self._stretches(twins, generator), generator)
        return Drawn(np.concatenate([windows, changed]), twins)

    def _fresh(self, step: int, count: int, generator: np.random.Generator) -> np.ndarray:
        """Windows as they are in the genome: at random places, then rich in CpG, then around the dataset's genes."""
        settings, parts, elsewhere = self.settings, [], 0
        if self.unlabelled is not None:
            elsewhere = _in_step((settings.random_share + settings.island_share) * count, step)
            random = min(_in_step(settings.random_share * count, step), elsewhere)
            parts += [
                self.unlabelled.draw(number, generator, islands=islands)
                for number, islands in ((random, False), (elsewhere - random, True))
                if number
            ]
        parts.append(self._around_genes(count - elsewhere, generator))
        return np.concatenate(parts)

    def _around_genes(self, count: int, generator: np.random.Generator) -> np.ndarray:
        genes = self.genes
        chosen = generator.integers(0, len(genes), count)
        shifts = np.rint(generator.normal(0, self.settings.tss_sd, count)).astype(int)
        # Not further than the dataset's windows reach.
        shifts = shifts.clip(self.downstream - genes.downstream, genes.upstream - self.upstream)
        windows = np.empty((count, self.upstream + self.downstream), np.uint8)
        for row, shift in enumerate(shifts.tolist()):
            windows[row] = genes.dna(chosen[row : row + 1], self.upstream + shift, self.downstream - shift)[0]
        return windows

    def _stretches(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Which letters of each twin are replaced: bool (count, letters)."""
        middle = self.upstream + generator.normal(0, _TWIN_SD, count)
        half = generator.integers(*_TWIN_LENGTHS, count, endpoint=True) / 2
        place = np.arange(self.upstream + self.downstream)
        within = np.abs(place - middle[:, None]) <= half[:, None]
        return within & (generator.random(within.shape, dtype=np.float32) < _TWIN_SHARE)


def _in_step(number: float, step: int) -> int:
    """How many of something there are in a step, of which there are `number` on average: a share of few windows too."""
    return math.floor(number * step) - math.floor(number * (step - 1))


def substitute(windows: np.ndarray, where: np.ndarray, generator: np.random.Generator) -> None:
    """Replace the known letters at `where`, bool of the shape of `windows`, by one of the other three, in place."""
    letters = len(DNA.letters)
    rows, places = np.nonzero(where)
    before = windows[rows, places].astype(np.int64)
    other = (before - 1 + generator.integers(1, letters, len(before))) % letters + 1
    windows[rows, places] = np.where(before > 0, other, 0)
