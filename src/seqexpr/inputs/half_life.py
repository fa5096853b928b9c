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

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.tables import TextTable, read_table
from seqexpr.sequences.transcripts import FEATURES

logger = logging.getLogger(__name__)

LOG10 = "log10(x+0.1)"
IDENTITY = "identity"

TRANSFORMS = tuple(IDENTITY if name.endswith("_gc") else LOG10 for name in FEATURES)
"""The transform of each of `FEATURES`, in the same order."""

_TRANSFORM_OF = dict(zip(FEATURES, TRANSFORMS, strict=True))

# Over 16,920 human genes the z-scores of log10(x + 0.1) stay within 5.9 of 0, and the shortest raw CDS has 23 bp.
_FARTHEST_Z_SCORE = 15.0
_MOST_BROKEN = 0.5
_SHORT = 30.0
# A mean over transcripts may be broken; it is not so short, as a logarithm is, or a length in kilobases.

# So many genes without one value below the average were not scaled by their average.
_GENES_TO_JUDGE = 20


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
        lengths = [how for name, how in zip(self.names, self.transforms, strict=True) if _is_length(name)]
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


@dataclass(frozen=True)
class HalfLifeTable:
    """Raw half-life features of some genes: `values` is float64 (genes, features), NaN where missing."""

    file: str
    ids: list[str]
    names: tuple[str, ...]
    values: np.ndarray

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """The features of `ids` in that order, (len(ids), features); all NaN for a gene that is not here."""
        position = {gene: i for i, gene in enumerate(self.ids)}
        rows = np.full((len(ids), len(self.names)), np.nan)
        for i, gene in enumerate(ids):
            if gene in position:
                rows[i] = self.values[position[gene]]
        return rows


def read_half_life(path: str | Path, names: Sequence[str] = FEATURES, *, z_scores: bool = False) -> HalfLifeTable:
    """Read a table: the gene id first, then exactly the columns `names`, in that order.

    Args:
        path: the table.
        names: its columns after the id.
        z_scores: values are z-scores as in Xpresso's tables, for a model that `expects_z_scores`; else raw.

    Raises:
        InputError: columns that are missing, unknown or reordered; a value that is not a number; where raw values
            are expected, a negative length or density or a GC content outside 0 to 1; where z-scores are, values
            that can only be raw; or a defect of the table itself.
    """
    table = read_table(path)
    _check_columns(table, tuple(names))
    ids = table.ids()
    values = table.numbers(tuple(names))
    (_check_z_scores if z_scores else _check_raw)(table, names, values)
    return HalfLifeTable(str(path), ids, tuple(names), values)


def _check_columns(table: TextTable, names: tuple[str, ...]) -> None:
    present = table.columns[1:]
    if present == names:
        return
    missing = [name for name in names if name not in present]
    unknown = [name for name in present if name not in names]
    problems = []
    if missing:
        problems.append(f"no column {', '.join(missing)}")
    if unknown:
        renamed = [f"{name} ({_near(name, missing)})" if _near(name, missing) else name for name in unknown]
        problems.append(f"unknown column {', '.join(renamed)}")
    if not problems:
        problems.append(f"the columns in another order: {', '.join(present)}")
    raise InputError(
        table.file,
        record="header",
        found="; ".join(problems),
        expected=f"a gene id, then {', '.join(names)} in this order",
    )


def _near(name: str, candidates: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.lower(), candidates, n=1)
    return f"{close[0]}?" if close else ""


def _is_length(name: str) -> bool:
    """Whether the feature is a length or the density of junctions, not a GC content."""
    return _TRANSFORM_OF.get(name) == LOG10


def _check_units(table: TextTable, names: Sequence[str], values: np.ndarray) -> None:
    """Lengths are whole numbers of bases: find out logarithms and kilobases."""
    for j, name in enumerate(names):
        if not name.endswith("_len"):
            continue
        known = values[:, j][np.isfinite(values[:, j]) & (values[:, j] != 0)]
        broken = known != np.round(known)
        if known.size and broken.mean() > _MOST_BROKEN and np.median(known) < _SHORT:
            row = int(np.flatnonzero((values[:, j] != np.round(values[:, j])) & np.isfinite(values[:, j]))[0])
            found = f"{values[row, j]:g}, which is no whole number of bases (a logarithm, or kilobases?)"
            raise table.cell_error(row, name, found, "raw lengths in bases")


def _check_raw(table: TextTable, names: Sequence[str], values: np.ndarray) -> None:
    _check_units(table, names, values)
    for j, name in enumerate(names):
        if name not in _TRANSFORM_OF:
            continue
        top = np.inf if _is_length(name) else 1.0
        bad = np.flatnonzero((values[:, j] < 0) | (values[:, j] > top))
        if bad.size:
            expected = "a raw value of at least 0, not a z-score" if top > 1 else "a GC fraction between 0 and 1"
            raise table.cell_error(bad[0], name, f"{values[bad[0], j]:g}", expected)


def _check_z_scores(table: TextTable, names: Sequence[str], values: np.ndarray) -> None:
    """Raw values have a wrong meaning for a model of z-scores, and nothing can convert them: find them out."""
    expected = (
        "z-scores as in Xpresso's tables: this model was trained on them; raw features cannot be converted, because "
        "the means and standard deviations behind those z-scores are not published; leave --half-life out, or use a "
        "model of raw features (seqexpr models show)"
    )
    lengths = np.array([_is_length(name) for name in names])
    far = np.argwhere((np.abs(values) > _FARTHEST_Z_SCORE) & lengths)
    if far.size:
        row, column = far[0]
        raise table.cell_error(row, names[column], f"{values[row, column]:g}", expected)
    if not (values >= 0).any() or ((values < 0) | ((values > 1) & ~lengths)).any():
        return
    if len(values) < _GENES_TO_JUDGE:
        logger.warning("%s: no negative value, as raw features are; it is read as z-scores all the same", table.file)
    else:
        raise InputError(
            table.file,
            found=f"no negative value and no GC content above 1 in {len(values):,} genes, as raw features are",
            expected=expected,
        )
