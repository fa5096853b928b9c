"""Show what `seqexpr fetch` knows: the sources, pending downloads, checks of the cache, and files as they grow."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from seqexpr.cli.console import status

if TYPE_CHECKING:
    from seqexpr.sources.file_fetch import FetchOptions
    from seqexpr.sources.registry import Source, SourceFile


import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seqexpr.cli.console import StatusHandler

if TYPE_CHECKING:
    from seqexpr.sources.file_fetch import Watch
    from seqexpr.sources.registry import SourceFile


def show_list(sources: Sequence[Source], as_json: bool) -> None:
    """Print the sources: name, size, what of them is here, licence, what they are, which tasks need them."""
    if as_json:
        _print_json([_description(source) for source in sources])
    else:
        _print_table(("name", "size", "present", "licence", "what", "tasks"), [_row(source) for source in sources])


def show_pending(sources: Sequence[Source], options: FetchOptions, as_json: bool) -> None:
    """Print the files that would be fetched, with their sizes and first addresses; the total on standard error."""
    from seqexpr.sources.fetch import pending

    files = pending(sources, options)
    if as_json:
        _print_json(
            [
                {"file": item.file.label, "size": item.size, "about": item.file.about, "from": item.place}
                for item in files
            ]
        )
    else:
        rows = [(item.file.label, _size(item.size, item.file.about), item.place) for item in files]
        _print_table(("file", "size", "from"), rows)
    sizes = [item.file.about if item.size is None else item.size for item in files]
    total = spelled_bytes(sum(size or 0 for size in sizes))
    rough = "" if all(item.size is not None for item in files) else "about "
    more = " and files of a size that is not known" if None in sizes else ""
    status(f"{len(files)} to fetch: {rough}{total}{more}")


def show_verified(sources: Sequence[Source], as_json: bool, asked: bool) -> None:
    """Print the state of every file, or of those that are here at all.

    Raises:
        NetworkError: a file is not the one that was recorded.
        MissingDataError: a file that was asked for is not here.
    """
    from seqexpr.errors import MissingDataError, NetworkError
    from seqexpr.sources.fetch import verify

    files = [file for file in verify(sources) if asked or file.state != "absent"]
    if as_json:
        _print_json(
            [
                {"file": item.file.label, "state": item.state, "sha256": item.found, "expected": item.expected}
                for item in files
            ]
        )
    else:
        _print_table(("file", "state", "sha256"), [(item.file.label, item.state, item.found or "") for item in files])
    if not files:
        status("nothing is here yet")
    changed = [item.file for item in files if item.state == "changed"]
    if changed:
        raise NetworkError(f"{_labels(changed)}: found other bytes than were recorded; {_again(changed)}")
    if asked and (absent := [item.file for item in files if item.state in ("absent", "part")]):
        raise MissingDataError(f"{_labels(absent)}: not here; {_again(absent)}")


def _labels(files: Sequence[SourceFile]) -> str:
    return ", ".join(file.label for file in files)


def _again(files: Sequence[SourceFile]) -> str:
    return f"run: seqexpr fetch {' '.join(dict.fromkeys(file.source for file in files))}"


def _row(source: Source) -> tuple[str, ...]:
    size = _size(source.size, source.about)
    here = sum(file.present() for file in source.files)
    present = "yes" if here == len(source.files) else f"{here} of {len(source.files)} files" if here else "no"
    return source.name, size, present, source.licence, source.title, " ".join(_tasks(source))


def _tasks(source: Source) -> list[str]:
    from seqexpr.tasks.catalogue import list_tasks

    return [task.name for task in list_tasks() if source.name in task.sources]


def _description(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "title": source.title,
        "licence": source.licence,
        "citation": source.citation,
        "present": source.present(),
        "tasks": _tasks(source),
        "files": [_file(file) for file in source.files],
    }


def _file(file: SourceFile) -> dict[str, Any]:
    return {
        "name": file.name,
        "use": file.use,
        "urls": [address.url for address in file.addresses],
        "size": file.known_size,
        "about": file.about,
        "sha256": file.known_sha256,
        "present": file.present(),
        "path": str(file.path),
    }


def _size(size: int | None, about: int | None) -> str:
    if size is not None:
        return spelled_bytes(size)
    return "not known" if about is None else f"about {spelled_bytes(about)}"


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for people on a terminal, tab-separated elsewhere."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


_LINE_SECONDS = 15.0  # between two progress lines where standard error is no terminal


@contextmanager
def watching(files: Sequence[SourceFile]) -> Iterator[Watch]:
    """Live bars with rate and time left on a terminal, one a file and one for all; else a line now and then."""
    if not sys.stderr.isatty():
        yield PlainWatch(files)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    console = Console(stderr=True)
    # A long name leaves room for the bar and its numbers.
    name = Column(max_width=console.width * 2 // 5, no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description}", table_column=name),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as display:
        StatusHandler.live = console
        try:
            yield LiveWatch(display, files)
        finally:
            StatusHandler.live = None


class Total:
    """The bytes of all files that grow; a size that is not known yet is the rough one. One thread at a time."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self.files = len(files)
        self._sizes: dict[str, int | None] = {
            file.label: file.known_size or file.about for file in files if not file.present()
        }
        self._done: dict[str, int] = {}
        self._first: dict[str, int] = {}

    def note(self, file: SourceFile, done: int, total: int | None) -> None:
        """Take note of a file's bytes so far."""
        self._first.setdefault(file.label, done)
        self._done[file.label] = done
        self._sizes[file.label] = total if total is not None else self._sizes.get(file.label)

    @property
    def done(self) -> int:
        """Bytes that are here."""
        return sum(self._done.values())

    @property
    def arrived(self) -> int:
        """Those of them that came in this call."""
        return self.done - sum(self._first.values())

    @property
    def size(self) -> int | None:
        """Bytes there will be, roughly until every file has begun; None while nothing is known of one."""
        sizes = list(self._sizes.values())
        return None if None in sizes else sum(size for size in sizes if size is not None)


class LiveWatch:
    """Bars on a terminal."""

    def __init__(self, display: Any, files: Sequence[SourceFile]) -> None:
        self._display = display
        self._total = Total(files)
        self._lock = threading.Lock()
        self._bars: dict[str, Any] = {}
        self._all = display.add_task("all", total=None, visible=False)

    def __call__(self, file: SourceFile, done: int, total: int | None) -> None:
        """Take note of a file's bytes so far."""
        with self._lock:
            self._total.note(file, done, total)
            if file.label not in self._bars:
                self._bars[file.label] = self._display.add_task(file.label, total=total, completed=done)
            ended = total is not None and done >= total
            self._display.update(self._bars[file.label], completed=done, total=total, visible=not ended)
            several = self._total.files > 1
            self._display.update(self._all, completed=self._total.done, total=self._total.size, visible=several)


class PlainWatch:
    """A status line now and then for each file, and for all: how much is here, the rate, the time left."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._total = Total(files)
        self._lock = threading.Lock()
        self._begin = self._last_of_all = time.monotonic()
        self._last: dict[str, float] = {}
        self._first: dict[str, tuple[float, int]] = {}

    def __call__(self, file: SourceFile, done: int, total: int | None) -> None:
        """Take note of a file's bytes so far."""
        with self._lock:
            now = time.monotonic()
            self._total.note(file, done, total)
            begin, first = self._first.setdefault(file.label, (now, done))
            if now - self._last.setdefault(file.label, now) >= _LINE_SECONDS:
                self._last[file.label] = now
                status(f"{file.label}: {_progress(done, total, done - first, now - begin)}")
            if self._total.files > 1 and now - self._last_of_all >= _LINE_SECONDS:
                self._last_of_all = now
                every = _progress(self._total.done, self._total.size, self._total.arrived, now - self._begin)
                status(f"all {self._total.files} files: {every}")


def _progress(done: int, total: int | None, arrived: int, seconds: float) -> str:
    """ "100.0 MB of 400.0 MB, 5.0 MB/s, 60 s left"."""
    rate = arrived / seconds if seconds else 0.0
    left = f", {(total - done) / rate:.0f} s left" if total and rate > 0 else ""
    of = f" of {spelled_bytes(total)}" if total else ""
    return f"{spelled_bytes(done)}{of}, {spelled_bytes(int(rate))}/s{left}"


def spelled_bytes(count: int) -> str:
    """A number of bytes as people read it: "1.3 GB", "12.0 MB", "345 kB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
