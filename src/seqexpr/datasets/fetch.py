"""Bring the files of public sources into the cache, each checked, whole and recorded.

A file's SHA-256 is the registry's, or else the one recorded at its first download: whatever comes later, from
any address, must be the same bytes.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from seqexpr.datasets.download import Part, Patience, download
from seqexpr.datasets.sources import Source, SourceFile, list_sources
from seqexpr.errors import MissingDataError, NetworkError, UsageError
from seqexpr.files import atomic_path, sha256_file

logger = logging.getLogger(__name__)

Watch = Callable[[SourceFile, int, int | None], None]
"""Called as a file grows: the file, the bytes that are here, the bytes there will be (None while unknown)."""


@dataclass(frozen=True)
class FetchOptions:
    """Where files may come from."""

    folder: Path | None = None
    """Copy from here: `FOLDER/SOURCE/FILE`, or `FOLDER/FILE` where only one source has such a file."""
    mirror: str | None = None
    """Take files from `MIRROR/SOURCE/FILE` instead of the registry's addresses: http, https or file."""
    offline: bool = False
    """Never use the network."""
    force: bool = False
    """Get files anew, and record them anew where the registry has no checksum."""
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if self.folder is not None and self.mirror is not None:
            raise UsageError("--from and --mirror both say where files come from; give one of them")
        if self.mirror is not None and urlsplit(self.mirror).scheme not in ("http", "https", "file"):
            raise UsageError(f"--mirror: found {self.mirror!r}; expected an address of http://, https:// or file://")

    def addresses(self, file: SourceFile) -> tuple[str, ...]:
        """Where to look for a file, in order."""
        if self.folder is not None:
            return (_found_in(self.folder, file).as_uri(),)
        if self.mirror is not None:
            return (f"{self.mirror.rstrip('/')}/{quote(file.source)}/{quote(file.name)}",)
        return file.urls


@dataclass(frozen=True)
class FetchedFile:
    """What became of one file."""

    file: SourceFile
    origin: str | None
    """The address it came from; None when it was here already."""


def fetch(
    sources: Sequence[Source], options: FetchOptions = FetchOptions(), watch: Watch = lambda *_: None
) -> Iterator[FetchedFile]:
    """Get every file of the sources that is not here yet, one after the other, and check those that are.

    Raises:
        UsageError: httpx is not installed.
        MissingDataError: a file is neither here nor where `options` allow to look.
        NetworkError: a download failed, or the bytes are not the recorded ones.
    """
    for source in sources:
        for file in source.files:
            yield FetchedFile(file, _fetch_file(file, options, watch))


def pending(sources: Sequence[Source], options: FetchOptions = FetchOptions()) -> list[tuple[SourceFile, str]]:
    """The files that `fetch` would get now, each with the address tried first.

    Raises:
        MissingDataError: `options.folder` does not hold one of them.
    """
    files = [file for source in sources for file in source.files if options.force or not file.present()]
    return [(file, options.addresses(file)[0]) for file in files]


def _fetch_file(file: SourceFile, options: FetchOptions, watch: Watch) -> str | None:
    """Make sure of one file; return the address it came from, None when it was here."""
    if file.present() and not options.force:
        _check_present(file)
        return None
    addresses = options.addresses(file)
    if options.offline and not all(address.startswith("file:") for address in addresses):
        raise MissingDataError(
            f"{file.label} is not here, and --offline forbids the network; run `seqexpr fetch {file.source}` "
            "without it, or with --from FOLDER"
        )
    file.path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file):
        if file.present() and not options.force:  # another process got it while this one waited
            _check_present(file)
            return None
        return _from_first(file, addresses, options, watch)


def _from_first(file: SourceFile, addresses: Sequence[str], options: FetchOptions, watch: Watch) -> str:
    """Get the file from the first address that has it."""
    part = file.path.with_name(f"{file.name}.part")
    for address, following in zip_longest(addresses, addresses[1:]):
        try:
            if address.startswith("file:"):
                _copy(file, _local_path(address), part, watch)
            else:
                _download(file, address, part, options.patience, watch)
            _accept(file, address, part, options)
            return address
        except NetworkError as failure:
            if following is None:
                raise
            logger.warning("%s; trying %s", failure, following)
    raise MissingDataError(f"{file.label} has no address; run: seqexpr fetch {file.source} --from FOLDER")


def _download(file: SourceFile, address: str, part: Path, patience: Patience, watch: Watch) -> None:
    download(
        address,
        part,
        size=file.size,
        progress=lambda done, total: watch(file, done, total),
        patience=patience,
    )


def _copy(file: SourceFile, origin: Path, part: Path, watch: Watch) -> None:
    try:
        shutil.copyfile(origin, part)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise NetworkError(f"{origin}: {problem.strerror or problem}") from None
    size = part.stat().st_size
    watch(file, size, size)


def _accept(file: SourceFile, address: str, part: Path, options: FetchOptions) -> None:
    """Check the whole file, put it in its place and record it."""
    found = sha256_file(part)
    known = file.sha256 or (None if options.force else file.recorded().get("sha256"))
    if known and found != known:
        Part(part).discard()
        raise NetworkError(f"{address}: found SHA-256 {found}; expected {known}{_way_out(file)}")
    size = part.stat().st_size
    with atomic_path(file.path) as temporary:
        part.replace(temporary)
    Part(part).discard()
    moment = datetime.now(timezone.utc).isoformat(timespec="seconds")
    file.record(url=address, size=size, sha256=found, fetched=moment)


def _check_present(file: SourceFile) -> None:
    """A file that is here must be the one that was recorded; one that the user put there is recorded now."""
    record = file.recorded()
    known = file.sha256 or record.get("sha256")
    found = sha256_file(file.path)
    if known and found != known:
        raise NetworkError(f"{file.path}: found SHA-256 {found}; expected {known}{_way_out(file)}")
    if not record:
        with suppress(OSError):  # a shared cache that only its owner may write to
            file.record(url=None, size=file.path.stat().st_size, sha256=found, fetched=None)


def _way_out(file: SourceFile) -> str:
    """How to go on after a mismatch: another copy, or, where the record is our own, a new record."""
    if file.sha256:
        return f" (get another copy: seqexpr fetch {file.source} --force)"
    return f" as first recorded (to take the source as it is now: seqexpr fetch {file.source} --force)"


@contextmanager
def _locked(file: SourceFile) -> Iterator[None]:
    """Let one process at a time work on a file; others wait, and say so."""
    from filelock import FileLock, Timeout

    lock = FileLock(file.path.with_name(f".{file.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.warning("%s is being fetched by another process; waiting for it", file.label)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _found_in(folder: Path, file: SourceFile) -> Path:
    namesakes = [other for source in list_sources() for other in source.files if other.name == file.name]
    places = [folder / file.source / file.name]
    if len(namesakes) <= 1:
        places.append(folder / file.name)
    for place in places:
        if place.is_file():
            return place.resolve()
    raise MissingDataError(
        f"{folder}: found no {' and no '.join(str(place.relative_to(folder)) for place in places)}; expected "
        f"the files of {file.source}, as `seqexpr fetch {file.source}` gets them where there is a network"
    )


def _local_path(address: str) -> Path:
    return Path(url2pathname(urlsplit(address).path))
