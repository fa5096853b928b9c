"""DNA of genes as a stream of windows: from a FASTA of windows, or cut from a genome at each TSS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from seqexpr.errors import InputError, UsageError
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.fasta import FastaRecord, read_fasta
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Tss, place_window

DEFAULT_UPSTREAM = 10_000
DEFAULT_DOWNSTREAM = 10_000


@dataclass
class DnaCounts:
    """What happened to the letters of the windows that were kept."""

    padded_windows: int = 0
    padded_bases: int = 0
    unknown_bases: int = 0
    cropped_bases: int = 0

    def add(self, window: np.ndarray, padded: int, cropped: int) -> None:
        """Count one window, of which `padded` bases lie off the sequence and `cropped` were left away."""
        self.padded_windows += padded > 0
        self.padded_bases += padded
        self.unknown_bases += int(np.count_nonzero(window == 0)) - padded
        self.cropped_bases += cropped


class WindowFasta:
    """Windows from FASTA records, with the TSS boundary at a stated offset.

    Args:
        path: FASTA file, or "-".
        tss_at: offset of the TSS boundary in every record, or "center" for its middle (length // 2). None: a
            record is a window as it stands, `upstream` + `downstream` long.
        upstream, downstream: the window to store. None: 10,000 each; with `tss_at`, what record 1 has.

    Raises:
        InputError: the FASTA is bad, or a record's length is not as stated above.
        UsageError: the window holds no letters.
    """

    def __init__(
        self,
        path: str | Path,
        tss_at: int | Literal["center"] | None = None,
        upstream: int | None = None,
        downstream: int | None = None,
    ) -> None:
        self.counts = DnaCounts()
        self.ids: list[str] = []
        self._path = path
        self._tss_at = tss_at
        self._sized = upstream is not None or downstream is not None
        records = read_fasta(path)
        first = next(records)
        self._records = chain([first], records)
        self._first_length = len(first.sequence)
        held = (DEFAULT_UPSTREAM, DEFAULT_DOWNSTREAM)
        if tss_at is not None:
            boundary = self._boundary(first)
            held = (boundary, self._first_length - boundary)
        self.upstream = held[0] if upstream is None else upstream
        self.downstream = held[1] if downstream is None else downstream
        check_window(self.upstream, self.downstream, tss_at)

    def stream(self, clean: Callable[[str], str], wanted: Callable[[str], bool]) -> Iterator[tuple[str, np.ndarray]]:
        """Id and window, uint8 (upstream + downstream,), of each record whose cleaned id is wanted, once."""
        for record in self._records:
            gene = clean(record.id)
            self.ids.append(gene)
            self._check_length(record)
            if wanted(gene):
                tokens = DNA.encode(record.sequence, file=self._path, record=repr(record.id))
                boundary = self.upstream if self._tss_at is None else self._boundary(record)
                window, padded = place_window(tokens, boundary, self.upstream, self.downstream)
                self.counts.add(window, padded, len(tokens) - (len(window) - padded))
                yield gene, window

    def _boundary(self, record: FastaRecord) -> int:
        length = len(record.sequence)
        boundary = length // 2 if self._tss_at == "center" else int(self._tss_at or 0)
        if not 0 <= boundary <= length:
            raise InputError(
                self._path,
                record=repr(record.id),
                found=f"{length} bp",
                expected=f"at least {boundary} bp, since --tss-at says where the TSS boundary lies",
            )
        return boundary

    def _check_length(self, record: FastaRecord) -> None:
        length = len(record.sequence)
        if self._tss_at is None and length != self.upstream + self.downstream:
            DNA.encode(record.sequence, file=self._path, record=repr(record.id))  # a protein is told as one
            raise InputError(
                self._path,
                record=repr(record.id),
                found=f"{length} bp",
                expected=f"{self.upstream + self.downstream} bp ({self.upstream} upstream, {self.downstream} "
                "downstream); for other lengths say --tss-at N or --tss-at center",
            )
        if self._tss_at is not None and not self._sized and length != self._first_length:
            raise InputError(
                self._path,
                record=repr(record.id),
                found=f"{length} bp",
                expected=f"{self._first_length} bp as the first record; to crop and pad to one length say "
                "--upstream N --downstream N",
            )


class GenomeWindows:
    """Windows cut from a genome at each TSS, strand-oriented; what lies off the chromosome is padded.

    Raises:
        InputError: a contig that the genome lacks, or a TSS outside its contig.
    """

    def __init__(self, genome: Genome, tss: Sequence[Tss], upstream: int | None, downstream: int | None) -> None:
        self.counts = DnaCounts()
        self.ids: list[str] = []
        self.upstream = DEFAULT_UPSTREAM if upstream is None else upstream
        self.downstream = DEFAULT_DOWNSTREAM if downstream is None else downstream
        self._genome = genome
        self._tss = tss

    def stream(self, clean: Callable[[str], str], wanted: Callable[[str], bool]) -> Iterator[tuple[str, np.ndarray]]:
        """Id and window, uint8 (upstream + downstream,), of each TSS whose cleaned id is wanted, in order."""
        for tss in self._tss:
            gene = clean(tss.id)
            self.ids.append(gene)
            if wanted(gene):
                window = self._genome.window(tss, self.upstream, self.downstream)
                self.counts.add(window, self._genome.padded(tss, self.upstream, self.downstream), 0)
                yield gene, window


def check_window(upstream: int | None, downstream: int | None, tss_at: int | str | None) -> None:
    """Check the options that place windows.

    Raises:
        UsageError: a negative length or offset, or a window of no letters.
    """
    for name, value in (("--upstream", upstream), ("--downstream", downstream), ("--tss-at", tss_at)):
        if isinstance(value, int) and value < 0:
            raise UsageError(f"{name} {value}: must be at least 0")
    if isinstance(tss_at, str) and tss_at != "center":
        raise UsageError(f"--tss-at {tss_at}: must be a number or 'center'")
    if upstream == 0 and downstream == 0:
        raise UsageError("--upstream 0 --downstream 0 leaves a window of no letters")
