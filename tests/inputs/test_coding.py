from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.inputs.coding import CodingFasta, in_frame
from seqexpr.inputs.gene_ids import strip_version
from seqexpr.sequences.alphabet import CODING, PROTEIN
from seqexpr.sequences.coding import STOP, residue_tokens

MKR = PROTEIN.encode("MKR")


@pytest.fixture
def fasta(tmp_path: Path) -> Callable[..., CodingFasta]:
    def make(text: str, *options: object, **named: object) -> CodingFasta:
        (tmp_path / "c.fa").write_text(text)
        return CodingFasta(tmp_path / "c.fa", *options, **named)  # type: ignore[arg-type]

    return make


def letters(tokens: np.ndarray | None) -> str | None:
    return None if tokens is None else CODING.decode(tokens)


def test_a_record_is_found_by_its_id_and_loses_its_stop(fasta: Callable[..., CodingFasta]) -> None:
    source = fasta(">g1\nATGAAACGTTAA\n>g2.3\nATGaaaNNN\n", strip_version)
    assert letters(source.find("g1")) == "ATGAAACGT"
    assert letters(source.find("g2")) == "ATGAAANNN"
    assert source.find("g3") is None
    assert (source.knows("g1"), source.knows("g3"), source.ids) == (True, False, ["g1", "g2"])


def test_of_isoforms_that_headers_name_the_one_that_translates_to_the_protein_counts(
    fasta: Callable[..., CodingFasta],
) -> None:
    source = fasta(
        ">T1 cds gene:G1.2\nATGAAAAAACGT\n>T2 cds gene:G1.2\nATGAAACGTTGA\n>T3 cds gene:G1.2\nATGAA\n"
        ">T4 cds gene:G2.1\nATGAA\n>T5 gene:G3.1\nATGTAACGT\n>T6 gene:G4.1\nATGCGT\n"
    )
    assert letters(source.find("G1", MKR)) == "ATGAAACGT"
    assert letters(source.find("G1")) == "ATGAAAAAACGT"  # the longest, where no protein tells
    assert [source.find(gene, protein) for gene, protein in (("G2", None), ("G3", None), ("G4", MKR))] == [None] * 3
    assert source.counts.describe() == [
        "coding sequences of 3 genes left out: 1 out of frame, 1 with a stop codon within, 1 of another protein "
        "(first: 'G2')"
    ]


@pytest.mark.parametrize(
    ("sequence", "protein", "found"),
    [
        ("ATGAAACGTT", None, r"10 letters, which is no multiple of three; expected a coding sequence of whole codons"),
        ("ATGTGACGTTAA", None, r"a stop, TGA, at codon 2 of 3; expected a coding sequence in frame \(codon table 1\)"),
        ("TAA", None, "a stop codon and nothing else; expected a coding sequence"),
        ("ATGAGACGT", MKR, r"AGA \(R\) at codon 2, where the protein has K; expected the coding sequence of the prot"),
        ("ATGTAACGT", MKR, r"TAA \(a stop\) at codon 2, where the protein has K"),
        ("ATGAAA", MKR, r"2 codons for a protein of 3 residues; expected the coding sequence of the protein of 'g1'"),
        ("ATGAAACGTCGT", MKR, "4 codons for a protein of 3 residues"),
    ],
)
def test_a_record_of_the_genes_own_id_that_is_not_in_frame_is_an_error(
    fasta: Callable[..., CodingFasta], sequence: str, protein: np.ndarray | None, found: str
) -> None:
    with pytest.raises(InputError, match=rf"c\.fa, record 1 'g1': found {found}"):
        fasta(f">g1\n{sequence}\n").find("g1", protein)


def test_what_no_gene_asks_for_is_not_judged(fasta: Callable[..., CodingFasta]) -> None:
    assert letters(fasta(">bad\nATGA\n>g1\nATG\n").find("g1")) == "ATG"


def test_two_records_of_one_id_are_an_error(fasta: Callable[..., CodingFasta]) -> None:
    with pytest.raises(InputError, match=r"record 2 'g1\.2': found a second coding sequence of 'g1'"):
        fasta(">g1.1\nATG\n>g1.2\nATG\n", strip_version)


@pytest.mark.parametrize(
    ("codons", "protein"),
    [
        ("CTGAAACGT", "MKR"),  # another start codon
        ("ATGTGACGT", "MUR"),  # selenocysteine
        ("ATGNNACGT", "MKR"),  # a codon that is not known
        ("ATGAAACGT", "MXR"),
        ("ATGTGAATA", "MWM"),  # the table of mitochondria
    ],
)
def test_what_agrees_with_a_protein(fasta: Callable[..., CodingFasta], codons: str, protein: str) -> None:
    assert fasta(f">g\n{codons}\n").find("g", PROTEIN.encode(protein)) is not None


def test_a_protein_that_was_cut_off_agrees_as_far_as_it_goes(fasta: Callable[..., CodingFasta]) -> None:
    source = fasta(">g\nATGAAACGTCGT\n")
    assert source.find("g", MKR, cut=True) is not None
    with pytest.raises(InputError):
        source.find("g", PROTEIN.encode("MKK"), cut=True)


def test_the_contig_decides_the_codon_table(fasta: Callable[..., CodingFasta]) -> None:
    text = ">g\nATATGA\n"
    assert letters(fasta(text, contig_of=lambda gene: "chrM").find("g")) == "ATATGA"
    assert letters(fasta(text).find("g")) == "ATA"  # of the nucleus: TGA stops


@given(st.lists(st.integers(1, 64), min_size=1, max_size=40), st.sampled_from([1, 2, 3, 5, 11]))
def test_no_frame_is_read_but_that_of_its_protein(tokens: list[int], table: int) -> None:
    codons = np.array(tokens, np.uint8)
    residues = residue_tokens(table)[codons]
    if (residues == STOP).any():
        return
    letters = CODING.decode(codons)
    assert np.array_equal(in_frame(codons, table, "g", residues), codons)
    for shift in (1, 2):
        shifted = CODING.encode(letters[shift:] + letters[:shift])
        other = residue_tokens(table)[shifted]
        read = in_frame(shifted, table, "g", residues)
        agrees = np.array_equal(other[1:], residues[1:]) and (other[0] == residues[0] or residues[0] == MKR[0])
        assert isinstance(read, np.ndarray) <= agrees
