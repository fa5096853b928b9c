"""Windows around the TSS: the one place where strand arithmetic lives.

Coordinates are 0-based and half-open. The TSS *boundary* lies between two bases: the first transcribed base
is to its right on the + strand and to its left on the - strand. So a window is [b - up, b + down) on + and
[b - down, b + up), reverse complemented, on -, and the boundary is at offset `upstream` of it on both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from seqexpr.sequences.alphabet import PAD

STRANDS = ("+", "-")

# The name is greedy, because contigs such as HLA-A*01:01:01:01 hold colons themselves.
_INTERVAL = re.compile(r"(?P<chrom>\S+):(?P<start>-?[0-9]+)-(?P<end>-?[0-9]+)(?::(?P<strand>[+-]))?")


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """A stretch of one strand of a contig, 0-based half-open; it may stick out of the contig."""

    chrom: str
    start: int
    end: int
    strand: str = "+"

    def __post_init__(self) -> None:
        if self.chrom.split() != [self.chrom]:
            raise ValueError(f"contig name {self.chrom!r} is empty or holds white space")
        if self.end < self.start:
            raise ValueError(f"interval ends at {self.end} before its start {self.start}")
        _check_strand(self.strand)

    @classmethod
    def parse(cls, text: str) -> Interval:
        """The interval that "chr1:100-200:+" names; the strand may be left out and is + then.

        Raises:
            ValueError: the text is not an interval.
        """
        match = _INTERVAL.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not an interval such as chr1:100-200:+")
        return cls(match["chrom"], int(match["start"]), int(match["end"]), match["strand"] or "+")

    def __str__(self) -> str:
        return f"{self.chrom}:{self.start}-{self.end}:{self.strand}"

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def five_prime(self) -> int:
        """The boundary at the 5' end: where a transcript that fills this interval starts."""
        return self.start if self.strand == "+" else self.end

    def clip(self, length: int) -> Interval:
        """The part inside a contig of `length` bases; empty when there is none."""
        start = min(max(self.start, 0), length)
        return Interval(self.chrom, start, min(max(self.end, start), length), self.strand)

    def overhang(self, length: int) -> int:
        """The number of this interval's bases outside a contig of `length` bases."""
        return len(self) - len(self.clip(length))


@dataclass(frozen=True, slots=True)
class Tss:
    """The transcription start site of one gene."""

    id: str
    chrom: str
    boundary: int
    """0-based: on + the position of the first transcribed base, on - that position + 1."""
    strand: str
    symbol: str = ""
    aliases: tuple[str, ...] = field(default=(), compare=False)
    """Other names by which a user may ask for the gene."""

    def __post_init__(self) -> None:
        _check_strand(self.strand)

    @property
    def first_base(self) -> int:
        """The 0-based position of the first transcribed base."""
        return self.boundary if self.strand == "+" else self.boundary - 1

    def window(self, upstream: int, downstream: int) -> Interval:
        """The genomic interval of `upstream` + `downstream` bases around the boundary; may start below 0."""
        if self.strand == "+":
            return Interval(self.chrom, self.boundary - upstream, self.boundary + downstream, "+")
        return Interval(self.chrom, self.boundary - downstream, self.boundary + upstream, "-")

    def offset_in(self, interval: Interval) -> int:
        """The offset of the boundary in the strand-oriented letters of `interval`."""
        return self.boundary - interval.start if self.strand == "+" else interval.end - self.boundary


def merged_intervals(intervals: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ascending intervals; those that touch or overlap become one, such as a CDS and its stop codon."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def place_window(tokens: np.ndarray, tss_at: int, upstream: int, downstream: int) -> tuple[np.ndarray, int]:
    """Crop and pad a strand-oriented sequence around its TSS boundary.

    Args:
        tokens: uint8 (n,), 5' to 3'.
        tss_at: offset of the TSS boundary in `tokens`, 0 to n.
        upstream, downstream: bases before and after the boundary.

    Returns:
        The window, uint8 (upstream + downstream,), a copy; and how many of its bases are PAD because the
        sequence does not reach so far.

    Raises:
        ValueError: `tss_at` is outside the sequence.
    """
    if not 0 <= tss_at <= len(tokens):
        raise ValueError(f"TSS boundary at {tss_at:,} is outside a sequence of {len(tokens):,} bases")
    first, last = max(tss_at - upstream, 0), min(tss_at + downstream, len(tokens))
    window = np.full(upstream + downstream, PAD, dtype=np.uint8)
    at = first - (tss_at - upstream)
    window[at : at + last - first] = tokens[first:last]
    return window, len(window) - (last - first)


def _check_strand(strand: str) -> None:
    if strand not in STRANDS:
        raise ValueError(f"strand {strand!r} is neither + nor -")
