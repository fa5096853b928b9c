"""The `.fai` index of a FASTA file: where each contig's letters are (format: samtools-faidx(5)).

It is built here rather than by a library because one pass over blocks indexes plain and bgzip text alike, is
several times faster than a loop over lines, and reports faults as every other reader of this package does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqexpr.errors import InputError
from seqexpr.sequences.streams import read_blocks

_NEWLINE, _RETURN, _HEADER = b"\n\r>"


@dataclass(slots=True)
class Contig:
    """One line of a `.fai` index; offsets count bytes of the decompressed text."""

    name: str
    length: int
    """Bases."""
    offset: int
    """Of the first base in the file."""
    line_bases: int
    line_bytes: int
    """A line's bases, and its bytes with the line end."""

    def byte_at(self, position: int) -> int:
        """The file offset of the base at `position`."""
        line, column = divmod(position, self.line_bases)
        return self.offset + line * self.line_bytes + column


def parse_index(text: str) -> dict[str, Contig]:
    """The contigs of a `.fai` file, in its order.

    Raises:
        ValueError: it is not such a file.
    """
    contigs: dict[str, Contig] = {}
    for line in text.splitlines():
        name, *numbers = line.split("\t")
        contig = Contig(name, *(int(number) for number in numbers[:4]))
        if contig.length < 1 or not 0 < contig.line_bases <= contig.line_bytes or contig.offset < 2:
            raise ValueError(f"not an index line: {line!r}")
        contigs.setdefault(name, contig)  # samtools, too, goes by the first of several
    if not contigs:
        raise ValueError("an empty index")
    return contigs


def format_index(contigs: dict[str, Contig]) -> str:
    """The text of a `.fai` file."""
    return "".join(
        f"{contig.name}\t{contig.length}\t{contig.offset}\t{contig.line_bases}\t{contig.line_bytes}\n"
        for contig in contigs.values()
    )


def build_index(path: str | Path, *, shown: str | Path | None = None) -> dict[str, Contig]:
    """Index a FASTA file, plain or bgzip, in one pass.

    Args:
        path: the file.
        shown: the name that errors give it, when the user knows it under another.

    Raises:
        InputError: as `read_blocks`; empty, not FASTA, a contig without name or letters, a name twice, or
            lines of different lengths within a contig (then no base could be found by arithmetic).
    """
    builder = _IndexBuilder(path if shown is None else shown)
    for block in read_blocks(path):
        builder.add_block(block)
    return builder.finish()


class _IndexBuilder:
    """Follows the lines through blocks; an unfinished line is remembered by its start, not its text."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.contigs: dict[str, Contig] = {}
        self._contig: Contig | None = None
        self._ended = False  # a line shorter than the others was seen: it must be the contig's last
        self._position = 0  # file offset of the next block
        self._line_start = 0
        self._line_first = 0  # first byte of the unfinished line
        self._last_byte = 0
        self._header = b""  # text of the unfinished line when it is a header

    def add_block(self, block: bytes) -> None:
        data = np.frombuffer(block, dtype=np.uint8)
        if self._line_start == self._position:
            self._line_first = int(data[0])
        newlines = np.flatnonzero(data == _NEWLINE)
        if newlines.size:
            self._add_lines(block, data, newlines)
            if self._line_start < self._position + len(block):
                self._line_first = int(data[newlines[-1] + 1])
        if self._line_first == _HEADER:
            self._header += block[max(self._line_start - self._position, 0) :]
        self._position += len(block)
        self._last_byte = int(data[-1])

    def finish(self) -> dict[str, Contig]:
        if self._line_start < self._position:  # the last line has no newline
            if self._line_first == _HEADER:
                self._start_contig(self._header, self._position)
            else:
                size = np.array([self._position - self._line_start])
                returns = np.array([self._last_byte == _RETURN])
                self._add_bases(np.array([self._line_start]), size, size - returns)
        self._check_letters()
        if not self.contigs:
            raise InputError(self.path, found="an empty file", expected="a genome in FASTA")
        return self.contigs

    def _add_lines(self, block: bytes, data: np.ndarray, newlines: np.ndarray) -> None:
        """The lines that end in this block."""
        ends = newlines + self._position
        starts = np.concatenate(([self._line_start], ends[:-1] + 1))
        before = data[newlines - 1]
        first = data[np.maximum(starts - self._position, 0)]
        first[0] = self._line_first
        if newlines[0] == 0:
            before[0] = self._last_byte
        sizes = ends - starts + 1
        bases = np.maximum(sizes - 1 - (before == _RETURN), 0)
        at = 0
        for header in np.flatnonzero(first == _HEADER).tolist():
            self._add_bases(starts[at:header], sizes[at:header], bases[at:header])
            text = block[max(int(starts[header]) - self._position, 0) : int(newlines[header])]
            self._start_contig(self._header + text if header == 0 else text, int(ends[header]) + 1)
            at = header + 1
        self._add_bases(starts[at:], sizes[at:], bases[at:])
        self._header = b""
        self._line_start = int(ends[-1]) + 1

    def _start_contig(self, header: bytes, offset: int) -> None:
        self._check_letters()
        words = header[1:].split(None, 1)
        try:
            name = words[0].decode("utf-8") if words else ""
        except UnicodeDecodeError:
            name = ""
        if not name or not name.isprintable():
            shown = header[:40].decode("ascii", "backslashreplace")
            raise InputError(self.path, found=f"header {shown!r}", expected="'>' and the contig's name")
        if name in self.contigs:
            raise InputError(self.path, record=f"contig {name!r}", found="the name twice", expected="it once")
        self._contig = self.contigs[name] = Contig(name, 0, offset, 0, 0)
        self._ended = False

    def _add_bases(self, starts: np.ndarray, sizes: np.ndarray, bases: np.ndarray) -> None:
        """Lines of letters of the current contig: their file offsets, bytes with the line end, and bases."""
        filled = np.flatnonzero(bases)
        contig = self._contig
        if not filled.size:
            # Blank lines: nothing before a contig's first letters, but no letters may follow them after that.
            self._ended |= len(bases) > 0 and contig is not None and contig.length > 0
            return
        if contig is None:
            raise InputError(self.path, found="text before the first '>'", expected="a genome in FASTA")
        if not contig.length:
            contig.offset = int(starts[filled[0]])
            contig.line_bases, contig.line_bytes = int(bases[filled[0]]), int(sizes[filled[0]])
            starts, sizes, bases = starts[filled[0] :], sizes[filled[0] :], bases[filled[0] :]
            filled -= filled[0]
        whole = (bases == contig.line_bases) & (sizes == contig.line_bytes)
        odd = len(whole) if whole.all() else int(np.argmin(whole))
        last = int(filled[-1])
        if self._ended or odd < last or bases[last] > contig.line_bases:
            raise InputError(
                self.path,
                record=f"contig {contig.name!r}",
                found="lines of different lengths",
                expected="lines of one length, as random access needs (samtools faidx, seqkit seq -w 60)",
            )
        self._ended = odd < len(whole)
        contig.length += int(bases.sum())

    def _check_letters(self) -> None:
        if self._contig is not None and not self._contig.length:
            raise InputError(
                self.path,
                record=f"contig {self._contig.name!r}",
                found="no sequence",
                expected="lines of letters after the header",
            )
