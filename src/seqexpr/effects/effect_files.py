"""Effects as files: arrays for motif discovery, a table, tracks for genome browsers, figures and a page.

Each file appears when it is whole. Genes come one by one; the page holds on to them, a bigWig to what bases add.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from seqexpr import __version__
from seqexpr.effects.attribution import Explained, Method
from seqexpr.effects.effect_arrays import Arrays
from seqexpr.effects.effect_table import Table
from seqexpr.effects.effect_tracks import BedGraph, BigWig, check_apart
from seqexpr.effects.gene_effects import GeneEffects
from seqexpr.effects.letters import BASES, Letters
from seqexpr.errors import UsageError
from seqexpr.files import held_folder, remove_abandoned, temporary_path, write_json
from seqexpr.prediction.writers import named_errors

if TYPE_CHECKING:
    from seqexpr.prediction.inputs import InputCounts
    from seqexpr.prediction.session import Session
    from seqexpr.prediction.shard_files import ShardFile

SUFFIXES = (".tsv", ".npz", ".bedgraph", ".bw", ".bigwig", ".svg", ".png", ".html")
"""Of the files that `open_effects` writes; .tsv.gz and .bedgraph.gz are compressed."""

_BIGWIG = (".bw", ".bigwig")
_SHARDED = (".tsv", ".npz", ".bedgraph")
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


def describe(explained: Explained, session: Session, method: Method) -> dict[str, Any]:
    """Which models say what of which input, as JSON can hold it."""
    outputs = {output.name: output.unit for output in session.predictor.models[0].metadata.outputs}
    return {
        "seqexpr": __version__,
        "models": session.checksums(),
        "input": explained.letters.input,
        "region": {"start": explained.region.start, "end": explained.region.end},
        "method": method,
        "output": explained.output,
        "unit": outputs[explained.output],
        "delta": "level with the substitution minus the level without",
    }


def open_effects(
    out: str | None,
    explained: Explained,
    counts: InputCounts,
    *,
    about: str,
    description: Mapping[str, Any],
) -> AbstractContextManager[Sink]:
    """What writes effects: one file by its suffix, all of them into a folder, or the table on standard output.

    Args:
        out: a file's name; a folder, which exists or whose name ends in a slash; None or "-": standard output.
        explained: what of each gene.
        counts: of the session, as it is before its records are read.
        about: which model says so, for the page.
        description: the same and more, for the folder's JSON; from `describe`.

    Raises:
        UsageError: a suffix that is none of `SUFFIXES`, a figure of several genes, a track of sequences that have no
            place in a genome, or a bigWig of genes that overlap.
        MissingDataError: a package is not installed; the text has the command.
        OSError: the place cannot be written.
    """
    letters, picks_genes = explained.letters, explained.letters is BASES or bool(counts.symbols)
    if out is None or out == "-":
        return Table(None, letters)
    if out.endswith(("/", os.sep)) or os.path.isdir(out):
        return _Folder(Path(out), explained, counts, about, description)
    plain = out[: -len(".gz")] if out.endswith(".gz") else out
    suffix = Path(plain).suffix.lower()
    if suffix not in SUFFIXES or (plain != out and suffix not in (".tsv", ".bedgraph")):
        named = ", ".join(SUFFIXES)
        raise UsageError(f"--out {out}: its suffix is none of {named}; a folder's name ends in a slash")
    if suffix in (".bedgraph", *_BIGWIG):
        _check_placed(out, letters, counts)
    if suffix in _BIGWIG:
        check_apart(out, explained.region, counts)
    if suffix in (".svg", ".png") and counts.expected_is_exact and (counts.expected or 1) > 1:
        raise _one_figure(out, f"there are {counts.expected:,}", picks_genes)
    make: Mapping[str, Callable[[str], AbstractContextManager[Sink]]] = {
        ".tsv": lambda name: Table(name, letters),
        ".npz": lambda name: Arrays(name, letters),
        ".bedgraph": lambda name: BedGraph(name, explained.output),
        **dict.fromkeys(_BIGWIG, lambda name: BigWig(name, counts.contigs)),
        **dict.fromkeys((".svg", ".png"), lambda name: _OneFigure(name, picks_genes)),
        ".html": lambda name: _Page(name, about),
    }
    return make[suffix](out)


def _check_placed(out: str, letters: Letters, counts: InputCounts) -> None:
    """Refuse a track of what has no place in a genome."""
    if letters is not BASES:
        raise UsageError(f"--out {out}: residues of proteins have no place in a genome; tracks are for windows of DNA")
    if not counts.sites:
        raise UsageError(
            f"--out {out}: windows that are not cut from a genome have no place in it; give --genome with --tss"
        )


def open_shard(shard: ShardFile, explained: Explained, counts: InputCounts) -> Table | Arrays | BedGraph:
    """What writes the effects of a shard's genes, in a format of `shard_format`.

    Raises:
        UsageError: a track of sequences that have no place in a genome.
        OSError: the place cannot be written.
    """
    format = shard_format(shard.out)
    if format == "npz":
        return Arrays(shard.out, explained.letters, shard)
    if format == "tsv":
        return Table(shard.out, explained.letters, shard)
    _check_placed(shard.out, explained.letters, counts)
    return BedGraph(shard.out, explained.output, shard)


def shard_format(out: str | None) -> str:
    """The format of a shard of an explanation, or of what shards are merged into.

    Raises:
        UsageError: it is none of those that shards have: figures, pages, bigWig and folders are made of the genes
            themselves.
    """
    plain = (out or "").lower().removesuffix(".gz")
    suffix = Path(plain).suffix
    packed = plain != (out or "").lower()
    if suffix not in _SHARDED or (packed and suffix == ".npz") or (out or "").endswith(("/", os.sep)):
        raise UsageError(
            f"--out {out or '-'}: shards of explain are .tsv, .npz or .bedgraph; figures, pages, bigWig and "
            "folders are made by one run, with --genes for a part of the genes"
        )
    return suffix[1:]


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


class _OneFigure:
    """The figure of one gene, drawn when it is known to be the only one."""

    def __init__(self, out: str, picks_genes: bool) -> None:
        from seqexpr.effects.effect_figure import check_matplotlib

        check_matplotlib()
        self._out, self._picks_genes = out, picks_genes
        self._gene: GeneEffects | None = None

    def __enter__(self) -> _OneFigure:
        return self

    def write(self, effects: GeneEffects) -> None:
        if self._gene is not None:
            found = f"there are {self._gene.id}, {effects.id} and perhaps more"
            raise _one_figure(self._out, found, self._picks_genes)
        self._gene = effects

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from seqexpr.effects.effect_figure import write_figure

        if kind is None and self._gene is not None:
            with named_errors(self._out):
                write_figure(self._out, self._gene)


def _one_figure(out: str, found: str, picks_genes: bool) -> UsageError:
    way = "pick one with --genes" if picks_genes else "give one alone"
    return UsageError(f"--out {out} is the figure of one gene; {found}: {way}, or give --out FOLDER/")


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


_IN_FOLDER = ("effects.tsv", "ism.npz", "effects.html", "effects.json", "effects.bedgraph")
_FIGURES = "genes"


class _Folder:
    """All files but the bigWig, and a JSON that says what made them; `genes/` holds the figures.

    They are written into a temporary folder, so that after an error all is as it was. At the end that becomes the
    folder, in one step; where there is a folder already, the files are moved into it, files of an earlier run are
    removed, and what else lies there is left alone.
    """

    def __init__(
        self, folder: Path, explained: Explained, counts: InputCounts, about: str, description: Mapping[str, Any]
    ) -> None:
        from seqexpr.effects.effect_figure import check_matplotlib

        check_matplotlib()
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--out {folder}/ is a file, and a name that ends in a slash is a folder's")
        self._folder, self._stack, self._taken = folder, ExitStack(), set[str]()
        self._beside = folder / "effects" if folder.exists() else folder
        self._temporary = temporary_path(self._beside)
        self._description = dict(description)
        table, arrays, page, self._json, tracks = (str(self._temporary / name) for name in _IN_FOLDER)
        letters = explained.letters
        self._sinks: list[AbstractContextManager[Sink]] = [Table(table, letters), Arrays(arrays, letters)]
        self._sinks.append(_Page(page, about))
        if counts.sites and letters is BASES:
            self._sinks.append(BedGraph(tracks, explained.output))

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
                with named_errors(str(self._folder)):
                    write_json(Path(self._json), self._description)
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
