"""Is a file that has arrived whole? For files whose checksum nobody knows yet.

A wrong Content-Length, or a stream that its server ended early, leaves a file that looks finished. What a file is says
where it must end: gzip carries a checksum, HDF5 its own length, a table as many cells in its last line as in its first.
Of other files nothing is asked; what they should be is the business of whoever reads them.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from seqexpr.sources.archives import MOST_RATIO, most_unpacked
from seqexpr.sources.http_status import TryAgain, ends_in_error, is_error_text, is_web_page, web_page

_GZIP = b"\x1f\x8b"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ATTEMPTS = 3  # the whole file comes anew each time, so not as often as a connection that broke
_BLOCK = 1 << 20
_EDGE = 4096  # bytes at start and end that tell a kind, or a message
_LONGEST_LINE = 1 << 20  # of a table that is checked

Tick = Callable[[], None]
"""Called between blocks; may raise to stop."""


def check_whole(url: str, path: Path, tick: Tick = lambda: None) -> None:
    """Check that `path`, which came from `url`, is not cut short, and is no message instead of data.

    Raises:
        TryAgain: it is cut short or damaged, or it is a message that passes with time.
        NetworkError: a web page.
    """
    with path.open("rb") as file:
        start = file.read(_EDGE)
        file.seek(max(0, file.seek(0, os.SEEK_END) - _EDGE))
        end = file.read()
    if start.startswith(_GZIP):
        start = end = b""
        for block in _content(path):
            start = start or block
            end = (end + block)[-_EDGE:]
            tick()
    elif start.startswith(_HDF5):
        _check_hdf5(path)
    elif b"\t" in start.split(b"\n", 1)[0] and b"\0" not in start:
        _check_table(path)
    if is_web_page(start):
        raise web_page(url)
    if is_error_text(start):
        raise _broken("the server sent an error message instead of data")
    if ends_in_error(end):
        raise _broken("the data end in an error message of the server")


def unpack_gzip(origin: Path, target: Path, tick: Callable[[int], None] = lambda written: None) -> None:
    """Write the content of a gzip file.

    Args:
        origin: the gzip file; several members one after the other are one file.
        target: where the content goes.
        tick: called with the bytes written so far; may raise to stop.

    Raises:
        TryAgain: no gzip, cut short, damaged, or it unpacks to more than real data could.
    """
    done = 0
    with target.open("wb") as file:
        for block in _content(origin):
            file.write(block)
            done += len(block)
            tick(done)


def _content(path: Path) -> Iterator[bytes]:
    """The content of a gzip file, block by block, checked to its last byte."""
    packed, unpacked = path.stat().st_size, 0
    try:
        with gzip.open(path) as file:
            while block := file.read(_BLOCK):
                unpacked += len(block)
                if unpacked > most_unpacked(packed):
                    raise _broken(f"gzip that unpacks to more than {MOST_RATIO:,} times its size")
                yield block
    except EOFError:
        raise _broken(f"gzip cut short after {packed:,} bytes") from None
    except (gzip.BadGzipFile, zlib.error) as problem:
        raise _broken(f"damaged gzip ({problem})") from None


def _check_hdf5(path: Path) -> None:
    try:
        import h5py
    except ImportError:  # then nobody reads the file here either
        return
    try:
        with h5py.File(path, "r", locking=False):
            pass
    except OSError as problem:
        raise _broken(f"HDF5 cut short or damaged ({str(problem).splitlines()[0]})") from None


def _check_table(path: Path) -> None:
    with path.open("rb") as file:
        cells = file.readline().count(b"\t") + 1
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _LONGEST_LINE))
        tail = file.read().rstrip(b"\r\n")
    last = tail.rpartition(b"\n")[2]
    found = last.count(b"\t") + 1
    if len(last) < _LONGEST_LINE and found != cells:
        raise _broken(f"a table cut short ({found:,} cells in its last line, {cells:,} in its first)")


def _broken(what: str) -> TryAgain:
    return TryAgain(what, attempts=_ATTEMPTS)
