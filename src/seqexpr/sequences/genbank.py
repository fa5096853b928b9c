"""Read GenBank and EMBL files: sequences, the TSSs of their genes, half-life features and proteins at once.

Of every gene one transcript is chosen: around the longest coding sequence, else the longest. Its TSS is the 5' end of
the mRNA feature, else of the gene feature, else of the coding sequence.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seqexpr.errors import InputError
from seqexpr.sequences.alphabet import DNA, reverse_complement, reverse_complement_letters
from seqexpr.sequences.coding import CodingSequence, CodonTables, Reading, TranslationCounts, as_records, translate
from seqexpr.sequences.contigs import ContigNames, common_name
from seqexpr.sequences.fasta import FastaRecord
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.genbank_genes import Coding, GenbankGene, genes_of
from seqexpr.sequences.genbank_records import read_records
from seqexpr.sequences.gene_names import pick_genes
from seqexpr.sequences.transcripts import Transcript, lacks_utrs
from seqexpr.sequences.windows import Interval, Tss, place_window

logger = logging.getLogger(__name__)


class GenbankSequences:
    """The sequences of the records, which windows are cut from. A circular one goes on over its origin.

    Args:
        path: the file, for messages.
        letters: by record.
        circular: names of circular records.
    """

    def __init__(self, path: str | Path, letters: dict[str, bytes], circular: Collection[str]) -> None:
        self.path = Path(path)
        self.aliases: dict[str, str] = {}
        self.circular = frozenset(circular)
        """Records over whose ends windows go on."""
        self._letters = letters
        self._names = ContigNames(letters)

    @property
    def contigs(self) -> dict[str, int]:
        """Length of each record."""
        return {name: len(letters) for name, letters in self._letters.items()}

    def find(self, name: str) -> str | None:
        """The own name of a record, or None."""
        return self._names.find(name)

    def check_inside(self, tss: Tss) -> None:
        """Check that a TSS lies on its record.

        Raises:
            InputError: it does not.
        """
        length = len(self._letters[tss.chrom])
        if not 0 <= tss.first_base < length:
            raise InputError(
                self.path,
                record=f"TSS of {tss.id!r}",
                found=f"position {tss.first_base + 1:,}",
                expected=f"1 to {length:,}",
            )

    def placed_window(self, tss: Tss, upstream: int, downstream: int) -> tuple[np.ndarray, int]:
        """The window around a TSS, as `Genome.placed_window` gives it.

        On a circular record nothing is padded: a window that is longer than the record goes round it more than once.
        """
        window = tss.window(upstream, downstream)
        length = len(self._letters[tss.chrom])
        inside = window if tss.chrom in self.circular else window.clip(length)
        tokens = self._encode(self._text(inside), tss.chrom)
        tokens = tokens if tss.strand == "+" else reverse_complement(tokens)
        return place_window(tokens, tss.offset_in(inside), upstream, downstream)

    def letters(self, interval: Interval) -> bytes:
        """Upper-case letters of an interval, reverse complemented on the - strand."""
        found = self._text(interval)
        return found if interval.strand == "+" else reverse_complement_letters(found)

    def _text(self, interval: Interval) -> bytes:
        """The letters of an interval on the + strand; on a circular record they go on over the origin."""
        letters = self._letters[interval.chrom]
        if interval.chrom not in self.circular:
            return letters[interval.start : interval.end]
        start = interval.start % len(letters)
        found = letters[start : start + len(interval)]
        missing = len(interval) - len(found)
        rounds, rest = divmod(missing, len(letters))
        return found + letters * rounds + letters[:rest] if missing else found

    def _encode(self, letters: bytes, chrom: str) -> np.ndarray:
        return DNA.encode(letters, file=self.path, record=f"record {chrom!r}")


@dataclass
class GenbankFile:
    """What a GenBank or EMBL file holds about genes."""

    path: str
    sequences: GenbankSequences
    sites: list[Tss]
    """TSSs of the genes, in the file's order."""
    transcripts: dict[str, Transcript]
    """The chosen transcript by gene. Positions of one that lies over the origin of a circular record go on counting."""
    coding: dict[str, Coding] = field(default_factory=dict)
    """How the protein is read, by gene."""
    organelles: dict[str, str] = field(default_factory=dict)
    """"MT" or "PT" by the name of a record whose source is one."""

    def coding_sequences(
        self, tables: CodonTables, counts: TranslationCounts, left_out: LeftOut
    ) -> Iterator[CodingSequence]:
        """Translate the coding sequences of the genes in `sites`, in their order.

        The protein is the one that the file gives, else the translation. A gene whose file gives none and whose coding
        sequence does not translate is left out.

        Args:
            tables: codon tables for features that give none.
            counts: filled while the stream runs.
            left_out: counts what is left out, for the caller to report.
        """
        for site in self.sites:
            if (coding := self.coding.get(site.id)) is None:
                continue
            contig = self.organelles.get(site.chrom, site.chrom)
            reading = Reading(
                tables.of(contig, coding.table), coding.phase, coding.from_start, exceptions=coding.exceptions
            )
            parts = [Interval(site.chrom, start, end, coding.strand) for start, end in coding.parts]
            ordered = parts if coding.strand == "+" else parts[::-1]
            spliced = b"".join(map(self.sequences.letters, ordered)).decode("latin-1")
            found = translate(site.id, spliced, reading, counts)
            if isinstance(found, str) and not coding.given:
                left_out.add(f"coding sequences with {found}", f"{site.id} of {site.chrom}")
                continue
            if coding.given and (isinstance(found, str) or found.protein != coding.given):
                counts.differing += 1
                counts.translated += isinstance(found, str)
                counts.tables.add(reading.table)
                fits = isinstance(found, CodingSequence) and len(found.protein) == len(coding.given)
                codons = found.codons if fits and isinstance(found, CodingSequence) else ""
                found = CodingSequence(site.id, codons, coding.given)
            counts.mitochondrial += coding.table is None and common_name(contig) == "MT"
            assert isinstance(found, CodingSequence)
            yield found

    def proteins(self) -> Iterator[FastaRecord]:
        """The proteins of the genes in `sites`, in their order."""
        left_out = LeftOut(self.path)
        yield from as_records(self.coding_sequences(CodonTables(), TranslationCounts(), left_out))
        left_out.report()


def read_genbank(path: str | Path, genes: Collection[str] | None = None, *, allow_unknown: bool = False) -> GenbankFile:
    """Read a GenBank or EMBL file; gzipped or not, "-" is standard input. All of it is held in memory.

    Ids are the locus tag, else the gene's name, its GeneID, or the feature's label. Records and features that cannot be
    used are left out, and a warning for each reason says how many.

    Args:
        path: the file.
        genes: symbols or ids to pick; None: all.
        allow_unknown: leave out genes that are not in the file, with a warning.

    Raises:
        InputError: no such format, a damaged record, two records of one name, no gene, or genes that are not there.
    """
    left_out = LeftOut(path)
    letters: dict[str, bytes] = {}
    circular: set[str] = set()
    organelles: dict[str, str] = {}
    chosen: dict[str, GenbankGene] = {}
    for record in read_records(path, left_out):
        if record.name in letters:
            raise InputError(
                path, record=f"record {record.name!r}", found="a second record", expected="each record once"
            )
        letters[record.name] = record.letters
        if record.circular:
            circular.add(record.name)
        if record.organelle:
            organelles[record.name] = record.organelle
        for gene in genes_of(record, left_out):
            if gene.site.id in chosen:
                left_out.add("genes whose id is that of an earlier one", f"{gene.site.id} of {record.name}")
            else:
                chosen[gene.site.id] = gene
    if not chosen:
        raise left_out.error("no gene", "records with a sequence and with gene, mRNA or CDS features")
    left_out.report()
    coding = [gene for gene in chosen.values() if gene.transcript.cds]
    if lacks_utrs(gene.transcript for gene in coding):
        logger.warning("%s: no coding gene has a 5'UTR, so its TSS is the start codon", path)
    elif coding and not any(gene.has_transcript for gene in coding):
        logger.warning("%s: no coding gene has an mRNA feature or exons, so its TSS is the gene's start", path)
    sites = [gene.site for gene in chosen.values()]
    if genes is not None:
        sites = pick_genes(path, sites, genes, allow_unknown=allow_unknown)
    return GenbankFile(
        str(path),
        GenbankSequences(path, letters, circular),
        sites,
        {name: gene.transcript for name, gene in chosen.items()},
        {name: gene.coding for name, gene in chosen.items() if gene.coding is not None},
        organelles,
    )
