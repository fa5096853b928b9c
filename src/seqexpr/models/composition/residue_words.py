"""What proteins with the same words have: a table of words of residue classes, and a score for every output in it.

Members of a protein family share stretches of sequence, and often levels. Two of five human proteins have a homologue
on another chromosome (docs/results.md), which composition does not tell from chance. Words of six letters over nine
classes of alike residues are common within a family and rare outside, so a linear model over them passes on what is
known of relatives; its table is small because the words are hashed into buckets (Weinberger et al. 2009).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqexpr.models.composition.row_sums import exact_sum, sum_rows
from seqexpr.models.composition.words import class_of_token

WORD_CLASSES = ("AST", "C", "DENQ", "FYW", "G", "H", "ILMV", "KR", "P")
"""Residues that replace each other often in relatives."""

WORD = (0, 1, 3, 4, 6, 7)
"""Where a word's letters stand; what lies between them may differ (spaced seeds, Ma et al. 2002)."""

_MULTIPLIER, _HASHED = 2_654_435_761, 32
"""Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4): a number near 2**32 / the golden ratio."""

_CLASS_OF_TOKEN = class_of_token(WORD_CLASSES)


class ResidueWords(nn.Module):
    """A row of scores for each bucket of words; `training.word_stage` fills it, and no gradient ever changes it."""

    weights: Tensor
    table: Tensor

    def __init__(self, buckets: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(buckets, 1))
        self.register_buffer("table", torch.zeros(buckets, outputs))

    def forward(self, proteins: Tensor) -> Tensor:
        """uint8 (batch, length), padded with 0 on the right -> (batch, outputs).

        The weighted sum of the scores of a protein's words, in units of the answers' spread over proteins that the
        table has not seen.
        """
        buckets, shares = self.shares(proteins)
        return sum_rows(buckets, self.table, shares)

    def shares(self, proteins: Tensor) -> tuple[Tensor, Tensor]:
        """The buckets of each protein's words, and the part that each has in a vector of length 1.

        A bucket counts once however often its words occur: 0 for repeats, and for places without a word.

        Args:
            proteins: uint8 (batch, length).

        Returns:
            int64 and float32, both (batch, places), at least one place.
        """
        buckets, counts = word_buckets(proteins, len(self.table))
        weights = self.weights[:, 0][buckets] * counts
        squares = exact_sum(weights.square()).sqrt().float()  # whatever the padding behind a protein
        return buckets, weights / squares.clamp(min=1e-6)


def word_buckets(proteins: Tensor, buckets: int) -> tuple[Tensor, Tensor]:
    """Which of so many buckets the words of each protein fall into.

    Args:
        proteins: uint8 (batch, length); words with a residue of no class (U, X, padding) do not count.

    Returns:
        int64 (batch, places), ascending; bool, True where a bucket of the protein stands for the first time.
    """
    proteins = functional.pad(proteins, (0, max(WORD[-1] + 1 - proteins.shape[1], 0)))
    classes = torch.tensor(_CLASS_OF_TOKEN, dtype=torch.uint8, device=proteins.device)[proteins.int()]
    places = classes.shape[1] - WORD[-1]
    code = torch.zeros(len(classes), places, dtype=torch.int64, device=classes.device)
    known = torch.ones(len(classes), places, dtype=torch.bool, device=classes.device)
    for offset in WORD:
        letter = classes[:, offset : offset + places]
        known &= letter > 0
        code = code * (len(WORD_CLASSES) + 1) + letter
    hashed = code * _MULTIPLIER % 2**_HASHED * buckets >> _HASHED
    hashed = torch.where(known, hashed, buckets).sort(dim=1).values  # unknown words last
    first = functional.pad(hashed[:, 1:] != hashed[:, :-1], (1, 0), value=True) & (hashed < buckets)
    return hashed.clamp(max=buckets - 1), first
