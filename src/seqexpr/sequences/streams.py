"""Bytes of a file or of standard input, decompressed, in blocks; every fault is one clear line."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from seqexpr.errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLOCK = 1 << 20  # bytes; larger blocks leave the processor's cache and gain nothing
_BLOCK_FIELD = (
    b"BC"  # of the extra field of every block of bgzip; an empty block ends the file (SAM specification, 4.1)
)
_GZIP_FORMAT = 31  # zlib's window bits for a gzip member with its header and checksum (RFC 1952)


def read_blocks(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The content of a file in blocks of about 1 MiB, never empty ones.

    gzip and bgzip are told by their first bytes, not by the file's name. "-" is standard input, whose bytes
    come as soon as they are there.

    Raises:
        InputError: the file is absent, a folder or unreadable, or its gzip is cut short or damaged.
    """
    if str(path) == "-":
        yield from _decompressed(path, sys.stdin.buffer)
        return
    with open_input(path) as handle:
        yield from _decompressed(path, handle)


def open_input(path: str | os.PathLike[str]) -> BinaryIO:
    """An unbuffered binary handle on a file.

    Raises:
        InputError: the file is absent, a folder, or may not be read.
    """
    try:
        return Path(path).open("rb", buffering=0)
    except FileNotFoundError:
        found = "no such file"
    except IsADirectoryError:
        found = "a folder"
    except OSError as error:
        # Windows reports a folder as a permission error.
        found = "a folder" if Path(path).is_dir() else f"a file that cannot be read ({error.strerror})"
    raise InputError(path, found=found, expected="a readable file")


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, bytes]]:
    """The lines of a text file without their line ends (LF or CRLF), numbered from 1; blank ones included.

    A byte order mark before the first line is dropped.

    Raises:
        InputError: as `read_blocks`, or the file holds NUL bytes.
    """
    number = 0
    begun: list[bytes] = []  # the pieces of a line that goes on in the next block
    for block in _without_mark(read_blocks(path)):
        if b"\0" in block:
            at = number + 1 + block.count(b"\n", 0, block.index(b"\0"))
            raise InputError(path, record=f"line {at:,}", found="a NUL byte", expected="text")
        lines = block.split(b"\n")
        begun.append(lines[0])
        if len(lines) == 1:
            continue
        lines[0] = b"".join(begun)
        begun = [lines.pop()]
        for line in lines:
            number += 1
            yield number, line.removesuffix(b"\r")
    if rest := b"".join(begun):
        yield number + 1, rest.removesuffix(b"\r")


def _without_mark(blocks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for block in blocks:
        head += block  # a pipe may hand over the mark in pieces
        if not BYTE_ORDER_MARK.startswith(head):
            break
    yield head.removeprefix(BYTE_ORDER_MARK)
    yield from blocks


def _decompressed(path: str | os.PathLike[str], handle: BinaryIO) -> Iterator[bytes]:
    blocks = _raw_blocks(path, handle)
    head = b""
    while len(head) < len(GZIP_MAGIC) and (block := next(blocks, b"")):
        head += block  # a pipe may hand over a single byte first
    if head.startswith(GZIP_MAGIC):
        yield from _inflated(path, head, blocks)
    elif head:
        yield head
        yield from blocks


def _raw_blocks(path: str | os.PathLike[str], handle: BinaryIO) -> Iterator[bytes]:
    # read1 hands over what a pipe holds now; a raw file has only read, which does the same.
    read = getattr(handle, "read1", handle.read)
    while True:
        try:
            block = read(_BLOCK)
        except OSError as error:
            raise InputError(path, found=f"a read error ({error.strerror})", expected="a readable file") from error
        if not block:
            return
        yield block


def _inflated(path: str | os.PathLike[str], data: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The members of a gzip file, one after the other (a bgzip file has one per 64 KiB of text).

    The output of each step is bounded, so a small file of zeros does not become a huge block.
    """
    blocked = data[3:4] == b"\x04" and data[12:14] == _BLOCK_FIELD
    held = False  # whether the member at hand holds text
    inflater = zlib.decompressobj(_GZIP_FORMAT)
    while True:
        try:
            text = inflater.decompress(data, _BLOCK)
        except zlib.error as error:
            found = f"a damaged gzip file ({str(error).split(': ')[-1]})"
            raise InputError(path, found=found, expected="an intact gzip file") from None
        if text:
            held = True
            yield text
        if inflater.eof:
            data = inflater.unused_data.lstrip(b"\0")  # the padding that tape and block devices leave behind
            while not data and (block := next(blocks, b"")):
                data = block.lstrip(b"\0")
            if not data:
                if blocked and held:
                    raise InputError(
                        path,
                        found="a bgzip file without its end-of-file marker, so it was cut short (EOF marker is absent)",
                        expected="an intact bgzip file",
                    )
                return
            held = False
            inflater = zlib.decompressobj(_GZIP_FORMAT)
        else:
            data = inflater.unconsumed_tail or next(blocks, b"")
            if not data and not text:
                raise InputError(path, found="a gzip file that is cut short", expected="an intact gzip file")
