"""What a sequence is made of: shares of short words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seqexpr.sequences.alphabet import PROTEIN

DNA_LETTERS = 4
"""A C G T are the tokens 1 to 4; 0 is unknown."""

PROTEIN_LETTERS = 22
"""20 amino acids, U and X are the tokens 1 to 22; 0 is padding."""

DNA_WORD = 4
"""Longest DNA word, letters."""

PROTEIN_WORD = 2
"""Longest word of a protein, residues."""

NEAR_TSS = 500
"""Bases up and downstream of the TSS that are counted a second time, on their own."""

PROTEIN_END = 30
"""Residues at either end of a protein that are counted a second time: signal peptides, terminal signals."""

RESIDUE_CLASSES = ("AGV", "ILFP", "YMTS", "HNQW", "RK", "DE", "C")
"""Residues alike in charge and volume (Shen et al. 2007, conjoint triads)."""

CLASS_DISTANCES = (2, 3, 4, 5, 6, 7)
"""Distances at which pairs of residue classes are counted: the periods of strands and helices."""


def word_counts(tokens: Tensor, offsets: Sequence[int], letters: int) -> Tensor:
    """How often each word occurs in each row; words with an unknown letter (0) do not count.

    Args:
        tokens: uint8 (n, length), 1 to `letters`, 0 = unknown or padding.
        offsets: where a word's letters stand, ascending from 0: (0, 1, 2) for three neighbours, (0, 4) for two letters
            with three others between them.
        letters: size of the alphabet.

    Returns:
        float32 (n, letters ** len(offsets)), words in lexicographic order of their tokens.
    """
    words, codes = letters ** len(offsets), word_codes(tokens, offsets, letters)
    counts = torch.zeros(len(tokens), words + 1, device=tokens.device)  # the last column collects what does not count
    counts.scatter_add_(1, codes, torch.ones_like(codes, dtype=counts.dtype))
    return counts[:, :words]


def word_codes(tokens: Tensor, offsets: Sequence[int], letters: int) -> Tensor:
    """The number of the word that begins at each place, in lexicographic order of the tokens.

    Args:
        tokens, offsets, letters: as for `word_counts`.

    Returns:
        int64 (n, places where a whole word has room); letters ** len(offsets) where one of its letters is unknown.
    """
    places = max(tokens.shape[1] - offsets[-1], 0)
    code = torch.zeros(len(tokens), places, dtype=torch.int32, device=tokens.device)
    known = torch.ones(len(tokens), places, dtype=torch.bool, device=tokens.device)
    for offset in offsets:
        letter = tokens[:, offset : offset + places]
        known &= letter > 0
        code = code * letters + letter - 1
    return torch.where(known, code, letters ** len(offsets)).long()


def shares(counts: Tensor) -> Tensor:
    """Each word's share of a row, one pseudo-count spread over all words: as counts, finite for empty rows."""
    words = counts.shape[1]
    return (counts + 1 / words) / (counts.sum(dim=1, keepdim=True) + 1)


def dna_composition(windows: Tensor, upstream: int) -> Tensor:
    """Words of a whole window and of its middle around the TSS.

    Args:
        windows: uint8 (n, length).
        upstream: where the TSS boundary lies in them.

    Returns:
        Square roots of shares, float32 (n, 680): words of 1 to 4 letters, of the window and then of its middle.
    """
    middle = windows[:, max(upstream - NEAR_TSS, 0) : upstream + NEAR_TSS]
    return torch.cat([_words(part, DNA_WORD, DNA_LETTERS) for part in (windows, middle)], dim=1)


def protein_composition(proteins: Tensor) -> Tensor:
    """Words of whole proteins and of their two ends, pairs of residues further apart, and the length.

    Args:
        proteins: uint8 (n, length), padded with 0 on the right.

    Returns:
        float32 (n, 845), square roots of shares but for the length: residues (22), pairs of neighbours (484),
        log10(length + 1), residues of the first 30 and of the last 30 (22 each), pairs of residue classes at the
        distances 2 to 7 (49 each).
    """
    lengths = (proteins > 0).sum(dim=1, keepdim=True)
    classes = residue_classes(proteins)
    pairs = [word_counts(classes, (0, distance), len(RESIDUE_CLASSES)) for distance in CLASS_DISTANCES]
    return torch.cat(
        [
            _words(proteins, PROTEIN_WORD, PROTEIN_LETTERS),
            (lengths + 1.0).log10(),
            _words(proteins[:, :PROTEIN_END], 1, PROTEIN_LETTERS),
            _words(last_residues(proteins, lengths, PROTEIN_END), 1, PROTEIN_LETTERS),
            *(shares(counts).sqrt() for counts in pairs),
        ],
        dim=1,
    )


def last_residues(proteins: Tensor, lengths: Tensor, count: int) -> Tensor:
    """The last `count` residues, uint8 (n, count), of proteins of `lengths` (n, 1); 0 before a shorter one's start."""
    padded = functional.pad(proteins, (count, 0))
    return padded.gather(1, lengths + torch.arange(count, device=proteins.device))


def residue_classes(proteins: Tensor) -> Tensor:
    """The number of each residue's class, from 1; 0 for padding, U and X: uint8, the shape of `proteins`."""
    return torch.tensor(_CLASS_OF_TOKEN, dtype=torch.uint8, device=proteins.device)[proteins.int()]


def _words(tokens: Tensor, longest: int, letters: int) -> Tensor:
    words = [word_counts(tokens, range(length), letters) for length in range(1, longest + 1)]
    return torch.cat([shares(counts).sqrt() for counts in words], dim=1)


def class_of_token(classes: Sequence[str]) -> tuple[int, ...]:
    """For each protein token the number of its residue's class, from 1; 0 for padding and residues of no class."""
    of_token = [0] * (PROTEIN_LETTERS + 1)
    for number, residues in enumerate(classes, start=1):
        for token in PROTEIN.encode(residues.encode()):
            of_token[token] = number
    return tuple(of_token)


_CLASS_OF_TOKEN = class_of_token(RESIDUE_CLASSES)
