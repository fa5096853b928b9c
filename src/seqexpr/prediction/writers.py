"""Tables as TSV, CSV, JSON lines or Parquet, on standard output or in a file that appears when whole."""

from __future__ import annotations

import errno
import gzip
import io
import json
import math
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from seqexpr.errors import MissingDataError, UsageError, printable
from seqexpr.files import atomic_path

if TYPE_CHECKING:
    from seqexpr.prediction.predictor import Prediction
    from seqexpr.prediction.shard_files import ShardFile

FORMATS = ("tsv", "csv", "jsonl", "parquet")

_DIGITS = ".6g"
"""Six significant digits, what float32 sums hold to. On a CPU a record's numbers are the same bits whatever the order,
the batch size and the number of workers (`models.fixed_batch`); another device or processor may differ in the last."""

_ROW_GROUP = 16_384
"""Rows held back before a Parquet row group is written."""


Cell = str | int | float | None
"""What stands in a column of a row; None is an empty cell, and null in JSON Lines and Parquet."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: Literal["text", "whole", "number"] = "number"


class TableWriter(Protocol):
    """Where rows go; a context manager, and only when it ends well does a file appear."""

    def __enter__(self) -> TableWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def write(self, cells: Sequence[Cell]) -> None:
        """Add one row."""
        ...

    def end_block(self) -> None:
        """End a block of a shard."""
        ...


def open_table(
    out: str | None, format: str | None, columns: Sequence[Column], shard: ShardFile | None = None
) -> TableWriter:
    """A writer of rows with these columns.

    Args:
        out: file name; None or "-" is standard output. A name that ends in `.gz` is compressed.
        format: "tsv", "csv", "jsonl" or "parquet"; None = by the suffix of `out`, TSV where it says nothing.
        columns: in their order.
        shard: the shard that the file is, if it is one.

    Raises:
        UsageError: unknown format, a suffix that says another one, or Parquet where it cannot be written.
        MissingDataError: Parquet is asked for and pyarrow is not installed.
        OSError: the file cannot be written; its `filename` is `out`.
    """
    chosen = choose_format(out, format)
    names = [column.name for column in columns]
    if chosen == "parquet":
        assert out is not None
        return _ParquetWriter(out, columns, shard)
    if chosen == "jsonl":
        return _TextWriter(out, _JsonRows(names), shard)
    return _TextWriter(out, _TableRows(names, "," if chosen == "csv" else "\t"), shard)


class PredictionWriter:
    """Writes predictions as rows: the id, perhaps the symbol, and each output with its spread where there is one."""

    def __init__(self, table: TableWriter, symbols: Mapping[str, str] | None) -> None:
        self._table, self._symbols = table, symbols

    def __enter__(self) -> PredictionWriter:
        self._table.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, traceback)

    def write(self, prediction: Prediction) -> None:
        """Add one row."""
        symbol = () if self._symbols is None else (self._symbols.get(prediction.id, ""),)
        self._table.write([prediction.id, *symbol, *map(float, _numbers(prediction))])

    def end_block(self) -> None:
        """End a block of a shard."""
        self._table.end_block()


def open_writer(
    out: str | None,
    format: str | None,
    outputs: Sequence[str],
    *,
    ensemble: bool,
    suffixes: Sequence[str] = (),
    symbols: Mapping[str, str] | None = None,
    shard: ShardFile | None = None,
) -> PredictionWriter:
    """A writer with the columns `id`, one for each output, and for ensembles `OUTPUT_sd` after each.

    Args:
        out, format: as for `open_table`, which raises the same errors.
        outputs: names of the predicted quantities.
        ensemble: whether predictions have standard deviations.
        suffixes: what is added to each output's name for them; `_sd` where this is empty.
        symbols: symbol by id, for a second column `symbol`; None for no such column.
        shard: the shard that the file is, if it is one.

    Raises:
        UsageError: two columns of one name.
    """
    choose_format(out, format)  # a mistake in the options comes before one in the model
    own = suffixes or ("_sd",) * len(outputs)
    columns = list(outputs)
    if ensemble:
        columns = [column for name, more in zip(outputs, own, strict=True) for column in (name, f"{name}{more}")]
    if repeated := [name for name in columns if columns.count(name) > 1]:
        raise UsageError(f"two columns would be called {repeated[0]}: the outputs are {', '.join(outputs)}")
    first = [Column(name, "text") for name in (("id",) if symbols is None else ("id", "symbol"))]
    return PredictionWriter(open_table(out, format, [*first, *map(Column, columns)], shard), symbols)


def choose_format(out: str | None, format: str | None) -> str:
    """The format asked for, else the one that the file's suffix stands for, else TSV.

    Raises:
        UsageError: see `open_writer`.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format {format}: choose among {', '.join(FORMATS)}")
    if out is None or out == "-":
        if format == "parquet":
            raise UsageError("--format parquet needs --out FILE: Parquet is not written to standard output")
        return format or "tsv"
    plain = out[: -len(".gz")] if out.endswith(".gz") else out
    suffix = Path(plain).suffix.lstrip(".").lower()
    said = suffix if suffix in FORMATS else None
    if format and said and format != said:
        raise UsageError(f"--out {out} says {said} and --format {format}: leave one of them out, or make them agree")
    chosen = format or said or "tsv"
    if chosen == "parquet" and plain != out:
        raise UsageError(f"--out {out}: Parquet compresses by itself; leave .gz out")
    return chosen


class _TableRows:
    """Rows as text with tabs or commas between; quoted where a cell holds the separator."""

    def __init__(self, names: Sequence[str], separator: str) -> None:
        self._separator = separator
        self.header = self._line(names)

    def row(self, cells: Sequence[Cell]) -> str:
        return self._line([_text(cell) for cell in cells])

    def _line(self, cells: Sequence[str]) -> str:
        if self._separator == ",":
            cells = ['"' + cell.replace('"', '""') + '"' if '"' in cell or "," in cell else cell for cell in cells]
        return self._separator.join(cells) + "\n"


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return format(cell, _DIGITS) if isinstance(cell, float) else str(cell)


class _JsonRows:
    """Rows as one JSON object each; a number that JSON does not have is null."""

    def __init__(self, names: Sequence[str]) -> None:
        self.header = ""
        self._names = names

    def row(self, cells: Sequence[Cell]) -> str:
        return json.dumps(dict(zip(self._names, map(self._value, cells), strict=True)), ensure_ascii=False) + "\n"

    @staticmethod
    def _value(cell: Cell) -> Cell:
        if not isinstance(cell, float):
            return cell
        return float(format(cell, _DIGITS)) if math.isfinite(cell) else None


class _TextWriter:
    """Text rows. On standard output each is flushed, so that `| head` sees rows as they come."""

    def __init__(self, out: str | None, rows: _TableRows | _JsonRows, shard: ShardFile | None) -> None:
        self._out = None if out in (None, "-") else out
        self._shard = shard
        self._rows = rows
        self._name = self._out or "standard output"
        self._started = False
        self._stack = ExitStack()

    def __enter__(self) -> _TextWriter:
        with named_errors(self._name):
            opened = binary_output(self._out) if self._shard is None else self._shard.opened(gzipped)
            self._stream: Any = self._stack.enter_context(opened)
        self._on_terminal = self._stream.isatty()
        return self

    def write(self, cells: Sequence[Cell]) -> None:
        with named_errors(self._name):
            self._start()
            self._write(self._rows.row(cells))
            if self._out is None:
                self._stream.flush()

    def end_block(self) -> None:
        """End a block of a shard."""
        with named_errors(self._name):
            self._start()
            self._stream.end_segment()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with named_errors(self._name):
            if kind is not None:
                self._stack.__exit__(kind, error, traceback)
                return
            with self._stack:
                self._start()
                self._stream.flush()

    def _start(self) -> None:
        """The header, held back to the first row: input that is bad from the start leaves no output."""
        if not self._started:
            self._write(self._rows.header)
            self._started = True
            if self._shard is not None:
                self._stream.end_segment()

    def _write(self, line: str) -> None:
        """A line; on a terminal control characters are spelled out, a file gets what was given."""
        if self._on_terminal:
            line = "\t".join(map(printable, line.rstrip("\n").split("\t"))) + "\n" if line else line
        self._stream.write(line.encode("utf-8", "surrogateescape"))


class _ParquetWriter:
    """Parquet, one row group at a time; numbers are float64. A shard has a row group for each block."""

    def __init__(self, out: str, columns: Sequence[Column], shard: ShardFile | None) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise MissingDataError("Parquet needs pyarrow, which is not installed; run: pip install pyarrow") from None
        self._pyarrow: Any = pyarrow
        self._out, self._shard = out, shard
        types = {"text": pyarrow.string(), "whole": pyarrow.int64(), "number": pyarrow.float64()}
        self._schema = pyarrow.schema([(column.name, types[column.kind]) for column in columns])
        self._rows: list[Sequence[Cell]] = []
        self._stack = ExitStack()

    def __enter__(self) -> _ParquetWriter:
        with named_errors(self._out):
            opened = binary_output(self._out) if self._shard is None else self._shard.opened_whole()
            stream = self._stack.enter_context(opened)
            self._writer = self._pyarrow.parquet.ParquetWriter(stream, self._schema)
        return self

    def write(self, cells: Sequence[Cell]) -> None:
        self._rows.append(cells)
        if len(self._rows) >= _ROW_GROUP and self._shard is None:
            self._write_group()

    def end_block(self) -> None:
        """End a block of a shard."""
        self._write_group()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with named_errors(self._out):
            if kind is not None:
                with suppress(Exception):  # it would close itself later, when its file is gone
                    self._writer.close()
                self._stack.__exit__(kind, error, traceback)
                return
            with self._stack:
                if self._shard is None:
                    self._write_group()
                self._writer.close()

    def _write_group(self) -> None:
        columns = [list(column) for column in zip(*self._rows, strict=True)] or [[] for _ in self._schema]
        arrays = [
            self._pyarrow.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)
        ]
        with named_errors(self._out):
            self._writer.write_table(self._pyarrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()


def _numbers(prediction: Prediction) -> Iterator[float]:
    """Value, or value and standard deviation, of each output in turn."""
    if prediction.sd is None:
        yield from prediction.values
        return
    for value, sd in zip(prediction.values, prediction.sd, strict=True):
        yield value
        yield sd


@contextmanager
def binary_output(
    out: str | None, compressed: Callable[[IO[bytes]], AbstractContextManager[Any]] | None = None
) -> Iterator[Any]:
    """Standard output for None, or a file that appears when all is written.

    Args:
        out: a name that ends in `.gz` is compressed.
        compressed: makes the compressing stream of a plain one. None: gzip.
    """
    if out is None:
        yield sys.stdout.buffer
        return
    if os.path.isdir(out):  # known now rather than when all is computed
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), out)
    with ExitStack() as stack:
        if is_special(out):  # a pipe or device is written in place: a rename would put a file there instead
            stream: IO[bytes] = stack.enter_context(open(out, "wb"))
        else:
            target = os.path.realpath(out)  # through a link, which a rename would replace
            stream = stack.enter_context(stack.enter_context(atomic_path(target)).open("wb"))
        yield stack.enter_context((compressed or gzipped)(stream)) if out.lower().endswith(".gz") else stream


def gzipped(stream: IO[bytes]) -> io.BufferedWriter:
    """A stream that compresses into another one, which stays open."""
    # No name and time of day in the file: the same predictions are the same bytes.
    return io.BufferedWriter(gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0))


def is_special(path: str) -> bool:
    """Whether there is something that is neither a file nor a folder: a pipe, a device."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Errors of the system with the name that the user gave, not that of a temporary file, or none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), name) from error
