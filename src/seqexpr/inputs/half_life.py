"""The eight features of Xpresso (Agarwal & Shendure 2020) that are known to go with an mRNA's half-life.

| feature            | unit                                             | transform before z-scoring |
|--------------------|--------------------------------------------------|----------------------------|
| `utr5_len`         | bp of the 5' untranslated region                 | log10(x + 0.1)             |
| `cds_len`          | bp of the coding sequence, stop codon as annotated | log10(x + 0.1)           |
| `intron_len`       | bp of all introns of the transcript              | log10(x + 0.1)             |
| `utr3_len`         | bp of the 3' untranslated region                 | log10(x + 0.1)             |
| `utr5_gc`, `cds_gc`, `utr3_gc` | fraction of G and C, 0 to 1          | none                       |
| `orf_exon_density` | exon junctions of the transcript per kb of CDS   | log10(x + 0.1)             |

Files and datasets hold raw values, NaN where missing. A model's `HalfLifeSchema` turns them into z-scores; it
is fitted on training genes only and travels inside the weights. The exception are Xpresso's own files: they hold
z-scores, and a model that was trained on them `expects_z_scores`. docs/half-life.md defines every feature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqexpr.sequences.transcripts import FEATURES

LOG10 = "log10(x+0.1)"
IDENTITY = "identity"

TRANSFORMS = tuple(IDENTITY if name.endswith("_gc") else LOG10 for name in FEATURES)
"""The transform of each of `FEATURES`, in the same order."""

_TRANSFORM_OF = dict(zip(FEATURES, TRANSFORMS, strict=True))


def is_length(name: str) -> bool:
    """Whether a feature is a length or the density of junctions, not a GC content."""
    return _TRANSFORM_OF.get(name) == LOG10


@dataclass
class MissingFeatures:
    """Counts which half-life features are missing, and for how many genes.

    >>> MissingFeatures.in_genes(np.array([[np.nan, 900.0], [np.nan, np.nan]]), 2, ("utr5_len", "cds_len")).describe()
    'half-life features missing: all 2 for 1 of 2 genes; utr5_len for 1'
    """

    names: tuple[str, ...]
    genes: int = 0
    whole: int = 0
    """Genes of which no feature is known."""
    others: Counter[str] = field(default_factory=Counter)
    """The other genes without a feature, by its name."""

    @classmethod
    def in_genes(cls, values: np.ndarray | None, genes: int, names: Sequence[str] = FEATURES) -> MissingFeatures:
        """Count them in the features (genes, features) of some genes, NaN where missing; None where there are none."""
        counts = cls(tuple(names))
        for row in np.full((genes, len(names)), np.nan) if values is None else values:
            counts.add(row)
        return counts

    def add(self, row: np.ndarray) -> None:
        """Count one gene's features (n,), NaN where missing."""
        self.genes += 1
        missing = np.isnan(row)
        if missing.all():
            self.whole += 1
        elif missing.any():
            self.others.update(name for name, absent in zip(self.names, missing, strict=True) if absent)

    def describe(self) -> str | None:
        """Say which are missing, and for how many genes; None where all are known."""
        by_count: dict[int, list[str]] = {}
        for name in self.names:
            by_count.setdefault(self.others[name], []).append(name)
        parts = [(f"all {len(self.names)}", self.whole)] if self.whole else []
        parts += [(", ".join(by_count[count]), count) for count in sorted(by_count, reverse=True) if count]
        if not parts:
            return None
        (what, count), *more = parts
        of = f"{count:,} of {self.genes:,}" if count < self.genes else f"all {self.genes:,}"
        of = "the one gene" if self.genes == 1 else f"{of} genes"
        return "; ".join([f"half-life features missing: {what} for {of}", *(f"{a} for {b:,}" for a, b in more)])


@dataclass(frozen=True)
class HalfLifeSchema:
    """Names, order, transforms and scale of the features that a model was trained on.

    `mean` and `sd` are of the transformed training values. A feature with sd 0 was constant or never measured
    in training: it carries nothing, and counts as unknown whatever its value.
    """

    names: tuple[str, ...]
    transforms: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.transforms) == len(self.mean) == len(self.sd):
            raise ValueError("names, transforms, mean and sd of half-life features differ in length")
        unknown = set(self.transforms) - {LOG10, IDENTITY}
        if unknown:
            raise ValueError(f"unknown half-life transforms: {', '.join(sorted(unknown))}")
        if not np.isfinite((*self.mean, *self.sd)).all() or min(self.sd, default=0.0) < 0:
            raise ValueError("mean and sd of half-life features must be finite, and sd at least 0")

    @property
    def expects_z_scores(self) -> bool:
        """Whether the values that the model was trained on were z-scores already: lengths are taken as they are."""
        lengths = [how for name, how in zip(self.names, self.transforms, strict=True) if is_length(name)]
        return bool(lengths) and set(lengths) == {IDENTITY}

    @classmethod
    def fit(
        cls, raw: np.ndarray, names: Sequence[str] = FEATURES, transforms: Sequence[str] = TRANSFORMS
    ) -> HalfLifeSchema:
        """Learn mean and sd from training genes: `raw` is (genes, features) with NaN where missing."""
        mean, sd = [], []
        for column in _transformed(raw, transforms).T:
            known = column[~np.isnan(column)]
            centre = float(known.mean()) if known.size else 0.0
            spread = float(known.std()) if known.size else 0.0
            mean.append(centre)
            # Rounding leaves a constant column with a spread near 1e-16; dividing by it would invent signal.
            sd.append(spread if spread > 1e-9 * max(1.0, abs(centre)) else 0.0)
        return cls(tuple(names), tuple(transforms), tuple(mean), tuple(sd))

    def standardise(self, raw: np.ndarray) -> np.ndarray:
        """Z-scores, float32 (genes, features), NaN where missing, and for a feature that tells nothing (sd 0).

        Raises:
            ValueError: `raw` has another number of features, or a value that its transform cannot take.
        """
        values = _transformed(raw, self.transforms) - np.array(self.mean)
        sd = np.array(self.sd)
        return np.divide(values, sd, out=np.full_like(values, np.nan), where=sd > 0).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """The schema as JSON can hold it."""
        return {
            "names": list(self.names),
            "transforms": list(self.transforms),
            "mean": list(self.mean),
            "sd": list(self.sd),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> HalfLifeSchema:
        """The schema that `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: `value` is not such a dictionary.
        """
        return cls(
            tuple(value["names"]),
            tuple(value["transforms"]),
            tuple(float(number) for number in value["mean"]),
            tuple(float(number) for number in value["sd"]),
        )


def _transformed(raw: np.ndarray, transforms: Sequence[str]) -> np.ndarray:
    raw = np.asarray(raw, dtype=np.float64)
    if raw.ndim != 2 or raw.shape[1] != len(transforms):
        raise ValueError(f"half-life values have shape {raw.shape}, not (genes, {len(transforms)})")
    values = raw.copy()
    logged = [transform == LOG10 for transform in transforms]
    if (values[:, logged] < 0).any() or np.isinf(values).any():
        raise ValueError("half-life lengths and densities must be finite and at least 0")
    values[:, logged] = np.log10(values[:, logged] + 0.1)
    return values
