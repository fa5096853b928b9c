"""How many records a FASTA file will give, counted or estimated from its beginning, for displays of progress."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seqexpr.sequences.streams import BYTE_ORDER_MARK, GZIP_MAGIC

# Bytes that are looked at: of a plain file, of a compressed one, and of its text. It takes a tenth of a second.
_PLAIN_HEAD = 16 << 20
_PACKED_HEAD = 4 << 20
_TEXT = 32 << 20
_BLOCK = 1 << 18

_GZIP_FORMAT = 31  # zlib's window bits for a gzip member with its header and checksum (RFC 1952)


class Expected(NamedTuple):
    """A number of records."""

    records: int
    exact: bool
    """Whether the whole file was counted; else the rest is taken to be like its beginning."""


def expected_records(path: str | Path) -> Expected | None:
    """The number of records of a FASTA file; None for standard input, pipes, and what is no readable FASTA.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.fa"
    >>> _ = path.write_text(">a\\nACGT\\n>b\\nACGT\\n")
    >>> expected_records(path)
    Expected(records=2, exact=True)
    """
    try:
        if str(path) == "-" or not Path(path).is_file():
            return None
        with Path(path).open("rb") as file:
            packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            records, used = _count_packed(file.read(_PACKED_HEAD)) if packed else _count_plain(file)
        size = Path(path).stat().st_size
    except (OSError, zlib.error):  # the reader of the file says what is wrong
        return None
    if not records:
        return None
    return Expected(records, True) if used >= size else Expected(round(records * size / used), False)


def _count(text: bytes) -> int:
    return text.count(b"\n>")


def _count_plain(file: BinaryIO) -> tuple[int, int]:
    """Records in the beginning of a file, and the bytes of it that were read, a block at a time."""
    records, used, before = 0, 0, b"\n"
    while used < _PLAIN_HEAD and (block := file.read(_BLOCK)):
        text = block if used else block.removeprefix(BYTE_ORDER_MARK)
        records += _count(before + text)
        used, before = used + len(block), block[-1:]
    return records, used


def _count_packed(head: bytes) -> tuple[int, int]:
    """Records in the beginning of a gzip file, and the bytes of it that hold them."""
    inflater = zlib.decompressobj(_GZIP_FORMAT)
    data, before, records, letters = head, b"\n", 0, 0
    while data and letters < _TEXT:
        text = inflater.decompress(data, 1 << 20)
        if text:
            records += _count(before + text)
            letters, before = letters + len(text), text[-1:]
        if inflater.eof:
            data = inflater.unused_data.lstrip(b"\0")
            inflater = zlib.decompressobj(_GZIP_FORMAT)
        else:
            data = inflater.unconsumed_tail
    return records, len(head) - len(data)
