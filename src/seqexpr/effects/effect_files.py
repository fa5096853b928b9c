"""Effects as files: arrays for motif discovery, a table, tracks for genome browsers, figures and a page.

Each file appears when it is whole. Genes come one by one and only the page holds on to them.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from seqexpr.effects.attribution import LETTERS, GeneEffects, Region
from seqexpr.errors import MissingDataError, UsageError, printable
from seqexpr.files import atomic_path, held_folder, remove_abandoned, temporary_path
from seqexpr.prediction.writers import binary_output, named_errors
from seqexpr.sequences.alphabet import PAD
from seqexpr.sequences.windows import Interval

if TYPE_CHECKING:
    from seqexpr.prediction.inputs import InputCounts

COLUMNS = ("id", "symbol", "chrom", "pos", "strand", "tss_distance", "ref", "alt", "delta")
"""Of the table."""

SUFFIXES = (".tsv", ".npz", ".bedgraph", ".bw", ".bigwig", ".svg", ".png", ".html")
"""Of the files that `open_effects` writes; .tsv.gz and .bedgraph.gz are compressed."""

_BIGWIG = (".bw", ".bigwig")
_COMPLEMENTS = dict(zip(LETTERS, reversed(LETTERS), strict=True))
_LONGEST_NAME = 80
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that Windows gives to devices, whatever follows a dot."""


class Sink(Protocol):
    """Where effects go; a context manager, and only when it ends well does a file appear."""

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def write(self, effects: GeneEffects) -> None:
        """Add one gene."""
        ...


Row = tuple[str, str, str, int | None, str, int, str, str, float]
"""A row of the table, in the order of `COLUMNS`."""


def rows(effects: GeneEffects) -> Iterator[Row]:
    """The table of one gene: a row for each substitution, 5' to 3', letters in alphabetical order.

    With genomic coordinates `pos` is 1-based and letters are those of the + strand, as in VCF. Without, letters are
    those of the window, and `chrom`, `pos` and `strand` are empty.
    """
    interval = effects.interval
    chrom, strand = ("", "") if interval is None else (interval.chrom, interval.strand)
    spelled = dict(zip(LETTERS, LETTERS, strict=True)) if strand != "-" else _COMPLEMENTS
    positions: list[int | None] = [None] * len(effects.tokens)
    if interval is not None:
        positions = [int(place) + 1 for place in effects.genomic]
    by_letter = sorted(range(len(LETTERS)), key=lambda row: spelled[LETTERS[row]])
    deltas = effects.deltas.T.tolist()
    for offset, token in enumerate(effects.tokens.tolist()):
        if token == PAD:
            continue
        ref = LETTERS[token - 1]
        for row in by_letter:
            if row != token - 1:
                letters = (spelled[ref], spelled[LETTERS[row]])
                place = effects.first + offset
                yield (
                    *(effects.id, effects.symbol, chrom, positions[offset], strand, place),
                    *letters,
                    deltas[offset][row],
                )


def open_effects(
    out: str | None, *, region: Region, counts: InputCounts, output: str, about: str
) -> AbstractContextManager[Sink]:
    """What writes effects: one file by its suffix, all of them into a folder, or the table on standard output.

    Args:
        out: a file's name; a folder, which exists or whose name ends in a slash; None or "-": standard output.
        region: the part of each window that is explained.
        counts: of the session, as it is before its records are read.
        output: the name of what is predicted, for the names of tracks.
        about: which model says so, for the page.

    Raises:
        UsageError: a suffix that is none of `SUFFIXES`, a figure of several genes, a track of windows that have no
            place in a genome, or a bigWig of genes that overlap.
        MissingDataError: a package is not installed; the text has the command.
        OSError: the place cannot be written.
    """
    if out is None or out == "-":
        return _Table(None)
    if out.endswith(("/", os.sep)) or os.path.isdir(out):
        return _Folder(Path(out), counts, output, about)
    plain = out[: -len(".gz")] if out.endswith(".gz") else out
    suffix = Path(plain).suffix.lower()
    if suffix not in SUFFIXES or (plain != out and suffix not in (".tsv", ".bedgraph")):
        named = ", ".join(SUFFIXES)
        raise UsageError(f"--out {out}: its suffix is none of {named}; a folder's name ends in a slash")
    if suffix in (".bedgraph", *_BIGWIG) and not counts.sites:
        raise UsageError(
            f"--out {out}: windows that are not cut from a genome have no place in it; give --genome with --tss"
        )
    if suffix in _BIGWIG:
        _check_apart(out, region, counts)
    if suffix in (".svg", ".png") and counts.expected_is_exact and (counts.expected or 1) > 1:
        raise _one_figure(out, f"there are {counts.expected:,}")
    make: Mapping[str, Callable[[str], AbstractContextManager[Sink]]] = {
        ".tsv": _Table,
        ".npz": _Arrays,
        ".bedgraph": lambda name: _BedGraph(name, output),
        **dict.fromkeys(_BIGWIG, lambda name: _BigWig(name, counts.contigs)),
        ".svg": _OneFigure,
        ".png": _OneFigure,
        ".html": lambda name: _Page(name, about),
    }
    return make[suffix](out)


def file_name(name: str, taken: set[str]) -> str:
    """A name of a gene as a file's, without suffix: no folder, nothing that a system reserves, and not yet taken.

    Args:
        name: whatever an annotation or a FASTA file calls the gene.
        taken: names that are in use, in lower case; the new one is added.
    """
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", name)[:_LONGEST_NAME].strip("._-") or "gene"
    if _RESERVED.fullmatch(plain):
        plain = f"_{plain}"
    found, number = plain, 1
    while found.lower() in taken:
        number += 1
        found = f"{plain}-{number}"
    taken.add(found.lower())
    return found


class _Table:
    """The table as TSV."""

    def __init__(self, out: str | None) -> None:
        self._out, self._stack, self._started = out, ExitStack(), False

    def __enter__(self) -> _Table:
        with named_errors(self._named):
            self._stream: IO[bytes] = self._stack.enter_context(binary_output(self._out))
        self._on_terminal = self._stream.isatty()
        return self

    def write(self, effects: GeneEffects) -> None:
        lines = [] if self._started else ["\t".join(COLUMNS)]
        self._started = True
        for *cells, delta in rows(effects):
            texts = ["" if cell is None else str(cell) for cell in cells]
            texts = list(map(printable, texts)) if self._on_terminal else texts
            lines.append("\t".join([*texts, f"{delta + 0.0:.6g}"]))
        self._put("\n".join([*lines, ""]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and not self._started:
            self._put("\t".join(COLUMNS) + "\n")
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


class _Arrays:
    """`effects` and `one_hot`, (genes, 4, length), and `ids`. Unknown letters are 0 in both, as TF-MoDISco wants it.

    Rows wait in temporary files, for the number of genes stands at the beginning of an array's file.
    """

    def __init__(self, out: str) -> None:
        self._out = out
        self._ids: list[str] = []
        self._length = 0
        self._waiting: dict[str, IO[bytes]] = {}

    def __enter__(self) -> _Arrays:
        self._waiting = {name: tempfile.TemporaryFile() for name in ("effects", "one_hot")}  # noqa: SIM115
        return self

    def write(self, effects: GeneEffects) -> None:
        one_hot = effects.tokens == np.arange(1, len(LETTERS) + 1)[:, None]
        self._ids.append(effects.id)
        self._length = len(effects.tokens)
        self._waiting["effects"].write(np.nan_to_num(effects.deltas, nan=0).astype("<f4").tobytes())
        self._waiting["one_hot"].write(one_hot.astype(np.int8).tobytes())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for waiting in self._waiting.values():
                stack.enter_context(waiting)
            if kind is not None:
                return
            with named_errors(self._out), atomic_path(self._out) as temporary, zipfile.ZipFile(temporary, "w") as file:
                shape = (len(self._ids), len(LETTERS), self._length)
                for name, kind_of in (("effects", "<f4"), ("one_hot", "|i1")):
                    with _member(file, name) as stream:
                        header = {"descr": kind_of, "fortran_order": False, "shape": shape}
                        np.lib.format.write_array_header_1_0(stream, header)
                        self._waiting[name].seek(0)
                        shutil.copyfileobj(self._waiting[name], stream)
                with _member(file, "ids") as stream:
                    ids = np.array([one.encode("utf-8", "replace").decode() for one in self._ids], dtype=np.str_)
                    np.lib.format.write_array(stream, ids, allow_pickle=False)


def _member(file: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A member of an archive in which no time of day stands: the same effects are the same bytes."""
    found = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    found.compress_type = zipfile.ZIP_DEFLATED
    return file.open(found, "w", force_zip64=True)


class _BedGraph:
    """A track for each gene, for windows of neighbours overlap. Letters that are not known have no line."""

    def __init__(self, out: str, output: str) -> None:
        self._out, self._output, self._stack = out, output, ExitStack()

    def __enter__(self) -> _BedGraph:
        with named_errors(self._out):
            self._stream: IO[bytes] = self._stack.enter_context(binary_output(self._out))
        return self

    def write(self, effects: GeneEffects) -> None:
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
    known = effects.tokens != PAD
    places, copies = np.unique(effects.genomic[known], return_inverse=True)
    values = np.bincount(copies, weights=effects.support[known].astype(float), minlength=len(places))
    return list(zip(places.tolist(), values.tolist(), strict=True))


def _quoted(text: str) -> str:
    """A text as it may stand in quotes in a track line."""
    return "".join(letter if letter.isprintable() and letter != '"' else "_" for letter in text)


class _BigWig:
    """The same values as a bigWig: contigs in the order of their names, as the format wants them."""

    def __init__(self, out: str, contigs: Mapping[str, int]) -> None:
        try:
            import pybigtools
        except ImportError:
            raise MissingDataError(
                "bigWig needs pybigtools, which is not installed; run: pip install pybigtools"
            ) from None
        self._pybigtools: Any = pybigtools
        self._out, self._contigs = out, dict(contigs)
        self._found: dict[str, list[tuple[int, float]]] = {}

    def __enter__(self) -> _BigWig:
        return self

    def write(self, effects: GeneEffects) -> None:
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


def _check_apart(out: str, region: Region, counts: InputCounts) -> None:
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


class _OneFigure:
    """The figure of one gene."""

    def __init__(self, out: str) -> None:
        from seqexpr.effects.effect_figure import check_matplotlib

        check_matplotlib()
        self._out, self._name = out, ""

    def __enter__(self) -> _OneFigure:
        return self

    def write(self, effects: GeneEffects) -> None:
        from seqexpr.effects.effect_figure import write_figure

        if self._name:
            raise _one_figure(self._out, f"there are {self._name}, {effects.id} and perhaps more")
        self._name = effects.id
        write_figure(self._out, effects)

    def __exit__(self, *_: object) -> None:
        """All is written."""


def _one_figure(out: str, found: str) -> UsageError:
    return UsageError(f"--out {out} is the figure of one gene; {found}: pick one with --genes, or give --out FOLDER/")


class _Page:
    """The page of all genes."""

    def __init__(self, out: str, about: str) -> None:
        from seqexpr.effects.effect_page import Page

        self._out, self._page = out, Page(about)

    def __enter__(self) -> _Page:
        return self

    def write(self, effects: GeneEffects) -> None:
        self._page.add(effects)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            with named_errors(self._out):
                self._page.write(self._out)


_IN_FOLDER = ("effects.tsv", "ism.npz", "effects.html", "effects.bedgraph")
_FIGURES = "genes"


class _Folder:
    """All files but the bigWig; `genes/` holds the figures.

    They are written into a temporary folder, so that after an error all is as it was. At the end that becomes the
    folder, in one step; where there is a folder already, the files are moved into it, files of an earlier run are
    removed, and what else lies there is left alone.
    """

    def __init__(self, folder: Path, counts: InputCounts, output: str, about: str) -> None:
        from seqexpr.effects.effect_figure import check_matplotlib

        check_matplotlib()
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--out {folder}/ is a file, and a name that ends in a slash is a folder's")
        self._folder, self._stack, self._taken = folder, ExitStack(), set[str]()
        self._beside = folder / "effects" if folder.exists() else folder
        self._temporary = temporary_path(self._beside)
        table, arrays, page, tracks = (str(self._temporary / name) for name in _IN_FOLDER)
        self._sinks: list[AbstractContextManager[Sink]] = [_Table(table), _Arrays(arrays), _Page(page, about)]
        if counts.sites:
            self._sinks.append(_BedGraph(tracks, output))

    def __enter__(self) -> _Folder:
        with ExitStack() as opening:
            opening.enter_context(named_errors(str(self._folder)))
            self._temporary.parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self._beside)
            opening.callback(shutil.rmtree, self._temporary, ignore_errors=True)
            self._temporary.mkdir()
            opening.enter_context(held_folder(self._temporary))
            (self._temporary / _FIGURES).mkdir()
            self._files = opening.enter_context(ExitStack())
            self._open: Sequence[Sink] = [self._files.enter_context(sink) for sink in self._sinks]
            self._stack = opening.pop_all()
        return self

    def write(self, effects: GeneEffects) -> None:
        from seqexpr.effects.effect_figure import write_figure

        with named_errors(str(self._folder)):
            for sink in self._open:
                sink.write(effects)
            name = file_name(effects.symbol or effects.id, self._taken)
            for suffix in (".svg", ".png"):
                write_figure(self._temporary / _FIGURES / f"{name}{suffix}", effects)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            self._files.__exit__(kind, error, traceback)
            if kind is None:
                self._put_in_place()

    def _put_in_place(self) -> None:
        from seqexpr.effects.effect_figure import is_figure

        if not self._folder.exists():
            self._temporary.rename(self._folder)
            return
        figures = self._folder / _FIGURES
        figures.mkdir(exist_ok=True)
        made = {path.relative_to(self._temporary) for path in self._temporary.rglob("*") if path.is_file()}
        for name in sorted(made):
            (self._temporary / name).replace(self._folder / name)
        earlier = [*(self._folder / name for name in _IN_FOLDER), *filter(is_figure, figures.iterdir())]
        for path in earlier:
            if path.relative_to(self._folder) not in made:
                path.unlink(missing_ok=True)
