from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seqexpr.models.composition.words import (
    dna_composition,
    protein_composition,
    shares,
    word_counts,
)
from seqexpr.sequences.alphabet import DNA, PROTEIN


def dna(*texts: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([DNA.encode(text.encode()) for text in texts]))


def protein(*texts: str) -> torch.Tensor:
    rows = [PROTEIN.encode(text.encode()) for text in texts]
    longest = max(map(len, rows))
    return torch.from_numpy(np.stack([np.pad(row, (0, longest - len(row))) for row in rows]))


@pytest.mark.parametrize(
    ("tokens", "offsets", "letters", "expected"),
    [
        ([[1, 2, 1, 2]], (0, 1), 2, [[0, 2, 1, 0]]),  # AA AB BA BB in ABAB
        ([[1, 2, 0, 1, 2]], (0, 1), 2, [[0, 2, 0, 0]]),  # no word spans the unknown letter
        ([[1, 2, 0, 1, 2]], (0, 3), 2, [[1, 0, 0, 1]]),  # A..A and B..B, whatever stands between
        ([[1, 0, 1, 0]], (0, 1), 2, [[0, 0, 0, 0]]),
        ([[1, 1], [2, 0]], (0,), 2, [[2, 0], [0, 1]]),  # rows are kept apart
        ([[1, 2]], (0, 1, 2), 2, [[0] * 8]),  # shorter than a word
        ([[4, 4, 4, 4]], (0, 1, 2, 3), 4, [[0] * 255 + [1]]),
    ],
)
def test_words_are_counted(tokens, offsets, letters, expected):
    assert word_counts(torch.tensor(tokens, dtype=torch.uint8), offsets, letters).tolist() == expected


@given(
    tokens=arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(0, 12)), elements=st.integers(0, 4)),
    offsets=st.sampled_from([(0,), (0, 1), (0, 3), (0, 1, 2), (0, 1, 2, 3), (0, 2, 5)]),
)
def test_words_are_counted_as_a_plain_loop_does(tokens, offsets):
    words = 4 ** len(offsets)
    expected = np.zeros((len(tokens), words), np.int64)
    for row, letters in enumerate(tokens.tolist()):
        for start in range(len(letters) - offsets[-1]):
            word = [letters[start + offset] for offset in offsets]
            if 0 not in word:
                expected[row, sum((letter - 1) * 4**place for place, letter in enumerate(reversed(word)))] += 1
    np.testing.assert_array_equal(word_counts(torch.from_numpy(tokens), offsets, 4).numpy(), expected)


def test_shares_by_hand():
    # Two words: (3 + 1/2) / (4 + 1) and (1 + 1/2) / (4 + 1); an empty row is even.
    torch.testing.assert_close(shares(torch.tensor([[3.0, 1.0], [0.0, 0.0]])), torch.tensor([[0.7, 0.3], [0.5, 0.5]]))


def test_dna_composition_of_the_window_and_of_its_middle():
    window = dna("A" * 600 + "C" * 600)  # the TSS boundary at 600: the middle holds 500 A and 500 C
    features = dna_composition(window, 600)
    assert features.shape == (1, 680)
    a, c = math.sqrt((600 + 0.25) / 1201), math.sqrt((500 + 0.25) / 1001)
    assert features[0, 0].item() == pytest.approx(a) and features[0, 1].item() == pytest.approx(a)
    assert features[0, 340].item() == pytest.approx(c) and features[0, 341].item() == pytest.approx(c)
    moved = dna_composition(window, 700)  # 200..1200: 400 A, 600 C
    assert moved[0, 340].item() == pytest.approx(math.sqrt((400 + 0.25) / 1001))
    torch.testing.assert_close(moved[:, :340], features[:, :340])


def test_protein_composition_by_hand():
    features = protein_composition(protein("M" * 30 + "K" * 10 + "W" * 30))
    assert features.shape == (1, 845)
    place = {letter: int(PROTEIN.encode(letter.encode())[0]) - 1 for letter in "MKW"}
    length, first, last = 22 + 484, 22 + 484 + 1, 22 + 484 + 1 + 22
    assert features[0, place["K"]].item() == pytest.approx(math.sqrt((10 + 1 / 22) / 71))
    assert features[0, 22 + 22 * place["M"] + place["K"]].item() == pytest.approx(math.sqrt((1 + 1 / 484) / 70))
    assert features[0, length].item() == pytest.approx(math.log10(71))
    assert features[0, first + place["M"]].item() == pytest.approx(math.sqrt((30 + 1 / 22) / 31))
    assert features[0, last + place["W"]].item() == pytest.approx(math.sqrt((30 + 1 / 22) / 31))
    # Classes: M is the 3rd, K the 5th, W the 4th of 7. Two apart, M and K stand twice.
    pairs = last + 22
    assert features[0, pairs + 7 * 2 + 4].item() == pytest.approx(math.sqrt((2 + 1 / 49) / 69))


def test_a_short_proteins_ends_do_not_borrow_from_its_neighbours():
    alone = protein_composition(protein("MKWL"))
    beside = protein_composition(protein("MKWL", "AL" * 100))[:1]
    torch.testing.assert_close(alone, beside, rtol=0, atol=0)


def test_empty_sequences_give_numbers():
    assert protein_composition(torch.zeros(2, 0, dtype=torch.uint8)).isfinite().all()
    assert dna_composition(torch.zeros(2, 300, dtype=torch.uint8), 200).isfinite().all()


def test_lower_case_and_strand_text_do_not_matter():
    torch.testing.assert_close(dna_composition(dna("acgt" * 50), 100), dna_composition(dna("ACGT" * 50), 100))
