"""What `seqexpr fetch` shows without fetching: the sources, what would come, and whether what is here is right."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from seqexpr.cli.console import status
from seqexpr.cli.fetch_display import told_bytes

if TYPE_CHECKING:
    from seqexpr.datasets.fetch_options import FetchOptions
    from seqexpr.datasets.sources import Source, SourceFile


def show_list(sources: Sequence[Source], as_json: bool) -> None:
    """Print the sources: name, size, what of them is here, licence, what they are, which tasks need them."""
    if as_json:
        _print_json([_description(source) for source in sources])
    else:
        _print_table(("name", "size", "present", "licence", "what", "tasks"), [_row(source) for source in sources])


def show_pending(sources: Sequence[Source], options: FetchOptions, as_json: bool) -> None:
    """Print the files that would be fetched, with their sizes and first addresses; the total on standard error."""
    from seqexpr.datasets.fetch import pending

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
    total = told_bytes(sum(size or 0 for size in sizes))
    rough = "" if all(item.size is not None for item in files) else "about "
    more = " and files of a size that is not known" if None in sizes else ""
    status(f"{len(files)} to fetch: {rough}{total}{more}")


def show_verified(sources: Sequence[Source], as_json: bool, asked: bool) -> None:
    """Print the state of every file, or of those that are here at all.

    Raises:
        NetworkError: a file is not the one that was recorded.
        MissingDataError: a file that was asked for is not here.
    """
    from seqexpr.datasets.verify import verify
    from seqexpr.errors import MissingDataError, NetworkError

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
    from seqexpr.datasets.tasks import list_tasks

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
        return told_bytes(size)
    return "not known" if about is None else f"about {told_bytes(about)}"


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
