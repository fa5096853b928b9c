"""What each base supports, as tracks for genome browsers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from seqexpr.effects.gene_effects import GeneEffects, Region
from seqexpr.effects.tracks import import_pybigtools
from seqexpr.errors import UsageError
from seqexpr.files import atomic_path
from seqexpr.prediction.writers import binary_output, gzipped, named_errors
from seqexpr.sequences.windows import Interval

if TYPE_CHECKING:
    from seqexpr.prediction.inputs import InputCounts
    from seqexpr.prediction.shard_files import ShardFile


class BedGraph:
    """A track for each gene, for windows of neighbours overlap. Letters that are not known have no line."""

    def __init__(self, out: str, output: str, shard: ShardFile | None = None) -> None:
        self._out, self._output, self._shard, self._stack = out, output, shard, ExitStack()

    def __enter__(self) -> BedGraph:
        with named_errors(self._out):
            opened = binary_output(self._out) if self._shard is None else self._shard.opened(gzipped)
            self._stream: Any = self._stack.enter_context(opened)
            if self._shard is not None:
                self._stream.end_segment()  # nothing stands before the first gene
        return self

    def end_block(self) -> None:
        """End a block of a shard."""
        with named_errors(self._out):
            self._stream.end_segment()

    def write(self, effects: GeneEffects) -> None:
        """Add a gene."""
        assert effects.interval is not None
        chrom, strand, unit = effects.interval.chrom, effects.interval.strand, effects.unit or "its unit"
        about = f"minus the mean change of {effects.output} ({unit}) by the three substitutions of a base: what "
        about += f"the base adds to {effects.named}, strand {strand}"
        name = f"{effects.symbol or effects.id} {self._output}"
        lines = [f'track type=bedGraph name="{_quoted(name)}" description="{_quoted(about)}" visibility=full']
        lines += [f"{chrom}\t{place}\t{place + 1}\t{value + 0.0:.6g}" for place, value in track(effects)]
        with named_errors(self._out):
            self._stream.write("\n".join([*lines, ""]).encode("utf-8", "surrogateescape"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with named_errors(self._out):
            self._stack.__exit__(kind, error, traceback)


def track(effects: GeneEffects) -> list[tuple[int, float]]:
    """0-based positions in the order of the genome, each with what its base adds; unknown bases are left out.

    A window that goes round a circular contig more than once holds a base several times: its values are added up.
    """
    known = effects.letters.known(effects.tokens)
    places, copies = np.unique(effects.genomic[known], return_inverse=True)
    values = np.bincount(copies, weights=effects.support[known].astype(float), minlength=len(places))
    return list(zip(places.tolist(), values.tolist(), strict=True))


def _quoted(text: str) -> str:
    """A text as it may stand in quotes in a track line."""
    return "".join(letter if letter.isprintable() and letter != '"' else "_" for letter in text)


class BigWig:
    """The same values as a bigWig: contigs in the order of their names, as the format wants them."""

    def __init__(self, out: str, contigs: Mapping[str, int]) -> None:
        self._pybigtools: Any = import_pybigtools()
        self._out, self._contigs = out, dict(contigs)
        self._found: dict[str, list[tuple[int, float]]] = {}

    def __enter__(self) -> BigWig:
        return self

    def write(self, effects: GeneEffects) -> None:
        """Add a gene."""
        assert effects.interval is not None
        self._found.setdefault(effects.interval.chrom, []).extend(track(effects))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        lengths = dict(sorted(self._contigs.items()))
        tracks = ((chrom, sorted(self._found.get(chrom, ()))) for chrom in lengths)
        values = ((chrom, place, place + 1, value) for chrom, found in tracks for place, value in found)
        with named_errors(self._out), atomic_path(self._out) as temporary:
            made = temporary.with_suffix(".bw")  # the library goes by the suffix
            try:
                self._pybigtools.open(str(made), "w").write(lengths, values)
                made.replace(temporary)
            finally:
                made.unlink(missing_ok=True)


def check_apart(out: str, region: Region, counts: InputCounts) -> None:
    """Refuse genes whose regions overlap: a bigWig holds one value of a base."""
    placed = sorted(
        (part.chrom, part.start, part.end, site.id)
        for site in counts.sites.values()
        for part in _inside(site.window(-region.start, region.end), counts)
    )
    for (chrom, _, end, name), (next_chrom, next_start, _, next_name) in pairwise(placed):
        if chrom == next_chrom and next_start < end:
            raise UsageError(
                f"--out {out}: the windows of {name} and {next_name} overlap, and a bigWig holds one value of a base; "
                "pick genes with --genes, or a part of the windows with --region, or write .bedgraph, a track for each"
            )


def _inside(window: Interval, counts: InputCounts) -> list[Interval]:
    """What a window holds of its contig, in one part, or in two that meet at the origin of a circular one."""
    length = counts.contigs[window.chrom]
    if window.chrom not in counts.circular:
        inside = window.clip(length)
        return [inside] if len(inside) else []
    if len(window) >= length:
        return [Interval(window.chrom, 0, length)]
    start = window.start % length
    over = start + len(window) - length
    found = [Interval(window.chrom, start, min(start + len(window), length))]
    return [Interval(window.chrom, 0, over), *found] if over > 0 else found
