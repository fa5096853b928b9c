"""Proteins of genes: which FASTA record belongs to which gene, and a stream of (gene, tokens)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.tables import MISSING, read_table
from seqexpr.sequences.alphabet import PROTEIN
from seqexpr.sequences.fasta import read_fasta, uniprot_accession

MAP_COLUMNS = ("protein_id", "uniprot", "accession")
"""Names that the protein column of a map may have; the first of these that is there counts."""


def read_protein_map(path: str | Path) -> dict[str, list[str]]:
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
            path,
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
                path,
                record=f"line {line}",
                found=f"gene {gene!r} again (first on line {seen[gene]})",
                expected="one protein per gene",
            )
        seen[gene] = line
        genes.setdefault(protein, []).append(gene)
    if not genes:
        raise InputError(path, found="no row with both a gene and a protein", expected="one row per gene")
    return genes


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
        for record in read_fasta(self._path):
            self.records += 1
            genes = self._genes(record.id)
            self.ids.extend(genes)
            genes = [gene for gene in genes if wanted(gene)]
            if not genes:
                continue
            tokens = PROTEIN.encode(record.sequence, file=self._path, record=repr(record.id))
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
        if self._genes_of is not None and not self.ids:
            proteins = list(self._genes_of)
            raise InputError(
                self._path,
                found=f"none of the {len(proteins):,} proteins of the map in its {self.records:,} records",
                expected=f"FASTA ids or UniProt accessions such as {proteins[0]!r}",
            )

    def _genes(self, id: str) -> list[str]:
        accession = uniprot_accession(id)
        if self._genes_of is not None:
            genes = self._genes_of.get(id) or self._genes_of.get(accession) or []
            return [self._clean(gene) for gene in genes]
        if self._known is not None and self._clean(id) in self._known:
            return [self._clean(id)]
        return [self._clean(accession)]
