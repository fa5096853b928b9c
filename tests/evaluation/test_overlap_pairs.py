from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqexpr.evaluation import overlap_pairs
from seqexpr.evaluation.overlap_pairs import (
    SEED,
    near_identical_proteins,
    overlapping_intervals,
    overlapping_sequences,
)
from seqexpr.sequences.alphabet import PROTEIN, reverse_complement
from seqexpr.sequences.windows import Interval, Tss


def protein(text: str) -> np.ndarray:
    return PROTEIN.encode(text.encode())


def random_protein(generator: np.random.Generator, length: int) -> np.ndarray:
    return generator.integers(1, 21, length).astype(np.uint8)


def mutated(sequence: np.ndarray, every: int) -> np.ndarray:
    """A copy with each `every`th residue replaced by the next one in the alphabet."""
    copy = sequence.copy()
    copy[every - 1 :: every] = copy[every - 1 :: every] % 20 + 1
    return copy


def genome(seed: int, length: int = 3000) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 5, length).astype(np.uint8)


def pairs_of(found: np.ndarray) -> list[tuple[int, int]]:
    return [(int(gene), int(other)) for gene, other in found]


def test_a_duplicate_and_a_fragment_are_near_identical():
    sequence = random_protein(np.random.default_rng(0), 300)
    proteins = [sequence, sequence.copy(), sequence[100:180], random_protein(np.random.default_rng(1), 300)]
    # The fragment lies in both wholes, and no whole in the fragment.
    assert pairs_of(near_identical_proteins(proteins)) == [(0, 1), (1, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize(
    ("every", "near"),
    [
        (20, True),  # 95 %: of 20 words in a row 6 hold the changed residue, 14 of 20 stay
        (13, True),  # 92 %: 7 of 13 stay
        (11, False),  # 91 %: 5 of 11 stay, and here the changes are spread as evenly as they can be
        (5, False),  # 80 %: no word of 6 letters stays
    ],
)
def test_identity_at_which_copies_are_near_identical(every, near):
    sequence = random_protein(np.random.default_rng(2), 2000)
    assert pairs_of(near_identical_proteins([sequence, mutated(sequence, every)])) == ([(0, 1), (1, 0)] if near else [])


def test_exactly_half_of_the_words_is_enough_and_repeated_words_count_once():
    # Words of gene 0: ACDEFG CDEFGH DEFGHI EFGHIK; gene 1 holds the first two, gene 2 the first only, twice.
    proteins = [protein("ACDEFGHIK"), protein("ACDEFGHWWWWWWWWWWW"), protein("ACDEFGYYYYYYYYACDEFG")]
    assert (0, 1) in pairs_of(near_identical_proteins(proteins))
    assert (0, 2) not in pairs_of(near_identical_proteins(proteins))


def test_words_with_unknown_letters_do_not_count():
    assert len(near_identical_proteins([protein("X" * 50), protein("X" * 50)])) == 0
    # Of the 13 words of gene 0 only ACDEFG and LMNPQR hold no X: one shared is half.
    half = [protein("ACDEFGXXXXXXLMNPQR"), protein("WWWWWWWACDEFG")]
    assert pairs_of(near_identical_proteins(half)) == [(0, 1)]


def test_proteins_shorter_than_a_word_have_no_pairs():
    assert pairs_of(near_identical_proteins([protein("ACDEF"), protein("ACDEF"), protein("")])) == []
    assert pairs_of(near_identical_proteins([])) == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text("ACD", min_size=0, max_size=14), min_size=1, max_size=12))
def test_near_identical_proteins_are_those_of_the_definition(texts):
    """Few letters make words recur in many proteins, where the search for candidates must lose none."""
    words = [{text[i : i + 6] for i in range(len(text) - 5)} for text in texts]
    expected = [
        (gene, other)
        for gene, own in enumerate(words)
        for other, theirs in enumerate(words)
        if gene != other and own and 2 * len(own & theirs) >= len(own)
    ]
    assert pairs_of(near_identical_proteins([protein(text) for text in texts])) == expected


def test_blocks_of_rows_give_the_same_pairs(monkeypatch):
    generator = np.random.default_rng(3)
    families = [random_protein(generator, 60) for _ in range(8)]
    proteins = [mutated(families[i % 8], 20 + i) for i in range(40)]
    whole = near_identical_proteins(proteins)
    monkeypatch.setattr(overlap_pairs, "_BLOCK_ROWS", 7)
    np.testing.assert_array_equal(near_identical_proteins(proteins), whole)
    assert len(whole) == 8 * 5 * 4


def test_windows_overlap_by_one_base_and_not_when_they_touch():
    windows = [
        Tss("a", "1", 1000, "+").window(100, 50),  # 900-1050
        Tss("b", "1", 1149, "+").window(100, 50),  # 1049-1199: one base with a
        Tss("c", "1", 1150, "+").window(100, 50),  # 1050-1200: adjacent to a
        Tss("d", "1", 851, "-").window(100, 50),  # 801-951: with a on the other strand
        Tss("e", "1", 800, "-").window(100, 50),  # 750-900: adjacent to a
        Tss("f", "2", 1000, "+").window(100, 50),  # another chromosome
        None,
    ]
    expected = {(0, 1), (0, 3), (1, 2), (3, 4)}
    assert set(pairs_of(overlapping_intervals(windows))) == expected | {(right, left) for left, right in expected}


def test_bases_before_the_chromosome_are_not_shared():
    # 100 bases upstream of base 20 and of base 60: both windows begin below 0, and share nothing above.
    windows = [Interval("1", -80, 20), Interval("1", -40, 60), Interval("1", 20, 90), Interval("1", -90, 0)]
    assert set(pairs_of(overlapping_intervals(windows))) == {(0, 1), (1, 0), (1, 2), (2, 1)}


@given(
    st.lists(
        st.one_of(st.none(), st.tuples(st.sampled_from("12"), st.integers(-30, 60), st.integers(0, 30))), max_size=15
    )
)
def test_overlapping_intervals_are_those_that_share_a_base(places):
    intervals = [None if place is None else Interval(place[0], place[1], place[1] + place[2]) for place in places]
    bases = [
        set() if item is None else {(item.chrom, base) for base in range(max(item.start, 0), item.end)}
        for item in intervals
    ]
    expected = [(i, j) for i, left in enumerate(bases) for j, right in enumerate(bases) if i != j and left & right]
    assert pairs_of(overlapping_intervals(intervals)) == expected


@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("shift", [1, 200, 500 - SEED])
def test_shifted_windows_of_one_genome_overlap_on_either_strand(shift, turned):
    dna = genome(4)
    windows = [dna[1000:1500], dna[1000 + shift : 1500 + shift], genome(5, 500)]
    windows[:2] = [reverse_complement(w) if turn else w for w, turn in zip(windows[:2], turned, strict=True)]
    assert pairs_of(overlapping_sequences(np.stack(windows))) == [(0, 1), (1, 0)]


@pytest.mark.parametrize("shift", [500, 600])
def test_adjacent_and_distant_windows_do_not_overlap(shift):
    dna = genome(4)
    assert len(overlapping_sequences(np.stack([dna[1000:1500], dna[1000 + shift : 1500 + shift]]))) == 0


def test_shared_repeats_are_no_overlap():
    first, second, repeat = genome(6, 600), genome(7, 600), genome(8, 300)
    first[100:400] = repeat
    second[250:550] = repeat
    second[:SEED] = first[200 : 200 + SEED]  # the end of one window in the middle of the other, by chance
    assert len(overlapping_sequences(np.stack([first, second]))) == 0


def test_a_window_padded_at_the_end_of_a_contig_overlaps_by_what_is_known():
    dna = genome(9)
    padded = np.concatenate([np.zeros(300, np.uint8), dna[:300]])
    within = dna[100:700]
    assert pairs_of(overlapping_sequences(np.stack([padded, reverse_complement(within)]))) == [(0, 1), (1, 0)]
    contained = np.concatenate([np.zeros(400, np.uint8), dna[200:400]])
    assert pairs_of(overlapping_sequences(np.stack([contained, reverse_complement(within)]))) == [(0, 1), (1, 0)]


def test_single_bases_that_differ_do_not_hide_an_overlap():
    dna = genome(10)
    first, second = dna[:800], dna[300:1100].copy()
    second[SEED + 20 : 500 : 40] = second[SEED + 20 : 500 : 40] % 4 + 1  # 9 of the 500 shared bases
    assert pairs_of(overlapping_sequences(np.stack([first, second]))) == [(0, 1), (1, 0)]
    second[SEED + 20 : 500 : 5] = second[SEED + 20 : 500 : 5] % 4 + 1  # about 70 more: another copy of a repeat
    assert len(overlapping_sequences(np.stack([first, second]))) == 0


def test_unknown_and_short_windows_have_no_overlap():
    assert len(overlapping_sequences(np.zeros((3, 400), np.uint8))) == 0
    assert len(overlapping_sequences(np.stack([genome(11, SEED - 1)] * 2))) == 0
    gap = genome(12, 400)
    gap[5 : SEED + 5] = 0  # ends with unknown bases inside are not looked for
    gap[-SEED - 5 : -5] = 0
    assert len(overlapping_sequences(np.stack([gap, gap]))) == 0


def test_blocks_of_windows_give_the_same_pairs(monkeypatch):
    dna = genome(13, 20_000)
    starts = np.random.default_rng(14).integers(0, 19_500, 60)
    windows = np.stack([dna[start : start + 500] for start in starts])
    whole = overlapping_sequences(windows)
    monkeypatch.setattr(overlap_pairs, "_BLOCK_TOKENS", 1500)
    np.testing.assert_array_equal(overlapping_sequences(windows), whole)
    shared = 500 - np.abs(starts[:, None] - starts[None, :])
    expected = np.argwhere((shared >= SEED) & ~np.eye(60, dtype=bool))
    np.testing.assert_array_equal(whole, expected)
