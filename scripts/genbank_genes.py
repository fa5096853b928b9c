"""Genes of a GenBank record, and what the examples say about them: windows, TSSs and half-life features.

Biopython alone is at work here, so that the examples are an independent check of `seqexpr`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from Bio.SeqFeature import CompoundLocation, ExactPosition, SimpleLocation
from Bio.SeqRecord import SeqRecord
from Bio.SeqUtils import gc_fraction

Location = SimpleLocation | CompoundLocation

FEATURES = ("utr5_len", "cds_len", "intron_len", "utr3_len", "utr5_gc", "cds_gc", "utr3_gc", "orf_exon_density")
LINE = 60  # letters per FASTA line


@dataclass(frozen=True)
class Gene:
    """One annotated gene of a record; locations have their parts in the order of transcription."""

    symbol: str
    record: SeqRecord
    exons: Location
    cds: Location | None
    """Stop codon included; None for a transcript without a coding sequence."""
    protein_id: str = ""

    @property
    def strand(self) -> str:
        """The record's strand that the gene lies on."""
        return "+" if self.exons.strand == 1 else "-"

    @property
    def first_base(self) -> int:
        """0-based position of the first transcribed base."""
        return next(iter(self.exons))

    def window(self, upstream: int, downstream: int) -> tuple[int, int, str]:
        """Start, end and strand-oriented letters of the TSS window."""
        if self.strand == "+":
            start, end = self.first_base - upstream, self.first_base + downstream
        else:
            start, end = self.first_base + 1 - downstream, self.first_base + 1 + upstream
        if start < 0 or end > len(self.record):
            raise SystemExit(f"{self.symbol}: window {start}-{end} sticks out of {self.record.id}")
        letters = self.record.seq[start:end]
        return start, end, str(letters if self.strand == "+" else letters.reverse_complement()).upper()

    def half_life(self) -> list[float | None]:
        """The eight raw features; None where missing."""
        if self.cds is None:
            return [None] * len(FEATURES)
        spliced, coding = list(self.exons), list(self.cds)  # positions, one after the other as they are transcribed
        start = spliced.index(coding[0])
        end = start + len(coding)
        if spliced[start:end] != coding:
            raise SystemExit(f"{self.symbol}: the CDS is not what the exons leave between its ends")
        letters = self.exons.extract(self.record.seq)
        utr5, cds, utr3 = letters[:start], letters[start:end], letters[end:]
        extent = max(spliced) - min(spliced) + 1
        junctions = len(self.exons.parts) - 1
        return [
            len(utr5),
            len(cds),
            extent - len(spliced),
            len(utr3),
            *(gc_fraction(part, ambiguous="remove") if part else None for part in (utr5, cds, utr3)),
            junctions / (len(cds) / 1000),
        ]


def is_exact(location: Location) -> bool:
    """Whether no end is marked as incomplete (`<`, `>`)."""
    return all(isinstance(end, ExactPosition) for part in location.parts for end in (part.start, part.end))


def write_bed(path: Path, genes: Iterable[Gene]) -> None:
    """BED6: one row per gene, naming the first transcribed base."""
    rows = [
        f"{gene.record.id}\t{gene.first_base}\t{gene.first_base + 1}\t{gene.symbol}\t0\t{gene.strand}\n"
        for gene in genes
    ]
    path.write_text("".join(rows), encoding="ascii", newline="\n")


def write_half_life(path: Path, genes: Iterable[Gene]) -> None:
    """A table of the raw half-life features, empty where missing."""
    rows = [["id", *FEATURES]]
    rows += [[gene.symbol, *("" if value is None else f"{value:.10g}" for value in gene.half_life())] for gene in genes]
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="ascii", newline="\n")


def fasta(header: str, letters: str) -> str:
    """One FASTA record."""
    return "".join([f">{header}\n", *(f"{line}\n" for line in _lines(letters))])


def _lines(letters: str) -> Iterator[str]:
    for start in range(0, len(letters), LINE):
        yield letters[start : start + LINE]
