"""Shards of rows become the file of one run: text of any kind, and Parquet."""

from __future__ import annotations

import gzip
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

from seqexpr.errors import InputError, MissingDataError
from seqexpr.prediction.shard_files import Description
from seqexpr.prediction.writers import Column, binary_output, named_errors, open_table

_OPEN_FILES = 64
"""Shards whose files are open at a time; with more of them, a file is opened for each of its blocks."""

_KINDS = {"string": "text", "int64": "whole", "double": "number"}

Opened = TypeVar("Opened", bound=AbstractContextManager[Any])


def in_order(shards: Sequence[Description]) -> Iterator[tuple[int, int]]:
    """Shard and block, both from 0, in the order in which one run writes their records.

    Args:
        shards: all of one result, in their order.
    """
    for block in range(max(one.blocks for one in shards)):
        for place, one in enumerate(shards):
            if block < one.blocks:
                yield place, block


def merge_text(
    shards: Sequence[Description],
    out: str,
    compress: Callable[[IO[bytes]], AbstractContextManager[Any]] | None = None,
) -> None:
    """Write the text of shards as one run does; a block is in memory at a time.

    Args:
        shards: all of one result, in their order.
        out: the file, which appears when it is whole.
        compress: makes the compressing stream of a name that ends in .gz; None: gzip.

    Raises:
        InputError: a shard is damaged.
        OSError: the file cannot be written.
    """
    for one in shards:
        if not one.segments:
            raise InputError(one.path, record="key 'segments'", found="none", expected="the segments of a text file")
    places = [0] * len(shards)
    with named_errors(out), binary_output(out, compress) as stream, _OpenFiles(_open_plain) as files:

        def next_segment(place: int, block: int) -> bytes:
            """The text of a segment, 0 being what stands before the first record."""
            one, size = shards[place], shards[place].segments[block]
            handle = files.get(one.file)
            handle.seek(places[place])
            places[place] += size
            return _decompressed(handle.read(size), one.file)

        for place in range(len(shards)):
            header = next_segment(place, 0)
            if place == 0:
                stream.write(header)
        for place, block in in_order(shards):
            stream.write(next_segment(place, block + 1))


def merge_parquet(shards: Sequence[Description], out: str) -> None:
    """Write the rows of Parquet shards as one run does, a block in memory at a time, and a row group of the result.

    Args:
        shards: all of one result, in their order.
        out: the file, which appears when it is whole.

    Raises:
        MissingDataError: pyarrow is not installed.
        InputError: a shard is damaged.
        OSError: the file cannot be written.
    """
    with _OpenFiles(_open_parquet) as files:
        for one in shards:
            if (found := files.get(one.file).num_row_groups) != one.blocks:
                raise InputError(one.file, found=f"{found:,} row groups", expected=f"{one.blocks:,}, a block each")
        schema = files.get(shards[0].file).schema_arrow
        columns = [Column(field.name, _KINDS[str(field.type)]) for field in schema]  # type: ignore[arg-type]
        with open_table(out, "parquet", columns) as table:
            for place, block in in_order(shards):
                rows = files.get(shards[place].file).read_row_group(block)
                for cells in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                    table.write(cells)


def add_up(shards: Sequence[Description]) -> dict[str, Any]:
    """The counts of all shards together.

    Raises:
        InputError: counts that are not those of one command.
    """
    total = dict(shards[0].counts)
    for one in shards[1:]:
        try:
            total = _sum(total, one.counts)
        except TypeError:
            found = "counts that cannot be added to those of other shards"
            raise InputError(one.path, record="key 'counts'", found=found, expected="numbers") from None
    return total


def _sum(total: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of the same name added up, within objects too; what is under "same" stands for all, or is an example,
    which some lack."""
    result = dict(total)
    for key, value in more.items():
        if key == "same" and isinstance(value, Mapping):
            result[key] = {**value, **{name: one for name, one in result.get(key, {}).items() if one}}
        elif key == "same" or key not in result:
            result.setdefault(key, value)
        elif isinstance(value, Mapping) and isinstance(result[key], Mapping):
            result[key] = _sum(result[key], value)
        elif isinstance(value, int) and isinstance(result[key], int):
            result[key] += value
        else:
            raise TypeError
    return result


class _OpenFiles(Generic[Opened]):
    """Files that were used last stay open, a few of them: a system allows a process some hundreds."""

    def __init__(self, open_file: Callable[[Path], Opened]) -> None:
        self._open_file = open_file
        self._files: OrderedDict[Path, tuple[Any, ExitStack]] = OrderedDict()

    def __enter__(self) -> _OpenFiles[Opened]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _, stack in self._files.values():
            stack.close()

    def get(self, path: Path) -> Any:
        """The file, open."""
        if path not in self._files:
            if len(self._files) >= _OPEN_FILES:
                _, (_, oldest) = self._files.popitem(last=False)
                oldest.close()
            stack = ExitStack()
            self._files[path] = stack.enter_context(self._open_file(path)), stack
        self._files.move_to_end(path)
        return self._files[path][0]


def _open_plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _open_parquet(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDataError("Parquet needs pyarrow, which is not installed; run: pip install pyarrow") from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as problem:
        raise InputError(path, found=f"no Parquet ({problem})", expected="a shard as --shard writes it") from None


def _decompressed(segment: bytes, file: Path) -> bytes:
    if not file.name.lower().endswith(".gz") or not segment:
        return segment
    try:
        return gzip.decompress(segment)
    except (OSError, EOFError, zlib.error) as problem:
        found = f"a segment that cannot be decompressed ({problem})"
        raise InputError(file, found=found, expected="a shard as --shard writes it") from None
