"""Bring the files of public sources into the cache, several at once.

A file's SHA-256 is the registry's, or else the one recorded at its first download: whatever comes later, from
any address, must be the same bytes.

`verify` only reads: it compares the files of the cache with what was recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from seqexpr.errors import NetworkError, SeqexprError
from seqexpr.files import sha256_file
from seqexpr.paths import cache_folder
from seqexpr.sources.disk_space import check_free
from seqexpr.sources.download import remote_size
from seqexpr.sources.file_fetch import FetchOptions, FileFetcher, Stopped, Watch, parts_of
from seqexpr.sources.mirrors import Mirror
from seqexpr.sources.registry import Source, SourceFile


@dataclass(frozen=True)
class FetchedFile:
    """What became of one file."""

    file: SourceFile
    origin: str | None = None
    """The address it came from; None when it was here already."""
    failure: SeqexprError | None = None
    """Why it is not here."""


def fetch(
    sources: Sequence[Source], options: FetchOptions = FetchOptions(), watch: Watch = lambda *_: None
) -> Iterator[FetchedFile]:
    """Get every file of the sources that is not here yet, and check those that are; results as they come.

    A file that cannot be had does not stop the others. Whoever stops asking for results stops the downloads: what is
    there is kept, and goes on at the next call.

    Raises:
        NetworkError: the files whose sizes are known do not fit on the disk.
        MissingDataError, InputError: `options.origin` is not there, or is no folder or archive.
    """
    files = [file for source in sources for file in source.files]
    if options.origin is not None:
        Mirror(options.origin)  # a wrong path is told at once, and once
    _check_room(files, options)
    waiting: SimpleQueue[SourceFile] = SimpleQueue()
    results: SimpleQueue[FetchedFile | BaseException] = SimpleQueue()
    for file in files:
        waiting.put(file)
    fetcher = FileFetcher(options, watch)
    for _ in range(min(options.jobs, len(files))):
        # Daemons: an interrupted command ends at once, whatever a server is doing.
        threading.Thread(target=_work, args=(fetcher, waiting, results), daemon=True).start()
    try:
        for _ in files:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        fetcher.stop.set()


@dataclass(frozen=True)
class Pending:
    """A file that would be fetched."""

    file: SourceFile
    place: str
    """Where it would come from: the address tried first."""
    size: int | None
    """Bytes, where known."""


def pending(sources: Sequence[Source], options: FetchOptions = FetchOptions()) -> list[Pending]:
    """The files that `fetch` would get now. Sizes that are not known are asked from the servers, unless offline.

    Raises:
        MissingDataError: `options.origin` does not hold one of them.
    """
    found = []
    for file in (file for source in sources for file in source.files):
        if file.present() and not options.force:
            continue
        if options.origin is not None:
            found.append(Pending(file, *Mirror(options.origin).find(file)))
            continue
        address = options.addresses(file)[0]
        size = file.known_size
        if size is None and not options.offline and not address.packed:
            size = _size(address.url)
        found.append(Pending(file, address.url, size))
    return found


def _work(
    fetcher: FileFetcher, waiting: SimpleQueue[SourceFile], results: SimpleQueue[FetchedFile | BaseException]
) -> None:
    """What a thread does: fetch files until none is waiting."""
    with suppress(Empty, Stopped):
        while not fetcher.stop.is_set():
            file = waiting.get_nowait()
            try:
                results.put(FetchedFile(file, fetcher.fetch(file)))
            except SeqexprError as failure:
                results.put(FetchedFile(file, failure=failure))
            except OSError as problem:  # a full disk, a folder that may not be written
                reason = f"{problem.filename or file.path}: {problem.strerror or problem}"
                results.put(FetchedFile(file, failure=NetworkError(reason)))
            except Stopped:
                raise
            except Exception as problem:  # a bug: whoever asked for results gets it
                results.put(problem)


def _check_room(files: Sequence[SourceFile], options: FetchOptions) -> None:
    """Before anything is asked for: the files whose sizes are known must fit."""
    needed = 0
    for file in files:
        if size := file.known_size if options.force or not file.present() else None:
            here = sum(path.stat().st_size for path in parts_of(file))
            needed += max(0, size - here)
    if needed:
        check_free(cache_folder("downloads"), needed)


def _size(url: str) -> int | None:
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        return path.stat().st_size if path.is_file() else None
    return remote_size(url)


State = Literal["ok", "changed", "no record", "part", "absent"]


@dataclass(frozen=True)
class VerifiedFile:
    """One file of a source."""

    file: SourceFile
    state: State
    """ok: as recorded. changed: other bytes. no record: nothing to compare with. part: a download not ended."""
    found: str | None = None
    """SHA-256 of the file that is here."""
    expected: str | None = None
    """SHA-256 of the registry, or as first recorded."""


def verify(sources: Sequence[Source]) -> Iterator[VerifiedFile]:
    """Compare every file of the sources with its checksum."""
    for file in (file for source in sources for file in source.files):
        expected = file.known_sha256
        if not file.present():
            begun = bool(parts_of(file))
            yield VerifiedFile(file, "part" if begun else "absent", None, expected)
            continue
        found = sha256_file(file.path)
        state: State = "no record" if expected is None else "ok" if found == expected else "changed"
        yield VerifiedFile(file, state, found, expected)
