"""Tables of labels: the numbers to predict, one row per gene, and what else they say about the gene."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.tables import MISSING, TextTable, has_comma, parse_number, read_table
from seqexpr.sequences.feature_lines import MOST_DIGITS, has_control

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_NO_TEXT = ("", "NA", "NaN", "nan")
"""Missing descriptions: a strand may be -."""
_SUFFIXES = ("_sd", "_spread")
"""What `predict` adds to the name of an output."""
_GENES_TO_JUDGE = 20
_MOST_SKEWED = 5.0
# Levels are skewed less where there are few of them. But a logarithm of levels is seldom skewed so, its largest value
# is no multiple of the middle one, and below these: 40 is the logarithm to base 2 of a million millions.
_SKEWED = 1.5
_TIMES_THE_MEDIAN = 10.0
_LARGEST_LOGARITHM = 40.0
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec"
_MANGLED = re.compile(
    rf"(?:[0-9]{{1,2}}-(?:{_MONTHS})(?:-[0-9]{{2,4}})?|(?:{_MONTHS})-[0-9]{{1,4}}"
    r"|[0-9]{1,2}/[0-9]{1,2}(?:/[0-9]{2,4})?|[0-9]{4}-[0-9]{2}-[0-9]{2}(?: 00:00:00)?"
    r"|[0-9]+(?:\.[0-9]+)?e[+-]?[0-9]+|4[0-9]{4})",
    re.IGNORECASE,
)
"""MARCH1 becomes 1-Mar or 43891, 2310009E13 becomes 2.31E+19."""

ANNOTATIONS = ("symbol", "chrom", "tss", "strand", "split", "group")
"""Column names that describe a gene and are never labels."""


@dataclass(frozen=True)
class LabelTable:
    """Labels of some genes.

    `values` is float64 (genes, labels), NaN where a gene was not measured; `annotations` holds those of the
    columns `ANNOTATIONS` that the file has, as text, "" where missing, indexed by gene id.
    """

    file: str
    ids: list[str]
    names: tuple[str, ...]
    values: np.ndarray
    annotations: pd.DataFrame


def read_labels(
    source: str | Path | TextTable, columns: Sequence[str] | None = None, *, log10: float | None = None
) -> LabelTable:
    """Read labels from a TSV file (CSV by suffix; gzipped or not; "-" is standard input) with a header, or a table.

    The first column is the gene id. Without `columns`, all columns but the `ANNOTATIONS` are labels. A warning says
    which labels are heavily skewed, and which ids a spreadsheet has turned into dates or numbers.

    Args:
        source: the table, or its file.
        columns: the labels to keep.
        log10: take log10(label + this); None keeps labels as they are.

    Raises:
        InputError: two labels of which one is named as the other's sd; a negative label with `log10`; a column
            asked for that is not there; no label column at all; a cell that is neither
            missing (empty or NA) nor a finite number; a `tss` that is no whole number; or a bad table.
    """
    import pandas as pd

    table = read_table(source)
    names = _label_columns(table, columns)
    ids = table.ids()
    known = [name for name in table.columns[1:] if name in ANNOTATIONS]
    _check_tss(table)
    annotations = pd.DataFrame(
        {name: ["" if cell in _NO_TEXT else cell for cell in table.column(name)] for name in known},
        index=pd.Index(ids, dtype=object),
        dtype=object,
    )
    values = table.numbers(names)
    _check_ids(table, ids)
    if log10 is not None:
        values = _logarithms(table, names, values, log10)
    for name, column in zip(names, values.T, strict=True):
        if (problem := label_problem(name, column)) is not None:
            logger.warning("%s: %s", table.file, problem)
    return LabelTable(table.file, ids, names, values, annotations)


def _logarithms(table: TextTable, names: tuple[str, ...], values: np.ndarray, added: float) -> np.ndarray:
    bad = np.argwhere(values + added <= 0)
    if bad.size:
        row, column = bad[0]
        expected = f"a value above {-added:g}, of which --log10 takes the logarithm (are these logarithms already?)"
        raise table.cell_error(row, names[column], f"{values[row, column]:g}", expected)
    for name, column in zip(names, values.T, strict=True):
        negative = np.flatnonzero(column < 0)
        if negative.size:
            logger.warning(
                "%s: label %s is negative in %s of %s rows (first: %s %s, %g), as levels are not, and --log10 took the "
                "logarithm all the same (are these logarithms already?)",
                *(table.file, name, f"{negative.size:,}", f"{len(column):,}"),
                *(table.line, table.lines[negative[0]], column[negative[0]]),
            )
    return np.asarray(np.log10(values + added))


def label_problem(name: str, values: np.ndarray) -> str | None:
    """Say in words what makes a label hard to learn: one value for every gene, or levels that are heavily skewed.

    >>> label_problem("tpm", np.full(20, 5.0))
    'label tpm is 5 for every gene: there is nothing to learn'

    Args:
        name: of the label.
        values: float64 (genes,), NaN where missing.
    """
    known = values[~np.isnan(values)]
    if known.size < _GENES_TO_JUDGE:
        return None
    if known.min() == known.max():
        return f"label {name} is {known[0]:g} for every gene: there is nothing to learn"
    if known.min() < 0:
        return None
    skewness = float((((known - known.mean()) / known.std()) ** 3).mean())
    beyond = max(_TIMES_THE_MEDIAN * float(np.median(known)), _LARGEST_LOGARITHM)
    if skewness > _MOST_SKEWED or (skewness > _SKEWED and known.max() > beyond):
        return (
            f"label {name} is heavily skewed (skewness {skewness:.1f}), as counts and abundances are: "
            "networks learn their logarithm better (prepare --log10)"
        )
    return None


def _check_ids(table: TextTable, ids: Sequence[str]) -> None:
    mangled = [name for name in ids if _MANGLED.fullmatch(name)]
    if mangled and len(mangled) < len(ids):
        logger.warning(
            "%s: %s of %s ids look like dates or numbers that a spreadsheet made of gene symbols (first: %s)",
            *(table.file, f"{len(mangled):,}", f"{len(ids):,}", mangled[0]),
        )
    for name, line in zip(ids, table.lines, strict=True):
        if has_control(name):
            raise InputError(
                table.file, record=f"line {line}", found=f"id {name!r}", expected="an id without control characters"
            )


def _check_tss(table: TextTable) -> None:
    if "tss" not in table.columns:
        return
    for row, cell in enumerate(table.column("tss")):
        if cell not in MISSING and not (cell.isascii() and cell.isdigit() and len(cell) <= MOST_DIGITS):
            raise table.cell_error(row, "tss", repr(cell[:40]), "a whole number")


def _label_columns(table: TextTable, columns: Sequence[str] | None) -> tuple[str, ...]:
    possible = [name for name in table.columns[1:] if name not in ANNOTATIONS]
    if not possible:
        raise InputError(
            table.file,
            record="header",
            found=f"columns {', '.join(table.columns)}",
            expected="at least one column of labels",
        )
    if columns is None:
        _check_text(table, possible)
        columns = possible
    for name in columns:
        if name not in possible:
            folded = {one.lower(): one for one in reversed(possible)}
            close = [folded[one] for one in difflib.get_close_matches(name.lower(), folded, n=1)]
            raise InputError(
                table.file,
                record="header",
                found=f"no label column {name!r}" + (f" (did you mean {close[0]!r}?)" if close else ""),
                expected=f"one of {', '.join(possible)}",
            )
    chosen = tuple(dict.fromkeys(columns))
    for name in chosen:
        if has_control(name):
            expected = "a name without control characters"
            raise InputError(table.file, record="header", found=f"a label {name!r}", expected=expected)
        for suffix in _SUFFIXES:
            if f"{name}{suffix}" in chosen:
                raise InputError(
                    table.file,
                    record="header",
                    found=f"labels {name!r} and {name + suffix!r}",
                    expected=f"another name for {name + suffix!r}, which predictions of {name!r} need for their "
                    f"{suffix[1:]}; or choose labels with --label",
                )
    return chosen


def _check_text(table: TextTable, names: Sequence[str]) -> None:
    """Say which column is text, and how to choose others."""
    texts = []
    for name in names:
        cells = [cell for cell in table.column(name) if cell not in MISSING and not has_comma(cell)]
        if cells and not any(parse_number(cell) is not None for cell in cells[:_GENES_TO_JUDGE]):
            texts.append((name, cells[0]))
    if texts:
        numbers = [name for name in names if name not in dict(texts)]
        example = f" (for instance --label {numbers[0]})" if numbers else ""
        raise InputError(
            table.file,
            record=f"column {texts[0][0]!r}",
            found=repr(texts[0][1][:40]),
            expected=f"numbers in every column; choose the labels with --label{example}",
        )
