"""What alleles do to a genome: REF compared with it, and each ALT as an edit, or a flag that says why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from seqexpr.effects.allele_text import LONGEST_ALLELE, classify, resolve_symbolic
from seqexpr.effects.gene_windows import GeneWindows
from seqexpr.effects.haplotypes import Edit
from seqexpr.effects.variant_records import VariantRecord
from seqexpr.errors import InputError, UsageError
from seqexpr.sequences.alphabet import DNA

REF_MISMATCH = "ref_mismatch"
"""The flag of a record whose REF is not what the genome has there: it is never scored."""

FIRST_RECORDS = 1_000
"""Records whose REF is compared with the genome before anything is computed."""

_SHOWN = 10


class Alleles:
    """Judges the alleles of records by a genome, and counts those that differ from it.

    Args:
        windows: of the genome.
        max_mismatch: share of the records whose REF may differ.
        lengths: of contigs, as the variants' file gives them.

    Raises:
        UsageError: `max_mismatch` is no share.
    """

    def __init__(self, windows: GeneWindows, max_mismatch: float, lengths: Mapping[str, int] | None = None) -> None:
        if not 0 <= max_mismatch <= 1:
            raise UsageError(f"--max-mismatch {max_mismatch}: must be between 0 and 1")
        self._windows, self._max_mismatch, self._lengths = windows, max_mismatch, lengths or {}
        self.records = 0
        self._placed = 0
        """Records on contigs of the genome."""
        self._unplaced = ""
        self._compared = 0
        """Records whose REF could be compared with the genome."""
        self._mismatches = 0
        self._first = ""

    def differs(self, record: VariantRecord) -> bool:
        """Whether REF is not what the genome has there; counted.

        Raises:
            InputError: the variants' file gives the contig another length than the genome has.
        """
        contig = self._windows.genome.find(record.chrom)
        self.records += 1
        self._placed += contig is not None
        if contig is None:
            self._unplaced = self._unplaced or record.chrom
            return False
        self._check_length(record.chrom, contig)
        if classify(record.ref, record.ref) is not None:
            return False  # there is nothing to compare, which has a flag of its own
        self._compared += 1
        start = record.position - 1
        there = self._windows.letters_of(contig)(start, start + len(record.ref))
        if there.tobytes() == DNA.encode(record.ref).tobytes():
            return False
        self._mismatches += 1
        length = self._windows.genome.contigs[contig]
        if not 0 < record.position <= length:
            found = f"{record.chrom}:{record.position}, which is not among the contig's {length:,} bases"
        else:
            shown = record.ref if len(record.ref) <= _SHOWN else f"{record.ref[:_SHOWN]}..."
            found = f"{record.chrom}:{record.position} has {DNA.decode(there[:_SHOWN])}, not {shown}"
        self._first = self._first or found
        return True

    def compared_with_genome(self, records: Iterable[VariantRecord]) -> Iterator[tuple[VariantRecord, bool]]:
        """Each record, and whether its REF differs; the first ones are all compared before any is given.

        Raises:
            InputError: too many of the first ones differ.
        """
        pairs = ((record, self.differs(record)) for record in records)
        first = list(islice(pairs, FIRST_RECORDS))
        self.check_assembly()
        yield from first
        yield from pairs

    def check_assembly(self, *, ended: bool = False) -> None:
        """Refuse variants of which too many differ, as far as they came; at the end also if all are on other contigs.

        Raises:
            InputError: they are of another assembly.
        """
        if ended and self.records and not self._placed:
            variants = f"{self.records:,} variant{'' if self.records == 1 else 's'}"
            raise InputError(
                self._windows.genome.path,
                found=f"none of the contigs of {variants}, the first being {self._unplaced!r}",
                expected=f"contigs such as {', '.join(list(self._windows.genome.contigs)[:3])}; --contig-aliases gives "
                "other names of contigs",
            )
        if self._mismatches > self._max_mismatch * self._compared:
            raise InputError(
                self._windows.genome.path,
                found=f"{self._mismatches:,} of {self._compared:,} REF alleles differ, first {self._first}",
                expected="the assembly that the variants were called on (is this the right one? a --max-mismatch above "
                f"{self._max_mismatch:g} leaves such alleles without a value)",
            )

    def _check_length(self, name: str, contig: str) -> None:
        declared, own = self._lengths.get(name), self._windows.genome.contigs[contig]
        if declared is not None and declared != own:
            raise InputError(
                self._windows.genome.path,
                record=f"contig {contig}",
                found=f"{own:,} bases",
                expected=f"{declared:,}, as the header of the VCF file says (is this the right assembly?)",
            )

    def edit(self, record: VariantRecord, index: int, differs: bool) -> Edit | str:
        """What an allele does to its contig, as it is written; or the flag that says why that is not known.

        Args:
            record: any.
            index: of the allele in `record.alts`.
            differs: what `differs` says of the record.
        """
        contig = self._windows.genome.find(record.chrom)
        if contig is None:
            return "contig_missing"
        letters_at = self._windows.letters_of(contig)
        flag = classify(record.ref, record.alts[index])
        if flag == "symbolic" and (structural := resolve_symbolic(record, index)) is not None:
            start, end = structural.start, structural.end
            if end > self._windows.genome.contigs[contig]:
                return "symbolic"  # no such bases
            if differs:
                return REF_MISMATCH
            if structural.kind == "DEL":
                return Edit(start, end, b"")
            if end - start > LONGEST_ALLELE:
                return "too_long"
            new = letters_at(start, end) if structural.kind == "DUP" else DNA.encode(structural.inserted)
            if not new.all():
                return "not_acgt"
            return Edit(end, end, new.tobytes())
        if flag is not None:
            return flag
        if differs:
            return REF_MISMATCH
        return Edit.of_alleles(record.position, record.ref, record.alts[index])
