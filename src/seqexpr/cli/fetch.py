"""`seqexpr fetch`: download public sources into the cache, or show which there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from seqexpr.cli.console import set_up_logging, status
from seqexpr.cli.help import Quiet, whole_number
from seqexpr.errors import SeqexprError, UsageError

if TYPE_CHECKING:
    from seqexpr.sources.file_fetch import FetchOptions
    from seqexpr.sources.registry import Source

_SHOW = "Show, and fetch nothing"


def fetch(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads annotations at run time, on Python 3.10 too
        typer.Argument(metavar="NAME", help="Sources, or tasks: a task stands for the sources it needs."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Show the sources, and what of them is here.", rich_help_panel=_SHOW)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be fetched, and how large.", rich_help_panel=_SHOW)
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Compare what is here (all, or NAMEs) with its checksums.", rich_help_panel=_SHOW
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --list, --dry-run or --verify: as JSON.", rich_help_panel=_SHOW)
    ] = False,
    origin: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--from", metavar="PATH", help="Copy from a folder, .zip or .tar.gz of SOURCE/FILE; no network."),
    ] = None,
    mirror: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="URL", help="Take the files from URL/SOURCE/FILE (http, https, file)."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Get files again, even those that are here.")] = False,
    jobs: Annotated[int, typer.Option(metavar="N", parser=whole_number(1), help="Files at once.")] = 4,
    quiet: Quiet = False,
) -> None:
    """Download public sources into the cache folder; prints where each file lies.

    Broken downloads go on where they stopped. Checksums are recorded at the first download and enforced
    after it. Proxies and certificates come from HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE.

    Examples:

      seqexpr fetch --list

      seqexpr fetch prot-lung --dry-run

      seqexpr fetch mrna-human uniprot-human
    """
    set_up_logging(quiet=quiet)
    if show + dry_run + verify > 1:
        raise UsageError("--list, --dry-run and --verify are three things; give one")
    if (show or verify) and (origin or mirror or offline or force):
        raise UsageError("--list and --verify look at what is here: leave --from, --mirror, --offline and --force out")
    if as_json and not (show or dry_run or verify):
        raise UsageError("--json goes with --list, --dry-run or --verify")
    if not names and not show and not verify:
        raise UsageError("fetch needs a source or task; `seqexpr fetch --list` shows the sources there are")
    from seqexpr.cli import fetch_display as fetch_tables
    from seqexpr.sources.registry import list_sources, resolve_sources
    from seqexpr.tasks.catalogue import list_tasks

    tasks = {task.name: task.sources for task in list_tasks()}
    sources = resolve_sources(names, tasks) if names else list(list_sources())
    if show:
        fetch_tables.show_list(sources, as_json)
    elif verify:
        fetch_tables.show_verified(sources, as_json, asked=bool(names))
    else:
        from seqexpr.sources.file_fetch import FetchOptions

        options = FetchOptions(origin=origin, mirror=mirror, offline=offline, force=force, jobs=jobs)
        if dry_run:
            fetch_tables.show_pending(sources, options, as_json)
        else:
            _fetch(sources, options)


def _fetch(sources: list[Source], options: FetchOptions) -> None:
    from seqexpr.cli.fetch_display import spelled_bytes, watching
    from seqexpr.sources import fetch as library

    files = [file for source in sources for file in source.files]
    here, failures = set(), []
    with watching(files) as watch:
        for result in library.fetch(sources, options, watch):
            if result.failure is not None:
                failures.append(result.failure)
                continue
            recorded = str(result.file.recorded().get("fetched") or "first seen")[:10]
            came = f"from {result.origin}" if result.origin else f"here already, as recorded ({recorded})"
            status(f"{result.file.label}: {spelled_bytes(result.file.path.stat().st_size)}, {came}")
            here.add(result.file.label)
    if failures:
        status(f"{len(here)} of {len(files)} files are here; without a network: --from FOLDER or ARCHIVE")
    for file in files:  # after the live display, which would mix with them on a terminal; in the order asked
        if file.label in here:
            typer.echo(file.path)
    _raise_all(failures)


def _raise_all(failures: list[SeqexprError]) -> None:
    """Raise every failure; the exit code is that of the last one raised, a failed download before missing data."""
    different = list({str(failure): failure for failure in failures}.values())
    different.sort(key=lambda failure: failure.exit_code)
    for failure in different[:-1]:
        typer.echo(f"seqexpr: error: {failure}", err=True)
    if different:
        raise different[-1]
