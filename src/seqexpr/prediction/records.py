"""From the user's files to a stream of records, each with what the models read.

Nothing here holds more than one record of a sequence file in memory. Where windows and proteins come from two files
of another order, proteins wait for their window, on disk where they are many.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.coding import AnnotatedCoding, CodingFasta, CodingSource, MadeCoding
from seqexpr.inputs.expected import expected_records
from seqexpr.inputs.gene_ids import Side, nothing_joined
from seqexpr.inputs.half_life import MissingFeatures
from seqexpr.inputs.half_life_table import read_half_life
from seqexpr.inputs.reference import Reference
from seqexpr.inputs.windows import CutWindows, FastaWindows
from seqexpr.prediction.inputs import InputCounts, InputRecord, InputSources, ModelNeeds, Tokens
from seqexpr.prediction.shards import Share, count_records
from seqexpr.sequences.coding import CodonTables, TranslationCounts
from seqexpr.sequences.fasta import FastaRecord, read_fasta, uniprot_accession
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.transcripts import AnnotatedFeatures
from seqexpr.sequences.windows import Tss

if TYPE_CHECKING:
    from seqexpr.sequences.genbank import GenbankFile


_MOST_WAITING = 16 << 20
"""Bytes of proteins without their window that are held in memory; more are on disk."""


def read_records(
    sources: InputSources, needs: ModelNeeds, counts: InputCounts, share: Share | None = None
) -> Iterator[InputRecord]:
    """Open the sources and give the records that they describe, in the order of the windows, else of the proteins.

    Args:
        sources: checked options.
        needs: what the models read.
        counts: filled while the stream runs; what is known before, such as the number of genes, when this returns.
        share: of a shard, whose records alone are given and counted; the others are parsed. None: all records.

    Raises:
        InputError: a file or a record is not as it should be. Options, genes and contigs are checked when this is
            called, and that some gene has half-life features, where genes are known before they are read; records when
            it is their turn, and records before them have been yielded.
    """
    reference = Reference(sources, window=needs.window_length)
    reader = reference.windows(needs.upstream, needs.downstream, sources.windows) if needs.window_length else None
    sites = reader.sites if isinstance(reader, CutWindows) else reference.sites
    if reader is not None:
        counts.dna = reader.counts
    counts.symbols = {one.gene_id: one.symbol for one in reference.transcripts or () if one.symbol}
    counts.symbols |= {site.id: site.symbol or counts.symbols.get(site.id, "") for site in sites}
    if isinstance(reader, CutWindows) and reference.sequences is not None:
        find = reference.sequences.find
        counts.sites = {site.id: replace(site, chrom=find(site.chrom) or site.chrom) for site in sites}
        counts.contigs = reference.sequences.contigs
        counts.circular = reference.sequences.circular
    _expect(sources, counts, reader, reference.genbank)
    if share is not None and counts.expected is not None:
        counts.expected = count_records(share.shard, counts.expected, share.largest)
    half_life = half_life_rows(sources, needs, counts, reference, sites)
    half_life.check_joined((site.id for site in sites) if isinstance(reader, CutWindows) else _ids(sources, reader))
    coding = _Coding(sources, needs, counts, reference, sites)
    coding.check_joined((site.id for site in sites) if isinstance(reader, CutWindows) else _ids(sources, reader))

    def wanted(name: str) -> bool:
        """Whether a record is given."""
        if share is None or share.takes(name):
            return True
        half_life.pass_over(name)
        coding.pass_over(name)
        return False

    watch = None if share is None else share.sees
    sequences = _sequences(reader, sources, needs, counts, reference.genbank, wanted, watch)
    records = _records(sequences, half_life, coding, counts)
    pairs = reader is not None and needs.protein_length > 0
    return _without_others(records, share, counts) if share is not None and pairs else records


def _without_others(records: Iterator[InputRecord], share: Share, counts: InputCounts) -> Iterator[InputRecord]:
    """The same records; proteins of other shards' windows are not counted as unused."""
    yield from records
    counts.unused_proteins -= share.total - share.own


def _expect(
    sources: InputSources, counts: InputCounts, reader: FastaWindows | CutWindows | None, genbank: GenbankFile | None
) -> None:
    """Note how many records will come: as many as there are windows, or proteins where no model reads windows."""
    if isinstance(reader, CutWindows):
        counts.expected = len(reader.sites)
    elif reader is None and genbank is not None and not sources.has_proteins:
        counts.expected, counts.expected_is_exact = sum(site.id in genbank.coding for site in genbank.sites), False
    else:
        file = sources.proteins if reader is None else sources.fasta
        found = expected_records(file) if file is not None else None
        if found is not None:
            counts.expected, counts.expected_is_exact = found


def _ids(sources: InputSources, reader: FastaWindows | CutWindows | None) -> Iterator[str]:
    """Ids of the records that will come; none where they come through a pipe, which is read once."""
    records: Iterable[FastaRecord] | None = sources.protein_records if reader is None else sources.windows
    file = sources.proteins if reader is None else sources.fasta
    if not isinstance(records, tuple):  # an iterator is the stream itself
        records = read_fasta(file) if file is not None and str(file) != "-" and os.path.isfile(file) else ()
    for record in records:
        yield record.id


def _records(
    sequences: Iterator[tuple[str, Tokens | None, Tokens | None]],
    half_life: HalfLifeRows,
    coding: _Coding,
    counts: InputCounts,
) -> Iterator[InputRecord]:
    for name, dna, protein in sequences:
        counts.records += 1
        yield InputRecord(name, dna, protein, half_life.row(name), coding.row(name, protein))
    half_life.check_stream()
    coding.check_stream()


def half_life_rows(
    sources: InputSources, needs: ModelNeeds, counts: InputCounts, reference: Reference, sites: Sequence[Tss]
) -> HalfLifeRows:
    """Half-life features of genes, from whatever the options give."""
    rows: Mapping[str, np.ndarray] | AnnotatedFeatures | None = None
    if not needs.half_life_names:
        return HalfLifeRows(sources, needs, counts, None)
    if sources.half_life:
        z_scores = needs.half_life_scale == "z-scores"
        table = read_half_life(sources.half_life, needs.half_life_names, z_scores=z_scores)
        rows = dict(zip(table.ids, table.values, strict=True))
    elif reference.transcripts is not None and needs.half_life_scale == "raw":
        by_gene = {transcript.gene_id: transcript for transcript in reference.transcripts}
        rows = reference.features(by_gene, {site.id: site for site in sites})
    return HalfLifeRows(sources, needs, counts, rows)


class HalfLifeRows:
    """Half-life features by id, counted; all unknown where there are none."""

    def __init__(
        self,
        sources: InputSources,
        needs: ModelNeeds,
        counts: InputCounts,
        rows: Mapping[str, np.ndarray] | AnnotatedFeatures | None,
    ) -> None:
        self._counts = counts
        self._file = str(sources.half_life or sources.annotation or sources.genbank or "-")
        self._last = ""
        self._unknown = np.full(len(needs.half_life_names), np.nan)
        counts.half_life = MissingFeatures(needs.half_life_names)
        self._rows = rows
        self._joins_others = False
        self._example = next(iter(rows), "") if isinstance(rows, dict) else ""

    def row(self, name: str) -> np.ndarray | None:
        """float64 (8,), NaN = unknown, or None when no model reads half-life features."""
        if not len(self._unknown):
            return None
        self._last = name
        row = self._find(name)
        self._counts.half_life_absent += self._rows is not None and row is None
        self._counts.half_life.add(self._unknown if row is None else row)
        return self._unknown if row is None else row

    def pass_over(self, name: str) -> None:
        """Note a record of another shard, for `check_stream`."""
        self._joins_others = self._joins_others or self._find(name) is not None

    def _find(self, name: str) -> np.ndarray | None:
        """The row of an id, else that of the UniProt accession in it, as `prepare` joins them."""
        if self._rows is None:
            return None
        row = self._rows.get(name)
        return self._rows.get(uniprot_accession(name)) if row is None else row

    def check_joined(self, ids: Iterable[str]) -> None:
        """Refuse a table without a row for any of the genes that will come, as far as they are known.

        Raises:
            InputError: it is such a table.
        """
        if self._rows is None:
            return
        count, first = 0, ""
        for name in ids:
            if self._find(name) is not None:
                return
            count, first = count + 1, first or name
        if count:
            raise self._unjoined(count, first)

    def check_stream(self) -> None:
        """At the end of a pipe, refuse a table that had no row for any record.

        Raises:
            InputError: it is such a table.
        """
        if self._joins_others:
            return
        if self._rows is not None and 0 < self._counts.records == self._counts.half_life_absent:
            raise self._unjoined(self._counts.records, self._last)

    def _unjoined(self, records: int, instance: str) -> InputError:
        assert self._rows is not None
        example = f" (for instance {self._example!r})" if self._example else ""
        genes = "the one record" if records == 1 else f"none of the {records:,} records"
        found = (
            f"{genes} ({'' if records == 1 else 'for instance '}{instance!r}) "
            f"{'is not ' if records == 1 else ''}among its {len(self._rows):,} ids{example}, so 0 genes joined"
        )
        return InputError(self._file, found=found, expected="half-life features of the genes predicted")


class _Coding:
    """Coding sequences by id, counted; none where none are given or no model reads them."""

    def __init__(
        self, sources: InputSources, needs: ModelNeeds, counts: InputCounts, reference: Reference, sites: Sequence[Tss]
    ) -> None:
        self._counts, self._needs = counts, needs
        self._source: CodingSource | None = None
        self._joins_others = False
        self._last = ""
        if not needs.coding_length:
            return
        if sources.has_cds:
            contigs = {site.id: site.chrom for site in sites}
            self._source = CodingFasta(
                sources.cds, records=sources.cds_records, contig_of=lambda gene: contigs.get(gene, "")
            )
        elif reference.genbank is not None:
            left_out = LeftOut(sources.genbank or "-")
            found = reference.genbank.coding_sequences(CodonTables(), TranslationCounts(), left_out)
            self._source = MadeCoding({one.gene: one.codons for one in found if one.codons}, str(sources.genbank))
        elif reference.transcripts is not None and reference.genome is not None:
            by_gene = {transcript.gene_id: transcript for transcript in reference.transcripts}
            self._source = AnnotatedCoding(by_gene, reference.genome, str(sources.annotation))
        if self._source is not None:
            counts.coding = self._source.counts

    def row(self, name: str, protein: Tokens | None) -> Tokens | None:
        """uint8 (codons,), or None for a gene without a coding sequence.

        Raises:
            InputError: a record that is no coding sequence in frame, or that of another protein.
        """
        if not self._needs.coding_length:
            return None
        self._last = name
        cut = protein is not None and len(protein) == self._needs.protein_length
        tokens = None if self._source is None else self._source.find(name, protein, cut=cut)
        self._counts.coding_absent += tokens is None
        if tokens is None:
            return None
        self._counts.truncated_coding += len(tokens) > self._needs.coding_length
        return tokens[: self._needs.coding_length]

    def pass_over(self, name: str) -> None:
        """Note a record of another shard, for `check_stream`."""
        if isinstance(self._source, CodingFasta):
            self._joins_others = self._joins_others or self._source.knows(name)

    def check_joined(self, ids: Iterable[str]) -> None:
        """Refuse a FASTA file without a record for any of the genes that will come, as far as they are known.

        Raises:
            InputError: it is such a file.
        """
        if not isinstance(self._source, CodingFasta):
            return
        names = []
        for name in ids:
            if self._source.knows(name):
                return
            names.append(name)
        if names:
            raise self._unjoined(names)

    def check_stream(self) -> None:
        """At the end of a pipe, refuse a file that had no record for any gene.

        Raises:
            InputError: it is such a file.
        """
        counts = self._counts
        none = 0 < counts.records == counts.coding_absent and not counts.coding.left_out
        if isinstance(self._source, CodingFasta) and none and not self._joins_others:
            raise self._unjoined([self._last])

    def _unjoined(self, names: list[str]) -> InputError:
        assert self._source is not None
        genes = Side("the genes predicted", "", names)
        return nothing_joined([genes, Side("coding sequences", self._source.file, self._source.ids)], with_map=True)


def _sequences(
    reader: FastaWindows | CutWindows | None,
    sources: InputSources,
    needs: ModelNeeds,
    counts: InputCounts,
    genbank: GenbankFile | None,
    wanted: Callable[[str], bool],
    watch: Callable[[bytes], None] | None,
) -> Iterator[tuple[str, Tokens | None, Tokens | None]]:
    def seen(record: FastaRecord) -> bool:
        if watch is not None:
            watch(record.sequence)
        return True

    if watch is not None and isinstance(reader, FastaWindows):
        reader.watch = watch
    proteins = None
    if needs.protein_length:
        if sources.protein_records is not None:
            records = iter(sources.protein_records)
        elif sources.proteins:
            records = read_fasta(sources.proteins)
        else:
            records = genbank.proteins() if genbank else iter(())
        if reader is None:
            records = (record for record in records if seen(record) and wanted(record.id))
        proteins = _proteins(records, sources, needs, counts)
    if reader is None:
        assert proteins is not None
        return ((name, None, protein) for name, protein in proteins)
    if proteins is None:
        return ((name, dna, None) for name, dna in reader.stream(wanted=wanted))
    return pair_by_id(reader.stream(wanted=wanted), proteins, sources, counts)


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

    Both streams advance in step; a protein that comes before its window waits, in memory or on disk. A protein's
    UniProt accession stands for its id too, so `sp|O43657|TSN6_HUMAN` pairs with a window called `O43657`. Proteins
    without a window are counted, not paired.

    Raises:
        InputError: windows without a protein: how many, and the first; pairs before it have been yielded.
    """
    waiting = _Waiting()
    digests: dict[str, int] = {}

    def is_new(name: str, protein: Tokens) -> bool:
        """Whether the protein is the first of its accession; the same one again is left out."""
        key, digest = uniprot_accession(name), hash(protein.tobytes())
        if key not in digests:
            digests[key] = digest
            return True
        if digests[key] != digest:
            raise InputError(
                sources.proteins or "-",
                record=f"record {name!r}",
                found=f"accession {key} a second time, with another sequence",
                expected="one protein for each accession",
            )
        return False

    for name, window in windows:
        own = uniprot_accession(name)
        protein = waiting.take(own)
        while protein is None:
            candidate = next(proteins, None)
            if candidate is None:
                raise _unpaired(name, windows, waiting, sources)
            new = is_new(*candidate)
            if uniprot_accession(candidate[0]) == own:
                protein = candidate[1]
            elif new:
                waiting.add(uniprot_accession(candidate[0]), candidate[1])
        yield name, window, protein
    counts.unused_proteins += len(waiting) + sum(is_new(*candidate) for candidate in proteins)


class _Waiting:
    """Proteins whose windows are still to come, by id or accession: their places in a file that is small in memory."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[int, int]] = {}
        self._file = tempfile.SpooledTemporaryFile(max_size=_MOST_WAITING)  # noqa: SIM115 (closed with its last user)
        self._end = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def add(self, name: str, protein: Tokens) -> None:
        """Keep a protein."""
        self._file.seek(self._end)
        self._file.write(protein.tobytes())
        self._places[name] = (self._end, len(protein))
        self._end += len(protein)

    def take(self, name: str) -> Tokens | None:
        """Give a protein out; None where it is not here."""
        place = self._places.pop(name, None)
        if place is None:
            return None
        self._file.seek(place[0])
        return np.frombuffer(self._file.read(place[1]), dtype=np.uint8)


def _unpaired(
    first: str, windows: Iterator[tuple[str, Tokens]], waiting: _Waiting, sources: InputSources
) -> InputError:
    more = sum(uniprot_accession(name) not in waiting for name, _ in windows)
    dna = sources.fasta or sources.tss
    return InputError(
        sources.proteins or "-",
        found=f"no protein for {more + 1} window{'s' if more else ''}, the first being {first!r}",
        expected=f"a protein with the id, or UniProt accession, of each window of {dna}",
    )
