"""Archives of the user's, opened warily: what an archive says of itself is not believed.

A tar archive is decompressed here and not by tarfile, whose headers may ask for any amount of memory.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from seqexpr.errors import NetworkError

MOST_RATIO = 1_000
"""What unpacks to more than so many times its size is a bomb, unless it is small."""

_SMALL = 100 << 20

_LARGEST_READ = 8 << 20
"""Bytes that tarfile may want at once: contents are read in smaller blocks, so only a header would want more."""

_MOST_MEMBERS = 100_000
"""tarfile keeps all that it passes in memory, about 1 kB each."""

_Content: TypeAlias = "gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile | BinaryIO"

_READERS: dict[bytes, Callable[[Path], _Content]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}

_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
    *(NotImplementedError, ValueError, IndexError, OverflowError, RecursionError),  # of headers that make no sense
)


def is_zip(path: Path) -> bool:
    """Whether a file starts as a zip archive. (A tar archive may end as one: its last member may be a zip.)"""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar archive, compressed or not.

    Raises:
        NetworkError: while it is read, a size that no honest archive has.
        tarfile.ReadError: it is no tar archive.
    """
    with path.open("rb") as file:
        start = file.read(6)
    reader = next((reader for magic, reader in _READERS.items() if start.startswith(magic)), None)
    with reader(path) if reader else path.open("rb") as content:
        bounded = _Bounded(path, content, packed=reader is not None)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:  # type: ignore[call-overload]
            yield archive


def tar_members(path: Path, archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Name and entry of each member.

    Raises:
        NetworkError: there are too many to be remembered.
    """
    for number, member in enumerate(archive):
        if number >= _MOST_MEMBERS:
            raise NetworkError(f"{path}: found more than {_MOST_MEMBERS:,} members; expected the files of the sources")
        yield member.name, member


def most_unpacked(packed: int) -> int:
    """The bytes that so many packed ones may become; real data stay far below."""
    return max(_SMALL, MOST_RATIO * packed)


def refuse_bomb(path: Path, name: str, size: int) -> None:
    """Pass a member that unpacks to `size` bytes.

    Raises:
        NetworkError: no data pack so well.
    """
    packed = path.stat().st_size
    if size > most_unpacked(packed):
        raise NetworkError(f"{path}, member {name!r}: found {size:,} bytes packed into {packed:,}; no such data")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever the libraries raise about a damaged archive or an unreadable file, as one line."""
    try:
        yield
    except OSError as problem:
        raise NetworkError(f"{path}: {problem.strerror or problem}") from None
    except _DAMAGED as problem:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise NetworkError(f"{path}: found a damaged archive ({reason}); expected a whole one") from None


class _Bounded:
    """What tarfile reads from: never much at once, and never far beyond what the archive's size explains."""

    def __init__(self, path: Path, content: _Content, packed: bool) -> None:
        self._path = path
        self._content = content
        self._end = most_unpacked(path.stat().st_size) if packed else None

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= _LARGEST_READ:
            raise NetworkError(f"{self._path}: found a header of {count:,} bytes; expected an archive of files")
        self._check(self._content.tell() + count)
        return self._content.read(count)

    def seek(self, place: int) -> int:
        self._check(place)
        return self._content.seek(place)

    def tell(self) -> int:
        return self._content.tell()

    def _check(self, place: int) -> None:
        if self._end is not None and place > self._end + _LARGEST_READ:
            size = self._path.stat().st_size
            raise NetworkError(f"{self._path}: found over {self._end:,} bytes packed into {size:,}; no such data")
