"""A genome in FASTA, read at random: windows around TSSs, and letters of intervals.

Plain and bgzip FASTA are read in place. A plain gzip file cannot be read at random; it is decompressed once,
into the cache folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from seqexpr.errors import InputError
from seqexpr.sequences.alphabet import COMPLEMENT_TOKENS, DNA
from seqexpr.sequences.faidx import Contig
from seqexpr.sequences.genome_files import decompress_once, load_index
from seqexpr.sequences.random_access import BgzfReader, PlainReader, RandomReader, is_bgzf
from seqexpr.sequences.streams import GZIP_MAGIC, open_input
from seqexpr.sequences.windows import Interval, Tss, place_window

_LINE_ENDS = b"\r\n"
_PLUS_TOKENS = DNA.table
_MINUS_TOKENS = DNA.table.translate(COMPLEMENT_TOKENS)
_COMPLEMENT_LETTERS = bytes.maketrans(b"ACGTURYSWKMBDHVN", b"TGCAAYRSWMKVHDBN")
_MITOCHONDRION = ("chrM", "chrMT", "M", "MT")
_FOREIGN = 255


class Genome:
    """A genome FASTA and its index. Pickled or forked, it opens the file anew in each process.

    Not for several threads at once.

    Args:
        path: FASTA, plain, bgzip or gzip (told by content). Its `.fai` index is used when it is beside the
            file and not older; else one is built, beside the file or, where that fails, in the cache.

    Raises:
        InputError: absent, not FASTA, damaged, or not indexable.
    """

    def __init__(self, path: str | Path) -> None:
        if str(path) == "-":
            raise InputError(path, found="a stream", expected="a genome in a file, which is read at random")
        self.path = Path(path)
        """The file as the user named it."""
        self.aliases: dict[str, str] = {}
        """Contig names that were asked for and found under another name: asked -> found."""
        with open_input(path) as handle:
            head = handle.read(32)
        self._bgzip = is_bgzf(head)
        unpack = head.startswith(GZIP_MAGIC) and not self._bgzip
        self._file = decompress_once(self.path) if unpack else self.path
        self._contigs = load_index(self._file, shown=self.path, bgzip=self._bgzip)
        self._names: dict[str, str] = {}
        self._reader: RandomReader | None = None
        self._reader_process = 0

    @property
    def contigs(self) -> dict[str, int]:
        """Length of each contig, in the file's order."""
        return {contig.name: contig.length for contig in self._contigs.values()}

    def contig(self, name: str, *, record: str | None = None) -> str:
        """The file's own name of a contig.

        Tries the name itself, with and without "chr", and the names of the mitochondrion; a name found in one
        of these other ways is noted in `aliases`.

        Args:
            name: the contig asked for.
            record: what asks for it, for the error.

        Raises:
            InputError: there is no such contig.
        """
        found = self._names.get(name)
        if found is None:
            found = next((alias for alias in _aliases(name) if alias in self._contigs), None)
            if found is None:
                some = ", ".join(list(self._contigs)[:5])
                more = f", ... ({len(self._contigs):,} in all)" if len(self._contigs) > 5 else ""
                raise InputError(
                    self.path, record=record, found=f"no contig {name!r}", expected=f"one of {some}{more}"
                )
            self._names[name] = found
            if found != name:
                self.aliases[name] = found
        return found

    def window(self, tss: Tss, upstream: int, downstream: int) -> np.ndarray:
        """The DNA around a TSS.

        Returns:
            Tokens, uint8 (upstream + downstream,), strand-oriented, boundary at offset `upstream`; PAD where
            the window sticks out of the contig.

        Raises:
            InputError: unknown contig, a TSS outside its contig, or letters that are not DNA.
        """
        contig = self._contig_of(tss)
        window = tss.window(upstream, downstream)
        inside = window.clip(contig.length)
        tokens = self._tokens(contig, inside)
        if len(tokens) == len(window):
            return tokens
        return place_window(tokens, tss.offset_in(inside), upstream, downstream)[0]

    def padded(self, tss: Tss, upstream: int, downstream: int) -> int:
        """How many bases of that window are PAD because they lie outside the contig."""
        return tss.window(upstream, downstream).overhang(self._contig_of(tss).length)

    def letters(self, interval: Interval) -> bytes:
        """Upper-case letters of an interval, reverse complemented on the - strand.

        Raises:
            InputError: unknown contig, or the interval is not wholly inside it.
        """
        contig = self._contigs[self.contig(interval.chrom, record=str(interval))]
        if interval.start < 0 or interval.end > contig.length:
            raise InputError(
                self.path,
                record=str(interval),
                found="an interval outside its contig",
                expected=f"0 to {contig.length:,}",
            )
        letters = self._bytes(contig, interval).translate(None, _LINE_ENDS).upper()
        return letters if interval.strand == "+" else letters.translate(_COMPLEMENT_LETTERS)[::-1]

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> Genome:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def _contig_of(self, tss: Tss) -> Contig:
        record = f"TSS of {tss.id!r}"
        contig = self._contigs[self.contig(tss.chrom, record=record)]
        if not 0 <= tss.first_base < contig.length:
            raise InputError(
                self.path,
                record=record,
                found=f"position {tss.first_base + 1:,} of contig {contig.name}",
                expected=f"1 to {contig.length:,}, the contig's length (is it the same assembly?)",
            )
        return contig

    def _tokens(self, contig: Contig, interval: Interval) -> np.ndarray:
        plus = interval.strand == "+"
        text = self._bytes(contig, interval)
        if not plus:
            text = text[::-1]
        # One pass drops the line ends, makes tokens and, on the - strand, complements them.
        tokens = np.frombuffer(
            bytearray(text.translate(_PLUS_TOKENS if plus else _MINUS_TOKENS, _LINE_ENDS)), dtype=np.uint8
        )
        if tokens.size and tokens.max() == _FOREIGN:
            letters = self._bytes(contig, interval).translate(None, _LINE_ENDS)
            where = f"contig {contig.name!r} from base {interval.start + 1:,}"
            DNA.encode(letters, file=self.path, record=where)  # raises, and says which letter
        return tokens

    def _bytes(self, contig: Contig, interval: Interval) -> bytes:
        """The file's bytes of an interval, line ends included."""
        if not len(interval):
            return b""
        begin, end = contig.byte_at(interval.start), contig.byte_at(interval.end - 1) + 1
        if self._reader is None or self._reader_process != os.getpid():
            # A handle that came through a fork shares its position with the parent's: never use it.
            self._reader = (BgzfReader if self._bgzip else PlainReader)(self._file)
            self._reader_process = os.getpid()
        text = self._reader.read_at(begin, end - begin)
        if len(text) < end - begin:
            raise InputError(
                self.path,
                record=str(interval),
                found="the end of the file",
                expected="the letters that its .fai index promises",
            )
        return text


def _aliases(name: str) -> list[str]:
    bare = name.removeprefix("chr")
    mitochondrial = _MITOCHONDRION if name in _MITOCHONDRION else ()
    return [name, f"chr{name}" if bare == name else bare, *mitochondrial]
