"""Splice coding sequences out of the genome and translate them by the codon table of their contig.

The codon tables are NCBI's, as Biopython has them. What a table, a phase or a sequence leaves open is never guessed: a
coding sequence that does not translate is left out and counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from seqexpr.errors import UsageError
from seqexpr.sequences.alphabet import CODING, PROTEIN
from seqexpr.sequences.contigs import common_name
from seqexpr.sequences.fasta import FastaRecord
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import Transcript
from seqexpr.sequences.windows import Interval

STANDARD_TABLE = 1
MITOCHONDRIAL_TABLE = 2
"""Of vertebrates; yeast's is 3, mold's 4, that of invertebrates 5."""
PLASTID_TABLE = 11

_SELENOCYSTEINE_CODON = "TGA"


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
            if start_codons(number) is None:
                numbers = ", ".join(map(str, sorted(_tables())))
                raise UsageError(f"there is no codon table {number}; NCBI's tables are {numbers}")

    def of(self, contig: str, given: int | None) -> int:
        """The table of a coding sequence.

        Args:
            contig: name of its contig.
            given: the number that the annotation gives, which counts before the contig's; None: it gives none.
        """
        if given is not None:
            return given
        return {"MT": self.mitochondrial, "PT": self.plastid}.get(common_name(contig), self.nuclear)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a spliced coding sequence is read."""

    table: int
    phase: int = 0
    """Bases before the first whole codon."""
    from_start: bool = True
    """Whether it has its beginning: only then a start codon is M."""
    exceptions: Mapping[int, str] = field(default_factory=dict)
    """Residues that the annotation gives by the number of the codon from 0, "*" for a stop; a stop that the
    poly(A) tail completes is a codon of one or two letters."""
    selenoprotein: bool = False
    """Whether every TGA within is selenocysteine."""


@dataclass(frozen=True, slots=True)
class CodingSequence:
    """The translated coding sequence of one gene."""

    gene: str
    codons: str
    """Letters of whole codons, from the first one on, without the stop; "" where only the protein is known."""
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
    """Of mitochondria, where the annotation names no codon table: `CodonTables.mitochondrial` is taken."""
    differing: int = 0
    """Whose protein the file gives too, and another one: the file's is taken."""
    tables: set[int] = field(default_factory=set)

    def describe(self) -> list[str]:
        """One line about all of them; none where nothing was translated."""
        if not self.translated:
            return []
        said = [
            f"{count:,} {what}"
            for count, what in (
                (self.no_start, "without a start codon"),
                (self.no_stop, "without a stop codon"),
                (self.incomplete, "whose length is no multiple of three"),
                (self.unknown, "with unknown codons (X)"),
                (self.differing, "whose protein in the file is another one (the file's is taken)"),
            )
            if count
        ]
        what = f"{self.translated:,} coding sequence{'' if self.translated == 1 else 's'}"
        tables = ", ".join(map(str, sorted(self.tables)))
        return [f"translated {what} by codon table {tables}" + (f": {', '.join(said)}" if said else "")]


def translate_transcripts(
    transcripts: Iterable[Transcript],
    genome: Genome,
    tables: CodonTables,
    counts: TranslationCounts,
    left_out: LeftOut,
) -> Iterator[CodingSequence]:
    """Translate the coding sequence of each coding transcript, in their order.

    A first codon that the table has as a start is M. A coding sequence that lies off its contig, has a stop within
    (but for selenocysteine, U, where the annotation tags it) or a codon table that does not exist is left out.

    Args:
        transcripts: one of each gene.
        genome: what they are spliced out of.
        tables: codon tables by the kind of contig.
        counts: filled while the stream runs.
        left_out: counts what is left out, for the caller to report.
    """
    lengths = genome.contigs
    for transcript in transcripts:
        if not transcript.cds:
            continue
        contig = genome.find(transcript.chrom)
        example = f"{transcript.gene_id}, transcript {transcript.id}"
        if contig is None:
            left_out.add("coding sequences on contigs that the genome lacks", example)
            continue
        if transcript.cds[-1][1] > lengths[contig]:
            left_out.add("coding sequences that reach beyond the end of their contig", example)
            continue
        reading = Reading(
            tables.of(transcript.chrom, transcript.codon_table),
            transcript.phase,
            transcript.phase == 0,
            selenoprotein=transcript.selenoprotein,
        )
        found = translate(transcript.gene_id, splice(transcript, genome), reading, counts)
        if isinstance(found, str):
            left_out.add(f"coding sequences with {found}", example)
            continue
        counts.mitochondrial += transcript.codon_table is None and common_name(transcript.chrom) == "MT"
        yield found


def splice(transcript: Transcript, genome: Genome) -> str:
    """The coding sequence of a transcript, 5' to 3' on its strand, upper case; stop codon as annotated."""
    parts = [Interval(transcript.chrom, start, end, transcript.strand) for start, end in transcript.cds]
    ordered = parts if transcript.strand == "+" else parts[::-1]
    return b"".join(genome.letters(part) for part in ordered).decode("ascii")


def translate(gene: str, spliced: str, reading: Reading, counts: TranslationCounts) -> CodingSequence | str:
    """Translate one coding sequence.

    Args:
        gene: its id.
        spliced: letters 5' to 3', upper case, from the annotated beginning to the annotated end.
        reading: how it is read.
        counts: filled where it translates.

    Returns:
        The coding sequence, or why it does not translate.
    """
    starts = start_codons(reading.table)
    if starts is None:
        return f"a codon table that does not exist (transl_table {reading.table})"
    letters = spliced[reading.phase :].replace("U", "T")
    whole = letters[: len(letters) // 3 * 3]
    residues = _residues(whole, reading.table)
    if residues is None:
        return "letters that are not DNA"
    if reading.selenoprotein:
        inner = range(len(residues) - 1)
        residues[:-1] = ["U" if whole[3 * at : 3 * at + 3] == _SELENOCYSTEINE_CODON else residues[at] for at in inner]
    for at, residue in reading.exceptions.items():
        if 0 <= at < len(residues):
            residues[at] = residue
    completed = reading.exceptions.get(len(residues)) == "*"  # of a codon that is not whole
    stopped = residues[-1:] == ["*"]
    if stopped:
        residues.pop()
        whole = whole[:-3]
    if not residues:
        return "a stop codon alone" if stopped else "no whole codon"
    if "*" in residues:
        return "a stop codon within (another codon table, or frame?)"
    begins = reading.from_start and not reading.phase and whole[:3] in starts
    if begins and 0 not in reading.exceptions:
        residues[0] = "M"
    counts.translated += 1
    counts.tables.add(reading.table)
    counts.no_start += not begins
    counts.no_stop += not (stopped or completed)
    counts.incomplete += len(letters) % 3 > 0 and not completed
    counts.unknown += "X" in residues
    return CodingSequence(gene, whole, "".join(residues))


def _residues(whole: str, table: int) -> list[str] | None:
    """A residue for each codon, "*" for stops; None where the letters are not DNA."""
    from Bio import BiopythonWarning
    from Bio.Data.CodonTable import TranslationError
    from Bio.Seq import Seq

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BiopythonWarning)  # of codons that are both a stop and an amino acid
        try:
            residues = list(str(Seq(whole).translate(table=table, gap=None)))
        except TranslationError:
            return None
    stops = _tables()[table].stop_codons
    if residues and whole[-3:] in stops:  # Biopython reads such a codon as the amino acid, at the end too
        residues[-1] = "*"
    return residues


def start_codons(number: int) -> frozenset[str] | None:
    """The start codons of a codon table, or None where there is no table of this number."""
    table = _tables().get(number)
    return None if table is None else frozenset(table.start_codons)


STOP = 255
"""What `residue_tokens` has for a stop codon."""


@lru_cache
def residue_tokens(number: int) -> np.ndarray:
    """The residue that each token of `alphabet.CODING` stands for by a codon table.

    Returns:
        uint8 (65,): tokens of `alphabet.PROTEIN`; X for a codon that is not known, `STOP` for codons that are stops
        and nothing else.

    Raises:
        KeyError: there is no such table.
    """
    forward = _tables()[number].forward_table
    unknown = PROTEIN.encode("X")[0]
    of_codon = [PROTEIN.encode(forward[codon])[0] if codon in forward else STOP for codon in CODING.codons]
    return np.array([unknown, *of_codon], dtype=np.uint8)


def stop_codons(number: int) -> frozenset[str]:
    """The codons of a table that may end a coding sequence; of some tables they may be residues too.

    Raises:
        KeyError: there is no such table.
    """
    return frozenset(_tables()[number].stop_codons)


@lru_cache
def _tables() -> Mapping[int, Any]:
    from Bio.Data import CodonTable

    return CodonTable.unambiguous_dna_by_id


def as_records(sequences: Iterable[CodingSequence]) -> Iterator[FastaRecord]:
    """The proteins as records of a FASTA file."""
    for number, one in enumerate(sequences, start=1):
        yield FastaRecord(one.gene, "", one.protein.encode("ascii"), number)
