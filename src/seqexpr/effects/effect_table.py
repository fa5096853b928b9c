"""Effects as a table: a row for each substitution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from seqexpr.effects.gene_effects import GeneEffects
from seqexpr.effects.letters import BASES, RESIDUES, Letters
from seqexpr.errors import printable
from seqexpr.prediction.writers import binary_output, gzipped, named_errors

if TYPE_CHECKING:
    from seqexpr.prediction.shard_files import ShardFile

COLUMNS = {
    BASES.input: ("id", "symbol", "chrom", "pos", "strand", "tss_distance", "ref", "alt", "delta"),
    RESIDUES.input: ("id", "symbol", "residue", "ref", "alt", "delta"),
}
"""Of the table, by what is explained."""

_COMPLEMENTS = dict(zip(BASES.letters, reversed(BASES.letters), strict=True))

Row = tuple[Any, ...]
"""A row of the table, in the order of `COLUMNS`."""


def rows(effects: GeneEffects) -> Iterator[Row]:
    """The table of one gene: a row for each substitution, place by place, letters in alphabetical order.

    With genomic coordinates `pos` is 1-based and letters are those of the + strand, as in VCF. Without, letters are
    those of the window, and `chrom`, `pos` and `strand` are empty. Residues of a protein are counted from 1.
    """
    letters, interval = effects.letters, effects.interval
    chrom, strand = ("", "") if interval is None else (interval.chrom, interval.strand)
    spelled = dict(zip(letters.letters, letters.letters, strict=True)) if strand != "-" else _COMPLEMENTS
    positions: list[int | None] = [None] * len(effects.tokens)
    if interval is not None:
        positions = [int(place) + 1 for place in effects.genomic]
    by_letter = sorted(range(len(letters.letters)), key=lambda row: spelled[letters.letters[row]])
    deltas = effects.deltas.T.tolist()
    known = letters.known(effects.tokens).tolist()
    for offset, token in enumerate(effects.tokens.tolist()):
        if not known[offset]:
            continue
        there, place = letters.alphabet.letters[token - 1], effects.first + offset
        at: Row = (place,) if letters is RESIDUES else (chrom, positions[offset], strand, place)
        ref = spelled.get(there, there)
        for row in by_letter:
            if row != token - 1:
                alt = spelled[letters.letters[row]]
                yield (effects.id, effects.symbol, *at, ref, alt, deltas[offset][row])


class Table:
    """The table as TSV.

    Args:
        out: a file's name, whole when the block ends; None or "-": standard output, row by row.
        letters: what is explained.
        shard: the shard that the file is, if it is one.
    """

    def __init__(self, out: str | None, letters: Letters, shard: ShardFile | None = None) -> None:
        self._shard = shard
        self._out, self._stack, self._started = out, ExitStack(), False
        self._columns = "\t".join(COLUMNS[letters.input])

    def __enter__(self) -> Table:
        with named_errors(self._named):
            opened = binary_output(self._out) if self._shard is None else self._shard.opened(gzipped)
            self._stream: Any = self._stack.enter_context(opened)
        self._on_terminal = self._stream.isatty()
        return self

    def write(self, effects: GeneEffects) -> None:
        """Add the rows of a gene."""
        self._start()
        lines = []
        for *cells, delta in rows(effects):
            texts = ["" if cell is None else str(cell) for cell in cells]
            texts = list(map(printable, texts)) if self._on_terminal else texts
            lines.append("\t".join([*texts, f"{delta + 0.0:.6g}"]))
        self._put("\n".join([*lines, ""]))

    def end_block(self) -> None:
        """End a block of a shard."""
        self._start()
        self._stream.end_segment()

    def _start(self) -> None:
        """The names of the columns, held back to the first gene: input that is bad from the start leaves no output."""
        if not self._started:
            self._put(f"{self._columns}\n")
            self._started = True
            if self._shard is not None:
                self._stream.end_segment()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._start()
        with named_errors(self._named):
            self._stack.__exit__(kind, error, traceback)

    @property
    def _named(self) -> str:
        return self._out or "standard output"

    def _put(self, text: str) -> None:
        with named_errors(self._named):
            self._stream.write(text.encode("utf-8", "surrogateescape"))
            if self._out is None:
                self._stream.flush()
