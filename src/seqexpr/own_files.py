"""Read the JSON and the tables that seqexpr itself wrote, without trusting them.

A disk, a copy that was cut short or an editor may have changed them. Each reader says which shape it expects; whatever
differs is an `InputError` that names the file, the key or line, what was found and what was expected.

JSON is read strictly: UTF-8, no NaN and no infinity, no key twice, numbers of a sane length, and no deeper than
`DEEPEST`. Keys that a shape does not name are kept as they are, so that a later version may add some.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from seqexpr.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

DEEPEST = 64
"""Levels of lists and objects within one another that JSON may have."""

LARGEST = 2**28
"""Bytes that a file may have."""

_MOST_DIGITS = 40
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")

Shape = Callable[[Any, str], None]
"""Checks a value; the text says where it is, for instance "window.upstream". Raises `Misfit`."""


class Misfit(ValueError):
    """A value that is not as its shape says."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: found {found}; expected {expected}" if where else f"{found}; expected {expected}")
        self.where, self.found, self.expected = where, found, expected


def anything(value: Any, where: str) -> None:
    """Any value."""


def text(value: Any, where: str) -> None:
    """A string."""
    if not isinstance(value, str):
        raise Misfit(where, shown(value), "a text")


def name(value: Any, where: str) -> None:
    """A string that can head a column: not empty, without control characters."""
    text(value, where)
    if not value.strip() or not is_printable(value):
        raise Misfit(where, shown(value), "a name without control characters")


def flag(value: Any, where: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise Misfit(where, shown(value), "true or false")


def whole(least: int | None = None, most: int = 2**53) -> Shape:
    """A whole number from `least` to `most`."""

    def check(value: Any, where: str) -> None:
        below = least if least is not None else -most
        if not isinstance(value, int) or isinstance(value, bool) or not below <= value <= most:
            bound = f" of {least:,} to {most:,}" if least is not None and most < 2**53 else ""
            bound = bound or (f" of at least {least:,}" if least is not None else "")
            raise Misfit(where, shown(value), f"a whole number{bound}")

    return check


def number(value: Any, where: str) -> None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        raise Misfit(where, shown(value), "a finite number")


def maybe(shape: Shape) -> Shape:
    """Null, or what `shape` allows."""

    def check(value: Any, where: str) -> None:
        if value is not None:
            shape(value, where)

    return check


def one_of(*values: Any) -> Shape:
    """One of these values."""

    def check(value: Any, where: str) -> None:
        if not any(type(value) is type(allowed) and value == allowed for allowed in values):
            raise Misfit(where, shown(value), " or ".join(json.dumps(allowed) for allowed in values))

    return check


def list_of(shape: Shape, length: int | None = None) -> Shape:
    """A list, of `length` entries where that is given, each as `shape` says."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, (list, tuple)):
            raise Misfit(where, shown(value), "a list")
        if length is not None and len(value) != length:
            raise Misfit(where, f"{len(value)} entries", f"{length}")
        for index, entry in enumerate(value):
            shape(entry, f"{where}[{index}]")

    return check


def distinct(shape: Shape) -> Shape:
    """A list without repetitions, each entry as `shape` says."""

    def check(value: Any, where: str) -> None:
        list_of(shape)(value, where)
        seen = set()
        for index, entry in enumerate(value):
            if entry in seen:
                raise Misfit(f"{where}[{index}]", f"{shown(entry)} again", "entries that are all different")
            seen.add(entry)

    return check


def mapping(shape: Shape) -> Shape:
    """An object with any keys, each value as `shape` says."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise Misfit(where, shown(value), "an object")
        for key, entry in value.items():
            shape(entry, _within(where, key))

    return check


def record(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """An object with these keys; further keys may be anything."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise Misfit(where, shown(value), "an object")
        for key, shape in required.items():
            if key not in value:
                raise Misfit(_within(where, key), "no such key", "one")
            shape(value[key], _within(where, key))
        for key, shape in (optional or {}).items():
            if key in value:
                shape(value[key], _within(where, key))

    return check


def check_shape(value: Any, shape: Shape, file: str | os.PathLike[str], expected: str, record: str = "") -> None:
    """Check a value of a file.

    Raises:
        InputError: naming the key, after `record` where that is given.
    """
    try:
        shape(value, "")
    except Misfit as misfit:
        parts = [part for part in (record, f"key {misfit.where!r}" if misfit.where else "") if part]
        wanted = f"{misfit.expected} ({expected})"
        raise InputError(file, record=", ".join(parts) or None, found=misfit.found, expected=wanted) from None


def parse_json(data: str | bytes, file: str | os.PathLike[str], expected: str, record: str | None = None) -> Any:
    """The value that JSON text stands for.

    Args:
        data: the text; bytes are UTF-8.
        file: where it comes from, for messages; `record` says which part of it.
        expected: what the text should be, in a few words.

    Raises:
        InputError: it is not JSON as this module's docstring describes it.
    """

    def refuse(found: str) -> NoReturn:
        raise InputError(file, record=record, found=found, expected=expected) from None

    try:
        content = data if isinstance(data, str) else data.decode("utf-8")
        if _depth(content) > DEEPEST:
            refuse(f"JSON of more than {DEEPEST} levels")
        value = json.loads(
            content,
            parse_constant=_no_constant,
            parse_float=_finite_float,
            parse_int=_short_int,
            object_pairs_hook=_without_repetition,
        )
        if "\\u" in content:  # half a surrogate pair is no text that could be written
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        refuse("text with half a surrogate pair")
    except UnicodeDecodeError as problem:
        refuse(f"text that is not UTF-8, at byte {problem.start:,}")
    except _Odd as problem:
        refuse(str(problem))
    except json.JSONDecodeError as problem:
        refuse(f"text that is not JSON ({problem})")
    except (RecursionError, MemoryError, ValueError):
        refuse("text that is not JSON")
    return value


def read_json(path: str | os.PathLike[str], expected: str, shape: Shape = anything) -> Any:
    """The value in a JSON file.

    Raises:
        InputError: the file cannot be read, is not such JSON, or is not of this shape.
    """
    value = parse_json(read_bytes(path, expected), path, expected)
    check_shape(value, shape, path, expected)
    return value


def read_json_lines(
    path: str | os.PathLike[str], expected: str, shape: Shape = anything, *, cut: bool = False
) -> list[Any]:
    """The values of a JSON Lines file.

    Args:
        path: of the file; `expected` says what it is.
        shape: of each line.
        cut: whether the last line may be cut off, as a run that was killed leaves it; it is then ignored.

    Raises:
        InputError: the file cannot be read, or a line is not such JSON, or not of this shape.
    """
    lines = read_bytes(path, expected).split(b"\n")
    ended = lines[-1] == b""
    if ended:
        lines.pop()
    values = []
    for position, line in enumerate(lines, start=1):
        where = f"line {position}"
        try:
            value = parse_json(line, path, expected, where)
            check_shape(value, shape, path, expected, where)
        except InputError:
            if cut and position == len(lines) and not ended:
                break
            raise
        values.append(value)
    return values


def read_bytes(path: str | os.PathLike[str], expected: str) -> bytes:
    """A small file's bytes.

    Raises:
        InputError: it cannot be read, or is larger than `LARGEST`.
    """
    try:
        with Path(path).open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > LARGEST:
                raise InputError(path, found=f"{size:,} bytes", expected=f"{expected} of at most {LARGEST:,}")
            return file.read(size or LARGEST)  # no more is allocated than is there; pipes say 0
    except OSError as problem:
        raise InputError(path, found=problem.strerror or "an unreadable file", expected=expected) from None


def read_own_table(
    path: str | os.PathLike[str],
    columns: Mapping[str, str],
    expected: str,
    *,
    optional: Mapping[str, str] | None = None,
    exact: bool = False,
    quoted: bool = True,
) -> pd.DataFrame:
    """A tab-separated table as text, floats and whole numbers, to the last digit.

    Args:
        path: of the file; `expected` says what it is.
        columns: each column's kind: "text", "number" (a finite float; an empty cell is NaN), "measured" (a finite
            float, never empty), "whole" (a whole number, never empty) or "place" (a whole number or empty; Int64).
        optional: columns that may be there.
        exact: whether the header must be just `columns`, in that order; else further columns are text.
        quoted: whether cells may be quoted as CSV has it, with line breaks inside.

    Raises:
        InputError: the file cannot be read, is not UTF-8, is not rectangular, has other columns, or a cell that is not
            of its column's kind.
    """
    import pandas as pd

    header, rows, lines = _table_rows(path, expected, quoted)
    kinds = {**(optional or {}), **columns}
    if exact and header != list(columns):
        found = f"columns {', '.join(header[:10])}"
        raise InputError(path, record="header", found=found, expected=f"{', '.join(list(columns)[:10])}: {expected}")
    if absent := [column for column in columns if column not in header]:
        raise InputError(path, record="header", found=f"no column {', '.join(absent)}", expected=expected)
    if len(set(header)) != len(header):
        raise InputError(path, record="header", found="a column twice", expected=expected)
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    table = {}
    for column, values in zip(header, cells, strict=True):
        table[column] = _column(path, column, values, kinds.get(column, "text"), lines)
    return pd.DataFrame(table)


def _table_rows(
    path: str | os.PathLike[str], expected: str, quoted: bool
) -> tuple[list[str], list[Sequence[str]], list[int]]:
    """Header, rows, and the line on which each row ends."""
    try:
        content = read_bytes(path, expected).decode("utf-8")
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise InputError(path, record=f"line {line}", found="text that is not UTF-8", expected=expected) from None
    rows: list[Sequence[str]]
    if quoted and '"' in content:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter="\t", strict=True)
        rows, lines = [], []
        try:
            for cells in reader:
                rows.append(cells)
                lines.append(reader.line_num)
        except csv.Error as problem:
            where = f"line {reader.line_num}"
            raise InputError(path, record=where, found=f"no table ({problem})", expected=expected) from None
    else:
        split = content.split("\n")
        if split[-1] == "":
            split.pop()
        rows = [line.removesuffix("\r").split("\t") for line in split]
        lines = list(range(1, len(rows) + 1))
    if not rows:
        raise InputError(path, found="an empty file", expected=expected)
    header = list(rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            found = f"{len(row)} cells"
            raise InputError(path, record=f"line {line}", found=found, expected=f"{len(header)}: {expected}")
    return header, rows[1:], lines[1:]


def _column(
    path: str | os.PathLike[str], column: str, cells: Sequence[str], kind: str, lines: Sequence[int]
) -> pd.Series:
    import pandas as pd

    def refuse(row: int, wanted: str) -> NoReturn:
        where = f"line {lines[row]}, column {column!r}"
        raise InputError(path, record=where, found=repr(cells[row][:40]), expected=wanted) from None

    if kind == "text":
        return pd.Series(list(cells), dtype=object)
    if kind in ("whole", "place"):
        for row, cell in enumerate(cells):
            if not _WHOLE.fullmatch(cell) and not (kind == "place" and cell == ""):
                refuse(row, "a whole number" + (" or an empty cell" if kind == "place" else ""))
        if kind == "whole":
            return pd.Series([int(cell) for cell in cells], dtype="int64")
        return pd.Series([int(cell) if cell else pd.NA for cell in cells], dtype="Int64")
    values = []
    for row, cell in enumerate(cells):
        if cell == "" and kind == "number":
            values.append(math.nan)
            continue
        value = float(cell) if _NUMBER.fullmatch(cell) else math.inf
        if not math.isfinite(value):
            refuse(row, "a finite number" + (" or an empty cell" if kind == "number" else ""))
        values.append(value)
    return pd.Series(values, dtype="float64")


def is_printable(value: str) -> bool:
    """Whether a text is one line that does not command a terminal: no control character, no half of a surrogate pair.

    Odd spaces and letters of any script may be in it.
    """
    return value.isprintable() or not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in value)


def shown(value: Any) -> str:
    """A value as a message shows it, in few characters."""
    if isinstance(value, str):
        return repr(value[:60]) + ("..." if len(value) > 60 else "")
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value):,}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return "a number of dozens of digits"
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


class _Odd(ValueError):
    """JSON that Python would read and this module does not."""


def _within(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _depth(content: str) -> int:
    deepest = depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", content)):
        depth += 1 if bracket[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _no_constant(constant: str) -> NoReturn:
    raise _Odd(f"the number {constant}")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _Odd(f"the number {digits[:40]}")
    return value


def _short_int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise _Odd(f"a number of {len(digits):,} digits")
    return int(digits)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Odd(f"the key {twice[:60]!r} twice")
    return found
