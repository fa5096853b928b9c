"""UniProt's reviewed proteins of a species, by Ensembl gene.

Two files of one release. FASTA: `>sp|P04637|P53_HUMAN ...`. Table (TSV): `Entry`, `Gene Names (primary)`, `Ensembl`;
the last column holds cross-references such as

    "ENST00000279907.12; ENSP00000279907.7; ENSG00000111647.13. [A0JNW5-1]";"ENST00000356828.7; ..."

one for each transcript, of one gene or several; it is empty for an entry that Ensembl does not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.tables import read_table
from seqexpr.sequences.alphabet import PROTEIN
from seqexpr.sequences.fasta import read_fasta, uniprot_accession

_GENE = re.compile(r"\bENS[A-Z]*G\d{11}\b")
_COLUMN = "Ensembl"


@dataclass(frozen=True)
class GeneProteins:
    """The protein of each gene, and what the two files hold."""

    tokens: dict[str, np.ndarray]
    """uint8 (residues,) by Ensembl gene without version."""
    entries: int
    """Proteins in the FASTA file."""
    chosen: int
    """Genes with several entries, of which one was chosen."""


def read_gene_proteins(
    fasta: str | Path, ensembl_map: str | Path, wanted: Callable[[str], bool] = lambda gene: True
) -> GeneProteins:
    """Read the protein of every gene that is wanted.

    A gene with several entries (CDKN2A: P42771, Q8N726) has the longest one; of the same length, the accession that
    comes first in the alphabet. So the choice does not depend on the order of the files, which is not the same in
    every download.

    Raises:
        InputError: a bad file, a table without the column `Ensembl` or without any gene in it, no protein of the
            table in the FASTA file, or an accession twice.
    """
    genes_of = _read_map(ensembl_map)
    best: dict[str, tuple[int, str]] = {}  # (-residues, accession): the least is chosen
    tokens: dict[str, np.ndarray] = {}
    several: set[str] = set()
    seen: set[str] = set()
    for record in read_fasta(fasta):
        accession = uniprot_accession(record.id)
        if accession in seen:
            raise InputError(fasta, record=repr(record.id), found="the same entry again", expected="each entry once")
        seen.add(accession)
        for gene in genes_of.get(accession, ()):
            if not wanted(gene):
                continue
            rank = (-len(record.sequence), accession)
            if gene in best:
                several.add(gene)
            if gene not in best or rank < best[gene]:
                best[gene] = rank
                tokens[gene] = PROTEIN.encode(record.sequence, file=fasta, record=repr(record.id))
    if not seen & genes_of.keys():
        raise InputError(
            fasta,
            found=f"none of the {len(genes_of):,} entries of {ensembl_map}",
            expected=f"proteins such as {next(iter(genes_of))}, of the same release",
        )
    return GeneProteins(tokens, len(seen), len(several))


def _read_map(path: str | Path) -> dict[str, list[str]]:
    """The Ensembl genes of each accession, without versions."""
    table = read_table(path)
    if _COLUMN not in table.columns:
        found = f"columns {', '.join(table.columns)}"
        raise InputError(path, record="header", found=found, expected=f"a column {_COLUMN!r}")
    genes_of = {}
    for accession, references in zip(table.ids(), table.column(_COLUMN), strict=True):
        if genes := list(dict.fromkeys(_GENE.findall(references))):
            genes_of[accession] = genes
    if not genes_of:
        raise InputError(path, found="no Ensembl gene in any row", expected="cross-references to genes (ENSG...)")
    return genes_of
