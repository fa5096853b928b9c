"""Text tables of genes, one row per gene: the rules that label, half-life and protein-map files share.

A table is tab-separated (comma-separated when its name ends in .csv or .csv.gz), UTF-8, gzipped or not, with
a header line. An empty cell or `NA` is a missing value; `NaN`, infinities and text where a number belongs are
errors, because they are as a rule the trace of a computation that went wrong.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqexpr.errors import InputError
from seqexpr.sequences.streams import read_blocks

MISSING = ("", "NA")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class TextTable:
    """A table as text: `columns` from the header, `rows` of trimmed cells, and the `lines` they came from."""

    file: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str) -> list[str]:
        """The cells of one column, from top to bottom."""
        index = self.columns.index(name)
        return [row[index] for row in self.rows]

    def ids(self) -> list[str]:
        """The first column: identifiers, each present and given once.

        Raises:
            InputError: an empty identifier or one that occurs twice.
        """
        first_line: dict[str, int] = {}
        for row, line in zip(self.rows, self.lines, strict=True):
            gene = row[0]
            if gene in MISSING:
                raise InputError(
                    self.file,
                    record=f"line {line}",
                    found=f"the id {gene!r}" if gene else "an empty id",
                    expected="a gene id in the first column",
                )
            if gene in first_line:
                raise InputError(
                    self.file,
                    record=f"line {line}",
                    found=f"id {gene!r} again (first on line {first_line[gene]})",
                    expected="one row per id",
                )
            first_line[gene] = line
        return list(first_line)

    def numbers(self, names: tuple[str, ...]) -> np.ndarray:
        """The columns `names` as float64, shape (rows, columns); missing values are NaN.

        Raises:
            InputError: a cell that is neither missing nor a finite number.
        """
        places = {name: index for index, name in reversed(list(enumerate(self.columns)))}  # the first of a name
        indices = [places[name] for name in names]
        values = np.empty((len(self.rows), len(names)))
        for i, row in enumerate(self.rows):
            for j, index in enumerate(indices):
                values[i, j] = self._number(row[index], i, names[j])
        return values

    def _number(self, cell: str, row: int, name: str) -> float:
        if cell in MISSING:
            return np.nan
        value = parse_number(cell)
        if value is None:
            raise InputError(
                self.file,
                record=f"line {self.lines[row]}, column {name!r}",
                found=repr(cell[:40]),
                expected="a finite number, or an empty cell or NA for a missing value",
            )
        return value


def parse_number(cell: str) -> float | None:
    """The finite number that a cell spells in decimal digits; None for anything else (`NaN`, `inf`, `1_000`)."""
    value = float(cell) if _NUMBER.fullmatch(cell) else math.inf
    return value if math.isfinite(value) else None


def read_table(path: str | Path) -> TextTable:
    """Read a whole table; "-" is standard input.

    Raises:
        InputError: the file is absent, empty, binary, cut short or not rectangular, or its header is
            missing or names a column twice.
    """
    text = _read_text(path)
    comma = str(path).lower().removesuffix(".gz").endswith(".csv")
    reader = csv.reader(
        io.StringIO(text, newline=None),
        delimiter="," if comma else "\t",
        quoting=csv.QUOTE_MINIMAL if comma else csv.QUOTE_NONE,
    )
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([" ".join(cell.split()) for cell in row])
                lines.append(reader.line_num)
    except csv.Error as problem:
        raise InputError(path, record=f"line {reader.line_num}", found=str(problem), expected="a table") from None
    if not rows:
        raise InputError(path, found="an empty file", expected="a table with a header line")
    columns = tuple(rows[0])
    _check_shape(path, columns, rows, lines, "commas" if comma else "tabs")
    return TextTable(str(path), columns, rows[1:], lines[1:])


def _check_shape(
    path: str | Path, columns: tuple[str, ...], rows: list[list[str]], lines: list[int], separator: str
) -> None:
    if len(columns) < 2:
        raise InputError(
            path,
            record="header",
            found="one column",
            expected=f"an id column and values, separated by {separator}",
        )
    times = Counter(columns)
    for name in columns[1:]:
        if not name or times[name] > 1:
            raise InputError(
                path,
                record="header",
                found=f"column {name!r} {times[name]} times" if name else "a column without a name",
                expected="column names that are all different",
            )
    if all(_NUMBER.fullmatch(name) for name in columns[1:]):
        raise InputError(
            path,
            record="header",
            found=f"only numbers ({', '.join(columns[1:4])}) after {columns[0]!r}",
            expected="a first line with the columns' names",
        )
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(columns):
            raise InputError(
                path,
                record=f"line {line}",
                found=f"{len(row)} fields",
                expected=f"{len(columns)} fields separated by {separator}, as in the header",
            )
    if len(rows) == 1:
        raise InputError(path, found="a header and no rows", expected="one row per gene")


def _read_text(path: str | Path) -> str:
    data = b"".join(read_blocks(path))
    if b"\0" in data:
        raise InputError(path, found="NUL bytes", expected="a text table")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        found = f"text that is not UTF-8, at byte {problem.start:,}"
        raise InputError(path, found=found, expected="a UTF-8 table") from None
