"""A genome in FASTA, read at random: windows around TSSs, and letters of intervals.

pyfaidx makes and reads the index. Plain FASTA is read in place; a compressed one is decompressed once, into the
cache folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from seqexpr.errors import InputError
from seqexpr.sequences.alphabet import COMPLEMENT_TOKENS, DNA, PAD, reverse_complement_letters
from seqexpr.sequences.contigs import ContigNames
from seqexpr.sequences.genome_files import ensure_index, open_indexed, plain_fasta
from seqexpr.sequences.streams import open_input
from seqexpr.sequences.windows import Interval, Tss, place_window

_PLUS_TOKENS = DNA.table
_MINUS_TOKENS = DNA.table.translate(COMPLEMENT_TOKENS)
_LINE_ENDS = b"\r\n"
_FOREIGN = b"\xff"


class Genome:
    """A genome FASTA and its index. Pickled or forked, it opens the file anew in each process.

    Not for several threads at once.

    Args:
        path: FASTA, plain, bgzip or gzip (told by content). Its `.fai` index is used when it is beside the
            file and not older; else one is built, beside the file or, where that fails, in the cache.
        aliases: further names of contigs, of `contigs.read_contig_aliases`.

    Raises:
        InputError: absent, not FASTA, damaged, or not indexable.
        OSError: the cache's disk is full.
    """

    circular: frozenset[str] = frozenset()
    """Contigs over whose ends windows go on: none, for FASTA does not say which are circular."""

    def __init__(self, path: str | Path, aliases: Iterable[tuple[str, ...]] = ()) -> None:
        if str(path) == "-":
            raise InputError(path, found="a stream", expected="a genome in a file, which is read at random")
        self.path = Path(path)
        """The file as the user named it."""
        self.aliases: dict[str, str] = {}
        """Contig names that were asked for and found under another name: asked -> found."""
        self._file = plain_fasta(self.path)
        self._names: dict[str, str] = {}
        self._handle: BinaryIO | None = None
        self._handle_process = 0
        with open_indexed(self._file, ensure_index(self._file, shown=self.path)) as reader:
            self._lengths = {name: int(contig.rlen) for name, contig in reader.index.items()}
            # Of each contig: the place of its first base in the file, bases a line, bytes a line.
            self._layouts = {name: (contig.offset, contig.lenc, contig.lenb) for name, contig in reader.index.items()}
        self._known = ContigNames(self._lengths, aliases)

    @property
    def contigs(self) -> dict[str, int]:
        """Length of each contig, in the file's order."""
        return dict(self._lengths)

    def find(self, name: str) -> str | None:
        """The file's own name of a contig, or None; a name found under another one is noted in `aliases`."""
        found = self._names.get(name)
        if found is None:
            found = self._known.find(name)
            if found is not None:
                self._names[name] = found
                if found != name:
                    self.aliases[name] = found
        return found

    def contig(self, name: str, *, record: str | None = None) -> str:
        """The file's own name of a contig, or of one that other databases call so.

        Args:
            name: the contig asked for.
            record: what asks for it, for the error.

        Raises:
            InputError: there is no such contig.
        """
        found = self.find(name)
        if found is None:
            some = ", ".join(list(self._lengths)[:5])
            more = f", ... ({len(self._lengths):,} in all)" if len(self._lengths) > 5 else ""
            raise InputError(self.path, record=record, found=f"no contig {name!r}", expected=f"one of {some}{more}")
        return found

    def check_inside(self, tss: Tss) -> None:
        """Check that a TSS lies on its contig.

        Raises:
            InputError: no such contig, or a position outside it.
        """
        self._contig_of(tss)

    def window(self, tss: Tss, upstream: int, downstream: int) -> np.ndarray:
        """The DNA around a TSS: the first of what `placed_window` gives."""
        return self.placed_window(tss, upstream, downstream)[0]

    def placed_window(self, tss: Tss, upstream: int, downstream: int) -> tuple[np.ndarray, int]:
        """The DNA around a TSS.

        Returns:
            Tokens, uint8 (upstream + downstream,), strand-oriented, boundary at offset `upstream`; PAD where
            the window sticks out of the contig. And how many of its bases are PAD for that reason.

        Raises:
            InputError: unknown contig, a TSS outside its contig, or letters that are not DNA.
        """
        contig, length = self._contig_of(tss)
        window = tss.window(upstream, downstream)
        inside = window.clip(length)
        tokens = self._tokens(contig, inside)
        if len(tokens) == len(window):
            return tokens, 0
        return place_window(tokens, tss.offset_in(inside), upstream, downstream)

    def padded(self, tss: Tss, upstream: int, downstream: int) -> int:
        """How many bases of that window are PAD because they lie outside the contig."""
        return tss.window(upstream, downstream).overhang(self._contig_of(tss)[1])

    def letters(self, interval: Interval) -> bytes:
        """Upper-case letters of an interval, reverse complemented on the - strand.

        Raises:
            InputError: unknown contig, or the interval is not wholly inside it.
        """
        contig = self.contig(interval.chrom, record=str(interval))
        if interval.start < 0 or interval.end > self._lengths[contig]:
            raise InputError(
                self.path,
                record=str(interval),
                found="an interval outside its contig",
                expected=f"0 to {self._lengths[contig]:,}",
            )
        letters = self._text(contig, interval).translate(None, _LINE_ENDS).upper()
        self._check_text(letters, interval)
        return letters if interval.strand == "+" else reverse_complement_letters(letters)

    def tokens(self, interval: Interval) -> np.ndarray:
        """Tokens of an interval, uint8 (bases,), reverse complemented on the - strand; PAD where it is off its contig.

        Raises:
            InputError: unknown contig, or letters that are not DNA.
        """
        contig = self.contig(interval.chrom, record=str(interval))
        inside = interval.clip(self._lengths[contig])
        tokens = self._tokens(contig, inside)
        if len(tokens) == len(interval):
            return tokens
        before = inside.start - interval.start if interval.strand == "+" else interval.end - inside.end
        padded = np.full(len(interval), PAD, dtype=np.uint8)
        padded[before : before + len(tokens)] = tokens
        return padded

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def __enter__(self) -> Genome:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def _contig_of(self, tss: Tss) -> tuple[str, int]:
        """Name and length of the contig that a TSS lies on."""
        record = f"TSS of {tss.id!r}"
        contig = self.contig(tss.chrom, record=record)
        length = self._lengths[contig]
        if not 0 <= tss.first_base < length:
            raise InputError(
                self.path,
                record=record,
                found=f"position {tss.first_base + 1:,} of contig {contig}",
                expected=f"1 to {length:,}, the contig's length (is it the same assembly?)",
            )
        return contig, length

    def _tokens(self, contig: str, interval: Interval) -> np.ndarray:
        text = self._text(contig, interval)
        plus = interval.strand == "+"
        # One pass takes out line ends, makes tokens and, on the - strand, complements them.
        tokens = text.translate(_PLUS_TOKENS if plus else _MINUS_TOKENS, _LINE_ENDS)
        self._check_length(tokens, interval)
        if _FOREIGN in tokens:
            letters = text.translate(None, _LINE_ENDS)
            self._check_text(letters, interval)
            where = f"contig {contig!r} from base {interval.start + 1:,}"
            DNA.encode(letters, file=self.path, record=where)  # raises, and says which letter
        return np.frombuffer(tokens, dtype=np.uint8)[:: 1 if plus else -1].copy()

    def _text(self, contig: str, interval: Interval) -> bytes:
        """The file's bytes of an interval inside its contig, on the + strand: letters, and line ends among them."""
        if not len(interval):
            return b""
        offset, letters_a_line, bytes_a_line = self._layouts[contig]
        first, last = (
            offset + base // letters_a_line * bytes_a_line + base % letters_a_line
            for base in (interval.start, interval.end - 1)
        )
        handle = self._open()
        handle.seek(first)
        return handle.read(last + 1 - first)

    def _check_text(self, letters: bytes, interval: Interval) -> None:
        if not letters.isascii():
            raise InputError(
                self.path, record=str(interval), found="bytes that are not text", expected="letters of DNA"
            )
        self._check_length(letters, interval)

    def _check_length(self, letters: bytes, interval: Interval) -> None:
        if len(letters) < len(interval):
            raise InputError(
                self.path,
                record=str(interval),
                found="the end of the file",
                expected="the letters that its .fai index promises",
            )

    def _open(self) -> BinaryIO:
        """This process's handle on the file."""
        if self._handle is None or self._handle_process != os.getpid():
            # A handle that came through a fork shares its position with the parent's: never use it.
            self._handle = open_input(self._file)
            self._handle_process = os.getpid()
        return self._handle
