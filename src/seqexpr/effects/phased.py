"""Levels of persons: the two haplotypes of each sample around each gene, from a phased VCF file.

All variants of a haplotype are put into its window together. What cannot be placed on a haplotype is left out, and the
row says so: a heterozygote that is not phased, an edit that overlaps the one before it, an allele whose letters are not
known.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.effects.alleles import Alleles
from seqexpr.effects.gene_windows import GeneWindows
from seqexpr.effects.haplotypes import Edit, Letters, edited_window, overlap, placed, reaches, spans_tss
from seqexpr.effects.variant_records import Genotype, VariantRecord, VcfReader
from seqexpr.effects.variants import SPANS_TSS, Read
from seqexpr.errors import UsageError
from seqexpr.prediction.inputs import InputRecord
from seqexpr.prediction.writers import Cell, Column
from seqexpr.sequences.alphabet import PAD
from seqexpr.sequences.windows import Tss

if TYPE_CHECKING:
    from seqexpr.models.trained import Output
    from seqexpr.prediction.predictor import Predictor

UNPHASED = "unphased"
"""Flag of a heterozygote of which it is not known which haplotype has the allele: left out."""
OVERLAP = "overlap"
"""Flag of an edit that replaces bases which another one of its haplotype has replaced already: left out."""
PHASE_SETS = "phase_sets"
"""Flag of a row whose variants are phased in several sets: which haplotypes of them belong together is not known."""
MISSING, HAPLOID, POLYPLOID = "missing_genotype", "haploid", "polyploid"
"""Flags of genotypes that are not of two known alleles; of more than two, none is put on a haplotype."""

COLUMNS = (
    *(Column("sample", "text"), Column("gene_id", "text"), Column("gene", "text"), Column("strand", "text")),
    *(Column("variants", "whole"), Column("ref_level"), Column("haplotype1_level"), Column("haplotype2_level")),
    *(Column("mean_level"), Column("delta"), Column("flag", "text")),
)
"""Of a row: `variants` are those put into either haplotype, `mean_level` is the mean of both, `delta` that less the
reference level. Models of several outputs have `output` before the levels."""


@dataclass
class _Haplotypes:
    """What one sample has around one gene."""

    edits: tuple[list[Edit], list[Edit]] = field(default_factory=lambda: ([], []))
    """On the contig's + strand, as they are written, in the order of the file."""
    sets: set[str] = field(default_factory=set)
    flags: set[str] = field(default_factory=set)


_Row = tuple[str, _Haplotypes, tuple[int, int]]
"""A sample, what it has, and which windows of the gene are its haplotypes."""


@dataclass(frozen=True, slots=True)
class SampleLevels:
    """A row: a sample, a gene and its levels, float64 (outputs,) each."""

    sample: str
    gene: Tss
    variants: int
    reference: np.ndarray
    haplotypes: tuple[np.ndarray, np.ndarray | None]
    """The second is None where all genotypes are haploid."""
    flags: tuple[str, ...]


class PhasedLevels:
    """Computes the levels of samples.

    Args:
        predictor: of models that read DNA alone.
        windows: of the genes, as wide as the widest of the models' windows.
        read: as for `VariantEffects`.
        sites: the genes.
        samples: names in the VCF file; () for all.
        reader: the VCF file.
        max_mismatch: share of the records whose REF may differ from the genome.

    Raises:
        UsageError: a sample is not in the file, or there are none.
    """

    def __init__(
        self,
        predictor: Predictor,
        windows: GeneWindows,
        read: Read,
        sites: Sequence[Tss],
        samples: Sequence[str],
        reader: VcfReader,
        max_mismatch: float = 0.01,
    ) -> None:
        if not reader.samples:
            raise UsageError("--phased needs a VCF file with samples, and this one has none")
        if absent := [name for name in samples if name not in reader.samples]:
            some = ", ".join(reader.samples[:5]) + (", ..." if len(reader.samples) > 5 else "")
            raise UsageError(f"--samples: no sample {absent[0]!r} in the VCF file; it has {some}")
        self._alleles = Alleles(windows, max_mismatch, reader.contig_lengths)
        self._predictor, self._windows, self._read = predictor, windows, read
        self.sites, self._reader = sites, reader
        """The genes, in the order of the rows."""
        self.samples = tuple(dict.fromkeys(samples)) or reader.samples
        self.flags: Counter[str] = Counter()
        """Alleles that are on no haplotype, by why."""

    @property
    def records(self) -> int:
        """Records that were read."""
        return self._alleles.records

    def stream(self) -> Iterator[SampleLevels]:
        """A row for each gene and sample, in the order of the sites and of the samples.

        The file is read first, and what lies in windows of genes is kept.

        Raises:
            InputError: too many REF alleles differ from the genome; or whatever the reader raises.
        """
        kept = self._read_file()
        waiting: deque[tuple[Tss, int, list[_Row]]] = deque()
        with closing(self._predictor.predict(self._records(kept, waiting))) as predictions:
            levels: list[np.ndarray] = []
            for one in predictions:
                levels.append(one.values)
                gene, count, rows = waiting[0]
                if len(levels) == count:
                    waiting.popleft()
                    yield from _levels(gene, levels, rows)
                    levels = []

    def _records(
        self, kept: dict[tuple[str, str], _Haplotypes], waiting: deque[tuple[Tss, int, list[_Row]]]
    ) -> Iterator[InputRecord]:
        """The windows of each gene, the reference first and none twice; `waiting` gets what their levels are for."""
        for gene in self.sites:
            letters_at, (reference, half_life) = self._windows.letters_along(gene), self._read(gene)
            numbers = {reference.tobytes(): 0}
            rows = []
            for sample in self.samples:
                found = kept.get((gene.id, sample), _Haplotypes())
                own = []
                for edits in found.edits:
                    window = self._window(edits, gene, letters_at, found.flags) if edits else reference
                    own.append(numbers.setdefault(window.tobytes(), len(numbers)))
                rows.append((sample, found, (own[0], own[1])))
            waiting.append((gene, len(numbers), rows))
            for window_letters in numbers:
                yield InputRecord(gene.id, np.frombuffer(window_letters, np.uint8), None, half_life)

    def _window(self, edits: Sequence[Edit], gene: Tss, letters_at: Letters, flags: set[str]) -> np.ndarray:
        """The window of a haplotype; an edit that overlaps one before it is left out and flagged."""
        kept: list[Edit] = []
        for edit in edits:
            if any(overlap(edit, other) for other in kept):
                flags.add(OVERLAP)
            else:
                kept.append(edit)
        along = [edit.along(gene) for edit in kept]
        settled = []
        for place, edit in enumerate(along):
            if edit.is_substitution:
                settled.append(edit)
                continue
            others = along[:place] + along[place + 1 :]
            own = placed(edit, _between(others, letters_at))
            if spans_tss(own):
                flags.add(SPANS_TSS)
            settled.append(own)
        return edited_window(settled, self._windows.upstream, self._windows.downstream, letters_at)

    def _read_file(self) -> dict[tuple[str, str], _Haplotypes]:
        """What each sample has around each gene, by their names."""
        columns = [(name, self._reader.samples.index(name)) for name in self.samples]
        kept: dict[tuple[str, str], _Haplotypes] = {}
        for record, differs in self._alleles.compared_with_genome(self._reader):
            self._add(record, differs, columns, kept)
        self._alleles.check_assembly(ended=True)
        return kept

    def _add(
        self,
        record: VariantRecord,
        differs: bool,
        columns: Sequence[tuple[str, int]],
        kept: dict[tuple[str, str], _Haplotypes],
    ) -> None:
        contig = self._windows.genome.find(record.chrom)
        edits = [self._alleles.edit(record, index, differs) for index in range(len(record.alts))]
        self.flags.update(edit for edit in edits if isinstance(edit, str))
        if contig is None:
            return
        genes = {index: self._genes(record, contig, edit) for index, edit in enumerate(edits)}
        near = sorted({gene for found in genes.values() for gene in found})
        if not near:
            return
        genotypes = record.genotypes([column for _, column in columns])
        for (sample, _), genotype in zip(columns, genotypes, strict=True):
            flags = _flags_of(genotype)
            for gene in near if flags else ():
                kept.setdefault((gene, sample), _Haplotypes()).flags.update(flags)
            if POLYPLOID not in flags:
                self._add_genotype(sample, genotype, edits, genes, kept)

    def _genes(self, record: VariantRecord, contig: str, edit: Edit | str) -> list[str]:
        """Ids of the genes whose windows an allele changes, or may change where its letters are not known."""
        windows = self._windows
        if isinstance(edit, str):
            start, end = record.position - 1, record.end
            whole = Edit(start, max(end, start + 1), b"")
            near = windows.near(contig, start, end)
            return [gene.id for gene in near if reaches(whole.along(gene), windows.upstream, windows.downstream)]
        return [] if edit.is_nothing else [gene.id for gene, _ in windows.changed_by(contig, edit)]

    def _add_genotype(
        self,
        sample: str,
        genotype: Genotype,
        edits: Sequence[Edit | str],
        genes: dict[int, list[str]],
        kept: dict[tuple[str, str], _Haplotypes],
    ) -> None:
        """Put the alleles of a sample on its haplotypes."""
        same = len(set(genotype.alleles)) == 1
        for haplotype, allele in enumerate(genotype.alleles):
            if not allele:
                continue
            edit = edits[allele - 1]
            for gene in genes[allele - 1]:
                found = kept.setdefault((gene, sample), _Haplotypes())
                if isinstance(edit, str):
                    found.flags.add(edit)
                elif not (genotype.phased or same):
                    found.flags.add(UNPHASED)
                else:
                    found.edits[haplotype].append(edit)
                    if not same and genotype.phase_set is not None:
                        found.sets.add(genotype.phase_set)


def _flags_of(genotype: Genotype) -> set[str]:
    """What is to be said of a genotype wherever it lies near a gene."""
    flags = set()
    if not genotype.alleles or None in genotype.alleles:
        flags.add(MISSING)
    if len(genotype.alleles) == 1:
        flags.add(HAPLOID)
    if len(genotype.alleles) > 2:
        flags.add(POLYPLOID)
    return flags


def _between(others: Sequence[Edit], letters_at: Letters) -> Letters:
    """Letters that are PAD where another edit is, over which an indel must not be moved."""

    def letters(start: int, end: int) -> np.ndarray:
        found = letters_at(start, end).copy()
        for other in others:
            beside = other.start == other.end  # an insertion, which has no letters of its own
            first, last = other.start - beside, other.end + beside
            found[max(first - start, 0) : max(last - start, 0)] = PAD
        return found

    return letters


def _levels(gene: Tss, levels: Sequence[np.ndarray], rows: Sequence[_Row]) -> Iterator[SampleLevels]:
    for sample, found, (first, second) in rows:
        flags = found.flags | ({PHASE_SETS} if len(found.sets) > 1 else set())
        both = levels[first], None if HAPLOID in flags and not found.edits[1] else levels[second]
        count = len(set(found.edits[0]) | set(found.edits[1]))
        yield SampleLevels(sample, gene, count, levels[0], both, tuple(sorted(flags)))


def rows_of(levels: SampleLevels, outputs: Sequence[Output]) -> list[list[Cell]]:
    """The cells of a row, one for each output."""
    gene, (first, second) = levels.gene, levels.haplotypes
    mean = first if second is None else (first + second) / 2
    rows = []
    for place, output in enumerate(outputs):
        rows.append(
            [
                *(levels.sample, gene.id, gene.symbol or gene.id, gene.strand),
                levels.variants,
                *([output.name] if len(outputs) > 1 else []),
                *(float(levels.reference[place]), float(first[place])),
                None if second is None else float(second[place]),
                *(float(mean[place]), float(mean[place] - levels.reference[place])),
                "&".join(levels.flags) or None,
            ]
        )
    return rows
