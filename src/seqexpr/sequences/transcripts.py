"""One transcript of a gene, and the half-life features that follow from it and the genome.

docs/half-life.md defines every feature, with an example by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import numpy as np

from seqexpr.sequences.windows import Interval, Tss

FEATURES = (
    "utr5_len",
    "cds_len",
    "intron_len",
    "utr3_len",
    "utr5_gc",
    "cds_gc",
    "utr3_gc",
    "orf_exon_density",
)

FEW_UTRS = 0.01
"""Share of the coding transcripts with a UTR below which an annotation is one without UTRs."""

Intervals = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """One transcript of a gene; intervals are 0-based half-open, ascending and apart from each other."""

    id: str
    gene_id: str
    symbol: str
    chrom: str
    strand: str
    exons: Intervals
    cds: Intervals
    """Coding segments, stop codon included; empty for a non-coding transcript."""
    tier: int = 0
    """The tag that makes it the main one of its gene: 3 Ensembl_canonical, 2 MANE_Select, 1 RefSeq Select, 0 none."""
    aliases: tuple[str, ...] = field(default=(), compare=False)
    """Other names of the gene, by which a user may ask for it."""
    phase: int = field(default=0, compare=False)
    """Bases before the first whole codon of the coding sequence, for one that is incomplete there."""
    codon_table: int | None = field(default=None, compare=False)
    """NCBI's number of the codon table that the annotation gives; None where it gives none."""
    selenoprotein: bool = field(default=False, compare=False)
    """Tagged `seleno`, or with a `transl_except` of Sec: a TGA within is selenocysteine."""

    @property
    def tss(self) -> Tss:
        """The TSS of the gene: the 5' end of this transcript."""
        extent = Interval(self.chrom, self.exons[0][0], self.exons[-1][1], self.strand)
        return Tss(self.gene_id, self.chrom, extent.five_prime, self.strand, self.symbol, self.aliases)

    @property
    def starts_at_start_codon(self) -> bool:
        """Whether the transcript is coding and has no 5'UTR."""
        if not self.cds:
            return False
        return self.exons[0][0] == self.cds[0][0] if self.strand == "+" else self.exons[-1][1] == self.cds[-1][1]


def lacks_utrs(transcripts: Iterable[Transcript]) -> bool:
    """Whether an annotation gives no 5'UTRs, so that its TSSs are in truth start codons.

    Such files may hold a few all the same (yeast's has 3 in 6,600): fewer than one in a hundred do not count.
    """
    coding = [transcript.starts_at_start_codon for transcript in transcripts if transcript.cds]
    return bool(coding) and sum(coding) > (1 - FEW_UTRS) * len(coding)


def half_life_features(
    transcript: Transcript, genome: Letters | None, *, knows_utr5: bool = True, knows_utr3: bool = True
) -> np.ndarray:
    """Compute the eight raw features of a transcript, float64 (8,), in the order of `FEATURES`.

    Everything but GC follows from the annotation; the three GC contents need the genome's letters and are NaN
    without one, and for a region that the transcript does not have. A transcript without a coding sequence
    has no features: all NaN.

    `orf_exon_density` counts every exon junction of the transcript, those in the UTRs too, per kb of CDS: so
    do Xpresso's own tables (ACTB: 6 exons, 5 of them coding, CDS of 1,128 bp -> 4.4326).

    Args:
        transcript: its exons and coding sequence.
        genome: for the GC contents.
        knows_utr5, knows_utr3: whether a UTR of no length is one that is known to be absent. In annotations that
            hold no UTRs at all it is not: then its length is missing.
    """
    if not transcript.cds:
        return np.full(len(FEATURES), np.nan)
    regions = _regions(transcript)
    lengths = {name: float(sum(end - start for start, end in parts)) for name, parts in regions.items()}
    if not knows_utr5 and not lengths["utr5"]:
        lengths["utr5"] = np.nan
    if not knows_utr3 and not lengths["utr3"]:
        lengths["utr3"] = np.nan
    exons = transcript.exons
    introns = sum(right[0] - left[1] for left, right in pairwise(exons))
    gc = [np.nan if genome is None else _gc(transcript, regions[name], genome) for name in ("utr5", "cds", "utr3")]
    density = (len(exons) - 1) / lengths["cds"] * 1000
    return np.array([lengths["utr5"], lengths["cds"], introns, lengths["utr3"], *gc, density], dtype=np.float64)


class Letters(Protocol):
    """What gives letters of intervals: a genome, or the records of a GenBank file."""

    def find(self, name: str) -> str | None:
        """The own name of a contig, or None."""

    def letters(self, interval: Interval) -> bytes:
        """Upper-case letters of an interval, reverse complemented on the - strand."""


class AnnotatedFeatures:
    """Half-life features of the genes of one annotation, each computed when it is asked for.

    Args:
        transcripts: by gene id.
        genome: for the GC contents; None leaves them missing, and so does a contig that it lacks.
        sites: measured TSSs by gene id: the 5'UTR of such a gene begins there.
    """

    def __init__(
        self, transcripts: Mapping[str, Transcript], genome: Letters | None, sites: Mapping[str, Tss] | None = None
    ) -> None:
        self._transcripts, self._genome, self._sites = transcripts, genome, sites or {}
        self._knows_utr5 = not lacks_utrs(transcripts.values())
        ends = [bool(_regions(one)["utr3"]) for one in transcripts.values() if one.cds]
        self._knows_utr3 = sum(ends) > FEW_UTRS * len(ends)

    def __contains__(self, gene: object) -> bool:
        return gene in self._transcripts

    def __len__(self) -> int:
        return len(self._transcripts)

    def get(self, gene: str) -> np.ndarray | None:
        """Raw features of a gene, or None for one that is not annotated."""
        return self[gene] if gene in self._transcripts else None

    def __getitem__(self, gene: str) -> np.ndarray:
        """Raw features of a gene, float64 (8,), NaN where missing."""
        transcript = self._transcripts[gene]
        site = self._sites.get(gene)
        measured = None if site is None else starting_at(transcript, site)
        has_letters = self._genome is not None and self._genome.find(transcript.chrom) is not None
        return half_life_features(
            measured or transcript,
            self._genome if has_letters else None,
            knows_utr5=self._knows_utr5 or measured is not None,
            knows_utr3=self._knows_utr3,
        )


def starting_at(transcript: Transcript, site: Tss) -> Transcript | None:
    """The transcript with its 5' end at a measured TSS.

    Exons before the TSS are dropped. Where it lies before the first exon, or in an intron, the exon after it is
    extended up to it. None for a TSS on another strand or contig, or behind the start of the coding sequence.
    """
    if not transcript.cds or site.strand != transcript.strand or site.chrom != transcript.chrom:
        return None
    at = site.boundary
    if transcript.strand == "+":
        if at > transcript.cds[0][0]:
            return None
        kept = [exon for exon in transcript.exons if exon[1] > at]
        exons = ((at, kept[0][1]), *kept[1:])
    else:
        if at < transcript.cds[-1][1]:
            return None
        kept = [exon for exon in transcript.exons if exon[0] < at]
        exons = (*kept[:-1], (kept[-1][0], at))
    return replace(transcript, exons=exons)


def _regions(transcript: Transcript) -> dict[str, list[tuple[int, int]]]:
    """The exonic pieces before, within and after the coding sequence, along the strand."""
    first, last = transcript.cds[0][0], transcript.cds[-1][1]
    left = [(start, min(end, first)) for start, end in transcript.exons if start < first]
    right = [(max(start, last), end) for start, end in transcript.exons if end > last]
    if transcript.strand == "-":
        left, right = right, left
    return {"utr5": left, "cds": list(transcript.cds), "utr3": right}


def _gc(transcript: Transcript, parts: list[tuple[int, int]], genome: Letters) -> float:
    """Fraction of G and C among the known letters; NaN when there are none."""
    letters = b"".join(genome.letters(Interval(transcript.chrom, start, end)) for start, end in parts)
    strong = letters.count(b"G") + letters.count(b"C")
    known = strong + letters.count(b"A") + letters.count(b"T")
    return strong / known if known else np.nan
