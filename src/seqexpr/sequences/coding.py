"""Splice the coding sequence of a transcript out of the genome and translate it by its contig's codon table.

The codon tables are NCBI's, as Biopython has them. What a table, a phase or a sequence leaves open is never guessed: a
coding sequence that does not translate is left out and counted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from seqexpr.errors import InputError, UsageError
from seqexpr.sequences.contigs import common_name
from seqexpr.sequences.fasta import FastaRecord
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import Transcript
from seqexpr.sequences.windows import Interval

logger = logging.getLogger(__name__)

STANDARD_TABLE = 1
MITOCHONDRIAL_TABLE = 2
"""Of vertebrates; yeast's is 3, mold's 4, that of invertebrates 5."""
PLASTID_TABLE = 11


@dataclass(frozen=True)
class CodonTables:
    """Numbers of NCBI's codon tables by the kind of contig.

    Raises:
        UsageError: there is no such table.
    """

    nuclear: int = STANDARD_TABLE
    mitochondrial: int = MITOCHONDRIAL_TABLE
    plastid: int = PLASTID_TABLE

    def __post_init__(self) -> None:
        for number in (self.nuclear, self.mitochondrial, self.plastid):
            _table(number)

    def of(self, transcript: Transcript) -> int:
        """The table of a transcript: the annotation's `transl_table`, else its contig's."""
        if transcript.codon_table is not None:
            return transcript.codon_table
        kind = common_name(transcript.chrom)
        return {"MT": self.mitochondrial, "PT": self.plastid}.get(kind, self.nuclear)


@dataclass(frozen=True, slots=True)
class CodingSequence:
    """The translated coding sequence of one gene."""

    gene: str
    codons: str
    """Letters of whole codons, from the first one on, without the stop."""
    protein: str
    """One residue for each codon."""


@dataclass
class TranslationCounts:
    """What was odd about coding sequences that were translated all the same."""

    translated: int = 0
    no_start: int = 0
    """Without a start codon of their table."""
    no_stop: int = 0
    incomplete: int = 0
    """Whose length is no multiple of three: the last one or two bases were left out."""
    unknown: int = 0
    """With codons that hold unknown letters, which become X."""
    mitochondrial: int = 0
    tables: set[int] = field(default_factory=set)

    def describe(self) -> list[str]:
        """One line about all of them."""
        said = [
            f"{count:,} {what}"
            for count, what in (
                (self.no_start, "without a start codon"),
                (self.no_stop, "without a stop codon"),
                (self.incomplete, "whose length is no multiple of three"),
                (self.unknown, "with unknown codons (X)"),
                (self.mitochondrial, "of mitochondria"),
            )
            if count
        ]
        tables = ", ".join(map(str, sorted(self.tables)))
        return [
            f"translated {self.translated:,} coding sequences by codon table {tables}"
            + (f": {', '.join(said)}" if said else "")
        ]


def translate_transcripts(
    transcripts: Iterable[Transcript],
    genome: Genome,
    tables: CodonTables,
    counts: TranslationCounts,
) -> Iterator[CodingSequence]:
    """Translate the coding sequence of each coding transcript, in their order.

    A first codon that the table has as a start is M. A stop within the protein leaves it out, but for selenocysteine
    (U) where the annotation tags it.

    Args:
        transcripts: one of each gene.
        genome: what they are spliced out of.
        tables: codon tables by the kind of contig.
        counts: filled while the stream runs.

    Raises:
        InputError: a coding sequence that lies outside its contig, or a codon table that does not exist.
    """
    left_out = LeftOut(genome.path)
    for transcript in transcripts:
        if not transcript.cds:
            continue
        if genome.find(transcript.chrom) is None:
            left_out.add("coding sequences on contigs that the genome lacks", f"{transcript.gene_id}")
            continue
        spliced = splice(transcript, genome)[transcript.phase :]
        number = tables.of(transcript)
        found = _translated(transcript, spliced, number, counts)
        if isinstance(found, str):
            left_out.add(f"coding sequences with {found}", f"{transcript.gene_id}, transcript {transcript.id}")
            continue
        counts.translated += 1
        counts.tables.add(number)
        counts.mitochondrial += common_name(transcript.chrom) == "MT"
        yield found
    left_out.report()


def splice(transcript: Transcript, genome: Genome) -> str:
    """The coding sequence of a transcript, 5' to 3' on its strand, upper case; stop codon as annotated."""
    parts = [Interval(transcript.chrom, start, end, transcript.strand) for start, end in transcript.cds]
    ordered = parts if transcript.strand == "+" else parts[::-1]
    return b"".join(genome.letters(part) for part in ordered).decode("ascii").replace("U", "T")


def _translated(transcript: Transcript, spliced: str, number: int, counts: TranslationCounts) -> CodingSequence | str:
    """The coding sequence, or why it is left out."""
    from Bio.Seq import Seq

    whole = spliced[: len(spliced) // 3 * 3]
    if not whole:
        return "no whole codon"
    starts = _table(number)
    protein = str(Seq(whole).translate(table=number))
    stopped = protein.endswith("*")
    if stopped:
        protein, whole = protein[:-1], whole[:-3]
    if not protein:
        return "a stop codon alone"
    if transcript.selenoprotein:
        protein = "".join("U" if letter == "*" else letter for letter in protein)
    if "*" in protein:
        return "a stop codon within (another codon table, or frame?)"
    if transcript.phase == 0 and whole[:3] in starts:
        protein = "M" + protein[1:]
    else:
        counts.no_start += 1
    counts.no_stop += not stopped
    counts.incomplete += len(spliced) % 3 > 0
    counts.unknown += "X" in protein
    return CodingSequence(transcript.gene_id, whole, protein)


@lru_cache
def _table(number: int) -> frozenset[str]:
    """The start codons of a codon table.

    Raises:
        UsageError: there is no table of this number.
    """
    from Bio.Data import CodonTable

    table = CodonTable.unambiguous_dna_by_id.get(number)
    if table is None:
        numbers = ", ".join(map(str, sorted(CodonTable.unambiguous_dna_by_id)))
        raise UsageError(f"there is no codon table {number}; NCBI's tables are {numbers}")
    return frozenset(table.start_codons)


def as_records(sequences: Iterable[CodingSequence]) -> Iterator[FastaRecord]:
    """The proteins as records of a FASTA file."""
    for number, one in enumerate(sequences, start=1):
        yield FastaRecord(one.gene, "", one.protein.encode("ascii"), number)


def check_codon_table(path: str | Path, gene: str, number: int) -> None:
    """Check a `transl_table` that a file gives.

    Raises:
        InputError: there is no such table.
    """
    try:
        _table(number)
    except UsageError as error:
        raise InputError(path, record=repr(gene), found=f"transl_table {number}", expected=str(error)) from None
