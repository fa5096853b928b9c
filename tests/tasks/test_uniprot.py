from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from seqexpr.errors import InputError
from seqexpr.sequences.alphabet import PROTEIN
from seqexpr.tasks.uniprot import GeneProteins, read_gene_proteins

FASTA = ">sp|P00001|A_HUMAN Protein A\nMKL\n>sp|P00002|B_HUMAN\nMKLAA\n>sp|P00003|C_HUMAN\nMW\nWW\n"
HEADER = "Entry\tGene Names (primary)\tEnsembl\n"
ONE, TWO, THREE = "ENSG00000000001", "ENSG00000000002", "ENSG00000000003"
MAP = (
    HEADER
    + f'P00001\tA\t"ENST00000279907.12; ENSP00000279907.7; {ONE}.13. [P00001-1]";'
    + f'"ENST2.7; ENSP3.3; {ONE}.13. [P00001-2]";\n'
    + f"P00002\tB\tENST2.1; {TWO}.1; {THREE}\n"
    + "P00003\tC\t\n"
)


def read(folder: Path, fasta: str = FASTA, table: str = MAP, **options) -> GeneProteins:
    (folder / "proteins.fasta.gz").write_bytes(gzip.compress(fasta.encode()))
    (folder / "map.tsv.gz").write_bytes(gzip.compress(table.encode()))
    return read_gene_proteins(folder / "proteins.fasta.gz", folder / "map.tsv.gz", **options)


def letters(found: GeneProteins) -> dict[str, str]:
    return {gene: PROTEIN.decode(tokens) for gene, tokens in found.tokens.items()}


def test_every_gene_of_an_entry_has_its_protein(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert letters(found) == {ONE: "MKL", TWO: "MKLAA", THREE: "MKLAA"}
    assert (found.entries, found.chosen) == (3, 0)


def test_only_genes_that_are_wanted(tmp_path: Path) -> None:
    assert letters(read(tmp_path, wanted={TWO}.__contains__)) == {TWO: "MKLAA"}


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_entries_the_longest_counts_whatever_the_order(tmp_path: Path, order: int) -> None:
    records = [">sp|P00001|A_HUMAN\nMKL\n", ">sp|P00002|B_HUMAN\nMKLAA\n", ">sp|A00002|B_HUMAN\nMWWWW\n"]
    rows = [f"P00001\tA\t{ONE}.1\n", f"P00002\tA\t{ONE}.1\n", f"A00002\tA\t{ONE}.1\n"]
    found = read(tmp_path, "".join(records[::order]), HEADER + "".join(rows[::order]))
    assert letters(found) == {ONE: "MWWWW"}  # as long as P00002, and first in the alphabet
    assert found.chosen == 1


def test_entries_of_another_release_are_left_out(tmp_path: Path) -> None:
    assert letters(read(tmp_path, table=MAP + f"P99999\tZ\t{ONE.replace('1', '7')}\n")) == letters(read(tmp_path))


@pytest.mark.parametrize(
    ("fasta", "table", "message"),
    [
        (
            FASTA,
            MAP.replace("Ensembl", "Cross"),
            "header: found columns Entry, Gene Names .primary., Cross; expected a column",
        ),
        (FASTA, HEADER + "P00001\tA\t\n", "found no Ensembl gene in any row"),
        (FASTA, MAP + f"P00001\tA\t{ONE}\n", "id 'P00001' again"),
        (FASTA.replace("P0000", "Q0000"), MAP, "found none of the 2 entries of .*; expected proteins such as P00001"),
        (FASTA + ">tr|P00001|A_HUMAN\nMK\n", MAP, "'tr.P00001.A_HUMAN': found the same entry again"),
        (FASTA.replace("MKL\n", "MK1\n"), MAP, "P00001"),
    ],
)
def test_bad_files(tmp_path: Path, fasta: str, table: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, fasta, table)
