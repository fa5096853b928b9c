"""The profile along a window: by hand, against a plain loop, and bin by bin."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqexpr.models.composition.profile import BIN, FINE_BIN, FINE_REACH, PER_BIN, dna_profile, profile_columns
from seqexpr.sequences.alphabet import DNA


def tokens(*windows: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([DNA.encode(window) for window in windows]))


def random_windows(count: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 5, (count, length), np.uint8))


def of_bin(letters: str, follows: str = "") -> list[float]:
    """The four numbers of one bin by their definition; `follows` is the letter behind it, in the next bin."""
    joined = letters + follows
    pairs = sum(joined[i : i + 2] == "CG" for i in range(len(letters)))
    g, c, a, t = (letters.count(letter) for letter in "GCAT")
    known = g + c + a + t + 1
    return [(g + c + 0.5) / known, (pairs + 1 / 16) / known, (g - c) / known, (a - t) / known]


def plain(window: str, upstream: int) -> list[float]:
    """The whole profile of one window: a loop over bins that begin at multiples of their size around the TSS."""
    found: list[float] = []
    for size, reach in ((BIN, len(window)), (FINE_BIN, FINE_REACH)):
        first, last = max(-upstream, -reach), min(len(window) - upstream, reach)
        for place in range(math.floor(first / size) * size, last, size):
            start, end = upstream + max(place, first), upstream + min(place + size, last)
            follows = window[end : end + 1] if end < upstream + last else ""
            found += of_bin(window[start:end], follows)
    return found


def test_a_tiny_window_by_hand():
    """6 bases upstream and 4 downstream: a bin and a fine bin on either side, both of the same bases."""
    found = dna_profile(tokens("CCGANTGACG"), 6)
    before = [(3 + 0.5) / 6, (1 + 1 / 16) / 6, (1 - 2) / 6, (1 - 1) / 6]  # C C G A N T
    after = [(3 + 0.5) / 5, (1 + 1 / 16) / 5, (2 - 1) / 5, (1 - 0) / 5]  # G A C G
    assert found.dtype == torch.float32 and profile_columns(6, 4) == (8, 8)
    assert found[0].tolist() == pytest.approx(2 * [*before, *after])


def test_a_pair_over_the_end_of_a_bin_counts_in_the_bin_where_it_begins():
    found = dna_profile(tokens("ATCGTA"), 3)[0, :8]  # the TSS boundary lies between C and G
    assert found.tolist() == pytest.approx([*of_bin("ATC", "G"), *of_bin("GTA")])
    assert found[1] == pytest.approx((1 + 1 / 16) / 4) and found[5] == pytest.approx((1 / 16) / 4)


def test_unknown_bases_are_no_bases():
    """A window of N alone is in every bin what bases of even composition are, and a short one is as one with N."""
    of_none = [0.5, 1 / 16, 0, 0]
    assert dna_profile(tokens("N" * 1100), 600)[0].tolist() == pytest.approx(of_none * (3 + 16))
    assert dna_profile(tokens("N" * 1099 + "C"), 600)[0, 8:12].tolist() == pytest.approx([1.5 / 2, 1 / 32, -0.5, 0])
    short, padded = "GATTCCGA", "NN" + "GATTCCGA" + "NNN"
    assert torch.equal(dna_profile(tokens(short), 5), dna_profile(tokens(padded), 7))


@pytest.mark.parametrize(
    ("upstream", "downstream", "bins", "fine"),
    [
        (7_000, 3_500, 14 + 7, 8 + 8),
        (7_001, 3_499, 15 + 7, 8 + 8),
        (240, 120, 1 + 1, 5 + 3),  # shorter than the fine bins reach
        (400, 400, 1 + 1, 8 + 8),
        (401, 0, 1, 8),
        (0, 51, 1, 2),
    ],
)
def test_as_many_numbers_as_are_said(upstream, downstream, bins, fine):
    assert profile_columns(upstream, downstream) == (PER_BIN * bins, PER_BIN * fine)
    found = dna_profile(random_windows(2, upstream + downstream), upstream)
    assert found.shape == (2, PER_BIN * (bins + fine))


def changed_bins(upstream: int, downstream: int, place: int) -> tuple[list[int], list[int]]:
    """Which bins and which fine bins a base at `place` bp from the TSS boundary moves."""
    window = random_windows(1, upstream + downstream)
    other = window.clone()
    at = upstream + place
    other[0, at] = 1 if window[0, at] != 1 else 4
    other[0, at - 1 : at] = window[0, at - 1 : at] = 1  # no pair begins in front of it
    moved = (dna_profile(window, upstream) != dna_profile(other, upstream))[0].unflatten(0, (-1, PER_BIN)).any(dim=1)
    bins = profile_columns(upstream, downstream)[0] // PER_BIN
    return [part.nonzero()[:, 0].tolist() for part in (moved[:bins], moved[bins:])]


@pytest.mark.parametrize(
    ("place", "bins", "fine"),
    [
        (-1, [2], [7]),  # the last base upstream, and the first downstream
        (0, [3], [8]),
        (-50, [2], [7]),
        (-51, [2], [6]),
        (49, [3], [8]),
        (50, [3], [9]),
        (-400, [2], [0]),
        (-401, [2], []),
        (399, [3], [15]),
        (400, [3], []),
        (-500, [2], []),
        (-501, [1], []),
        (500, [4], []),
        (-1_250, [0], []),  # a bin of 250 bases alone
        (1_099, [5], []),
    ],
)
def test_bins_end_and_begin_at_the_tss(place, bins, fine):
    assert changed_bins(1_250, 1_100, place) == [bins, fine]


def test_letters_that_move_within_a_bin_change_no_share_and_those_that_leave_it_do():
    """A stretch of G is moved: within its bin nothing changes, by a bin only the two bins do."""
    empty = "A" * 2_000

    def at(place: int) -> torch.Tensor:
        return dna_profile(tokens(empty[:place] + "G" * 30 + empty[place + 30 :]), 1_000)[0].unflatten(0, (-1, PER_BIN))

    first, within, beyond = at(40), at(300), at(540)
    assert torch.equal(first, within)
    assert (first != beyond).any(dim=1).nonzero()[:, 0].tolist() == [0, 1]
    assert torch.equal(first[0], beyond[1]) and torch.equal(first[1], beyond[0])


def test_a_gene_has_the_same_numbers_in_every_batch():
    windows = random_windows(9, 900)
    together = dna_profile(windows, 500)
    for rows in ([4], [8, 0], list(range(8, -1, -1))):
        assert torch.equal(dna_profile(windows[rows], 500), together[rows])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1_300), st.integers(0, 1_300), st.integers(0, 2**32 - 1), st.sampled_from(["ACGT", "ACGTN", "CGN"])
)
def test_it_is_what_a_plain_loop_counts(upstream, downstream, seed, letters):
    if not upstream + downstream:
        upstream = 1
    window = "".join(np.random.default_rng(seed).choice(list(letters), upstream + downstream))
    expected = plain(window, upstream)
    found = dna_profile(tokens(window), upstream)[0]
    assert len(found) == len(expected) == sum(profile_columns(upstream, downstream))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
