"""Read a table of half-life features, and find out values that are on another scale than the model's.

Tables hold raw values, in bases and fractions. Only for models that were trained on Xpresso's files they hold z-scores.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.half_life import is_length
from seqexpr.inputs.tables import TextTable, read_table
from seqexpr.sequences.transcripts import FEATURES

logger = logging.getLogger(__name__)

# Over 16,920 human genes the z-scores of log10(x + 0.1) stay within 5.9 of 0, and the shortest raw CDS has 23 bp.
_FARTHEST_Z_SCORE = 15.0
_MOST_BROKEN = 0.5
_SHORT = 30.0
# A mean over transcripts may be broken; it is not so short, as a logarithm is, or a length in kilobases. Rounded to
# whole numbers, these are told by coding sequences: the median of a few genes is never so short.
_FEWEST = 3
# A gene with introns has a junction at least, a mean over transcripts perhaps less: so few are a density per base.
_FEWEST_JUNCTIONS = 0.1

# So many genes without one value below the average were not scaled by their average.
_GENES_TO_JUDGE = 20


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


def read_half_life(
    source: str | Path | TextTable, names: Sequence[str] = FEATURES, *, z_scores: bool = False
) -> HalfLifeTable:
    """Read a table: the gene id first, then exactly the columns `names`, in that order.

    Args:
        source: the table.
        names: its columns after the id.
        z_scores: values are z-scores as in Xpresso's tables, for a model that `expects_z_scores`; else raw.

    Raises:
        InputError: columns that are missing, unknown or reordered; a value that is not a number; where raw values
            are expected, a negative length or density or a GC content outside 0 to 1; where z-scores are, values
            that can only be raw; or a defect of the table itself.
    """
    table = read_table(source)
    _check_columns(table, tuple(names))
    ids = table.ids()
    values = table.numbers(tuple(names))
    (_check_z_scores if z_scores else _check_raw)(table, names, values)
    return HalfLifeTable(table.file, ids, tuple(names), values)


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


def _check_coding(table: TextTable, names: Sequence[str], values: np.ndarray) -> None:
    """Find out coding sequences that are too short, and densities that are not per kilobase."""
    if "cds_len" not in names:
        return
    lengths = values[:, list(names).index("cds_len")]
    known = np.flatnonzero(lengths > 0)
    if known.size >= _FEWEST and np.median(lengths[known]) < _SHORT:
        found = (
            f"{lengths[known[0]]:g}, and {np.median(lengths[known]):g} in the median gene (a logarithm, or kilobases?)"
        )
        raise table.cell_error(int(known[0]), "cds_len", found, "raw lengths in bases")
    if "orf_exon_density" not in names:
        return
    density = values[:, list(names).index("orf_exon_density")]
    known = np.flatnonzero((lengths > 0) & (density > 0))
    junctions = density[known] * lengths[known] / 1000
    if known.size >= _FEWEST and np.median(junctions) < _FEWEST_JUNCTIONS:
        row = int(known[0])
        found = f"{density[row]:g}, which is {junctions[0]:.2g} exon junctions in {lengths[row]:g} bases (per base?)"
        raise table.cell_error(row, "orf_exon_density", found, "exon junctions per kilobase of the coding sequence")


def _check_raw(table: TextTable, names: Sequence[str], values: np.ndarray) -> None:
    _check_units(table, names, values)
    for j, name in enumerate(names):
        if name not in FEATURES:
            continue
        top = np.inf if is_length(name) else 1.0
        bad = np.flatnonzero((values[:, j] < 0) | (values[:, j] > top))
        if bad.size:
            expected = "a raw value of at least 0, not a z-score" if top > 1 else "a GC fraction between 0 and 1"
            raise table.cell_error(bad[0], name, f"{values[bad[0], j]:g}", expected)
    _check_coding(table, names, values)


def _check_z_scores(table: TextTable, names: Sequence[str], values: np.ndarray) -> None:
    """Raw values have a wrong meaning for a model of z-scores, and nothing can convert them: find them out."""
    expected = (
        "z-scores as in Xpresso's tables: this model was trained on them; raw features cannot be converted, because "
        "the means and standard deviations behind those z-scores are not published; leave --half-life out, or use a "
        "model of raw features (seqexpr models show)"
    )
    lengths = np.array([is_length(name) for name in names])
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
