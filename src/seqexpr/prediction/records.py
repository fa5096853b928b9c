"""From the user's files to a stream of records, each with what the models read.

Nothing here holds more than one record of a sequence file, with one exception: where windows and proteins
come from two files, records wait for their partner: memory grows with how differently the two are ordered.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.half_life import read_half_life
from seqexpr.inputs.windows import CutWindows, FastaWindows
from seqexpr.prediction.inputs import InputCounts, InputRecord, InputSources, ModelNeeds, Tokens
from seqexpr.sequences.annotation import Transcript, pick_genes, read_annotation, read_tss
from seqexpr.sequences.contigs import read_contig_aliases
from seqexpr.sequences.fasta import FastaRecord, read_fasta, uniprot_accession
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import AnnotatedFeatures
from seqexpr.sequences.windows import Tss

if TYPE_CHECKING:
    from seqexpr.sequences.genbank import GenbankFile

logger = logging.getLogger(__name__)


def read_records(sources: InputSources, needs: ModelNeeds, counts: InputCounts) -> Iterator[InputRecord]:
    """Open the sources and give the records that they describe, in the order of the windows, else of the proteins.

    Args:
        sources: checked options.
        needs: what the models read.
        counts: filled while the stream runs; what is known before, such as the number of genes, when this returns.

    Raises:
        InputError: a file or a record is not as it should be. Options, genes and contigs are checked when this is
            called, records when it is their turn; records before them have been yielded.
    """
    genbank = _read_genbank(sources) if sources.genbank else None
    transcripts = read_annotation(sources.annotation) if sources.annotation and needs.half_life_names else None
    reader = None
    if needs.window_length:
        own = transcripts if sources.annotation == sources.tss else None  # millions of lines are read once
        reader = open_windows(sources, needs.upstream, needs.downstream, genbank, own)
    if reader is not None:
        counts.dna = reader.counts
    sites: Sequence[Tss] = reader.sites if isinstance(reader, CutWindows) else genbank.sites if genbank else ()
    counts.symbols = {site.id: site.symbol for site in sites}
    counts.expected = len(sites) or None
    half_life = _half_life(sources, needs, counts, sites, genbank, transcripts)
    return _records(_sequences(reader, sources, needs, counts, genbank), half_life, counts)


def _records(
    sequences: Iterator[tuple[str, Tokens | None, Tokens | None]], half_life: _HalfLife, counts: InputCounts
) -> Iterator[InputRecord]:
    for name, dna, protein in sequences:
        counts.records += 1
        yield InputRecord(name, dna, protein, half_life.row(name))
    half_life.check_joined()


def _half_life(
    sources: InputSources,
    needs: ModelNeeds,
    counts: InputCounts,
    sites: Sequence[Tss],
    genbank: GenbankFile | None,
    transcripts: Sequence[Transcript] | None,
) -> _HalfLife:
    rows: Mapping[str, np.ndarray] | AnnotatedFeatures | None = None
    if not needs.half_life_names:
        return _HalfLife(sources, needs, counts, None)
    if sources.half_life:
        z_scores = needs.half_life_scale == "z-scores"
        table = read_half_life(sources.half_life, needs.half_life_names, z_scores=z_scores)
        rows = dict(zip(table.ids, table.values, strict=True))
    elif transcripts is not None:
        genome = Genome(sources.genome) if sources.genome else None
        if genome is None:
            logger.warning("without --genome the GC contents among the half-life features are missing")
        by_gene = {transcript.gene_id: transcript for transcript in transcripts}
        measured = {} if sources.tss == sources.annotation else {site.id: site for site in sites}
        rows = AnnotatedFeatures(by_gene, genome, measured)
    elif genbank is not None and needs.half_life_scale == "raw":
        rows = AnnotatedFeatures(genbank.transcripts, genbank.sequences)
    return _HalfLife(sources, needs, counts, rows)


class _HalfLife:
    """Half-life features by id, counted; all unknown where there are none."""

    def __init__(
        self,
        sources: InputSources,
        needs: ModelNeeds,
        counts: InputCounts,
        rows: Mapping[str, np.ndarray] | AnnotatedFeatures | None,
    ) -> None:
        self._counts = counts
        self._file = sources.half_life or sources.annotation or sources.genbank or "-"
        self._last = ""
        self._unknown = np.full(len(needs.half_life_names), np.nan)
        self._rows = rows
        self._example = next(iter(rows), "") if isinstance(rows, dict) else ""

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
        if self._rows is not None and 0 < self._counts.records == self._counts.half_life_absent:
            example = f" (for instance {self._example!r})" if self._example else ""
            raise InputError(
                self._file,
                found=f"none of the {self._counts.records:,} records (for instance {self._last!r}) among its "
                f"{len(self._rows):,} ids{example}, so 0 genes joined",
                expected="half-life features of the genes predicted",
            )


def _sequences(
    reader: FastaWindows | CutWindows | None,
    sources: InputSources,
    needs: ModelNeeds,
    counts: InputCounts,
    genbank: GenbankFile | None,
) -> Iterator[tuple[str, Tokens | None, Tokens | None]]:
    proteins = None
    if needs.protein_length:
        if sources.protein_records is not None:
            records = iter(sources.protein_records)
        elif sources.proteins:
            records = read_fasta(sources.proteins)
        else:
            records = genbank.proteins() if genbank else iter(())
        proteins = _proteins(records, sources, needs, counts)
    if reader is None:
        assert proteins is not None
        return ((name, None, protein) for name, protein in proteins)
    if proteins is None:
        return ((name, dna, None) for name, dna in reader.stream())
    return pair_by_id(reader.stream(), proteins, sources, counts)


def _read_genbank(sources: InputSources) -> GenbankFile:
    from seqexpr.sequences.genbank import read_genbank

    assert sources.genbank
    return read_genbank(sources.genbank, sources.genes, allow_unknown=sources.allow_unknown_genes)


def open_windows(
    sources: InputSources,
    upstream: int,
    downstream: int,
    genbank: GenbankFile | None = None,
    transcripts: Sequence[Transcript] | None = None,
) -> FastaWindows | CutWindows:
    """Open the DNA of a user's options; what is wrong with genes and contigs is known then.

    Args:
        sources: checked options that name DNA.
        upstream, downstream: the window, bp.
        genbank: the file of --genbank, read.
        transcripts: those of --tss, read, where it is an annotation.
    """
    if genbank is not None:
        return CutWindows(genbank.sequences, genbank.sites, upstream, downstream)
    if sources.windows is not None:
        return FastaWindows("the sequences given", sources.tss_at, upstream, downstream, records=sources.windows)
    if sources.fasta:
        return FastaWindows(sources.fasta, sources.tss_at, upstream, downstream)
    assert sources.genome and sources.tss
    if transcripts is None:
        sites = read_tss(sources.tss, window=upstream + downstream)
    else:
        sites = [transcript.tss for transcript in transcripts]
    if sources.genes is not None:
        sites = pick_genes(sources.tss, sites, sources.genes, allow_unknown=sources.allow_unknown_genes)
    aliases = read_contig_aliases(sources.contig_aliases) if sources.contig_aliases else ()
    genome = Genome(sources.genome, aliases)
    return CutWindows(genome, sites, upstream, downstream, skip_missing=sources.skip_missing_contigs)


def _proteins(
    records: Iterator[FastaRecord], sources: InputSources, needs: ModelNeeds, counts: InputCounts
) -> Iterator[tuple[str, Tokens]]:
    for record in records:
        tokens = counts.proteins.encode(record, sources.proteins or sources.genbank or "the proteins given")
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
    digests: dict[str, int] = {}

    def is_new(name: str, protein: Tokens) -> bool:
        """Whether the protein is the first of its accession; the same one again is left out."""
        key, digest = uniprot_accession(name), hash(protein.tobytes())
        if digests.setdefault(key, digest) != digest:
            raise InputError(
                sources.proteins or "-",
                record=f"record {name!r}",
                found=f"accession {key} a second time, with another sequence",
                expected="one protein for each accession",
            )
        return True

    for name, window in windows:
        own = uniprot_accession(name)
        protein = waiting.pop(own, None)
        while protein is None:
            candidate = next(proteins, None)
            if candidate is None:
                raise _unpaired(name, windows, waiting, sources)
            again = uniprot_accession(candidate[0]) in digests
            is_new(*candidate)
            if uniprot_accession(candidate[0]) == own:
                protein = candidate[1]
            elif not again:
                waiting[uniprot_accession(candidate[0])] = candidate[1]
        yield name, window, protein
    counts.unused_proteins += len(waiting) + sum(is_new(*candidate) for candidate in proteins)


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
