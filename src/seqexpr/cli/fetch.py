"""`seqexpr fetch`: download public sources into the cache, or show which there are."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from seqexpr.cli.console import StatusHandler, set_up_logging, status
from seqexpr.errors import UsageError

if TYPE_CHECKING:
    from seqexpr.datasets.fetch import FetchOptions, Watch
    from seqexpr.datasets.sources import Source, SourceFile

_COLUMNS = ("name", "size", "present", "licence", "what")
_LINE_SECONDS = 15.0  # between two progress lines where standard error is no terminal


def fetch(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads annotations at run time, on Python 3.10 too
        typer.Argument(metavar="[NAME]...", help="Sources, or tasks: a task stands for the sources it needs."),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the sources, and what of them is here.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --list: as JSON, with addresses.")] = False,
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--from", metavar="DIR", help="Copy from DIR/SOURCE/FILE or DIR/FILE; no network."),
    ] = None,
    mirror: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="URL", help="Take the files from URL/SOURCE/FILE (http, https, file)."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Get files anew, even those that are here.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be fetched.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No status, only warnings.")] = False,
) -> None:
    """Download public sources into the cache folder; prints where each file lies.

    Broken downloads go on where they stopped. Checksums are recorded at the first download and enforced
    after it. Proxies and certificates come from HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE.

    Examples:

      seqexpr fetch --list

      seqexpr fetch mrna-human uniprot-human
    """
    set_up_logging(quiet=quiet)
    if show:
        _list(as_json)
        return
    if as_json:
        raise UsageError("--json goes with --list")
    if not names:
        raise UsageError("fetch needs a source or task; `seqexpr fetch --list` shows the sources there are")
    from seqexpr.datasets.fetch import FetchOptions
    from seqexpr.datasets.sources import resolve_sources
    from seqexpr.datasets.tasks import list_tasks

    sources = resolve_sources(names, {task.name: task.sources for task in list_tasks()})
    options = FetchOptions(folder=folder, mirror=mirror, offline=offline, force=force)
    if dry_run:
        _show_pending(sources, options)
    else:
        _fetch(sources, options)


def _fetch(sources: list[Source], options: FetchOptions) -> None:
    from seqexpr.datasets import fetch as library

    paths = []
    with _watching() as watch:
        for fetched in library.fetch(sources, options, watch):
            path = fetched.file.path
            came = f"from {fetched.origin}" if fetched.origin else "here already, checked"
            status(f"{fetched.file.label}: {_bytes(path.stat().st_size)}, {came}")
            paths.append(path)
    for path in paths:  # after the live display, which would mix with them on a terminal
        typer.echo(path)


def _show_pending(sources: list[Source], options: FetchOptions) -> None:
    from seqexpr.datasets.fetch import pending

    for file, address in pending(sources, options):
        typer.echo(f"{file.label}\t{address}")


def _list(as_json: bool) -> None:
    from seqexpr.datasets.sources import list_sources

    if as_json:
        typer.echo(json.dumps([_description(source) for source in list_sources()], indent=2, ensure_ascii=False))
        return
    rows = [_row(source) for source in list_sources()]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*_COLUMNS, box=None)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    for row in [_COLUMNS, *rows]:
        typer.echo("\t".join(row))


def _row(source: Source) -> tuple[str, ...]:
    size = _bytes(source.size) if source.size else f"about {source.about}" if source.about else "not known"
    here = sum(file.present() for file in source.files)
    present = "yes" if here == len(source.files) else f"{here} of {len(source.files)} files" if here else "no"
    return source.name, size, present, source.licence, source.title


def _description(source: Source) -> dict[str, Any]:
    files = [
        {
            "name": file.name,
            "urls": list(file.urls),
            "size": file.size or file.recorded().get("size"),
            "sha256": file.sha256 or file.recorded().get("sha256"),
            "present": file.present(),
            "path": str(file.path),
        }
        for file in source.files
    ]
    about = {
        "name": source.name,
        "title": source.title,
        "licence": source.licence,
        "citation": source.citation,
    }
    return {**about, "present": source.present(), "files": files}


@contextmanager
def _watching() -> Iterator[Watch]:
    """Show files as they grow: a live bar with rate and time left on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield PlainWatch()
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

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as display:
        tasks: dict[str, Any] = {}

        def watch(file: SourceFile, done: int, total: int | None) -> None:
            if file.label not in tasks:
                for task in tasks.values():
                    display.update(task, visible=False)
                tasks[file.label] = display.add_task(file.label, total=total)
            display.update(tasks[file.label], completed=done, total=total)

        StatusHandler.live = console
        try:
            yield watch
        finally:
            StatusHandler.live = None


class PlainWatch:
    """A status line now and then: how much of a file is here, the rate, and the time left."""

    def __init__(self) -> None:
        self._label = ""
        self._begin = self._last = 0.0
        self._first = 0

    def __call__(self, file: SourceFile, done: int, total: int | None) -> None:
        """Take note of a file's bytes so far."""
        now = time.monotonic()
        if file.label != self._label:
            self._label, self._begin, self._last, self._first = file.label, now, now, done
        if now - self._last < _LINE_SECONDS:
            return
        self._last = now
        rate = (done - self._first) / (now - self._begin)
        left = f", {(total - done) / rate:.0f} s left" if total and rate > 0 else ""
        of = f" of {_bytes(total)}" if total else ""
        status(f"{file.label}: {_bytes(done)}{of}, {_bytes(int(rate))}/s{left}")


def _bytes(count: int) -> str:
    """A number of bytes as people read it: "1.3 GB", "12.0 MB", "345 kB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
