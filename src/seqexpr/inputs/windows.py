"""Read DNA windows around TSSs by one rule for all commands: from a FASTA of them, or cut from a genome at each TSS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from seqexpr.errors import InputError, UsageError
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.fasta import FastaRecord, read_fasta
from seqexpr.sequences.windows import Tss, place_window

logger = logging.getLogger(__name__)

DEFAULT_UPSTREAM = 10_000
DEFAULT_DOWNSTREAM = 10_000

TssAt = int | Literal["center"]
"""Offset of the TSS boundary in a record, or its middle (length // 2)."""

_MOST_DIGITS = 19

MOST_MISSING = 0.5
"""Share of the genes that may lie on contigs which the genome lacks, and are then left out with a warning."""


def parse_tss_at(text: str | None) -> TssAt | None:
    """Read the value of --tss-at.

    Raises:
        UsageError: neither a whole number of at least 0 nor "center".
    """
    if text is None or text == "center":
        return "center" if text else None
    if text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS:
        return int(text)
    raise _no_offset(text)


def check_tss_at(tss_at: TssAt | str | None) -> None:
    """Check an offset that does not come as text.

    Raises:
        UsageError: neither a number of at least 0 nor "center".
    """
    if tss_at is not None and tss_at != "center" and (not isinstance(tss_at, Integral) or tss_at < 0):
        raise _no_offset(tss_at)


def _no_offset(given: object) -> UsageError:
    return UsageError(f"--tss-at {given}: neither an offset of at least 0 nor 'center'")


@dataclass
class DnaCounts:
    """What happened to the letters of the windows that were kept."""

    padded_windows: int = 0
    """Windows that stick out of their sequence."""
    padded_bases: int = 0
    unknown_bases: int = 0
    cropped_bases: int = 0
    unknown_windows: int = 0
    """Windows with letters other than A, C, G, T."""
    cropped_records: int = 0
    """FASTA records of which a part lies outside the window."""
    missing_contigs: int = 0
    """Genes left out because the genome lacks their contig."""
    contig_aliases: dict[str, str] = field(default_factory=dict)
    """Contig names as annotated -> as the genome spells them."""

    def add(self, window: np.ndarray, padded: int, cropped: int) -> None:
        """Count one window: `padded` of its bases lie off the sequence, `cropped` of the sequence's off the window."""
        unknown = len(window) - int(np.count_nonzero(window)) - padded
        self.padded_windows += padded > 0
        self.padded_bases += padded
        self.unknown_windows += unknown > 0
        self.unknown_bases += unknown
        self.cropped_records += cropped > 0
        self.cropped_bases += cropped

    def describe(self) -> list[str]:
        """What was changed, each in a few words; nothing where all was used as given."""
        said = []
        if self.cropped_records:
            said.append(f"{_plural(self.cropped_records, 'record')} cropped to the window")
        if self.padded_windows:
            said.append(f"{_plural(self.padded_windows, 'window')} padded ({_plural(self.padded_bases, 'base')})")
        if self.unknown_windows:
            said.append(f"{_plural(self.unknown_bases, 'unknown base')} in {_plural(self.unknown_windows, 'window')}")
        if self.missing_contigs:
            said.append(f"{_plural(self.missing_contigs, 'gene')} on contigs that the genome lacks left out")
        if self.contig_aliases:
            name, alias = next(iter(self.contig_aliases.items()))
            contigs = len(set(self.contig_aliases.values()))
            said.append(f"{_plural(contigs, 'contig')} found under another name ({name} as {alias})")
        return said


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class Sequences(Protocol):
    """What windows are cut from: a genome, or the records of a GenBank file."""

    path: Path
    aliases: dict[str, str]

    def find(self, name: str) -> str | None:
        """The own name of a contig, or None."""

    def placed_window(self, tss: Tss, upstream: int, downstream: int) -> tuple[np.ndarray, int]:
        """The window around a TSS, and how many of its bases are padding."""

    def check_inside(self, tss: Tss) -> None:
        """Raise InputError for a TSS outside its contig."""


def _same(name: str) -> str:
    return name


def _all(_: str) -> bool:
    return True


def _unseen(_: bytes) -> None:
    pass


class FastaWindows:
    """Windows from FASTA records, with the TSS boundary at a stated offset.

    Args:
        path: FASTA file, or "-".
        tss_at: offset of the TSS boundary in every record, or "center". It holds for every record, whatever its
            length. None: a record is a window as it stands, `upstream` + `downstream` long.
        upstream, downstream: the window. None: 10,000 each; with `tss_at`, what record 1 has, and then all records must
            have its length.
        records: the records, where they are in memory; `path` then names them in messages.

    Raises:
        InputError: the FASTA is bad, or a record's length is not as stated above.
        UsageError: the window holds no letters.
    """

    def __init__(
        self,
        path: str | Path,
        tss_at: TssAt | None = None,
        upstream: int | None = None,
        downstream: int | None = None,
        records: Iterable[FastaRecord] | None = None,
    ) -> None:
        check_tss_at(tss_at)
        self.counts = DnaCounts()
        self.ids: list[str] = []
        self.watch: Callable[[bytes], None] = _unseen
        """Is shown the letters of each record, wanted or not."""
        self._path = path
        self._tss_at = tss_at
        self._first_length: int | None = None
        self._records = read_fasta(path) if records is None else iter(records)
        held = (DEFAULT_UPSTREAM, DEFAULT_DOWNSTREAM)
        if tss_at is not None and (upstream is None or downstream is None):
            first = next(self._records)
            self._records = chain([first], self._records)
            boundary = self._boundary(first)
            held = (boundary, len(first.sequence) - boundary)
            if upstream is None and downstream is None:
                self._first_length = len(first.sequence)
        self.upstream = held[0] if upstream is None else upstream
        self.downstream = held[1] if downstream is None else downstream
        check_window(self.upstream, self.downstream)

    def stream(
        self, clean: Callable[[str], str] = _same, wanted: Callable[[str], bool] = _all
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Id and window, uint8 (upstream + downstream,), of each record whose cleaned id is wanted, once."""
        for record in self._records:
            gene = clean(record.id)
            self.ids.append(gene)
            boundary = self._boundary(record)
            self.watch(record.sequence)
            if wanted(gene):
                tokens = DNA.encode(record.sequence, file=self._path, record=_named(record))
                window, padded = place_window(tokens, boundary, self.upstream, self.downstream)
                self.counts.add(window, padded, len(tokens) - (len(window) - padded))
                yield gene, window

    def _boundary(self, record: FastaRecord) -> int:
        """Offset of the TSS boundary in a record, whose length is checked."""
        length = len(record.sequence)
        if self._tss_at is None:
            if length == self.upstream + self.downstream:
                return self.upstream
            DNA.encode(record.sequence, file=self._path, record=_named(record))  # so that a protein is reported as such
            raise InputError(
                self._path,
                record=_named(record),
                found=f"{length:,} bp",
                expected=f"a window of exactly {self.upstream + self.downstream:,} bp, {self.upstream:,} of them "
                "before the TSS, or --tss-at N|center to say where the TSS lies in every record",
            )
        boundary = length // 2 if self._tss_at == "center" else self._tss_at
        if boundary > length:
            raise InputError(
                self._path,
                record=_named(record),
                found=f"{length:,} bp",
                expected=f"at least {boundary:,} bp, because of --tss-at {boundary}",
            )
        if self._first_length not in (None, length):
            raise InputError(
                self._path,
                record=_named(record),
                found=f"{length:,} bp",
                expected=f"{self._first_length:,} bp as the first record; to crop and pad to one length give "
                "--upstream N --downstream N",
            )
        return boundary


def _named(record: FastaRecord) -> str:
    return f"record {record.number:,} {record.id!r}"


class CutWindows:
    """Windows cut from a genome at each TSS, strand-oriented; what lies off the contig is padded.

    Args:
        sequences: what they are cut from.
        sites: where.
        upstream, downstream: the window; None: 10,000 each.
        skip_missing: leave out genes on contigs that the genome lacks, however many. Else they are left out with a
            warning where they are at most half of all; where they are more, this is another genome: an error.

    Raises:
        InputError: before anything is read: contigs that the genome lacks, or a TSS outside its contig.
    """

    def __init__(
        self,
        sequences: Sequences,
        sites: Sequence[Tss],
        upstream: int | None = None,
        downstream: int | None = None,
        *,
        skip_missing: bool = False,
    ) -> None:
        self.counts = DnaCounts()
        self.ids: list[str] = []
        self.upstream = DEFAULT_UPSTREAM if upstream is None else upstream
        self.downstream = DEFAULT_DOWNSTREAM if downstream is None else downstream
        self._sequences = sequences
        self.sites = self._present(sites, skip_missing)
        for site in self.sites:
            sequences.check_inside(site)
        self.counts.contig_aliases = sequences.aliases

    def stream(
        self, clean: Callable[[str], str] = _same, wanted: Callable[[str], bool] = _all
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Id and window, uint8 (upstream + downstream,), of each TSS whose cleaned id is wanted, in order."""
        for site in self.sites:
            gene = clean(site.id)
            self.ids.append(gene)
            if wanted(gene):
                window, padded = self._sequences.placed_window(site, self.upstream, self.downstream)
                self.counts.add(window, padded, 0)
                yield gene, window

    def _present(self, sites: Sequence[Tss], skip_missing: bool) -> Sequence[Tss]:
        found: dict[str, bool] = {}
        for site in sites:
            if site.chrom not in found:
                found[site.chrom] = self._sequences.find(site.chrom) is not None
        missing = [name for name, present in found.items() if not present]
        if not missing:
            return sites
        kept = [site for site in sites if found[site.chrom]]
        left_out = len(sites) - len(kept)
        contigs = f"{'contig' if len(missing) == 1 else f'{len(missing):,} contigs, for instance'} {missing[0]!r}"
        what = f"{left_out:,} of {len(sites):,} genes on {contigs}"
        if not kept or (left_out > MOST_MISSING * len(sites) and not skip_missing):
            way_out = "; --skip-missing-contigs leaves such genes out" if kept else ""
            raise InputError(
                self._sequences.path,
                found=f"no sequence for {what}",
                expected=f"the contigs of the annotation{way_out}",
            )
        logger.warning("%s: no sequence for %s: left out", self._sequences.path, what)
        self.counts.missing_contigs = left_out
        return kept


def check_window(upstream: int | None, downstream: int | None) -> None:
    """Check the options that give the window's length.

    Raises:
        UsageError: a negative length, or a window of no letters.
    """
    for name, value in (("--upstream", upstream), ("--downstream", downstream)):
        if value is not None and value < 0:
            raise UsageError(f"{name} {value}: must be at least 0")
    if upstream == 0 and downstream == 0:
        raise UsageError("--upstream 0 --downstream 0 leaves a window of no letters")
