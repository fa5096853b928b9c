"""Proteins of genes: which FASTA record belongs to which gene, and a stream of (gene, tokens)."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.gene_ids import strip_version
from seqexpr.inputs.tables import MISSING, TextTable, read_table
from seqexpr.sequences.alphabet import PROTEIN
from seqexpr.sequences.fasta import FastaRecord, read_fasta, uniprot_accession

"""Its token, and every one after it, is of a letter that is none of the 20 amino acids."""

_IN_HEADER = tuple(
    re.compile(pattern)
    for pattern in (r"\bgene:(\S+)", r"\[locus_tag=([^\]]+)\]", r"\bparent=(FBgn[0-9]+)", r"\[gene=([^\]]+)\]",
                    r"\bgene_symbol:(\S+)", r"\bgene=(\S+)", r"\blocus=(\S+)", r"\bGN=(\S+)",
                    r"^\S+ (\S+) SGDID:", r"^(\S+)\.(?:[tp][0-9]+|[0-9]+(?:\.p|:pep))(?:\s|$)",
                    r"^(AT[1-5CM]G[0-9]{5})\.[0-9]+(?:\s|$)")
)  # fmt: skip
"""Where the headers of databases name a gene. The last ones are ids of transcripts and proteins: g1.t1, G1.p1,
SPAC1002.01.1:pep, AT1G01010.1."""
_GENCODE_PARTS = 2
"""Bars, at least, in an id such as ENSP...|ENST...|ENSG...|OTT...|OTT...|NAME-201|NAME|326."""

MAP_COLUMNS = ("protein_id", "uniprot", "accession")
"""Names that the protein column of a map may have; the first of these that is there counts."""


def names_in_header(record: FastaRecord) -> list[str]:
    """The genes that a record's header names as databases do, each with its version and without."""
    header = f"{record.id} {record.description}"
    named = [match[1] for pattern in _IN_HEADER for match in pattern.finditer(header)]
    if record.id.count("|") >= _GENCODE_PARTS:
        named += record.id.split("|")
    return [spelt for gene in named for spelt in (gene, strip_version(gene))]


def read_protein_map(path: str | Path | TextTable) -> dict[str, list[str]]:
    """Read which genes each protein belongs to: {protein id: [gene ids]}, in the file's order.

    The table has a column `gene_id` and one of `MAP_COLUMNS`. A gene has one protein; a protein may belong to
    several genes (identical copies do share an accession). Rows with an empty protein are left out.

    Raises:
        InputError: the columns are not there, a gene occurs twice, or no row is complete.
    """
    table = read_table(path)
    protein_column = next((name for name in MAP_COLUMNS if name in table.columns), None)
    if "gene_id" not in table.columns or protein_column is None:
        raise InputError(
            table.file,
            record="header",
            found=f"columns {', '.join(table.columns)}",
            expected=f"gene_id and one of {', '.join(MAP_COLUMNS)}",
        )
    genes: dict[str, list[str]] = {}
    seen: dict[str, int] = {}
    pairs = zip(table.column("gene_id"), table.column(protein_column), table.lines, strict=True)
    for gene, protein, line in pairs:
        if gene in MISSING or protein in MISSING:
            continue
        if gene in seen:
            raise InputError(
                table.file,
                record=f"line {line}",
                found=f"gene {gene!r} again (first on line {seen[gene]})",
                expected="one protein per gene",
            )
        seen[gene] = line
        genes.setdefault(protein, []).append(gene)
    if not genes:
        raise InputError(table.file, found="no row with both a gene and a protein", expected="one row per gene")
    return genes


@dataclass
class ProteinCounts:
    """What happened to the letters of proteins."""

    stops: int = 0
    """Proteins whose last letter, a stop (* or .), was taken off."""
    unknown_residues: int = 0
    """Letters that are none of the 20 amino acids: X, B, Z, J, O, U and a stop within the protein."""
    unknown_proteins: int = 0
    """Proteins that hold such letters."""

    def encode(self, record: FastaRecord, file: str | Path) -> np.ndarray:
        """Tokens of a protein, uint8 (residues,), without the stop at its end.

        Raises:
            InputError: a letter that no protein has, or nothing but a stop.
        """
        name = f"record {record.number:,} {record.id!r}"
        letters = record.sequence
        if letters.endswith((b"*", b".")):
            letters = letters[:-1]
            self.stops += 1
            if not letters:
                raise InputError(file, record=name, found="a stop and nothing else", expected="residues")
        tokens = PROTEIN.encode(letters, file=file, record=name)
        unknown = int(np.count_nonzero(tokens == PROTEIN.ambiguous_token))
        self.unknown_residues += unknown
        self.unknown_proteins += unknown > 0
        return tokens

    def describe(self) -> list[str]:
        """What was changed or is unknown, each in a few words."""
        said = []
        if self.stops:
            said.append(f"the stop at the end of {self.stops:,} protein{'' if self.stops == 1 else 's'} taken off")
        if self.unknown_residues:
            some = f"{self.unknown_residues:,} residue{'' if self.unknown_residues == 1 else 's'}"
            said.append(
                f"{some} in {self.unknown_proteins:,} protein{'' if self.unknown_proteins == 1 else 's'} unknown"
            )
        return said


class Translation:
    """Proteins made from an annotation, by gene.

    Args:
        records: a protein for each gene.
        file: the annotation, for messages.
        clean: applied to every gene id.
    """

    def __init__(self, records: Iterable[FastaRecord], file: str, clean: Callable[[str], str]) -> None:
        self.file = file
        self.ids: list[str] = []
        self.counts = ProteinCounts()
        self.coding: dict[str, str] = {}
        """Coding sequence by gene: whole codons without the stop; empty where only proteins are known."""
        self.notes: list[str] = []
        self._records, self._clean = records, clean

    def stream(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, np.ndarray]]:
        """Gene id and tokens, uint8 (residues,), of each gene that is wanted, in the annotation's order."""
        for record in self._records:
            gene = self._clean(record.id)
            self.ids.append(gene)
            if wanted(gene):
                yield gene, self.counts.encode(record, self.file)

    def write_coding(self, path: Path, genes: Collection[str]) -> None:
        """Write the coding sequences of these genes as gzipped FASTA; the same genes give the same bytes."""
        with path.open("wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            for gene, codons in self.coding.items():
                if gene in genes:
                    packed.write(f">{gene}\n{codons}\n".encode())


class ProteinFasta:
    """Proteins from a FASTA file, matched to genes.

    Args:
        path: FASTA file, or "-".
        genes_of: the map of `read_protein_map`, keyed by FASTA id or by the accession in `sp|ACC|NAME`. None:
            the FASTA id, else that accession, is the gene id itself.
        known: gene ids of the tables beside the proteins; decides between FASTA id and accession. None: there
            are no such tables, and the accession is the id.
        clean: applied to every gene id.
    """

    def __init__(
        self,
        path: str | Path,
        genes_of: dict[str, list[str]] | None,
        known: Collection[str] | None,
        clean: Callable[[str], str],
    ) -> None:
        self.ids: list[str] = []
        self.records = 0
        self.counts = ProteinCounts()
        self.file = str(path)
        self.notes: list[str] = []
        self.isoforms = 0
        """Proteins left out because another one of their gene is as long or longer."""
        self._path = path
        self._genes_of = genes_of
        self._known = known
        self._clean = clean

    def stream(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, np.ndarray]]:
        """Gene id and tokens, uint8 (residues,), of each gene that is wanted, in the file's order, once.

        Raises:
            InputError: bad FASTA, a sequence that is no protein, or two records for one gene.
        """
        done: set[str] = set()
        longest: dict[str, np.ndarray] = {}  # of genes that headers name: their isoforms are records of their own
        for record in read_fasta(self._path):
            self.records += 1
            genes = self._genes(record.id)
            unknown = self._known is not None and self._genes_of is None and not any(g in self._known for g in genes)
            if unknown and (gene := self._gene_in_header(record)):
                if gene not in longest:
                    self.ids.append(gene)
                if wanted(gene):
                    tokens = self.counts.encode(record, self._path)
                    self.isoforms += gene in longest
                    if gene not in longest or len(tokens) > len(longest[gene]):
                        longest[gene] = tokens
                continue
            self.ids.extend(genes)
            genes = [gene for gene in genes if wanted(gene)]
            if not genes:
                continue
            tokens = self.counts.encode(record, self._path)
            for gene in genes:
                if gene in done:
                    raise InputError(
                        self._path,
                        record=repr(record.id),
                        found=f"a second protein of gene {gene!r}",
                        expected="one protein per gene (choose with --protein-map)",
                    )
                done.add(gene)
                yield gene, tokens
        yield from ((gene, tokens) for gene, tokens in longest.items() if gene not in done)
        if self.isoforms:
            self.notes.append(f"{self.isoforms:,} proteins left out: another one of their gene is as long or longer")
        if self._genes_of is not None and not self.ids:
            proteins = list(self._genes_of)
            raise InputError(
                self._path,
                found=f"none of the {len(proteins):,} proteins of the map in its {self.records:,} records",
                expected=f"FASTA ids or UniProt accessions such as {proteins[0]!r}",
            )

    def _gene_in_header(self, record: FastaRecord) -> str | None:
        """The gene that the header of a database names, where the tables know it."""
        known = self._known or ()
        for name in names_in_header(record):
            if self._clean(name) in known:
                return self._clean(name)
        return None

    def _genes(self, id: str) -> list[str]:
        accession = uniprot_accession(id)
        if self._genes_of is not None:
            genes = self._genes_of.get(id) or self._genes_of.get(accession) or []
            return [self._clean(gene) for gene in genes]
        if self._known is not None and self._clean(id) in self._known:
            return [self._clean(id)]
        return [self._clean(accession)]
