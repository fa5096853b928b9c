"""Say which inputs lie outside what a model was trained on: composition, length and half-life features of its genes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from seqexpr.sequences.alphabet import PROTEIN

CENTRE = 500
"""Bases on either side of the TSS whose composition counts by itself."""
TAIL = 0.005
"""Share of the training genes that lie beyond each end of a range."""
MARGIN = 0.1
"""Share of a range's width by which a value may lie beyond it."""
MOST_USUAL = 0.03
"""Share of genes outside that is no reason for a warning: about half of this is seen in the training organism."""

_COMPOSITION = "composition of the sequence"
_FEWEST_TO_COMPARE = 50
_FEWEST_TO_JUDGE = 3
_MOST_AT_AN_EDGE = 0.75
"""Share of the genes of a stream at one edge of the training genes that tells of another kind of genes."""
_FEWEST_GENES = 100
"""Genes of which a covariance can be learnt."""
_C, _G = 2, 3
_RESIDUES = PROTEIN.letters[:20]


_JOINT = "share of "
"""Begins the names of features that are judged together, by their distance from the training genes' mean."""
_PAIRS = tuple(f"{_JOINT}{first}{second}" for first in "ACGT" for second in "ACGT")


def dna_features(windows: np.ndarray, upstream: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Summarise windows: names, and float64 (genes, 20) with NaN where nothing is known.

    Args:
        windows: uint8 tokens (genes, length), the TSS boundary at `upstream`.
        upstream: bases before the boundary.
    """
    near = windows[:, max(0, upstream - CENTRE) : upstream + CENTRE]
    pairs, pairs_near = _pair_counts(windows), _pair_counts(near)
    letters, letters_near = _letter_counts(windows, pairs), _letter_counts(near, pairs_near)
    known_near = letters_near[:, 1:].sum(axis=1)
    columns = [
        _gc(letters),
        _gc(letters_near),
        _share(pairs_near[:, _C, _G], known_near),
        letters[:, 0] / windows.shape[1],
    ]
    names = ("GC of the window", "GC around the TSS", "CpG around the TSS", "unknown letters", *_PAIRS)
    of_bases = pairs[:, 1:, 1:].reshape(-1, 16)
    return names, np.column_stack([*columns, _share(of_bases, of_bases.sum(axis=1, keepdims=True))])


def _pair_counts(tokens: np.ndarray) -> np.ndarray:
    """How often each letter is followed by each other, int64 (genes, 5, 5)."""
    codes = tokens[:, :-1] * np.uint8(5) + tokens[:, 1:]  # at most 24
    return np.stack([np.bincount(row, minlength=25) for row in codes]).reshape(-1, 5, 5)


def _letter_counts(tokens: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """How often each letter occurs, int64 (genes, 5): as the first of a pair, and at the end."""
    counts = pairs.sum(axis=2)
    counts[np.arange(len(tokens)), tokens[:, -1]] += 1
    return np.asarray(counts)


def _gc(letters: np.ndarray) -> np.ndarray:
    return _share(letters[:, _C] + letters[:, _G], letters[:, 1:].sum(axis=1))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def protein_features(proteins: Iterable[np.ndarray]) -> tuple[tuple[str, ...], np.ndarray]:
    """Summarise proteins, uint8 tokens with PAD at the right: names, and float64 (genes, 21)."""
    rows = []
    for tokens in proteins:
        counts = np.bincount(tokens, minlength=PROTEIN.size + 1)[: PROTEIN.size]
        length = int(counts[1:].sum())
        rows.append([float(length), *(counts[1:21] / max(length, 1))])
    return ("length of the protein", *(f"{_JOINT}{letter}" for letter in _RESIDUES)), np.array(rows)


def coding_features(sequences: Iterable[np.ndarray]) -> tuple[tuple[str, ...], np.ndarray]:
    """Summarise coding sequences, uint8 tokens with 0 at the right: names, and float64 (genes, 2).

    The numbers of a gene without one are NaN.
    """
    rows = []
    for tokens in sequences:
        known = tokens[tokens > 0]
        third = (known - 1) % 4  # A, C, G, T
        strong = np.count_nonzero((third == 1) | (third == 2))
        rows.append([len(known), strong / len(known)] if len(known) else [np.nan, np.nan])
    return ("codons of the coding sequence", "GC of third codon positions"), np.array(rows, dtype=np.float64)


@dataclass(frozen=True)
class Composition:
    """Shares that are judged together: their mean, and the shape of their spread, in the training genes."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    """The inverse of their covariance."""
    limit: float
    """The squared Mahalanobis distance within which all but a few training genes lie."""

    @classmethod
    def of(cls, names: Sequence[str], values: np.ndarray) -> Composition | None:
        """Learn it from shares (genes, n); None for too few genes."""
        known = values[np.isfinite(values).all(axis=1)]
        if len(known) < _FEWEST_GENES:
            return None
        mean = known.mean(axis=0)
        precision = np.linalg.pinv(np.cov(known.T), rcond=1e-6, hermitian=True)
        away = known - mean
        distances = np.einsum("gi,ij,gj->g", away, precision, away)
        rows = tuple(tuple(float(f"{value:.6g}") for value in row) for row in precision)
        return cls(tuple(names), tuple(map(float, mean)), rows, float(np.quantile(distances, 1 - TAIL)) * (1 + MARGIN))

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean), np.array(self.precision)

    def distance(self, values: np.ndarray) -> float:
        """Squared Mahalanobis distance of shares (n,) from the mean."""
        mean, precision = self._arrays
        away = values - mean
        return float(away @ precision @ away)

    def to_dict(self) -> dict[str, Any]:
        """The composition as JSON can hold it."""
        return {"names": list(self.names), "mean": list(self.mean), "precision": list(map(list, self.precision)),
                "limit": self.limit}  # fmt: skip

    @classmethod
    def from_dict(cls, value: Any) -> Composition | None:
        """The composition that `to_dict` wrote; None for anything else."""
        try:
            found = cls(
                tuple(map(str, value["names"])),
                tuple(map(float, value["mean"])),
                tuple(tuple(map(float, row)) for row in value["precision"]),
                float(value["limit"]),
            )
        except (TypeError, KeyError, ValueError, OverflowError):
            return None
        size = len(found.names)
        square = len(found.precision) == len(found.mean) == size and all(len(row) == size for row in found.precision)
        finite = square and np.isfinite([*found.mean, *sum(found.precision, ()), found.limit]).all()
        return found if finite else None


@dataclass(frozen=True)
class InputRange:
    """Ranges of the training genes' inputs, by feature: what lies between their extreme quantiles."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    lower: tuple[float, ...] = ()
    """The lower quartile of each feature."""
    upper: tuple[float, ...] = ()
    composition: Composition | None = None

    @classmethod
    def of(cls, parts: Sequence[tuple[Sequence[str], np.ndarray]]) -> InputRange:
        """Learn the ranges from summaries of the training genes; features that no gene has are left out."""
        names: list[str] = []
        low: list[float] = []
        high: list[float] = []
        lower: list[float] = []
        upper: list[float] = []
        composition = None
        for titles, values in parts:
            joint = [place for place, title in enumerate(titles) if title.startswith(_JOINT)]
            if joint and composition is None:
                composition = Composition.of([titles[place] for place in joint], values[:, joint])
            for title, column in zip(titles, values.T, strict=True):
                known = column[np.isfinite(column)]
                if known.size and not title.startswith(_JOINT):
                    bounds = np.quantile(known, (TAIL, 0.25, 0.75, 1 - TAIL)).tolist()
                    names.append(title)
                    for kept, bound in zip((low, lower, upper, high), bounds, strict=True):
                        kept.append(bound)
        return cls(tuple(names), tuple(low), tuple(high), tuple(lower), tuple(upper), composition)

    def to_dict(self) -> dict[str, Any]:
        """The ranges as JSON can hold them."""
        bounds = zip(self.low, self.lower, self.upper, self.high, strict=True)
        ranges = {name: list(four) for name, four in zip(self.names, bounds, strict=True)}
        composition = None if self.composition is None else self.composition.to_dict()
        return {"ranges": ranges, "composition": composition}

    @classmethod
    def from_dict(cls, value: Any) -> InputRange | None:
        """The ranges that `to_dict` wrote; None for anything else."""
        if not isinstance(value, dict) or not isinstance(value.get("ranges"), dict):
            return None
        composition = Composition.from_dict(value.get("composition"))
        ranges = value["ranges"]
        four = list(ranges.values())
        if not all(isinstance(one, list) and len(one) == 4 and all(map(_is_finite, one)) for one in four):
            return None
        low, lower, upper, high = ([one[place] for one in four] for place in range(4))
        return cls(tuple(map(str, ranges)), tuple(low), tuple(high), tuple(lower), tuple(upper), composition)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


@dataclass
class RangeCounts:
    """Counts the genes of a stream that lie outside a model's ranges."""

    range: InputRange
    genes: int = 0
    outside: int = 0
    by_feature: dict[str, int] = field(default_factory=dict)
    examples: dict[str, float] = field(default_factory=dict)
    """A value outside, of the first such gene."""
    known: Counter[str] = field(default_factory=Counter)
    """Genes of which a feature is known."""
    quarter: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Genes in an outer quarter of the training genes, by feature and by side, "below" or "above"."""
    edge: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Genes in an outer twentieth, likewise."""

    def __post_init__(self) -> None:
        low, high = np.array(self.range.low), np.array(self.range.high)
        lower, upper = np.array(self.range.lower), np.array(self.range.upper)
        margin = MARGIN * (high - low)
        self._low, self._high = low - margin, high + margin
        self._quarter = {"below": lower, "above": upper}
        # Of a normal distribution the outer twentieth begins in the middle between quarter and extreme.
        self._edge = {"below": (low + lower) / 2, "above": (high + upper) / 2}
        self._is_share = (low >= 0) & (high <= 1)
        self._places = {name: place for place, name in enumerate(self.range.names)}

    def add(self, parts: Sequence[tuple[Sequence[str], np.ndarray]]) -> None:
        """Count one gene, of which each summary has one row."""
        self.genes += 1
        found = False
        for titles, values in parts:
            if self._is_foreign(titles, values[0]):
                found = True
                self.by_feature[_COMPOSITION] = self.by_feature.get(_COMPOSITION, 0) + 1
            for title, value in zip(titles, values[0], strict=True):
                place = self._places.get(title)
                if place is None or not np.isfinite(value):
                    continue
                self.known[title] += 1
                for counts, bounds in ((self.quarter, self._quarter), (self.edge, self._edge)):
                    counts[title, "below"] += bool(value < bounds["below"][place])
                    counts[title, "above"] += bool(value > bounds["above"][place])
                if value < self._low[place] or value > self._high[place]:
                    found = True
                    self.by_feature[title] = self.by_feature.get(title, 0) + 1
                    self.examples.setdefault(title, float(value))
        self.outside += found

    def _shift(self) -> tuple[int, int, str, str] | None:
        """Where most genes lie at one edge of the training genes, and this is not chance.

        Many genes are judged by an outer quarter, few by an outer twentieth, and these by shares alone: lengths are too
        skewed for the guess where it begins.

        Returns:
            the genes there, those whose feature is known, and in words that feature and the part of the training genes.
        """
        found = []
        for place, name in enumerate(self.range.names):
            known = self.known[name]
            many = known >= _FEWEST_TO_COMPARE
            if known < _FEWEST_TO_JUDGE or self.range.lower[place] == self.range.upper[place]:
                continue
            if not many and not self._is_share[place]:
                continue
            counts, bounds = (self.quarter, self._quarter) if many else (self.edge, self._edge)
            for side in ("below", "above"):
                count = counts[name, side]
                said = f"{name} is {side} {bounds[side][place]:.3g}"
                found.append((count / known, count, known, said, "a quarter" if many else "a twentieth"))
        worst = max(found, default=None)
        return None if worst is None or worst[0] <= _MOST_AT_AN_EDGE else worst[1:]

    def _is_foreign(self, titles: Sequence[str], values: np.ndarray) -> bool:
        """Whether the shares among these features are further from the training genes' than theirs."""
        composition = self.range.composition
        if composition is None or composition.names[0] not in titles:
            return False
        at = titles.index(composition.names[0])
        own = values[at : at + len(composition.names)]
        return bool(np.isfinite(own).all()) and composition.distance(own) > composition.limit

    def describe(self, model: str, species: str = "") -> str | None:
        """A line about the genes outside and the feature in which most are; None where that is usual."""
        trained = f"what {model} was trained on" + (f", genes of {species}" if species else "")
        if (shift := self._shift()) is not None:
            count, known, said, share = shift
            return (
                f"{_lie(count, known)} at the edge of {trained}, or beyond it: {said}, as in only {share} of those; "
                "predictions for them are extrapolations"
            )
        if self.outside <= MOST_USUAL * self.genes:
            return None
        worst = max(self.by_feature, key=lambda name: self.by_feature[name])
        said = f"{_lie(self.outside, self.genes)} outside {trained}: {worst}"
        if worst != _COMPOSITION:
            place = self._places[worst]
            low, high = self.range.low[place], self.range.high[place]
            said += f", such as {self.examples[worst]:.3g} where it was {low:.3g} to {high:.3g}"
        return f"{said}, in {_genes(self.by_feature[worst])}"


def _genes(count: int) -> str:
    return f"{count:,} gene{'' if count == 1 else 's'}"


def _lie(count: int, genes: int) -> str:
    return f"{count:,} of {_genes(genes)} {'lies' if count == 1 else 'lie'}"
