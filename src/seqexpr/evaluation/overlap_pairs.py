"""Pairs of genes whose proteins or windows are partly the same, found without any other program.

Every function returns pairs (gene, other), int64 (pairs, 2), once each and in ascending order: "other" holds
enough of "gene" that a network which has seen the one knows the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from seqexpr.sequences.alphabet import PAD, PROTEIN, reverse_complement
from seqexpr.sequences.windows import Interval

PROTEIN_WORD = 6
"""Letters of a protein word; 22^6 words, so that one rarely recurs by chance."""

SHARED_WORDS = 0.5
"""Share of a protein's distinct words that a near-identical one holds: 0.9^6 = 0.53, about 90 % identity."""

SEED = 128
"""Bases at a window's end that must recur unchanged; overlaps below this are not seen in sequences."""

SAME_BASES = 0.95
"""Share of equal bases in the overlap of two windows: one genome's, two assemblies', but not two copies of a repeat."""

_UNKNOWN_RESIDUE = PROTEIN.ambiguous_token
_SLOTS = 1 << 24
"""Slots of the table that tells at once that a word is no seed."""
_BLOCK_ROWS = 512
_BLOCK_TOKENS = 1 << 20
"""Bases hashed at once: 8 MB for each intermediate array."""


class Windows(Protocol):
    """Windows of equal length that are read by slices: an array, or something that reads them as they are needed."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any:
        """Tokens, uint8 (rows, bp)."""


def near_identical_proteins(proteins: Sequence[np.ndarray]) -> np.ndarray:
    """Pairs in which at least half of the gene's distinct 6-letter words occur in the other's protein.

    Of 9,317 human proteins this finds each of the 198 pairs that MMseqs2 aligns with 90 % identity over 80 % of
    both, and 148 more: fragments, and pairs whose differences stand close together.

    Words with unknown letters do not count, and a protein without words has no pairs. The relation is not
    symmetric: a fragment is near-identical to its whole, and the whole not to the fragment.

    Args:
        proteins: tokens, uint8 (residues,) for each gene.
    """
    from scipy import sparse

    words, owners = _distinct_words(proteins)
    held = np.bincount(owners, minlength=len(proteins))
    number, uses = _numbered(words)
    # A gene that shares at least half of its words shares one of its half + 1 rarest: only these look for
    # partners, and they are mostly words that no other protein has.
    order = np.lexsort((uses, owners))
    rank = np.empty(len(words), np.int64)
    rank[order] = np.arange(len(words)) - np.repeat(np.cumsum(held) - held, held)
    shared = uses > 1
    rare = shared & (rank <= held[owners] // 2)
    shape = (len(proteins), int(number.max(initial=0)) + 1)
    holds, looks_for = (
        sparse.csr_matrix((np.ones(int(part.sum()), np.int32), (owners[part], number[part])), shape=shape)
        for part in (shared, rare)
    )
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(proteins), _BLOCK_ROWS):
        met = (looks_for[start : start + _BLOCK_ROWS] @ holds.T).tocoo()
        gene, other = met.row.astype(np.int64) + start, met.col.astype(np.int64)
        gene, other = gene[gene != other], other[gene != other]
        common = np.asarray(holds[gene].multiply(holds[other]).sum(axis=1)).reshape(-1)
        enough = common >= SHARED_WORDS * held[gene]
        found.append(np.column_stack([gene[enough], other[enough]]))
    return np.unique(np.concatenate(found), axis=0)


def _distinct_words(proteins: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Each protein's distinct words as numbers, and whose they are: int32 (words,), int32 (words,)."""
    base = PROTEIN.size
    words, owners = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for gene, protein in enumerate(proteins):
        letters = protein.astype(np.int32)
        known = (letters != PAD) & (letters != _UNKNOWN_RESIDUE)
        length = max(len(letters) - PROTEIN_WORD + 1, 0)
        number, whole = np.zeros(length, np.int32), np.ones(length, bool)
        for place in range(PROTEIN_WORD):
            number = number * base + letters[place : place + length]
            whole &= known[place : place + length]
        own = np.unique(number[whole])
        words.append(own)
        owners.append(np.full(len(own), gene, np.int32))
    return np.concatenate(words), np.concatenate(owners)


def _numbered(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each word its rank among the distinct ones, and how often it occurs: int32 (words,), int32 (words,)."""
    order = np.argsort(words, kind="stable")
    first = np.diff(words[order], prepend=-1) != 0
    number, uses = np.empty((2, len(words)), np.int32)
    ranks = np.cumsum(first, dtype=np.int32) - 1
    number[order] = ranks
    uses[order] = np.bincount(ranks)[ranks]
    return number, uses


def overlapping_intervals(intervals: Sequence[Interval | None]) -> np.ndarray:
    """Pairs, in both directions, of intervals that share at least one base of a chromosome, on either strand.

    Args:
        intervals: one for each gene; None for genes without a position, which have no pairs. Bases before the
            chromosome's first do not exist and are not shared.
    """
    found = [np.empty((0, 2), np.int64)]
    chroms = np.array(["" if interval is None else interval.chrom for interval in intervals])
    start = np.array([0 if interval is None else max(interval.start, 0) for interval in intervals], np.int64)
    end = np.array([0 if interval is None else interval.end for interval in intervals], np.int64)
    for chrom in np.unique(chroms):
        genes = np.flatnonzero((chroms == chrom) & (end > start))
        genes = genes[np.argsort(start[genes], kind="stable")]
        # Sorted by start, an interval shares bases with exactly those next ones that start before its end.
        behind = np.searchsorted(start[genes], end[genes]) - np.arange(len(genes)) - 1
        left = np.repeat(np.arange(len(genes)), behind)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(behind) - behind, behind)
        found.append(np.column_stack([genes[left], genes[right]]))
    return _both_ways(np.concatenate(found))


def overlapping_sequences(windows: Windows) -> np.ndarray:
    """Pairs, in both directions, of windows one of which begins or ends inside the other, on either strand.

    Windows cut from one genome that overlap by m bases agree in exactly the last m letters of the one and the
    first m of the other (or of its reverse complement). So a window's end is looked for in all windows, and
    counts where everything from there to the nearest end is the same too. Unlike a count of shared words this
    is not misled by repeats, which windows share in plenty without overlapping: of 847 human windows of 10,500
    (20,000) bp it finds the 179 (272) pairs that their coordinates tell, and no other.

    Args:
        windows: uint8 tokens (genes, bp), strand-oriented. Unknown bases at the ends are ignored. They are read twice
            and in blocks; what is kept of a window are its seeds.
    """
    seeds = [
        (gene, kind, letters.copy())  # not a view, which would keep the window
        for first, end in _blocks(windows)
        for gene, window in enumerate(windows[first:end], first)
        for kind, letters in enumerate(_seeds(_without_unknown_ends(window)))
        if len(letters) == SEED and (letters != PAD).all()
    ]
    if not seeds:
        return np.empty((0, 2), np.int64)
    hashes = _word_hashes(np.stack([letters for _, _, letters in seeds]))[:, 0]
    order = np.argsort(hashes, kind="stable")
    found = [np.empty((0, 2), np.int64)]
    for gene, window, offset, place in _seed_hits(windows, hashes[order]):
        other, kind, _ = seeds[order[place]]
        if gene == other:
            continue
        if _same_overlap(window, _without_unknown_ends(windows[other : other + 1][0]), kind, offset):
            found.append(np.array([[gene, other]]))
    return _both_ways(np.concatenate(found))


def _both_ways(pairs: np.ndarray) -> np.ndarray:
    return np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)


def _without_unknown_ends(window: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(window != PAD)
    return window[known[0] : known[-1] + 1] if len(known) else window[:0]


def _seeds(window: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The start of the window, then start and end of its reverse complement: uint8 (SEED,) each.

    Its own end need not be looked for: where that lies in another window, the other one's start, or that of the
    other one's reverse complement, lies in this one, or all of this one lies in the other.
    """
    return window[:SEED], reverse_complement(window[-SEED:]), reverse_complement(window[:SEED])


def _same_overlap(window: np.ndarray, other: np.ndarray, kind: int, offset: int) -> bool:
    """Whether all of the overlap that a seed found at `offset` stands for is the same in both windows."""
    oriented = other if kind == 0 else reverse_complement(other)
    if kind == 2:  # it ends here: read both backwards, so that it starts here
        window, oriented, offset = window[::-1], oriented[::-1], len(window) - offset - SEED
    common = min(len(window) - offset, len(oriented))
    return bool(np.mean(window[offset : offset + common] == oriented[:common]) >= SAME_BASES)


def _blocks(windows: Windows) -> Iterator[tuple[int, int]]:
    """First row and row after the last of blocks that fit into memory."""
    rows = max(1, _BLOCK_TOKENS // windows[:1].shape[1])
    for first in range(0, len(windows), rows):
        yield first, min(first + rows, len(windows))


def _seed_hits(windows: Windows, seeds: np.ndarray) -> Iterator[tuple[int, np.ndarray, int, int]]:
    """(gene, its window, offset there, place in `seeds`) wherever a word of a window has the hash of a seed.

    Args:
        windows: uint8 (genes, bp); offsets count from the first known base.
        seeds: ascending hashes, uint64 (seeds,).
    """
    possible = np.zeros(_SLOTS, bool)
    possible[seeds % _SLOTS] = True
    for first, end in _blocks(windows):
        trimmed = [_without_unknown_ends(window) for window in windows[first:end]]
        block = np.zeros((len(trimmed), max(len(window) for window in trimmed)), np.uint8)
        for row, window in zip(block, trimmed, strict=True):
            row[: len(window)] = window
        hashes = _word_hashes(block)
        row_of, offset = np.nonzero(possible[hashes % _SLOTS])
        value = hashes[row_of, offset]
        low, high = np.searchsorted(seeds, value), np.searchsorted(seeds, value, side="right")
        hits = np.column_stack([row_of, offset, low, high])
        for row, at, start, stop in hits.tolist():
            for place in range(start, stop):
                yield first + row, trimmed[row], at, place


def _word_hashes(tokens: np.ndarray) -> np.ndarray:
    """Hashes of all words of SEED letters: uint8 (rows, bp) -> uint64 (rows, bp - SEED + 1)."""
    factor = np.uint64(0x9E3779B97F4A7C15)  # odd and without pattern: 2^64 over the golden ratio
    hashes = tokens * factor
    width = 1
    while width < SEED:  # a word of 2w letters from two of w
        hashes = (hashes[:, :-width] ^ (hashes[:, :-width] >> np.uint64(29))) * factor + hashes[:, width:]
        width *= 2
    return hashes ^ (hashes >> np.uint64(32))
