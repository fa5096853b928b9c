"""Write BGZF, the blocked gzip that tabix and bcftools read (SAM specification, section 4.1)."""

from __future__ import annotations

import struct
import zlib
from types import TracebackType
from typing import IO

BLOCK = 65_280
"""Bytes of text in a block, at most; a block of text that does not compress stays below the 64 KiB of the format."""

END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block that ends a file; without it readers take the file as cut short."""

_HEADER = struct.Struct("<4BI2BH2B2H")
_TRAILER = struct.Struct("<2I")
_LEVEL = 6  # zlib's default, and bgzip's
_RAW_DEFLATE = -15  # zlib's window bits for a stream without a header: the block has one of its own


class BgzfWriter:
    """Compresses text into a binary stream, block by block; gzip reads the result too.

    The bytes depend on the text alone, not on the pieces in which it comes, the time of day or a file's name.

    `close`, or the end of a `with` block, writes what is held back and the end block, and leaves the stream open. When
    a `with` block raises, the end block is left out, so that nobody takes the file for a whole one.

    Args:
        stream: where the blocks go.
        end: whether the end block is written; it is not where more blocks follow.
    """

    def __init__(self, stream: IO[bytes], *, end: bool = True) -> None:
        self._stream, self._end = stream, end
        self._held = bytearray()
        self._closed = False

    def __enter__(self) -> BgzfWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def write(self, data: bytes) -> int:
        """Add text; whole blocks go to the stream at once. Returns the number of bytes taken, which is all of them."""
        if self._closed:
            raise ValueError("the BGZF file is closed")
        self._held += data
        whole = len(self._held) // BLOCK * BLOCK
        if whole:
            for start in range(0, whole, BLOCK):
                self._stream.write(_block(bytes(self._held[start : start + BLOCK])))
            del self._held[:whole]
        return len(data)

    def close(self) -> None:
        """Write the last block and the end of the file; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._held:
            self._stream.write(_block(bytes(self._held)))
        if self._end:
            self._stream.write(END)


def _block(text: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_DEFLATE)
    body = compressor.compress(text) + compressor.flush()
    size = _HEADER.size + len(body) + _TRAILER.size
    # gzip's magic, deflate, an extra field; no time; no hint, unknown system; 6 bytes: "BC", 2 bytes, the size less 1.
    header = _HEADER.pack(0x1F, 0x8B, 8, 4, 0, 0, 255, 6, ord("B"), ord("C"), 2, size - 1)
    return header + body + _TRAILER.pack(zlib.crc32(text), len(text))
