"""Genes of a genome whose windows hold a place, and the letters around them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from seqexpr.effects.haplotypes import Edit, Letters, leftmost, placed, reaches, rightmost
from seqexpr.sequences.alphabet import COMPLEMENT_TOKENS, DNA, PAD
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Interval, Tss


class GeneWindows:
    """Windows around TSSs in a genome. Not for several threads at once, as the genome is not.

    Args:
        genome: with the contigs of all sites.
        sites: one for each gene.
        upstream, downstream: of each window.
    """

    def __init__(self, genome: Genome, sites: Sequence[Tss], upstream: int, downstream: int) -> None:
        self.genome, self.upstream, self.downstream = genome, upstream, downstream
        self._lengths = genome.contigs
        self._reach = max(upstream, downstream)
        by_contig: dict[str, list[Tss]] = {}
        for site in sites:
            by_contig.setdefault(genome.contig(site.chrom), []).append(site)
        self._sites = {contig: sorted(found, key=lambda site: site.boundary) for contig, found in by_contig.items()}
        self._boundaries = {contig: [site.boundary for site in found] for contig, found in self._sites.items()}

    def has_genes(self, contig: str) -> bool:
        """Whether any gene lies on this contig of the genome."""
        return contig in self._sites

    def near(self, contig: str, start: int, end: int) -> list[Tss]:
        """Genes whose windows may hold bases `start` to `end`, half-open, or touch them; in the order of their TSSs."""
        boundaries = self._boundaries.get(contig, [])
        first = bisect_left(boundaries, start - self._reach)
        last = bisect_right(boundaries, end + self._reach)
        return self._sites.get(contig, [])[first:last]

    def changed_by(self, contig: str, edit: Edit) -> Iterator[tuple[Tss, Edit]]:
        """Genes whose windows an edit of a contig's + strand changes, whichever way it is spelt.

        Returns:
            Each gene with the edit along it, as `haplotypes.placed`.
        """
        letters_at = self.letters_of(contig)
        first, last = leftmost(edit, letters_at), rightmost(edit, letters_at)
        for gene in self.near(contig, first.start, last.end):
            along = first.along(gene)
            if not edit.is_substitution:
                along = placed(along, self.letters_along(gene))
            if reaches(along, self.upstream, self.downstream):
                yield gene, along

    def window(self, site: Tss) -> tuple[np.ndarray, int]:
        """The window of a gene as the genome has it, uint8 (upstream + downstream,), and how much of it is padding."""
        return self.genome.placed_window(site, self.upstream, self.downstream)

    def letters_of(self, contig: str) -> Letters:
        """Letters of a contig's + strand, PAD beyond its ends."""
        length = self._lengths[contig]

        def letters(start: int, end: int) -> np.ndarray:
            tokens = np.full(end - start, PAD, np.uint8)
            first, last = min(max(start, 0), length), min(max(end, 0), length)
            if first < last:
                found = self.genome.letters(Interval(contig, first, last))
                tokens[first - start : last - start] = DNA.encode(found, file=self.genome.path, record=contig)
            return tokens

        return letters

    def letters_along(self, site: Tss) -> Letters:
        """Letters along a gene, from its first transcribed base on; PAD beyond the contig's ends."""
        plus = self.letters_of(self.genome.contig(site.chrom))
        if site.strand == "+":
            return lambda start, end: plus(site.boundary + start, site.boundary + end)

        def letters(start: int, end: int) -> np.ndarray:
            tokens = plus(site.boundary - end, site.boundary - start).tobytes()
            return np.frombuffer(tokens.translate(COMPLEMENT_TOKENS)[::-1], np.uint8)

        return letters
