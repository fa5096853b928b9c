"""Windows of edited genomes, against letters that are edited by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seqexpr.effects.haplotypes import Edit, edited_window, placed, reaches, spans_tss
from seqexpr.sequences.alphabet import DNA, reverse_complement
from seqexpr.sequences.windows import Tss

UP, DOWN = 12, 8


@dataclass(frozen=True)
class Contig:
    """A contig as text, and what `haplotypes` asks of it."""

    text: str

    def letters(self, start: int, end: int) -> np.ndarray:
        inside = self.text[max(start, 0) : max(end, 0)]
        before = min(max(-start, 0), end - start)
        return DNA.encode(("N" * before + inside).ljust(end - start, "N"))

    def along(self, tss: Tss):
        if tss.strand == "+":
            return lambda start, end: self.letters(tss.boundary + start, tss.boundary + end)
        return lambda start, end: reverse_complement(self.letters(tss.boundary - end, tss.boundary - start))

    def edited(self, edit: Edit) -> Contig:
        new = DNA.decode(np.frombuffer(edit.letters, np.uint8))
        return Contig(self.text[: edit.start] + new + self.text[edit.end :])

    def window(self, tss: Tss) -> str:
        return DNA.decode(self.along(tss)(-UP, DOWN))


def window_of(contig: Contig, tss: Tss, *edits: Edit) -> str:
    along = [placed(edit.along(tss), contig.along(tss)) for edit in edits]
    return DNA.decode(edited_window(along, UP, DOWN, contig.along(tss)))


def spellings(contig: Contig, edit: Edit) -> list[Edit]:
    """All places where an edit of that size gives the same sequence."""
    target, size = contig.edited(edit).text, edit.end - edit.start
    grown = len(edit.letters)
    found = []
    for start in range(len(contig.text) - size + 1):
        new = target[start : start + grown]
        other = Edit(start, start + size, DNA.encode(new).tobytes())
        if len(new) == grown and contig.edited(other).text == target:
            found.append(other)
    return found


texts = st.text("ACGT", min_size=40, max_size=60) | st.text("AC", min_size=40, max_size=60) | st.just("CA" * 25)
sites = st.builds(lambda at, strand: Tss("g", "c", at, strand), st.integers(14, 30), st.sampled_from("+-"))
starts, sizes = st.integers(2, 36), st.integers(0, 5)


@given(text=texts, tss=sites, start=starts, size=st.integers(1, 6), new=st.text("ACGT", min_size=6, max_size=6))
def test_as_many_letters_are_replaced_in_place(text, tss, start, size, new):
    contig, edit = Contig(text), Edit(start, start + size, DNA.encode(new[:size]).tobytes())
    assert window_of(contig, tss, edit) == contig.edited(edit).window(tss)


@settings(max_examples=1000)
@given(text=texts, tss=sites, start=starts, size=sizes, new=st.text("AC", max_size=4))
def test_every_spelling_of_an_indel_gives_the_same_window(text, tss, start, size, new):
    contig = Contig(text)
    edit = Edit(start, start + size, DNA.encode(new).tobytes())
    assume((size == 0) != (new == ""))
    expected = window_of(contig, tss, edit)
    for other in spellings(contig, edit):
        assert window_of(contig, tss, other) == expected
        # A VCF may write any of them with letters before or behind that do not change.
        first, last = max(other.start - 2, 0), min(other.end + 3, len(text))
        kept = DNA.decode(np.frombuffer(other.letters, np.uint8))
        alleles = text[first:last], text[first : other.start] + kept + text[other.end : last]
        assert window_of(contig, tss, Edit.of_alleles(first + 1, *alleles)) == expected


@given(text=texts, tss=sites, start=starts, size=sizes, new=st.text("ACGT", max_size=4))
def test_a_window_is_a_piece_of_the_edited_sequence_with_the_tss_where_it_was(text, tss, start, size, new):
    contig, edit = Contig(text), Edit(start, start + size, DNA.encode(new).tobytes())
    along = placed(edit.along(tss), contig.along(tss))
    after, grown = contig.edited(edit), len(new) - size
    moved = {
        "downstream": 0 if tss.strand == "+" else grown,
        "upstream": grown if tss.strand == "+" else 0,
    }
    if spans_tss(along):
        kept = min(-along.start, len(new))
        back = along.start + kept  # so many letters further left or right does the TSS lie
        moved["over"] = back if tss.strand == "+" else grown - back
    side = "over" if spans_tss(along) else "downstream" if along.start >= 0 and along.end > 0 else "upstream"
    there = Tss("g", "c", tss.boundary + moved[side], tss.strand)
    assert window_of(contig, tss, edit) == after.window(there)


@given(text=texts, tss=sites, edits=st.lists(st.tuples(starts, sizes, st.text("ACGT", max_size=3)), max_size=4))
def test_several_edits_are_those_of_one_sequence(text, tss, edits):
    """Edits at some distance from each other and from the TSS, one after the other."""
    contig, chosen, end = Contig(text), [], 0
    for start, size, new in sorted(edits):
        far = start > tss.boundary + 8 or start + size < tss.boundary - 8
        if start >= end + 9 and far:
            chosen.append(Edit(start, start + size, DNA.encode(new).tobytes()))
            end = start + size
    one_by_one, shift = contig, 0
    for edit in reversed(chosen):
        one_by_one = one_by_one.edited(edit)
        before = edit.end <= tss.boundary
        shift += (len(edit.letters) - (edit.end - edit.start)) * before
    along = [edit.along(tss) for edit in chosen]  # as written: in repeats they could meet
    found = DNA.decode(edited_window(along, UP, DOWN, contig.along(tss)))
    assert found == one_by_one.window(Tss("g", "c", tss.boundary + shift, tss.strand))


@given(text=texts, tss=sites, start=starts, size=sizes, new=st.text("ACGT", max_size=3))
def test_what_does_not_reach_a_window_does_not_change_it(text, tss, start, size, new):
    contig, edit = Contig(text), Edit(start, start + size, DNA.encode(new).tobytes())
    along = placed(edit.along(tss), contig.along(tss))
    if not reaches(along, UP, DOWN):
        assert window_of(contig, tss, edit) == contig.window(tss)


@pytest.mark.parametrize(
    ("strand", "edit", "window"),
    [
        ("+", (8, "TT", "T"), "CAAAACCCC|TGGGTTTT"),  # one T less, which counts as downstream
        ("+", (7, "C", "CT"), "CCAAAACCCC|TTTGGGTT"),
        ("+", (8, "", "A"), "AACCCCA|TTGGGTTTT"),  # just before the first transcribed base is upstream
        ("+", (6, "CCTT", "GA"), "CCAAAACCGA|GGGTTTT"),
        ("+", (6, "CCTT", "GAGAGA"), "AAAACCGA|GAGAGGGTTTT"),
        ("-", (8, "", "A"), "ACCCAAT|GGGGTTTT"),
        ("-", (6, "CCTT", "G"), "AAAACCCC|GGTTTT"),
    ],
)
def test_places_of_the_tss(strand, edit, window):
    """A contig of CCAAAACCCC|TTGGGTTTT, written out: the letters next to the TSS on both sides."""
    contig = Contig("GGGGCCAAAACCCCTTGGGTTTTGGGG")
    tss = Tss("g", "c", 14, strand)
    at, ref, alt = edit
    changed = Edit.of_alleles(at + 7, ref, alt)
    before, behind = window.split("|")
    found = window_of(contig, tss, changed)
    assert (found[:UP][-len(before) :], found[UP:][: len(behind)]) == (before[-UP:], behind[:DOWN])


def test_alleles_are_trimmed():
    assert Edit.of_alleles(10, "CAT", "CT") == Edit(10, 11, b"")
    assert Edit.of_alleles(10, "C", "cAA") == Edit(10, 10, b"\x01\x01")
    assert Edit.of_alleles(10, "ACGT", "AGGT") == Edit(10, 11, b"\x03")
    assert Edit.of_alleles(10, "a", "A").is_nothing
