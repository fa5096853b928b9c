"""What a coding sequence says beyond its protein: which codons it uses, overall, among synonyms, at its two ends."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from seqexpr.models.composition.row_sums import exact_sum
from seqexpr.models.composition.words import last_residues, shares, word_counts
from seqexpr.sequences.coding import STANDARD_TABLE, STOP, residue_tokens

CODONS = 64
"""They are the tokens 1 to 64; 0 is unknown or padding."""

CODING_END = 16
"""Codons at either end that are counted on their own: initiation, the ramp behind it, termination."""

REFERENCE_SHARE = 0.1
"""Share of the training genes, those with the highest labels, whose codons set the weights of the adaptation index."""

FEWEST_REFERENCE = 10
"""Genes that set them at least."""

_RESIDUES = residue_tokens(STANDARD_TABLE)[1:]
_FAMILIES = tuple(
    tuple(codon for codon in range(CODONS) if _RESIDUES[codon] == residue)
    for residue in sorted(set(_RESIDUES.tolist()) - {STOP})
)
"""Codons, from 0, of each amino acid by the standard table."""

_SYNONYMS = tuple(family for family in _FAMILIES if len(family) > 1)

COUNTED = CODONS + sum(map(len, _SYNONYMS)) + 2 + 2 * 12
"""Numbers that `codon_composition` gives."""


_LENGTH = CODONS + sum(map(len, _SYNONYMS))
"""Where log10 of the length stands in it; GC3 stands behind it."""


def codon_counts(coding: Tensor) -> Tensor:
    """How often each codon occurs: uint8 (n, codons) -> float32 (n, 64)."""
    return word_counts(coding, (0,), CODONS)


def is_known(coding: Tensor) -> Tensor:
    """Which genes have a coding sequence at all: uint8 (n, codons) -> bool (n, 1)."""
    return (coding > 0).any(dim=1, keepdim=True)


def codon_composition(coding: Tensor) -> Tensor:
    """Codons of coding sequences, all and among synonyms, the length, and the letters near either end.

    Args:
        coding: uint8 (n, codons), tokens of `alphabet.CODING`, padded with 0 on the right.

    Returns:
        float32 (n, 149): square roots of the shares of the 64 codons; the share of each of 59 codons among those of its
        amino acid (Met and Trp have one each, stops are left out); log10(codons + 1); the share of codons that end in C
        or G; and of the first 16 codons and of the last 16 the shares of A, C, G and T at the codon's three positions.
        One pseudo-count is spread over each group of shares, so that all are finite.
    """
    counts = codon_counts(coding)
    places = torch.arange(1, coding.shape[1] + 1, device=coding.device)
    # Codons that are unknown within a sequence are a part of it.
    lengths = (places * (coding > 0)).amax(dim=1, keepdim=True) if coding.shape[1] else counts[:, :1].long()
    ends = (coding[:, :CODING_END], last_residues(coding, lengths, CODING_END))
    thirds = shares(_letters(counts)[:, 2])
    return torch.cat(
        [
            shares(counts).sqrt(),
            *(shares(counts[:, list(family)]) for family in _SYNONYMS),
            (lengths + 1.0).log10(),
            thirds[:, 1:3].sum(dim=1, keepdim=True),
            *(shares(_letters(codon_counts(end)).flatten(0, 1)).view(len(coding), -1) for end in ends),
        ],
        dim=1,
    )


def _letters(counts: Tensor) -> Tensor:
    """How often A, C, G and T stand at each position of the codons: (n, 64) -> (n, 3 positions, 4)."""
    by_letter = counts.view(-1, 4, 4, 4)
    return torch.stack([by_letter.sum(dim=others) for others in ((2, 3), (1, 3), (1, 2))], dim=1)


def adaptation_weights(counts: Tensor, labels: Tensor) -> Tensor:
    """Weights of codons by their use in the genes with the highest labels (Sharp & Li 1987), one set for each label.

    A codon's relative adaptiveness is its count in those genes, by that of the most used codon of its amino acid; a
    codon that they never use counts half an occurrence.

    Args:
        counts: float32 (genes, 64), as `codon_counts` gives them; genes without a coding sequence have zeros.
        labels: float (genes, labels), NaN where missing.

    Returns:
        float32 (labels, 64), natural logarithms, 0 for stops and for the codons of Met and Trp; all 0 for a label of
        which no gene with a coding sequence is known.
    """
    weights = torch.zeros(labels.shape[1], CODONS, dtype=torch.float64)
    counts, labels = counts.cpu().double(), labels.cpu()
    with_codons = counts.sum(dim=1) > 0
    for output, label in enumerate(labels.unbind(dim=1)):
        known = (with_codons & ~label.isnan()).nonzero().squeeze(1)
        number = min(len(known), max(FEWEST_REFERENCE, math.ceil(len(known) * REFERENCE_SHARE)))
        if not number:
            continue
        highest = known[label[known].argsort(descending=True, stable=True)[:number]]
        used = counts[highest].sum(dim=0).clamp(min=0.5)
        for family in map(list, _SYNONYMS):
            weights[output, family] = (used[family] / used[family].max()).log()
    return weights.float()


def adaptation_index(counts: Tensor, weights: Tensor) -> Tensor:
    """The codon adaptation index: the geometric mean of the weights of a gene's codons, without Met, Trp and stops.

    Args:
        counts: float32 (genes, 64).
        weights: float32 (labels, 64), logarithms.

    Returns:
        float32 (genes, labels), above 0 and at most 1; 1 for a gene without such codons.
    """
    has_synonyms = torch.zeros(CODONS, device=counts.device)
    has_synonyms[[codon for family in _SYNONYMS for codon in family]] = 1.0
    total = exact_sum(counts * has_synonyms).clamp(min=1)
    logs = [exact_sum(counts * one) / total for one in weights]
    return torch.cat(logs, dim=1).exp().float()


class CodonUse(nn.Module):
    """The codon features of a flow: `codon_composition`, and an adaptation index for each output.

    The weights of the indices are those of the training genes, set once by `fit` and stored with the network.
    """

    adaptation: Tensor
    """float32 (indices, 64)"""

    def __init__(self, indices: int) -> None:
        super().__init__()
        self.register_buffer("adaptation", torch.zeros(indices, CODONS))

    @property
    def width(self) -> int:
        """Numbers for a gene."""
        return COUNTED + len(self.adaptation)

    @staticmethod
    def summary(features: Tensor) -> Tensor:
        """Those of the features that say most: log10 of the length, GC3 and the indices, (n, 2 + indices)."""
        return torch.cat([features[:, _LENGTH : _LENGTH + 2], features[:, COUNTED:]], dim=1)

    def forward(self, coding: Tensor) -> Tensor:
        """uint8 (n, codons) -> float32 (n, width)."""
        return torch.cat([codon_composition(coding), adaptation_index(codon_counts(coding), self.adaptation)], dim=1)

    @torch.no_grad()
    def fit(self, counts: Tensor, labels: Tensor) -> None:
        """Set the weights from the training genes; arguments as for `adaptation_weights`."""
        self.adaptation.copy_(adaptation_weights(counts, labels))
