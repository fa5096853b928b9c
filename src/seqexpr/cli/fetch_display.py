"""How `seqexpr fetch` shows files as they grow."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seqexpr.cli.console import StatusHandler, status

if TYPE_CHECKING:
    from seqexpr.datasets.file_fetch import Watch
    from seqexpr.datasets.sources import SourceFile

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
    of = f" of {told_bytes(total)}" if total else ""
    return f"{told_bytes(done)}{of}, {told_bytes(int(rate))}/s{left}"


def told_bytes(count: int) -> str:
    """A number of bytes as people read it: "1.3 GB", "12.0 MB", "345 kB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
