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


@pytest.mark.parametrize(
    ("header", "gene"),
    [
        ("ENSP1.1 pep chromosome:GRCh38:1:1:2:1 gene:ENSG01.4 transcript:ENST1.1 gene_symbol:TP53", "ENSG01"),
        ("ENSP1.1 pep gene:ENSG01.4 transcript:ENST1.1 gene_symbol:TP53 description:x", "TP53"),
        ("ENSP1.1|ENST1.1|ENSG01.4|OTT1|OTT2|TP53-201|TP53|326", "ENSG01"),
        ("ENSP1.1|ENST1.1|ENSG01.4", "ENSG01"),
        ("lcl|NC_1.1_prot_NP_1.1_1 [gene=thrL] [locus_tag=b0001]", "b0001"),
        ("sp|P04637|P53_HUMAN Tumor antigen OS=Homo sapiens OX=9606 GN=TP53 PE=1 SV=4", "TP53"),
        ("FBpp1 type=protein; loc=X; parent=FBgn0031081,FBtr0070000; length=786", "FBgn0031081"),
        ("Y74C9A.3.1 wormpep=CE28146 gene=WBGene00022277 locus=homt-1", "WBGene00022277"),
        ("Potri.001G000200.1.p pacid=1 locus=Potri.001G000200", "Potri.001G000200"),
        ("YAL001C TFC3 SGDID:S000000001, Chr I", "TFC3"),
        ("AT1G01010.1 | Symbols: NAC001 | chr1:3631", "AT1G01010"),
        ("SPAC1002.01.1:pep mrx11|x", "SPAC1002.01"),
        ("g1.t1", "g1"),
        ("G1.p1 GENE.G1~~G1.p1 ORF", "G1"),
    ],
)
def test_the_gene_in_the_header_of_a_database(tmp_path: Path, header: str, gene: str) -> None:
    (tmp_path / "p.fa").write_text(f">{header}\nMKL\n>other.1 gene:other\nMK\n")
    assert everything(ProteinFasta(tmp_path / "p.fa", None, {gene}, unchanged))[-1] == (gene, "MKL")


def test_of_isoforms_the_longest_counts(tmp_path: Path) -> None:
    (tmp_path / "p.fa").write_text(">AT1G01010.1\nMK\n>AT1G01010.2\nMKLV*\n>AT1G01010.3\nMKL\n")
    proteins = ProteinFasta(tmp_path / "p.fa", None, {"AT1G01010"}, unchanged)
    assert everything(proteins) == [("AT1G01010", "MKLV")]
    assert proteins.notes == ["2 proteins left out: another one of their gene is as long or longer"]
