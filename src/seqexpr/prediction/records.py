"""From the user's files to a stream of records, each with what the models read.

Nothing here holds more than one record of a sequence file, with one exception: where windows and proteins
come from two files, records wait for their partner: memory grows with how differently the two are ordered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.half_life import read_half_life
from seqexpr.prediction.inputs import InputCounts, InputRecord, InputSources, ModelNeeds, Tokens
from seqexpr.sequences.alphabet import DNA, PROTEIN
from seqexpr.sequences.annotation import read_tss
from seqexpr.sequences.fasta import FastaRecord, read_fasta, uniprot_accession
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import place_window


def read_records(sources: InputSources, needs: ModelNeeds, counts: InputCounts) -> Iterator[InputRecord]:
    """The records that `sources` describe, in the order of the windows, else of the proteins.

    Args:
        sources: checked options.
        needs: what the models read.
        counts: filled while the stream runs.

    Raises:
        InputError: a file or a record is not as it should be; records before it have been yielded.
    """
    half_life = _HalfLife(sources, needs, counts)
    for name, dna, protein in _sequences(sources, needs, counts):
        counts.records += 1
        yield InputRecord(name, dna, protein, half_life.row(name))
    half_life.check_joined()


class _HalfLife:
    """Rows of the half-life table by id, counted; all unknown where there is none."""

    def __init__(self, sources: InputSources, needs: ModelNeeds, counts: InputCounts) -> None:
        self._counts = counts
        self._file = sources.half_life or "-"
        self._last = ""
        self._unknown = np.full(len(needs.half_life_names), np.nan)
        self._rows: dict[str, np.ndarray] | None = None
        if sources.half_life:
            table = read_half_life(
                sources.half_life, needs.half_life_names, z_scores=needs.half_life_scale == "z-scores"
            )
            self._rows = dict(zip(table.ids, table.values, strict=True))

    def row(self, name: str) -> np.ndarray | None:
        """float64 (8,), NaN = unknown, or None when no model reads half-life features."""
        if not len(self._unknown):
            return None
        if self._rows is None:
            return self._unknown
        self._last = name
        row = self._rows.get(name)
        self._counts.half_life_absent += row is None
        if row is None:
            return self._unknown
        self._counts.half_life_incomplete += bool(np.isnan(row).any())
        return row

    def check_joined(self) -> None:
        """At the stream's end: a table without a row for any record is a mistake.

        Raises:
            InputError: there are such a table and records.
        """
        if self._rows and 0 < self._counts.records == self._counts.half_life_absent:
            raise InputError(
                self._file,
                found=f"none of the {self._counts.records:,} records (for instance {self._last!r}) among its "
                f"{len(self._rows):,} ids (for instance {next(iter(self._rows))!r}), so 0 genes joined",
                expected="half-life features of the genes predicted",
            )


def _sequences(
    sources: InputSources, needs: ModelNeeds, counts: InputCounts
) -> Iterator[tuple[str, Tokens | None, Tokens | None]]:
    windows = _windows(sources, needs, counts)
    if not sources.proteins:
        yield from ((name, dna, None) for name, dna in windows)
        return
    proteins = _proteins(sources.proteins, needs, counts)
    if not sources.has_dna:
        yield from ((name, None, protein) for name, protein in proteins)
        return
    yield from pair_by_id(windows, proteins, sources, counts)


def _windows(sources: InputSources, needs: ModelNeeds, counts: InputCounts) -> Iterator[tuple[str, Tokens]]:
    if sources.fasta:
        return _fasta_windows(sources.fasta, sources.tss_at, needs, counts)
    return _genome_windows(sources, needs, counts)


def _fasta_windows(
    path: str, tss_at: int | Literal["center"] | None, needs: ModelNeeds, counts: InputCounts
) -> Iterator[tuple[str, Tokens]]:
    for record in read_fasta(path):
        name = _named(record)
        tokens = DNA.encode(record.sequence, file=path, record=name)
        if len(tokens) == needs.window_length:
            counts.windows_as_given += tss_at not in (None, needs.upstream)
            _count_window(counts, tokens, padded=0)
            yield record.id, tokens
            continue
        boundary = _boundary(len(tokens), tss_at, needs, path, name)
        window, padded = place_window(tokens, boundary, needs.upstream, needs.downstream)
        counts.cropped_records += len(tokens) > needs.window_length - padded
        _count_window(counts, window, padded)
        yield record.id, window


def _named(record: FastaRecord) -> str:
    return f"record {record.number:,} {record.id!r}"


def _boundary(length: int, tss_at: int | Literal["center"] | None, needs: ModelNeeds, path: str, name: str) -> int:
    """Offset of the TSS boundary in a FASTA record of `length` letters that is not exactly a window."""
    if tss_at is None:
        raise InputError(
            path,
            record=name,
            found=f"{length} letters",
            expected=f"a window of exactly {needs.window_length} ({needs.upstream} before the TSS and "
            f"{needs.downstream} from it on), or --tss-at N|center to say where the TSS lies",
        )
    boundary = length // 2 if tss_at == "center" else tss_at
    if boundary > length:
        raise InputError(
            path,
            record=name,
            found=f"{length} letters",
            expected=f"at least the {boundary} that --tss-at names",
        )
    return boundary


def _genome_windows(sources: InputSources, needs: ModelNeeds, counts: InputCounts) -> Iterator[tuple[str, Tokens]]:
    assert sources.genome and sources.tss
    sites = read_tss(sources.tss, sources.genes, window=needs.window_length)
    with Genome(sources.genome) as genome:
        counts.contig_aliases = genome.aliases
        for site in sites:
            window, padded = genome.placed_window(site, needs.upstream, needs.downstream)
            _count_window(counts, window, padded)
            yield site.id, window


def _count_window(counts: InputCounts, window: Tokens, padded: int) -> None:
    unknown = len(window) - int(np.count_nonzero(window)) - padded
    counts.padded_windows += padded > 0
    counts.padded_bases += padded
    counts.unknown_windows += unknown > 0
    counts.unknown_bases += unknown


def _proteins(path: str, needs: ModelNeeds, counts: InputCounts) -> Iterator[tuple[str, Tokens]]:
    for record in read_fasta(path):
        tokens = PROTEIN.encode(record.sequence, file=path, record=_named(record))
        counts.truncated_proteins += len(tokens) > needs.protein_length
        yield record.id, tokens[: needs.protein_length]


def pair_by_id(
    windows: Iterator[tuple[str, Tokens]],
    proteins: Iterator[tuple[str, Tokens]],
    sources: InputSources,
    counts: InputCounts,
) -> Iterator[tuple[str, Tokens, Tokens]]:
    """Each window with the protein of its id, in the windows' order.

    Both streams advance in step; a protein that comes before its window waits. A protein's UniProt accession
    stands for its id too, so `sp|O43657|TSN6_HUMAN` pairs with a window called `O43657`. Proteins without a
    window are counted, not paired.

    Raises:
        InputError: windows without a protein: how many, and the first; pairs before it have been yielded.
    """
    waiting: dict[str, Tokens] = {}  # by id, or by accession where the id holds one
    for name, window in windows:
        protein = waiting.pop(uniprot_accession(name), None)
        while protein is None:
            candidate = next(proteins, None)
            if candidate is None:
                raise _unpaired(name, windows, waiting, sources)
            key = uniprot_accession(candidate[0])
            if key == uniprot_accession(name):
                protein = candidate[1]
            elif waiting.setdefault(key, candidate[1]) is not candidate[1]:
                raise InputError(
                    sources.proteins or "-",
                    record=f"record {candidate[0]!r}",
                    found=f"accession {key} a second time",
                    expected="one protein for each accession",
                )
        yield name, window, protein
    counts.unused_proteins += len(waiting) + sum(1 for _ in proteins)


def _unpaired(
    first: str, windows: Iterator[tuple[str, Tokens]], waiting: dict[str, Tokens], sources: InputSources
) -> InputError:
    more = sum(uniprot_accession(name) not in waiting for name, _ in windows)
    dna = sources.fasta or sources.tss
    return InputError(
        sources.proteins or "-",
        found=f"no protein for {more + 1} window{'s' if more else ''}, the first being {first!r}",
        expected=f"a protein with the id, or UniProt accession, of each window of {dna}",
    )
