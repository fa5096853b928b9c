from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.sequences.alphabet import DNA, reverse_complement
from seqexpr.sequences.windows import Interval, Tss, merged_intervals, place_window

strands = st.sampled_from("+-")
contig_names = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=12)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    start = draw(st.integers(-(10**6), 10**9))
    return Interval(draw(contig_names), start, start + draw(st.integers(0, 10**6)), draw(strands))


@given(intervals())
def test_interval_round_trip(interval: Interval) -> None:
    assert Interval.parse(str(interval)) == interval


def test_interval_text() -> None:
    assert Interval.parse("chr1:100-200:+") == Interval("chr1", 100, 200, "+")
    assert Interval.parse("chr1:100-200") == Interval("chr1", 100, 200, "+")
    assert Interval.parse("HLA-A*01:01:01:01:5-10:-") == Interval("HLA-A*01:01:01:01", 5, 10, "-")
    assert str(Interval("chrX", -5, 10, "-")) == "chrX:-5-10:-"
    assert len(Interval("chr1", 100, 200)) == 100


@pytest.mark.parametrize("text", ["", "chr1", "chr1:5", "chr1:5-3", "chr1:5-9:.", ":1-2", "chr1:1.5-2", "c 1:1-2"])
def test_text_that_is_no_interval(text: str) -> None:
    with pytest.raises(ValueError):
        Interval.parse(text)


def test_intervals_sort_by_place() -> None:
    ordered = [Interval("chr1", 1, 5), Interval("chr1", 2, 3), Interval("chr2", 0, 1)]
    assert sorted([ordered[2], ordered[0], ordered[1]]) == ordered


@given(intervals(), st.integers(0, 10**6))
def test_clip_and_overhang(interval: Interval, length: int) -> None:
    inside = interval.clip(length)
    assert 0 <= inside.start <= inside.end <= length
    assert interval.overhang(length) == sum(
        max(0, min(interval.end, end) - max(interval.start, start)) for start, end in ((-(10**9), 0), (length, 10**10))
    )


# The golden windows of hg38: Ensembl's TSSs of TSPAN6 and TNMD.
def test_golden_window_minus() -> None:
    window = Tss("ENSG00000000003", "chrX", 100_636_750, "-", "TSPAN6").window(7000, 3500)
    assert str(window) == "chrX:100633250-100643750:-"


def test_golden_window_plus() -> None:
    window = Tss("ENSG00000000005", "chrX", 100_584_935, "+", "TNMD").window(7000, 3500)
    assert str(window) == "chrX:100577935-100588435:+"


def test_first_base() -> None:
    assert Tss("g", "chr1", 10, "+").first_base == 10
    assert Tss("g", "chr1", 10, "-").first_base == 9
    with pytest.raises(ValueError, match="strand"):
        Tss("g", "chr1", 10, ".")


@given(st.integers(0, 1000), strands, st.integers(0, 500), st.integers(0, 500))
def test_boundary_is_at_offset_upstream(boundary: int, strand: str, upstream: int, downstream: int) -> None:
    tss = Tss("g", "chr1", boundary, strand)
    window = tss.window(upstream, downstream)
    assert len(window) == upstream + downstream
    assert tss.offset_in(window) == upstream


@given(st.integers(0, 500), st.integers(1, 500), strands)
def test_window_of_a_whole_transcript_starts_at_its_five_prime_end(start: int, length: int, strand: str) -> None:
    transcript = Interval("chr1", start, start + length, strand)
    assert Tss("g", "chr1", transcript.five_prime, strand).window(0, length) == transcript


def test_place_window_crops() -> None:
    tokens = DNA.encode(b"AACCGGTT")
    window, padded = place_window(tokens, 4, 2, 3)
    assert (DNA.decode(window), padded) == ("CCGGT", 0)
    window[0] = 0
    assert DNA.decode(tokens) == "AACCGGTT"


def test_place_window_pads_both_ends() -> None:
    window, padded = place_window(DNA.encode(b"ACG"), 1, 3, 4)
    assert (DNA.decode(window), padded) == ("NNACGNN", 4)
    assert DNA.decode(place_window(DNA.encode(b"ACG"), 3, 2, 2)[0]) == "CGNN"
    with pytest.raises(ValueError, match="outside a sequence of 3"):
        place_window(DNA.encode(b"ACG"), 4, 1, 1)


@given(st.data(), st.lists(st.integers(1, 4), max_size=40), st.integers(0, 60), st.integers(0, 60))
def test_place_window_on_both_strands(data: st.DataObject, letters: list[int], upstream: int, downstream: int) -> None:
    tokens = np.array(letters, dtype=np.uint8)
    tss_at = data.draw(st.integers(0, len(tokens)))
    window, padded = place_window(tokens, tss_at, upstream, downstream)
    mirrored, mirrored_padded = place_window(reverse_complement(tokens), len(tokens) - tss_at, downstream, upstream)
    assert reverse_complement(mirrored).tolist() == window.tolist()
    assert padded == mirrored_padded == np.count_nonzero(window == 0)


@pytest.mark.parametrize(
    ("intervals", "merged"),
    [
        ([], ()),
        ([(5, 8), (0, 3)], ((0, 3), (5, 8))),
        ([(0, 3), (3, 6)], ((0, 6),)),
        ([(0, 9), (2, 4), (9, 10)], ((0, 10),)),
    ],
)
def test_intervals_that_touch_or_overlap_become_one(intervals, merged):
    assert merged_intervals(intervals) == merged
