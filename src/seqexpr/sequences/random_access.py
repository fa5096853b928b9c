"""Bytes anywhere in a file: plain, or bgzip (BGZF, the SAM specification's section 4.1)."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from seqexpr.errors import InputError
from seqexpr.sequences.streams import open_input

_BGZF_START = b"\x1f\x8b\x08\x04"  # gzip with an extra field
_BGZF_HEADER = 18  # bytes of a block's header when its extra field holds the block size alone
_BGZF_TRAILER = 8  # checksum and size of the block's text
_KEPT_BLOCKS = 64  # of 64 KiB at most: 4 MiB


class RandomReader(Protocol):
    """Reads the decompressed text of a file at any offset. One process, one thread."""

    def read_at(self, offset: int, size: int) -> bytes:
        """The `size` bytes from `offset`; fewer where the text ends.

        Raises:
            InputError: the file is damaged.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def is_bgzf(head: bytes) -> bool:
    """Whether a file that starts with these bytes (18 or more) is bgzip; a plain gzip file is not."""
    return head.startswith(_BGZF_START) and head[10:16] == b"\x06\0BC\x02\0"


class PlainReader:
    """Reads an uncompressed file."""

    def __init__(self, path: Path) -> None:
        self._handle = open_input(path)

    def read_at(self, offset: int, size: int) -> bytes:  # noqa: D102 - as RandomReader
        self._handle.seek(offset)
        return self._handle.read(size)

    def close(self) -> None:  # noqa: D102
        self._handle.close()


class BgzfReader:
    """Reads a bgzip file through a table of its blocks, which the first read makes from their headers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = open_input(path)
        self._blocks: tuple[list[int], list[int]] | None = None  # offsets: of text, in the file
        self._texts: OrderedDict[int, bytes] = OrderedDict()  # the blocks used last, by number

    def read_at(self, offset: int, size: int) -> bytes:  # noqa: D102 - as RandomReader
        if self._blocks is None:
            self._blocks = self._find_blocks()
        text_offsets = self._blocks[0]
        number = bisect_right(text_offsets, offset) - 1
        parts: list[bytes] = []
        while size > 0 and number < len(text_offsets) - 1:
            begin = offset - text_offsets[number]
            part = self._text(number)[begin : begin + size]
            parts.append(part)
            offset, size, number = offset + len(part), size - len(part), number + 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:  # noqa: D102
        self._handle.close()

    def _find_blocks(self) -> tuple[list[int], list[int]]:
        """Offsets of the blocks that hold text, and of the end, in the text and in the file."""
        text_offsets, file_offsets = [0], [0]
        at = 0
        size = -1
        while True:
            self._handle.seek(at)
            head = self._handle.read(_BGZF_HEADER)
            if not head:
                break
            if len(head) < _BGZF_HEADER or not is_bgzf(head):
                raise self._damaged()
            at += int.from_bytes(head[16:18], "little") + 1
            self._handle.seek(at - 4)
            tail = self._handle.read(4)
            if len(tail) < 4:
                raise self._damaged()
            size = int.from_bytes(tail, "little")
            if size:
                text_offsets.append(text_offsets[-1] + size)
                file_offsets.append(at)
            else:
                file_offsets[-1] = at  # an empty block in the middle, or the end marker
        if size:
            raise self._damaged()  # the empty block that marks the end is missing
        return text_offsets, file_offsets

    def _text(self, number: int) -> bytes:
        text = self._texts.get(number)
        if text is not None:
            self._texts.move_to_end(number)
            return text
        assert self._blocks is not None
        begin, end = self._blocks[1][number : number + 2]
        self._handle.seek(begin)
        block = self._handle.read(end - begin)
        try:
            inflater = zlib.decompressobj(wbits=31)  # a gzip member: header and checksum are verified
            text = inflater.decompress(block)
        except zlib.error:
            raise self._damaged() from None
        self._texts[number] = text
        if len(self._texts) > _KEPT_BLOCKS:
            self._texts.popitem(last=False)
        return text

    def _damaged(self) -> InputError:
        return InputError(
            self._path, found="a bgzip file that is damaged or cut short", expected="an intact one"
        )
