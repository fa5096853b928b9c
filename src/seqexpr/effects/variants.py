"""What each variant does to the predicted level of each gene whose window holds it.

Nothing is left out silently: each allele has a row for every such gene, or one row with a flag that says why there is
no value. A row does not depend on the other rows, on their order or on how many threads compute.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from seqexpr.effects.alleles import Alleles
from seqexpr.effects.gene_windows import GeneWindows
from seqexpr.effects.haplotypes import Edit, edited_window, removes_window, spans_tss
from seqexpr.effects.mutagenesis import KnownSequence, Mutagenesis
from seqexpr.effects.variant_records import VariantRecord
from seqexpr.errors import UsageError
from seqexpr.models.trained import TrainedModel
from seqexpr.prediction.device import computing_threads, named_shortage
from seqexpr.prediction.shards import Share
from seqexpr.sequences.alphabet import PAD
from seqexpr.sequences.windows import Tss

NO_GENE, OUT_OF_WINDOW, TOO_FAR = "no_gene", "out_of_window", "too_far"
"""Flags of an allele without a gene: none on its contig, none whose window holds it, none so near."""

DELETED = "deleted"
"""Flag of a gene of which an allele removes the whole window: there is nothing to predict from."""

SPANS_TSS = "spans_tss"
"""A flag that comes with a value: bases on both sides of the TSS are replaced, see `haplotypes`."""

_JOBS = 2_048
"""Alleles of genes that are on their way together."""

_PART = 128
"""Alleles that a worker computes at once."""

_GENES = 16
"""Genes of which these are at most: so many windows are read together."""

_GENES_HELD = 64
"""Genes whose windows, as the genome has them, are not computed again when they come again soon."""

Read = Callable[[Tss], tuple[np.ndarray, np.ndarray | None]]
"""Gives a gene's window and half-life features, see `VariantEffects`."""


@dataclass(frozen=True, slots=True)
class Effect:
    """An allele, a gene and what the one does to the other; or why that is not known."""

    record: VariantRecord
    alt: str
    gene: Tss | None = None
    tss_distance: int | None = None
    """Place of the first changed base along the gene: 0 = the first transcribed base, negative upstream."""
    flags: tuple[str, ...] = ()
    reference: np.ndarray | None = None
    """float64 (outputs,): the level as the genome is; likewise all below. None where there is no value."""
    changed: np.ndarray | None = None
    sd: np.ndarray | None = None
    """Sample standard deviation (n - 1) over the members of their differences; None for a single member too."""

    @property
    def deltas(self) -> np.ndarray | None:
        """Changed minus reference level."""
        return None if self.changed is None or self.reference is None else self.changed - self.reference


@dataclass
class EffectCounts:
    """What came in and what came out; complete when the stream has ended."""

    records: int = 0
    alleles: int = 0
    rows: int = 0
    scored: int = 0
    """Rows with a value."""
    flags: Counter[str] = field(default_factory=Counter)
    """Rows by flag."""

    def describe(self) -> str:
        """All of it in one line."""
        without = self.rows - self.scored
        counted = ((self.records, "record"), (self.alleles, "allele"), (self.scored, "row"))
        records, alleles, rows = (f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in counted)
        said = f"{records}, {alleles}: {rows} with a value"
        said += f", {without:,} without" if without else ""
        return f"{said}{in_brackets(self.flags)}"


def in_brackets(flags: Mapping[str, int]) -> str:
    """How often there are flags, in brackets after a space; "" for none."""
    listed = ", ".join(f"{count:,} {flag}" for flag, count in sorted(flags.items()))
    return f" ({listed})" if listed else ""


def _named(record: VariantRecord) -> str:
    """What shards compare of a record."""
    return "\t".join([record.chrom, str(record.position), record.id, record.ref, *record.alts])


@dataclass(slots=True)
class _Job:
    """An allele and a gene to be computed; exactly one of `substitution` and `window` is set, or none for no change."""

    record: VariantRecord
    alt: str
    gene: Tss
    distance: int
    flags: tuple[str, ...]
    substitution: tuple[int, int] | None = None
    """Offset in the window, and token."""
    window: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """Alleles of one gene, and the gene's window as the genome has it."""

    gene: Tss
    window: np.ndarray
    half_life: np.ndarray | None
    jobs: list[_Job]


class VariantEffects:
    """Computes effects of variants.

    Args:
        models: that read DNA alone and predict the same, on their device.
        windows: of the genes, as wide as the widest of the models' windows.
        read: gives a gene's window as the genome has it, uint8 (letters,), and its half-life features, float (8,) as
            the models read them, or None where none are known. It is called by the thread that iterates alone.
        lengths: of contigs, as the variants' file gives them.
        distance: only genes whose TSS is at most so many bp away; None: all whose window holds the variant.
        workers: threads that compute.
        max_mismatch: share of records whose REF may differ from the genome.
    """

    def __init__(
        self,
        models: Sequence[TrainedModel],
        windows: GeneWindows,
        read: Read,
        *,
        lengths: Mapping[str, int] | None = None,
        distance: int | None = None,
        workers: int = 1,
        max_mismatch: float = 0.01,
    ) -> None:
        if distance is not None and distance < 0:
            raise UsageError(f"--distance {distance}: must be at least 0")
        self._alleles = Alleles(windows, max_mismatch, lengths)
        self.counts = EffectCounts()
        self._windows, self._read = windows, read
        self._mutagenesis = Mutagenesis(models, windows.upstream)
        self._device = models[0].network.device
        self._distance, self._workers = distance, workers
        self._held: OrderedDict[str, Future[KnownSequence]] = OrderedDict()
        self._lock = threading.Lock()

    def stream(
        self, records: Iterable[VariantRecord], share: Share | None = None
    ) -> Iterator[tuple[VariantRecord, list[Effect]]]:
        """Each record with its rows, in order.

        Args:
            records: all of them, for all are compared with the genome.
            share: of a shard, whose records alone are given; None: all.

        Raises:
            InputError: too many REF alleles differ from the genome; or whatever the source raises.
        """
        with named_shortage(self._device, self._workers), computing_threads(self._device, self._workers) as pool:
            compared = self._alleles.compared_with_genome(records)
            own = compared if share is None else (pair for pair in compared if share.takes(_named(pair[0])))
            for chunk in self._chunks(own):
                yield from self._of_chunk(chunk, pool)
        self._alleles.check_assembly(ended=True)

    def _chunks(
        self, compared: Iterable[tuple[VariantRecord, bool]]
    ) -> Iterator[list[tuple[VariantRecord, list[_Job | Effect]]]]:
        """Records with what is to be computed for them, so many at a time that memory stays small."""
        chunk: list[tuple[VariantRecord, list[_Job | Effect]]] = []
        jobs = 0
        for record, differs in compared:
            found = list(self._jobs(record, differs))
            chunk.append((record, found))
            jobs += len(found)
            if jobs >= _JOBS:
                yield chunk
                chunk, jobs = [], 0
        if chunk:
            yield chunk

    def _jobs(self, record: VariantRecord, differs: bool) -> Iterator[_Job | Effect]:
        """What is to be computed of a record, or rows that say why nothing is."""
        self.counts.records += 1
        contig = self._windows.genome.find(record.chrom)
        for index, alt in enumerate(record.alts):
            self.counts.alleles += 1
            edit = self._alleles.edit(record, index, differs)
            if isinstance(edit, str):
                yield Effect(record, alt, flags=(edit,))
                continue
            assert contig is not None, "else it would have a flag"
            near = list(self._near(record, alt, contig, edit))
            if near:
                yield from near
            else:
                yield Effect(record, alt, flags=(self._why_none(contig, edit),))

    def _why_none(self, contig: str, edit: Edit) -> str:
        """The flag of an allele that has no row with a gene."""
        if not self._windows.has_genes(contig):
            return NO_GENE
        if self._distance is not None and any(True for _ in self._touched(contig, edit)):
            return TOO_FAR
        return OUT_OF_WINDOW

    def _touched(self, contig: str, edit: Edit) -> Iterator[tuple[Tss, Edit]]:
        """Genes whose window an edit changes, and the edit along each of them, written where it counts."""
        if edit.is_nothing:  # ALT is REF: it lies where its first letter does
            letter = self._windows.letters_of(contig)(edit.start, edit.start + 1)
            edit = Edit(edit.start, edit.start + 1, letter.tobytes())
        return self._windows.changed_by(contig, edit)

    def _near(self, record: VariantRecord, alt: str, contig: str, edit: Edit) -> Iterator[_Job | Effect]:
        """The allele with each gene whose window it changes."""
        upstream, downstream = self._windows.upstream, self._windows.downstream
        for gene, along in self._touched(contig, edit):
            if self._distance is not None and not (along.start <= self._distance and along.end >= -self._distance):
                continue
            is_insertion = along.start == along.end
            distance = along.start - (is_insertion and along.start <= 0)  # an insertion upstream: the base before it
            if removes_window(along, upstream, downstream) and not edit.is_substitution:
                yield Effect(record, alt, gene, distance, (DELETED,))
                continue
            job = _Job(record, alt, gene, distance, ())
            if len(edit.letters) == 1 and edit.is_substitution:
                job.substitution = (upstream + along.start, along.letters[0])
            elif not edit.is_nothing:
                if spans_tss(along) and not edit.is_substitution:
                    job.flags = (SPANS_TSS,)
                job.window = edited_window([along], upstream, downstream, self._windows.letters_along(gene))
            yield job

    def _of_chunk(
        self, chunk: list[tuple[VariantRecord, list[_Job | Effect]]], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[VariantRecord, list[Effect]]]:
        by_gene: dict[str, list[_Job]] = {}
        for _, found in chunk:
            for one in found:
                if isinstance(one, _Job):
                    by_gene.setdefault(one.gene.id, []).append(one)
        parts = []
        for jobs in by_gene.values():
            gene = jobs[0].gene
            read = self._read(gene)  # here: the genome is for one thread
            parts += [_Part(gene, *read, jobs[start : start + _PART]) for start in range(0, len(jobs), _PART)]
        computed: dict[int, Effect] = {}
        for effects in pool.map(self._compute, _tasks(parts, self._workers)):
            computed.update(effects)
        for record, found in chunk:
            rows = [computed[id(one)] if isinstance(one, _Job) else one for one in found]
            self.counts.rows += len(rows)
            self.counts.scored += sum(row.changed is not None for row in rows)
            self.counts.flags.update(flag for row in rows for flag in row.flags)
            yield record, rows

    def _compute(self, parts: Sequence[_Part]) -> dict[int, Effect]:
        """Rows of genes, by the ids of their jobs."""
        known = self._known(parts)
        jobs = [job for part in parts for job in part.jobs]
        windows = [window for part, window in zip(parts, known, strict=True) for _ in part.jobs]
        changed = [window.reference for window in windows]
        single = [place for place, job in enumerate(jobs) if job.substitution is not None]
        if single:
            pairs = [jobs[place].substitution or (0, PAD) for place in single]
            positions, letters = np.array(pairs, int).T
            chosen = [windows[place] for place in single]
            levels = self._mutagenesis.substituted(chosen, positions, letters.astype(np.uint8))
            for place, own in zip(single, levels.swapaxes(0, 1), strict=True):
                changed[place] = own
        whole = [(place, job.window) for place, job in enumerate(jobs) if job.window is not None]
        if whole:
            chosen = [windows[place] for place, _ in whole]
            levels = self._mutagenesis.replaced(chosen, np.stack([instead for _, instead in whole]))
            for (place, _), own in zip(whole, levels.swapaxes(0, 1), strict=True):
                changed[place] = own
        effects = {}
        for job, window, own in zip(jobs, windows, changed, strict=True):
            deltas = own - window.reference  # (members, outputs)
            sd = deltas.std(axis=0, ddof=1) if len(deltas) > 1 else None
            means = window.reference.mean(axis=0), own.mean(axis=0)
            effects[id(job)] = Effect(job.record, job.alt, job.gene, job.distance, job.flags, *means, sd)
        return effects

    def _known(self, parts: Sequence[_Part]) -> list[KnownSequence]:
        """What is kept of the genes' windows; each is computed by the first worker that asks."""
        mine, futures = [], []
        with self._lock:
            for part in parts:
                future = self._held.get(part.gene.id)
                if future is None:
                    future = self._held[part.gene.id] = Future()
                    mine.append((future, part))
                self._held.move_to_end(part.gene.id)
                futures.append(future)
            while len(self._held) > _GENES_HELD:
                self._held.popitem(last=False)
        if mine:
            try:
                letters = np.stack([part.window for _, part in mine])
                known = self._mutagenesis.read(letters, [part.half_life for _, part in mine])
            except BaseException as error:
                for future, part in mine:
                    future.set_exception(error)
                    with self._lock:  # another try may go well
                        self._held.pop(part.gene.id, None)
            else:
                for (future, _), window in zip(mine, known, strict=True):
                    future.set_result(window)
        return [future.result() for future in futures]


def _tasks(parts: Sequence[_Part], workers: int) -> Iterator[list[_Part]]:
    """Parts that a worker computes together: windows that fill a batch, but no fewer tasks than there are workers."""
    most = min(_GENES, -(-len(parts) // workers))
    task: list[_Part] = []
    for part in parts:
        if task and (len(task) == most or sum(len(one.jobs) for one in (*task, part)) > _PART):
            yield task
            task = []
        task.append(part)
    if task:
        yield task
