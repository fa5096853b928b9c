"""Windows of a genome that was edited: the letters around a TSS when some bases nearby are others.

All is done in coordinates along the gene: 0 is the first transcribed base, negative numbers lie upstream, and letters
are those of the gene's strand. The TSS keeps its place in the window, and the edited sequence is laid out from there to
both sides, so that an insertion pushes letters out of the window and a deletion lets further ones in.

An indel in a repeat can be written at several places that give the same sequence. Which is meant cannot be told, and
only matters where some of the places lie upstream of the TSS and others downstream of it: then it counts as downstream,
for the 3' rule of the HGVS nomenclature puts it there. An insertion just before the first transcribed base is upstream.
Where bases on both sides of the TSS are replaced, as many of the new letters are upstream as there were before, at
most: the edit spans the TSS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seqexpr.sequences.alphabet import COMPLEMENT_TOKENS, DNA
from seqexpr.sequences.windows import Tss

Letters = Callable[[int, int], np.ndarray]
"""Tokens of a half-open stretch of a contig, or along a gene; PAD beyond the contig's ends."""

_LOOK = 64
"""Letters that are read at once to see how far an indel can move."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Bases `start` to `end`, half-open, are replaced by `letters`."""

    start: int
    end: int
    letters: bytes
    """Tokens of A, C, G and T."""

    @classmethod
    def of_alleles(cls, position: int, ref: str, alt: str) -> Edit:
        """The least edit that makes ALT of REF, on the + strand.

        Args:
            position: POS of VCF, 1-based: the first letter of REF.
            ref, alt: of A, C, G and T in either case.
        """
        old, new = (DNA.encode(allele).tobytes() for allele in (ref, alt))
        end = 0
        while end < min(len(old), len(new)) and old[-1 - end] == new[-1 - end]:
            end += 1
        start = 0
        while start < min(len(old), len(new)) - end and old[start] == new[start]:
            start += 1
        first = position - 1
        return cls(first + start, first + len(old) - end, new[start : len(new) - end])

    @property
    def is_nothing(self) -> bool:
        """Whether it changes no letter: ALT was REF."""
        return self.start == self.end and not self.letters

    @property
    def is_substitution(self) -> bool:
        """Whether as many letters come as go."""
        return self.end - self.start == len(self.letters)

    def along(self, tss: Tss) -> Edit:
        """The same edit in coordinates along a gene."""
        if tss.strand == "+":
            return Edit(self.start - tss.boundary, self.end - tss.boundary, self.letters)
        letters = self.letters.translate(COMPLEMENT_TOKENS)[::-1]
        return Edit(tss.boundary - self.end, tss.boundary - self.start, letters)

    def moved(self, by: int, letters_at: Letters) -> Edit:
        """The same change written `by` letters further right (left where negative), or as near to that as it can be.

        Args:
            by: letters.
            letters_at: what stands where, in the edit's own coordinates.
        """
        if (self.start == self.end) != bool(self.letters):  # replaces letters, or changes nothing
            return self
        return self._moved_right(by, letters_at) if by > 0 else self._moved_left(-by, letters_at)

    def _moved_right(self, most: int, letters_at: Letters) -> Edit:
        start, end, letters = self.start, self.end, self.letters
        unit = letters or letters_at(start, end).tobytes()
        turned = 0
        while turned < most:
            ahead = letters_at(end, end + min(_LOOK, most - turned)).tobytes()
            for token in ahead:
                if not token or token != unit[turned % len(unit)]:
                    return self._at(turned, unit)
                turned += 1
                end += 1
        return self._at(turned, unit)

    def _moved_left(self, most: int, letters_at: Letters) -> Edit:
        start = self.start
        unit = self.letters or letters_at(self.start, self.end).tobytes()
        turned = 0
        while turned < most:
            count = min(_LOOK, most - turned)
            for token in reversed(letters_at(start - count, start).tobytes()):
                if not token or token != unit[-1 - turned % len(unit)]:
                    return self._at(-turned, unit)
                turned += 1
                start -= 1
        return self._at(-turned, unit)

    def _at(self, by: int, unit: bytes) -> Edit:
        turn = by % len(unit)
        letters = unit[turn:] + unit[:turn] if self.letters else b""
        return Edit(self.start + by, self.end + by, letters)


FURTHEST = 100_000
"""Letters by which an indel in a repeat is moved at most."""


def leftmost(edit: Edit, letters_at: Letters) -> Edit:
    """An edit written as far left as it can be, so that each spelling of it is the same."""
    return edit.moved(-FURTHEST, letters_at)


def rightmost(edit: Edit, letters_at: Letters) -> Edit:
    """An edit written as far right as it can be."""
    return edit.moved(FURTHEST, letters_at)


def overlap(one: Edit, other: Edit) -> bool:
    """Whether two edits cannot both be made: they replace the same bases, or insert at the same place."""
    if one.start == one.end == other.start == other.end:
        return True
    return one.start < other.end and other.start < one.end


def placed(edit: Edit, letters_at: Letters) -> Edit:
    """An edit along a gene, written where it counts: downstream of the TSS if it can be, else upstream if it can be.

    Args:
        edit: along a gene.
        letters_at: the gene's letters.
    """
    if edit.start >= 0 and (edit.start or edit.end):
        return edit
    # An insertion at 0 is upstream, so it must get past the first base.
    is_insertion = edit.start == edit.end
    furthest = edit.moved(-edit.start + is_insertion, letters_at)
    if furthest.start >= is_insertion:
        return furthest
    if furthest.end > 0:
        upstream = furthest.moved(-furthest.end, letters_at)
        if upstream.end <= 0:
            return upstream
    return furthest


def spans_tss(edit: Edit) -> bool:
    """Whether bases on both sides of the TSS are replaced, by an edit that `placed` gives."""
    return edit.start < 0 < edit.end


def removes_window(edit: Edit, upstream: int, downstream: int) -> bool:
    """Whether an edit, as `placed`, replaces all letters of a window."""
    return edit.start <= -upstream and edit.end >= downstream


def reaches(edit: Edit, upstream: int, downstream: int) -> bool:
    """Whether an edit, as `placed`, changes letters of a window that reaches so far from the TSS."""
    if edit.start == edit.end:
        return -upstream < edit.start < downstream
    return edit.start < downstream and edit.end > -upstream


def edited_window(edits: Sequence[Edit], upstream: int, downstream: int, letters_at: Letters) -> np.ndarray:
    """The window around the TSS of a gene with edits.

    Args:
        edits: along the gene, as `placed`; no two overlap.
        upstream, downstream: the window.
        letters_at: the gene's letters.

    Returns:
        uint8 (upstream + downstream,)
    """
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
    before, behind = b"", b""
    left = right = 0
    for edit in ordered:
        if spans_tss(edit):
            kept = min(-edit.start, len(edit.letters))
            before, behind = edit.letters[:kept], edit.letters[kept:]
            left, right = edit.start, edit.end
    after = [edit for edit in ordered if edit.start >= right and not (edit.end <= 0)]
    ahead = [edit for edit in reversed(ordered) if edit.end <= left and edit not in after]
    down = [np.frombuffer(behind, np.uint8)[:downstream]]
    missing = downstream - len(down[0])
    for edit in after:
        if missing <= 0:
            break
        down += [letters_at(right, right + min(missing, edit.start - right))]
        missing -= len(down[-1])
        down += [np.frombuffer(edit.letters, np.uint8)[: max(missing, 0)]]
        missing -= len(down[-1])
        right = edit.end
    down.append(letters_at(right, right + max(missing, 0)))
    up = [np.frombuffer(before, np.uint8)[max(0, len(before) - upstream) :]]
    missing = upstream - len(up[0])
    for edit in ahead:
        if missing <= 0:
            break
        up += [letters_at(left - min(missing, left - edit.end), left)]
        missing -= len(up[-1])
        new = np.frombuffer(edit.letters, np.uint8)
        up += [new[max(0, len(new) - max(missing, 0)) :]]
        missing -= len(up[-1])
        left = edit.start
    up.append(letters_at(left - max(missing, 0), left))
    return np.concatenate([*reversed(up), *down])
