from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from seqexpr.errors import InputError
from seqexpr.inputs.gene_ids import strip_version, unchanged
from seqexpr.inputs.proteins import ProteinFasta, read_protein_map
from seqexpr.sequences.alphabet import PROTEIN

FASTA = ">sp|P2|B_X two\nMKL\n>sp|P1|A_X\nmk\nlv\n>g9.3\nMA*\n"


def protein_map(folder: Path, text: str) -> dict[str, list[str]]:
    (folder / "map.tsv").write_text(text)
    return read_protein_map(folder / "map.tsv")


def fasta(
    folder: Path, text: str, genes_of: dict[str, list[str]] | None = None, known: Collection[str] | None = None
) -> ProteinFasta:
    (folder / "p.fa").write_text(text)
    return ProteinFasta(folder / "p.fa", genes_of, known, strip_version)


def everything(proteins: ProteinFasta) -> list[tuple[str, str]]:
    return [(gene, PROTEIN.decode(tokens)) for gene, tokens in proteins.stream(lambda _: True)]


def test_map_gathers_the_genes_of_a_protein_in_order(tmp_path: Path) -> None:
    found = protein_map(tmp_path, "symbol\tuniprot\tgene_id\nA\tP3\tg4\nB\tP1\tg1\nC\tP3\tg3\nD\t\tg5\nE\tP9\tNA\n")
    assert found == {"P3": ["g4", "g3"], "P1": ["g1"]}
    assert list(found) == ["P3", "P1"]


@pytest.mark.parametrize(
    ("header", "protein"),
    [("accession\tuniprot\tprotein_id", "c"), ("accession\tuniprot\tx", "b"), ("accession\tx\ty", "a")],
)
def test_the_protein_column_is_chosen_by_its_name(tmp_path: Path, header: str, protein: str) -> None:
    assert protein_map(tmp_path, f"gene_id\t{header}\ng1\ta\tb\tc\n") == {protein: ["g1"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "gene\tuniprot\ng1\tP1\n",
            "map.tsv, header: found columns gene, uniprot; expected gene_id and one of protein_id, uniprot, accession",
        ),
        ("gene_id\tprotein\ng1\tP1\n", "map.tsv, header: found columns gene_id, protein; expected gene_id and one of"),
        (
            "gene_id\tuniprot\ng1\tP1\n\ng2\tP1\ng1\tP2\n",
            "map.tsv, line 5: found gene 'g1' again (first on line 2); expected one protein per gene",
        ),
        ("gene_id\tuniprot\ng1\t\nNA\tP1\n", "map.tsv: found no row with both a gene and a protein; expected"),
    ],
)
def test_bad_maps(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        protein_map(tmp_path, text)
    assert message in str(error.value)


def test_proteins_by_map_are_found_by_id_or_accession(tmp_path: Path) -> None:
    proteins = fasta(tmp_path, FASTA, {"P2": ["g2.1", "g3.7"], "g9.3": ["g1"], "P7": ["g8"]})
    assert everything(proteins) == [("g2", "MKL"), ("g3", "MKL"), ("g1", "MA")]
    assert proteins.ids == ["g2", "g3", "g1"]
    assert proteins.records == 3


def test_without_a_map_known_genes_decide_between_id_and_accession(tmp_path: Path) -> None:
    assert [gene for gene, _ in everything(fasta(tmp_path, FASTA))] == ["P2", "P1", "g9"]
    known = {"sp|P2|B_X", "P1", "g9"}
    assert [gene for gene, _ in everything(fasta(tmp_path, FASTA, known=known))] == ["sp|P2|B_X", "P1", "g9"]
    (tmp_path / "p.fa").write_text(FASTA)
    unclean = ProteinFasta(tmp_path / "p.fa", None, known, unchanged)
    assert [gene for gene, _ in everything(unclean)] == ["sp|P2|B_X", "P1", "g9.3"]


def test_proteins_that_are_not_wanted_are_counted_and_not_looked_at(tmp_path: Path) -> None:
    proteins = fasta(tmp_path, ">P1\nMK1\n>P2\nMKL\n>P1.2\nM?\n")
    ((gene, tokens),) = proteins.stream(lambda gene: gene == "P2")
    assert (gene, tokens.tolist(), tokens.dtype) == ("P2", [11, 9, 10], np.uint8)  # letters ACDEFGHIKLM...
    assert proteins.ids == ["P1", "P2", "P1"]
    assert proteins.records == 3


@pytest.mark.parametrize(
    ("text", "genes_of", "message"),
    [
        (
            ">P1\nMK\n>sp|P1|X\nMK\n",
            {"P1": ["g1"]},
            "p.fa, 'sp|P1|X': found a second protein of gene 'g1'; "
            "expected one protein per gene (choose with --protein-map)",
        ),
        (">g1.1\nMK\n>g1.2\nMK\n", None, "p.fa, 'g1.2': found a second protein of gene 'g1'"),
        (">P1\nMK\n>P2\nM1\n", None, "p.fa, record 2 'P2': found '1' at position 2 of 2"),
        (">P1\n" + "ACGT" * 8 + "\n", None, "p.fa, record 1 'P1': found only the letters ACGT (it looks like DNA)"),
        (
            ">P1\nMK\n>P2\nMK\n",
            {"Q1": ["g1"], "Q2": ["g2"], "Q3": ["g3"]},
            "p.fa: found none of the 3 proteins of the map in its 2 records; "
            "expected FASTA ids or UniProt accessions such as 'Q1'",
        ),
    ],
)
def test_bad_proteins(tmp_path: Path, text: str, genes_of: dict[str, list[str]] | None, message: str) -> None:
    with pytest.raises(InputError) as error:
        everything(fasta(tmp_path, text, genes_of))
    assert message in str(error.value)
