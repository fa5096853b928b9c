"""What substitutions of single letters do to the level of one gene."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from seqexpr.effects.letters import BASES, Letters
from seqexpr.errors import UsageError
from seqexpr.sequences.windows import Interval

_REGION = re.compile(r"(?P<start>[+-]?[0-9]{1,12}):(?P<end>[+-]?[0-9]{1,12})", re.ASCII)


@dataclass(frozen=True)
class Region:
    """A part of a sequence. In DNA 0 is the first transcribed base and upstream is negative; the first residue of a
    protein is 1."""

    start: int
    end: int
    """The letter behind the last one."""

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise UsageError(f"--region {self}: its end is not behind its start")

    def __str__(self) -> str:
        return f"{self.start}:{self.end}"

    def __len__(self) -> int:
        return self.end - self.start


def parse_region(text: str | None) -> Region | None:
    """Read the value of --region, such as "-300:+100"; None for the whole sequence.

    >>> parse_region("-300:+100")
    Region(start=-300, end=100)

    Raises:
        UsageError: it is no region.
    """
    if text is None:
        return None
    match = _REGION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--region {text}: not START:END, such as -300:+100 in bases from the TSS, or 1:51 in residues of a protein"
        )
    return Region(int(match["start"]), int(match["end"]))


@dataclass(frozen=True)
class GeneEffects:
    """What substitutions of single letters do to the level of one gene."""

    id: str
    symbol: str
    """"" where it is not known."""
    interval: Interval | None
    """Where the region lies in the genome; None for sequences that come as they are. It may go on beyond the ends of
    its contig: on a circular one over the origin, on a linear one as padding."""
    contig_length: int
    """Of the interval's contig; 0 where there is none."""
    first: int
    """Place of the region's first letter: in DNA 0 is the first transcribed base and upstream is negative; the first
    residue of a protein is 1."""
    tokens: np.ndarray
    """uint8 (length,), 5' to 3' on the gene's strand, or from the N- to the C-terminus."""
    level: float
    """What is predicted of the gene as it is."""
    deltas: np.ndarray
    """float32 (letters, length): the level with each of `letters` at a position minus `level`; 0 for the letter that is
    there, NaN where no letter is known."""
    output: str
    unit: str
    circular: bool = False
    """Whether the interval's contig is circular."""
    letters: Letters = BASES
    """What is substituted; the rows of `deltas`."""

    @property
    def support(self) -> np.ndarray:
        """float32 (length,): minus the mean of a position's deltas. Letters that hold the level up are positive."""
        return -self.deltas.sum(axis=0) / self.letters.count(self.tokens).astype(np.float32)

    @property
    def places(self) -> np.ndarray:
        """int64 (length,): place of each letter, counted as `first` is."""
        return self.first + np.arange(len(self.tokens))

    @property
    def genomic(self) -> np.ndarray:
        """int64 (length,): 0-based place of each letter on its contig; outside it for padding beyond a linear one.

        Raises:
            ValueError: the sequence was not cut from a genome.
        """
        if self.interval is None:
            raise ValueError(f"{self.id} was not cut from a genome")
        offsets = np.arange(len(self.tokens), dtype=np.int64)
        plus = self.interval.strand == "+"
        places = self.interval.start + offsets if plus else self.interval.end - 1 - offsets
        return places % self.contig_length if self.circular else places

    @property
    def named(self) -> str:
        """What a person calls the gene: its symbol and id, or the id alone."""
        return f"{self.symbol} ({self.id})" if self.symbol and self.symbol != self.id else self.id
