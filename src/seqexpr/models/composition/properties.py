"""What decides a protein's fate and is no word count: membrane spans, charge, low complexity, sorting signals, ends."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from seqexpr.models.composition.row_sums import exact_sum
from seqexpr.models.composition.words import (
    PROTEIN_LETTERS,
    RESIDUE_CLASSES,
    last_residues,
    residue_classes,
    shares,
    word_counts,
)
from seqexpr.sequences.alphabet import PROTEIN

# Kyte & Doolittle 1982.
_HYDROPATHY = {
    **{"A": 1.8, "R": -4.5, "N": -3.5, "D": -3.5, "C": 2.5, "Q": -3.5, "E": -3.5, "G": -0.4, "H": -3.2, "I": 4.5},
    **{"L": 3.8, "K": -3.9, "M": 1.9, "F": 2.8, "P": -1.6, "S": -0.8, "T": -0.7, "W": -0.9, "Y": -1.3, "V": 4.2},
}
_CHARGE = {"K": 1.0, "R": 1.0, "D": -1.0, "E": -1.0}

_SPAN = 19
"""Residues of a helix that crosses a membrane."""

_SPAN_HYDROPATHY = 1.6
"""Mean hydropathy from which on a stretch of that length counts as such a helix (Kyte & Doolittle 1982)."""

_COMPLEXITY = 30
"""Residues over which complexity is taken."""

_LOW_COMPLEXITY = 2.2
"""Entropy of a stretch's residues, nats, below which it is of low complexity."""

_STARTS = ((0, 5), (5, 15), (15, 30), (30, 60))
_ENDS = ((0, 30), (45, 55), (55, 60))
"""Stretches of the first 60 and of the last 60 residues that are counted on their own."""


def protein_properties(proteins: Tensor) -> Tensor:
    """Residues near either end, triads of residue classes, and 20 properties of the chain.

    Args:
        proteins: uint8 (n, length), padded with 0 on the right.

    Returns:
        float32 (n, 517): square roots of shares of the residues in seven stretches near the ends (22 each), of the
        triads of residue classes (343), then hydropathy (9), charge (5), complexity (3) and sorting signals (3).
    """
    lengths = (proteins > 0).sum(dim=1, keepdim=True)
    last = last_residues(proteins, lengths, _ENDS[-1][1])
    stretches = [proteins[:, start:end] for start, end in _STARTS] + [last[:, start:end] for start, end in _ENDS]
    triads = word_counts(residue_classes(proteins), (0, 1, 2), len(RESIDUE_CLASSES))
    return torch.cat(
        [
            *(shares(word_counts(stretch, (0,), PROTEIN_LETTERS)).sqrt() for stretch in stretches),
            shares(triads).sqrt(),
            _hydropathy(proteins, lengths),
            _charge(proteins, last, lengths),
            _complexity(proteins, lengths),
            _signals(last),
        ],
        dim=1,
    )


def _hydropathy(proteins: Tensor, lengths: Tensor) -> Tensor:
    """(n, 9): of stretches of 19 the most and least hydrophobic, spread, deciles; how many cross a membrane, where."""
    values = _valued(proteins, _HYDROPATHY)
    means, there = _stretch_means(values, lengths, _SPAN)
    crossing = (means > _SPAN_HYDROPATHY) & there
    begins = crossing & ~torch.cat([torch.zeros_like(crossing[:, :1]), crossing[:, :-1]], dim=1)
    ordered = means.masked_fill(~there, torch.inf).sort(dim=1).values
    count = there.sum(dim=1, keepdim=True)
    deciles = [ordered.gather(1, ((count - 1) * tenths / 10).long()) for tenths in (1, 9)]
    return torch.cat(
        [
            *_summary(means, there),
            *deciles,
            begins.sum(dim=1, keepdim=True).add(1.0).log(),
            crossing.sum(dim=1, keepdim=True) / count,
            crossing[:, :35].any(dim=1, keepdim=True).float(),  # an anchor or a signal peptide
            _largest(means[:, :40], there[:, :40]),
        ],
        dim=1,
    )


def _charge(proteins: Tensor, last: Tensor, lengths: Tensor) -> Tensor:
    """(n, 5): of stretches of 19 the most and least charged and the spread; the first residues' and the last ones'."""
    values = _valued(proteins, _CHARGE)
    ends = [part.sum(dim=1, keepdim=True) for part in (values[:, 1:8], _valued(last[:, -8:], _CHARGE))]
    return torch.cat([*_summary(*_stretch_means(values, lengths, _SPAN)), *ends], dim=1)


def _complexity(proteins: Tensor, lengths: Tensor) -> Tensor:
    """(n, 3): entropy of the residues in stretches of 30, nats: least, mean, share of low ones."""
    entropy = torch.zeros(1)
    for token in range(1, PROTEIN_LETTERS + 1):  # letter by letter: all at once would be 22 times the memory
        share, there = _stretch_means((proteins == token).float(), lengths, _COMPLEXITY)
        entropy = entropy.to(share.device) - torch.special.xlogy(share, share)
    least = entropy.masked_fill(~there, torch.inf).amin(dim=1, keepdim=True)
    low = ((entropy < _LOW_COMPLEXITY) & there).sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True)
    return torch.cat([least, _mean(entropy, there), low], dim=1)


def _signals(last: Tensor) -> Tensor:
    """(n, 3): retention in the endoplasmic reticulum, import to peroxisomes, a cysteine that takes a lipid (CaaX)."""
    retained = _ends_with(last, "KDEL") | _ends_with(last, "HDEL")
    imported = _ends_with(last, "SKL") | _ends_with(last, "SRL") | _ends_with(last, "AKL")
    return torch.stack([retained, imported, last[:, -4] == _token("C")], dim=1).float()


def _ends_with(last: Tensor, letters: str) -> Tensor:
    wanted = torch.tensor([_token(letter) for letter in letters], dtype=torch.uint8, device=last.device)
    return (last[:, -len(letters) :] == wanted).all(dim=1)


def _stretch_means(values: Tensor, lengths: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Means over all stretches of `size` residues; a shorter protein is one stretch.

    Returns:
        float32 (n, stretches) and which of them there are, bool.
    """
    width = values.shape[1]
    if width < size:
        values = torch.nn.functional.pad(values, (0, size - width))
    # Double precision, which MPS lacks: the running sum of a long protein must not lose what tells two stretches apart.
    exact = values.cpu() if values.device.type == "mps" else values
    sums = torch.nn.functional.pad(exact.cumsum(dim=1, dtype=torch.float64), (1, 0))
    means = (sums[:, size:] - sums[:, :-size]) / lengths.clamp(1, size).to(sums.device)
    places = torch.arange(means.shape[1], device=values.device)
    return means.float().to(values.device), places <= (lengths - size).clamp(min=0)


def _summary(values: Tensor, there: Tensor) -> list[Tensor]:
    mean = _mean(values, there)
    spread = _mean((values - mean).square(), there).sqrt()
    return [_largest(values, there), -_largest(-values, there), spread]


def _largest(values: Tensor, there: Tensor) -> Tensor:
    return values.masked_fill(~there, -torch.inf).amax(dim=1, keepdim=True)


def _mean(values: Tensor, there: Tensor) -> Tensor:
    return (exact_sum(values * there) / there.sum(dim=1, keepdim=True)).float()


def _valued(proteins: Tensor, of_letter: Mapping[str, float]) -> Tensor:
    table = torch.zeros(PROTEIN_LETTERS + 1, device=proteins.device)
    for letter, value in of_letter.items():
        table[_token(letter)] = value
    return table[proteins.int()]


def _token(letter: str) -> int:
    return int(PROTEIN.encode(letter.encode())[0])
