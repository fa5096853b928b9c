"""Levels of persons: the two haplotypes of each sample around each gene, from a phased VCF file.

All variants of a haplotype are put into its window together. What cannot be placed on a haplotype is left out, and the
row says so: a heterozygote that is not phased, an edit that overlaps the one before it, an allele whose letters are not
known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.effects.alleles import Alleles
from seqexpr.effects.gene_windows import GeneWindows
from seqexpr.effects.haplotypes import Edit, edited_window, placed, reaches, spans_tss
from seqexpr.effects.variant_records import VariantRecord, VcfReader
from seqexpr.effects.variants import FIRST_RECORDS, SPANS_TSS
from seqexpr.errors import UsageError
from seqexpr.prediction.inputs import InputRecord
from seqexpr.prediction.writers import Cell, Column
from seqexpr.sequences.windows import Tss

if TYPE_CHECKING:
    from seqexpr.models.trained import Output
    from seqexpr.prediction.predictor import Predictor

UNPHASED = "unphased"
OVERLAP = "overlap"
PHASE_SETS = "phase_sets"
"""Flag of a row whose variants are phased in several sets: which haplotypes of them belong together is not known."""
MISSING = "missing_genotype"
HAPLOID = "haploid"

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

    edits: tuple[set[Edit], set[Edit]] = field(default_factory=lambda: (set(), set()))
    """On the contig's + strand."""
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
        half_life: as for `VariantEffects`.
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
        half_life: Callable[[str], np.ndarray | None],
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
        self._alleles = Alleles(windows, max_mismatch)
        self._predictor, self._windows, self._half_life = predictor, windows, half_life
        self._sites, self._reader = sites, reader
        self.samples = tuple(dict.fromkeys(samples)) or reader.samples
        self.records = 0

    def stream(self) -> Iterator[SampleLevels]:
        """A row for each gene and sample, in the order of the sites and of the samples.

        The file is read first, and what lies in windows of genes is kept.

        Raises:
            InputError: too many REF alleles differ from the genome; or whatever the reader raises.
        """
        kept = self._read()
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
        for gene in self._sites:
            letters_at, reference = self._windows.letters_along(gene), self._windows.window(gene)
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
            half_life = self._half_life(gene.id)
            for window_letters in numbers:
                yield InputRecord(gene.id, np.frombuffer(window_letters, np.uint8), None, half_life)

    def _window(
        self, edits: Iterable[Edit], gene: Tss, letters_at: Callable[[int, int], np.ndarray], flags: set[str]
    ) -> np.ndarray:
        """The window of a haplotype; an edit that overlaps one before it is left out and flagged."""
        along: list[Edit] = []
        for edit in sorted((one.along(gene) for one in edits), key=lambda one: (one.start, one.end, one.letters)):
            own = edit if edit.is_substitution else placed(edit, letters_at)
            if any(own.start < other.end and other.start < own.end for other in along) or own in along:
                flags.add(OVERLAP)
                continue
            if spans_tss(own) and not own.is_substitution:
                flags.add(SPANS_TSS)
            along.append(own)
        return edited_window(along, self._windows.upstream, self._windows.downstream, letters_at)

    def _read(self) -> dict[tuple[str, str], _Haplotypes]:
        """What each sample has around each gene, by their names."""
        columns = [(name, self._reader.samples.index(name)) for name in self.samples]
        compared = ((record, self._alleles.differs(record)) for record in self._reader)
        first = list(islice(compared, FIRST_RECORDS))
        self._alleles.check_assembly()
        kept: dict[tuple[str, str], _Haplotypes] = {}
        for pairs in (first, compared):
            for record, differs in pairs:
                self.records += 1
                self._add(record, differs, columns, kept)
        self._alleles.check_assembly()
        return kept

    def _add(
        self,
        record: VariantRecord,
        differs: bool,
        columns: Sequence[tuple[str, int]],
        kept: dict[tuple[str, str], _Haplotypes],
    ) -> None:
        contig = self._windows.genome.find(record.chrom)
        if contig is None or not self._windows.has_genes(contig):
            return
        edits = [self._alleles.edit(record, index, differs) for index in range(len(record.alts))]
        genes = {}
        for index, edit in enumerate(edits):
            if isinstance(edit, Edit):
                near = self._windows.near(contig, edit.start, edit.end)
                genes[index] = [gene.id for gene in near if self._touches(edit, gene)]
            else:  # its letters are not known: whoever has it near a gene has a flag there
                end = record.position - 1 + len(record.ref)
                near = self._windows.near(contig, record.position - 1, end)
                genes[index] = [gene.id for gene in near if self._holds(record, gene)]
        if not any(genes.values()):
            return
        for sample, column in columns:
            genotype = record.genotype(column)
            called = [allele for allele in genotype.alleles if allele is not None]
            for gene in sorted({gene for found in genes.values() for gene in found}):
                if len(called) < len(genotype.alleles) or not called:
                    kept.setdefault((gene, sample), _Haplotypes()).flags.add(MISSING)
                if len(genotype.alleles) == 1:
                    kept.setdefault((gene, sample), _Haplotypes()).flags.add(HAPLOID)
            self._add_genotype(sample, genotype.alleles[:2], genotype.phased, genotype.phase_set, edits, genes, kept)

    def _add_genotype(
        self,
        sample: str,
        alleles: Sequence[int | None],
        phased: bool,
        phase_set: str | None,
        edits: Sequence[Edit | str],
        genes: dict[int, list[str]],
        kept: dict[tuple[str, str], _Haplotypes],
    ) -> None:
        """Put the alleles of a sample on its haplotypes."""
        same = len(set(alleles)) == 1
        for haplotype, allele in enumerate(alleles):
            if not allele:
                continue
            edit = edits[allele - 1]
            for gene in genes[allele - 1]:
                found = kept.setdefault((gene, sample), _Haplotypes())
                if isinstance(edit, str):
                    found.flags.add(edit)
                elif not (phased or same):
                    found.flags.add(UNPHASED)
                else:
                    found.edits[haplotype].add(edit)
                    if not same and phase_set is not None:
                        found.sets.add(phase_set)

    def _touches(self, edit: Edit, gene: Tss) -> bool:
        along = edit.along(gene)
        if not edit.is_substitution:
            along = placed(along, self._windows.letters_along(gene))
        return not edit.is_nothing and reaches(along, self._windows.upstream, self._windows.downstream)

    def _holds(self, record: VariantRecord, gene: Tss) -> bool:
        start = record.position - 1
        along = Edit(start, start + len(record.ref), b"A").along(gene)
        return reaches(along, self._windows.upstream, self._windows.downstream)


def _levels(gene: Tss, levels: Sequence[np.ndarray], rows: Sequence[_Row]) -> Iterator[SampleLevels]:
    for sample, found, (first, second) in rows:
        flags = found.flags | ({PHASE_SETS} if len(found.sets) > 1 else set())
        both = levels[first], None if HAPLOID in flags and not found.edits[1] else levels[second]
        count = len(found.edits[0] | found.edits[1])
        yield SampleLevels(sample, gene, count, levels[0], both, tuple(sorted(flags)))


def columns_for(outputs: Sequence[Output]) -> list[Column]:
    """The columns of rows of a model with these outputs."""
    columns = list(COLUMNS)
    if len(outputs) > 1:
        columns.insert([column.name for column in columns].index("ref_level"), Column("output", "text"))
    return columns


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
