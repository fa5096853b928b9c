"""Tables of labels: the numbers to predict, one row per gene, and what else they say about the gene."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.tables import MISSING, TextTable, read_table
from seqexpr.sequences.feature_lines import MOST_DIGITS

if TYPE_CHECKING:
    import pandas as pd

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


def read_labels(path: str | Path, columns: Sequence[str] | None = None) -> LabelTable:
    """Read labels from a TSV file (CSV by suffix; gzipped or not; "-" is standard input) with a header.

    The first column is the gene id. Without `columns`, all columns but the `ANNOTATIONS` are labels.

    Raises:
        InputError: a column asked for that is not there; no label column at all; a cell that is neither
            missing (empty or NA) nor a finite number; a `tss` that is no whole number; or a bad table.
    """
    import pandas as pd

    table = read_table(path)
    names = _label_columns(table, columns)
    ids = table.ids()
    known = [name for name in table.columns[1:] if name in ANNOTATIONS]
    _check_tss(table)
    annotations = pd.DataFrame(
        {name: ["" if cell in MISSING else cell for cell in table.column(name)] for name in known},
        index=pd.Index(ids, dtype=object),
        dtype=object,
    )
    return LabelTable(str(path), ids, names, table.numbers(names), annotations)


def _check_tss(table: TextTable) -> None:
    if "tss" not in table.columns:
        return
    for cell, line in zip(table.column("tss"), table.lines, strict=True):
        if cell not in MISSING and not (cell.isascii() and cell.isdigit() and len(cell) <= MOST_DIGITS):
            raise InputError(
                table.file,
                record=f"line {line}, column 'tss'",
                found=repr(cell[:40]),
                expected="a whole number",
            )


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
        return tuple(possible)
    for name in columns:
        if name not in possible:
            close = difflib.get_close_matches(name, possible, n=1)
            raise InputError(
                table.file,
                record="header",
                found=f"no label column {name!r}" + (f" (did you mean {close[0]!r}?)" if close else ""),
                expected=f"one of {', '.join(possible)}",
            )
    return tuple(dict.fromkeys(columns))
