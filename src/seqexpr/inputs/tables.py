"""Text tables of genes, one row per gene: the rules that label, half-life and protein-map files share.

A table is separated by tabs; by commas when its name ends in .csv or .csv.gz, or its header has commas and no tab; by
semicolons when its header has these alone. It is UTF-8, gzipped or not, with a header line. Comment lines (#) before
the header are left out, and where the last of them is the header itself (PaxDb), it counts as such. Cells may be
quoted. An empty cell and the words of `MISSING` are missing values; infinities and text where a number belongs are
errors. A DataFrame becomes the same kind of table, by the same rules.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.errors import InputError
from seqexpr.sequences.streams import read_blocks

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "n/a", "na", "NULL", "null", "None", "none", "<NA>", "-")
_NO_IDS = ("", "NA", "NaN", "nan")

_WITH_COMMA = re.compile(r"[+-]?[0-9][0-9.' ]*,[0-9,.]*[0-9]")
_QUOTED = re.compile(r'(?<![^\t,;])"(?:[^"]|"")*"')
_FORMATS = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "a Parquet file",
}
"""First bytes of tables that are no text."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class TextTable:
    """A table as text: `columns` from the header, `rows` of trimmed cells, and the `lines` they came from."""

    file: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    line: str = "line"
    """What `lines` counts, for messages."""

    def __str__(self) -> str:
        return self.file

    def sha256(self) -> str:
        """A checksum of the cells and the columns' names."""
        return hashlib.sha256(json.dumps([self.columns, self.rows]).encode()).hexdigest()

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
            if gene in _NO_IDS:
                raise InputError(
                    self.file,
                    record=f"{self.line} {line}",
                    found=f"the id {gene!r}" if gene else "an empty id",
                    expected="a gene id in the first column",
                )
            if gene in first_line:
                raise InputError(
                    self.file,
                    record=f"{self.line} {line}",
                    found=f"id {gene!r} again (first on {self.line} {first_line[gene]})",
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
            expected = "a finite number, or an empty cell or NA for a missing value"
            if has_comma(cell):
                expected = "a number with a decimal point, without separators of thousands"
            raise self.cell_error(row, name, repr(cell[:40]), expected)
        return value

    def cell_error(self, row: int, name: str, found: str, expected: str) -> InputError:
        """The error about the cell in a row, counted from 0, and the column `name`."""
        record = f"{self.line} {self.lines[row]}, column {name!r}"
        return InputError(self.file, record=record, found=found, expected=expected)


def parse_number(cell: str) -> float | None:
    """The finite number that a cell spells in decimal digits; None for anything else (`NaN`, `inf`, `1_000`)."""
    value = float(cell) if _NUMBER.fullmatch(cell) else math.inf
    return value if math.isfinite(value) else None


def has_comma(cell: str) -> bool:
    """Whether a cell is a number with a decimal comma, or with commas between thousands."""
    return _WITH_COMMA.fullmatch(cell) is not None


def frame_table(frame: Any, name: str) -> TextTable:
    """The table that a DataFrame or a named Series holds.

    Its ids are the index, where that has a name or holds text; else they are the first column, of text or, where the
    rows are only counted, of whole numbers. Whole numbers that pandas holds as floats (1017.0) are spelled as such.

    Args:
        frame: from pandas.
        name: what messages call it.

    Raises:
        InputError: no rows, no column beside the ids, columns without names of their own, or no ids.
    """
    import pandas as pd

    if isinstance(frame, pd.Series):
        frame = frame.to_frame("value" if frame.name is None else frame.name)
    if not len(frame.columns):
        raise InputError(name, found="no column", expected="gene ids and values")
    for axis, found in ((frame.columns, "columns"), (frame.index, "an index")):
        if isinstance(axis, pd.MultiIndex):
            raise InputError(name, found=f"{found} of several levels", expected=_FRAME_IDS)
    if frame.index.name is None and pd.api.types.is_numeric_dtype(frame.index.dtype):
        _check_first_column(frame, name)
        ids, names = frame.iloc[:, 0], list(frame.columns)
        frame = frame.iloc[:, 1:]
    else:
        ids = frame.index.to_series()
        given = frame.index.name
        if list(frame.columns).count(given) == 1 and list(frame[given]) == list(frame.index):
            frame = frame.drop(columns=given)  # set_index(..., drop=False)
        names = [given if given is not None else "index" if "id" in frame.columns else "id", *frame.columns]
    columns = tuple(str(column).strip() for column in names)
    if len(columns) < 2:
        raise InputError(name, found=f"the column {columns[0]!r} alone", expected="gene ids and values")
    _check_names(name, columns, "columns")
    if all(_NUMBER.fullmatch(column) for column in columns[1:]):
        found = f"only numbers ({', '.join(columns[1:4])}) as names of columns"
        raise InputError(name, found=found, expected="columns that are named")
    if not len(frame):
        raise InputError(name, found="no row", expected="one row per gene")
    absent_ids, missing = ids.isna(), frame.isna().to_numpy()
    firsts = ["" if absent else _id(value, name) for value, absent in zip(ids, absent_ids, strict=True)]
    rows = [
        [first, *("" if absent else _cell(str(value)) for value, absent in zip(values, absents, strict=True))]
        for first, values, absents in zip(firsts, frame.itertuples(index=False, name=None), missing, strict=True)
    ]
    return TextTable(name, columns, rows, list(range(1, len(rows) + 1)), "row")


_FRAME_IDS = "gene ids in the index or first column"


def _check_first_column(frame: Any, name: str) -> None:
    """Refuse a first column that holds no ids, for a frame whose index has none either."""
    import pandas as pd

    first = frame.iloc[:, 0].dtype
    counted = frame.index.equals(pd.RangeIndex(len(frame))) and isinstance(frame.columns[0], str)
    is_number = pd.api.types.is_numeric_dtype(first)
    if pd.api.types.is_float_dtype(first) or (is_number and not counted):
        found = f"numbers in the first column, {str(frame.columns[0])!r}, and an index of numbers without a name"
        raise InputError(name, found=found, expected="gene ids in the first column, or in an index that has a name")


def _id(value: Any, name: str) -> str:
    """The text of an id; whole numbers are whole."""
    if isinstance(value, float | np.floating):
        if not float(value).is_integer():
            raise InputError(name, found=f"the fraction {value} as an id", expected=_FRAME_IDS)
        value = int(value)
    return _cell(str(value))


def read_table(source: str | Path | TextTable) -> TextTable:
    """Read a whole table; "-" is standard input. A table that is in memory is given back.

    Raises:
        InputError: the file is absent, empty, binary, cut short or not rectangular, or its header is
            missing or names a column twice.
    """
    if isinstance(source, TextTable):
        return source
    path = source
    text, skipped = _without_comments(_read_text(path))
    first = text.partition("\n")[0]
    separator = _separator(first, is_csv=str(path).lower().removesuffix(".gz").endswith(".csv"))
    reader = csv.reader(
        io.StringIO(text, newline=None),
        delimiter=separator,
        quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL,
    )
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([_cell(cell) for cell in row])
                lines.append(reader.line_num + skipped)
    except csv.Error as problem:
        raise InputError(path, record=f"line {reader.line_num}", found=str(problem), expected="a table") from None
    if not rows:
        raise InputError(path, found="an empty file", expected="a table with a header line")
    columns = tuple(rows[0])
    _check_shape(path, columns, rows, lines, _SEPARATORS[separator])
    return TextTable(str(path), columns, rows[1:], lines[1:])


_SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons"}


def outside_quotes(line: str) -> str:
    """A line without its cells that are quoted: what is left holds the separators."""
    return _QUOTED.sub("", line)


def _separator(header: str, *, is_csv: bool) -> str:
    header = outside_quotes(header)
    if "," in header and (is_csv or "\t" not in header):
        return ","
    if ";" in header and "\t" not in header:
        return ";"
    return "," if is_csv and "\t" not in header else "\t"


def _cell(text: str) -> str:
    """A trimmed cell, without the quotes around it."""
    trimmed = " ".join(text.split())
    if len(trimmed) > 1 and trimmed[0] == trimmed[-1] == '"':
        return trimmed[1:-1].replace('""', '"').strip()
    return trimmed


def _without_comments(text: str) -> tuple[str, int]:
    """The table from its header on, and how many lines were left out before it."""
    if not text.startswith("#"):
        return text, 0
    lines = text.split("\n")
    count = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    if lines[0].startswith(("#1.2", "#1.3")):  # GCT: a version, then the table's size
        return "\n".join(lines[count + 1 :]), count + 1
    last = lines[count - 1].removeprefix("#").strip()
    first = lines[count] if count < len(lines) else ""
    separator = _separator(first, is_csv=False)
    fields = first.split(separator)
    is_data = any(_NUMBER.fullmatch(field.strip()) for field in fields[1:])
    if len(fields) > 1 and len(last.split(separator)) == len(fields) and is_data:
        return "\n".join([last, *lines[count:]]), count - 1
    return "\n".join(lines[count:]), count


def _check_shape(
    path: str | Path, columns: tuple[str, ...], rows: list[list[str]], lines: list[int], separator: str
) -> None:
    if len(columns) < 2:
        raise InputError(
            path,
            record="header",
            found="one column" + (", or columns that spaces separate" if " " in columns[0] else ""),
            expected=f"an id column and values, separated by {separator}",
        )
    _check_names(path, columns, "header")
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


def _check_names(path: str | Path, columns: tuple[str, ...], record: str) -> None:
    times = Counter(columns)
    for name in columns[1:]:
        if not name or times[name] > 1:
            raise InputError(
                path,
                record=record,
                found=f"column {name!r} {times[name]} times" if name else "a column without a name",
                expected="column names that are all different",
            )


def _read_text(path: str | Path) -> str:
    data = b"".join(read_blocks(path))
    if (found := _FORMATS.get(data[:4])) is not None:
        raise InputError(path, found=found, expected="a text table (.tsv or .csv)")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(path, found="UTF-16 text, as spreadsheets save it", expected="a UTF-8 table")
    if b"\0" in data:
        raise InputError(path, found="NUL bytes", expected="a text table")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        found = f"text that is not UTF-8, at byte {problem.start:,}"
        raise InputError(path, found=found, expected="a UTF-8 table") from None
