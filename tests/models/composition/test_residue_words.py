from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.models.composition.residue_words import WORD_CLASSES, ResidueWords, word_buckets
from seqexpr.sequences.alphabet import PROTEIN

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def encode(*proteins: str) -> torch.Tensor:
    longest = max(map(len, proteins))
    rows = [np.pad(PROTEIN.encode(protein.encode()), (0, longest - len(protein))) for protein in proteins]
    return torch.from_numpy(np.stack(rows))


def words_of(protein: str, buckets: int) -> list[int]:
    """The buckets of a protein's words, each once."""
    return sorted(set(word_buckets(encode(protein), buckets)[0][word_buckets(encode(protein), buckets)[1]].tolist()))


def filled(buckets: int = 64, outputs: int = 2) -> ResidueWords:
    words = ResidueWords(buckets, outputs)
    generator = torch.Generator().manual_seed(0)
    words.table.normal_(generator=generator)
    words.weights.uniform_(0.5, 2, generator=generator)
    return words


def test_every_amino_acid_is_of_one_class():
    assert sorted("".join(WORD_CLASSES)) == sorted(RESIDUES)


def test_a_word_by_hand():
    # Letters 0, 1, 3, 4, 6 and 7 of ACWDFWGK; the classes of A, C, D, F, G, K are 1, 2, 3, 4, 5, 8.
    assert words_of("ACWDFWGK", 1000) == [123458 * 2654435761 % 2**32 * 1000 // 2**32]


def test_alike_residues_are_one_letter_and_gaps_may_differ():
    assert words_of("ACWDFWGKW", 4096) == words_of("SCFEYFGRY", 4096) != words_of("ACWDFWKGW", 4096)
    assert words_of("ACWDFWGK", 4096) == words_of("ACXDFAGK", 4096)


@pytest.mark.parametrize(
    ("protein", "expected"),
    [
        ("ACWDFWG", 0),
        ("", 0),
        ("ACWDXWGK", 0),
        ("ACWDFWGKU", 1),
        ("AAAAAAAAAAAA", 1),
        ("ACWDFWGKXXXXXXXXACWDFWGK", 1),
        ("ACWDFWGKH", 2),
    ],
)
def test_words_count_once_and_not_across_what_is_unknown(protein, expected):
    assert len(words_of(protein or "X", 2**20)) == expected


def test_the_answer_by_hand():
    words = filled()
    one, two = words_of("ACWDFWGK", 64)[0], words_of("CWDFWGKH", 64)[0]
    a, b = words.weights[one, 0], words.weights[two, 0]
    expected = (a * words.table[one] + b * words.table[two]) / (a**2 + b**2).sqrt()
    torch.testing.assert_close(words(encode("ACWDFWGKH"))[0], expected)


def test_a_protein_without_words_gets_nothing():
    assert (filled()(encode("ACD", "XXXXXXXXX")) == 0).all()
    assert (ResidueWords(64, 2)(encode("ACWDFWGKH")) == 0).all()  # a table that is not made yet


@given(st.lists(st.text(RESIDUES + "UX", max_size=40), min_size=1, max_size=5))
def test_neither_padding_nor_company_changes_an_answer(proteins):
    words = filled()
    together = words(encode(*proteins, "ACDFGKHILM" * 6))
    for protein, answer in zip(proteins, together, strict=False):
        torch.testing.assert_close(words(encode(protein or "X"))[0], answer, rtol=0, atol=1e-5)
