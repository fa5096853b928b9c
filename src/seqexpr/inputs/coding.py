"""Coding sequences of genes: from a FASTA file, or spliced as an annotation says; each in the frame of its protein.

A coding sequence is optional. What no rule can read in one frame is never shifted into another: a record that names its
gene by its id is then an error, and records that a database's headers name (isoforms, of which a gene needs one) are
left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.gene_ids import unchanged
from seqexpr.inputs.proteins import names_in_header
from seqexpr.sequences.alphabet import CODING, DNA, PROTEIN
from seqexpr.sequences.coding import (
    STOP,
    CodonTables,
    TranslationCounts,
    residue_tokens,
    start_codons,
    stop_codons,
    translate_transcripts,
)
from seqexpr.sequences.fasta import FastaRecord, read_fasta, uniprot_accession
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import Transcript

_SELENOCYSTEINE, _UNKNOWN, _METHIONINE = PROTEIN.encode("UXM")
_TGA = CODING.encode("TGA")[0]

Tokens = np.ndarray
"""uint8 (codons,) of `alphabet.CODING`, or uint8 (residues,) of `alphabet.PROTEIN`."""


class CodingSource(Protocol):
    """Gives the coding sequence of a gene, if there is one."""

    file: str
    ids: list[str]
    """Of its records, for messages."""
    counts: CodingCounts

    def find(self, gene: str, protein: Tokens | None = None, *, cut: bool = False) -> Tokens | None:
        """The coding sequence of a gene without its stop, uint8 (codons,); None for a gene without one.

        Args:
            gene: its id.
            protein: of the gene, where it is known: the coding sequence must translate to it.
            cut: whether residues at the end of `protein` may have been cut off.

        Raises:
            InputError: the gene's record is no coding sequence in frame, or that of another protein.
        """


@dataclass
class CodingCounts:
    """Genes whose coding sequences were left out, by the reason."""

    left_out: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def add(self, reason: str, gene: str) -> None:
        """Count a gene."""
        self.left_out[reason] += 1
        self.example = self.example or gene

    def describe(self) -> list[str]:
        """One line about them; none where nothing was left out."""
        if not self.left_out:
            return []
        count = sum(self.left_out.values())
        said = ", ".join(f"{number:,} {reason}" for reason, number in self.left_out.most_common())
        genes = f"{count:,} gene{'' if count == 1 else 's'}"
        return [f"coding sequences of {genes} left out: {said} (first: {self.example!r})"]


@dataclass(frozen=True)
class _Fault:
    """Why a coding sequence cannot be used."""

    kind: str
    """For counting, after a number of genes."""
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    number: int
    letters: int
    tokens: Tokens | None
    """None where the letters are no whole codons."""


class CodingFasta:
    """Coding sequences from a FASTA file, plain or gzipped, all of them held in memory: a byte a codon.

    A record belongs to the gene of its id, else to the gene that its header names as the headers of databases do; of
    several such records of a gene, the one that translates to the gene's protein counts, else the longest.

    Args:
        path: FASTA file, or "-".
        clean: applied to every name.
        records: those of the file, where they are in memory.
        tables: codon tables by the kind of contig.
        contig_of: gives the contig of a gene, "" where it is not known.

    Raises:
        InputError: bad FASTA, a sequence that is no DNA, or two records with one id.
    """

    def __init__(
        self,
        path: str | Path | None,
        clean: Callable[[str], str] = unchanged,
        *,
        records: Iterable[FastaRecord] | None = None,
        tables: CodonTables | None = None,
        contig_of: Callable[[str], str] = lambda gene: "",
    ) -> None:
        self.file = "the coding sequences given" if path is None else str(path)
        self.counts = CodingCounts()
        self.ids: list[str] = []
        self._tables, self._contig_of = tables or CodonTables(), contig_of
        self._own: dict[str, _Record] = {}
        self._named: dict[str, list[_Record]] = {}
        if records is None:
            assert path is not None
            records = read_fasta(path)
        for record in records:
            self._add(record, clean)

    def _add(self, record: FastaRecord, clean: Callable[[str], str]) -> None:
        name = f"record {record.number:,} {record.id!r}"
        bases = DNA.encode(record.sequence, file=self.file, record=name)
        whole = len(bases) > 0 and len(bases) % 3 == 0
        tokens = CODING.encode(record.sequence, file=self.file, record=name) if whole else None
        kept = _Record(record.id, record.number, len(bases), tokens)
        own = clean(record.id)
        if own in self._own:
            raise InputError(
                self.file,
                record=name,
                found=f"a second coding sequence of {own!r} (first: record {self._own[own].number:,})",
                expected="one for each id",
            )
        self._own[own] = kept
        self.ids.append(own)
        names = dict.fromkeys(clean(one) for one in (uniprot_accession(record.id), *names_in_header(record)))
        for one in names:
            if one != own:
                self._named.setdefault(one, []).append(kept)

    def knows(self, gene: str) -> bool:
        """Whether a record belongs to this gene."""
        return any(name in self._own or name in self._named for name in (gene, uniprot_accession(gene)))

    def find(self, gene: str, protein: Tokens | None = None, *, cut: bool = False) -> Tokens | None:
        """As `CodingSource.find` says."""
        spellings = dict.fromkeys((gene, uniprot_accession(gene)))
        for name in spellings:
            if (own := self._own.get(name)) is not None:
                read = self._read(own, gene, protein, cut)
                if isinstance(read, _Fault):
                    record = f"record {own.number:,} {own.id!r}"
                    raise InputError(self.file, record=record, found=read.found, expected=read.expected)
                return read
        candidates = next((self._named[name] for name in spellings if name in self._named), [])
        found = [self._read(one, gene, protein, cut) for one in candidates]
        fitting = [one for one in found if not isinstance(one, _Fault)]
        if not fitting and found:
            assert isinstance(found[0], _Fault)
            self.counts.add(found[0].kind, gene)
        return max(fitting, key=len, default=None)

    def _read(self, record: _Record, gene: str, protein: Tokens | None, cut: bool) -> Tokens | _Fault:
        if record.tokens is None:
            found = f"{record.letters:,} letters, which is no multiple of three"
            return _Fault("out of frame", found, "a coding sequence of whole codons")
        table = self._tables.of(self._contig_of(gene), None)
        read = in_frame(record.tokens, table, gene, protein, cut)
        if isinstance(read, _Fault) and protein is not None and table != self._tables.mitochondrial:
            # The contig may not be known, and a protein that agrees to the last residue proves the table.
            other = in_frame(record.tokens, self._tables.mitochondrial, gene, protein, cut)
            return read if isinstance(other, _Fault) else other
        return read


class AnnotatedCoding:
    """Coding sequences spliced out of a genome, each when it is asked for.

    Args:
        transcripts: one of each gene, by the name that the caller gives it.
        genome: what they are spliced out of.
        file: of the annotation, for messages.
    """

    def __init__(self, transcripts: Mapping[str, Transcript], genome: Genome, file: str) -> None:
        self.file = file
        self.ids = list(transcripts)
        self.counts = CodingCounts()
        self._transcripts, self._genome = transcripts, genome

    def find(self, gene: str, protein: Tokens | None = None, *, cut: bool = False) -> Tokens | None:
        """As `CodingSource.find` says; a gene whose coding sequence does not translate is counted."""
        transcript = self._transcripts.get(gene) or self._transcripts.get(uniprot_accession(gene))
        if transcript is None or not transcript.cds:
            return None
        left_out = LeftOut(self.file)
        spliced = translate_transcripts([transcript], self._genome, CodonTables(), TranslationCounts(), left_out)
        found = next(spliced, None)
        if found is None:
            self.counts.add("that do not translate", gene)
            return None
        if protein is not None and _difference(PROTEIN.encode(found.protein), protein, cut) is not None:
            self.counts.add("of another protein", gene)
            return None
        return CODING.encode(found.codons)


class MadeCoding:
    """Coding sequences that were made together with the proteins, and so agree with them.

    Args:
        codons: letters by gene.
        file: where they come from, for messages.
    """

    def __init__(self, codons: Mapping[str, str], file: str) -> None:
        self.file = file
        self.ids = list(codons)
        self.counts = CodingCounts()
        self._codons = codons

    def find(self, gene: str, protein: Tokens | None = None, *, cut: bool = False) -> Tokens | None:
        """As `CodingSource.find` says."""
        codons = self._codons.get(gene)
        return CODING.encode(codons) if codons else None


def in_frame(tokens: Tokens, table: int, gene: str, protein: Tokens | None, cut: bool = False) -> Tokens | _Fault:
    """Read a coding sequence by a codon table: the codons without the stop at the end, or why it is none.

    Args:
        tokens: uint8 (codons,).
        table: NCBI's number.
        gene: its id, for messages.
        protein: uint8 (residues,) that it must translate to; None: it only must not have a stop within.
        cut: as for `CodingSource.find`.
    """
    if len(tokens) and CODING.decode(tokens[-1:]) in stop_codons(table):
        tokens = tokens[:-1]
    if not len(tokens):
        return _Fault("of a stop codon alone", "a stop codon and nothing else", "a coding sequence")
    residues = residue_tokens(table)[tokens]
    if protein is None:
        stops = np.flatnonzero(residues == STOP)
        if len(stops):
            first = int(stops[0])
            found = f"a stop, {CODING.decode(tokens[first : first + 1])}, at codon {first + 1:,} of {len(tokens):,}"
            return _Fault("with a stop codon within", found, f"a coding sequence in frame (codon table {table})")
        return tokens
    if CODING.decode(tokens[:1]) in (start_codons(table) or ()) and protein[:1] == _METHIONINE:
        residues[0] = _METHIONINE
    few = min(len(tokens), len(protein))
    selenocysteine = (tokens[:few] == _TGA) & (protein[:few] == _SELENOCYSTEINE)
    residues[:few][selenocysteine] = _SELENOCYSTEINE
    at = _difference(residues, protein, cut)
    if at is None:
        return tokens
    expected = f"the coding sequence of the protein of {gene!r} (codon table {table})"
    if at >= few:
        found = f"{len(tokens):,} codons for a protein of {len(protein):,} residues"
    else:
        codon, residue = CODING.decode(tokens[at : at + 1]), _letter(residues[at])
        found = f"{codon} ({residue}) at codon {at + 1:,}, where the protein has {_letter(protein[at])}"
    return _Fault("of another protein", found, expected)


def _difference(residues: Tokens, protein: Tokens, cut: bool) -> int | None:
    """Where a translation and a protein differ first; unknown residues (X) of either fit everything."""
    few = min(len(residues), len(protein))
    ours, theirs = residues[:few], protein[:few]
    differing = np.flatnonzero((ours != theirs) & (ours != _UNKNOWN) & (theirs != _UNKNOWN))
    if len(differing):
        return int(differing[0])
    return few if len(residues) < len(protein) or (len(residues) > len(protein) and not cut) else None


def _letter(token: int) -> str:
    return "a stop" if token == STOP else PROTEIN.letters[int(token) - 1]
