"""Bring the files of public sources into the cache, each checked, whole and recorded; several at once.

A file's SHA-256 is the registry's, or else the one recorded at its first download: whatever comes later, from
any address, must be the same bytes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from seqexpr.datasets.disk_room import DiskRoom, check_free
from seqexpr.datasets.download import Part, Patience, download, remote_size
from seqexpr.datasets.mirrors import Mirror, copy_file
from seqexpr.datasets.responses import TryAgain
from seqexpr.datasets.sources import Address, Source, SourceFile
from seqexpr.datasets.wholeness import check_whole, unpack_gzip
from seqexpr.errors import MissingDataError, NetworkError, SeqexprError, UsageError
from seqexpr.files import atomic_path, remove_leftovers, sha256_file
from seqexpr.locks import one_at_a_time
from seqexpr.paths import cache_folder

logger = logging.getLogger(__name__)

Watch = Callable[[SourceFile, int, int | None], None]
"""Called as a file grows: the file, the bytes that are here, the bytes there will be (None while unknown)."""

_LARGE = 100 << 20  # bytes from which a check takes seconds

JOBS = 4
"""Files fetched at once."""


@dataclass(frozen=True)
class FetchOptions:
    """Where files may come from, and how hard to try."""

    origin: Path | None = None
    """Copy from this folder or archive."""
    mirror: str | None = None
    """Take files from `MIRROR/SOURCE/FILE` instead of the registry's addresses: http, https or file."""
    offline: bool = False
    """Never use the network."""
    force: bool = False
    """Get files anew, and record them anew where the registry has no checksum."""
    jobs: int = JOBS
    """Files at once."""
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if self.origin is not None and self.mirror is not None:
            raise UsageError("--from and --mirror both say where files come from; give one of them")
        if self.mirror is not None and urlsplit(self.mirror).scheme not in ("http", "https", "file"):
            raise UsageError(f"--mirror: found {self.mirror!r}; expected an address of http://, https:// or file://")
        if self.jobs < 1:
            raise UsageError(f"--jobs {self.jobs}: must be at least 1")

    def addresses(self, file: SourceFile) -> tuple[Address, ...]:
        """Where on the network, or behind file:, to look for a file, in order."""
        if self.mirror is not None:
            return (Address(f"{self.mirror.rstrip('/')}/{quote(file.source)}/{quote(file.name)}"),)
        return file.addresses


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
    job = _Job(options, watch)
    for _ in range(min(options.jobs, len(files))):
        # Daemons: an interrupted command ends at once, whatever a server is doing.
        threading.Thread(target=job.work, args=(waiting, results), daemon=True).start()
    try:
        for _ in files:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        job.stop.set()


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


class _Stopped(Exception):
    """Nobody waits for the result any more."""


@dataclass
class _Job:
    """What the threads of one call share."""

    options: FetchOptions
    watch: Watch
    room: DiskRoom = field(default_factory=DiskRoom)
    stop: threading.Event = field(default_factory=threading.Event)

    def work(self, waiting: SimpleQueue[SourceFile], results: SimpleQueue[FetchedFile | BaseException]) -> None:
        """Fetch files until none is waiting."""
        with suppress(Empty, _Stopped):
            while not self.stop.is_set():
                file = waiting.get_nowait()
                try:
                    results.put(FetchedFile(file, self.fetch(file)))
                except SeqexprError as failure:
                    results.put(FetchedFile(file, failure=failure))
                except OSError as problem:  # a full disk, a folder that may not be written
                    reason = f"{problem.filename or file.path}: {problem.strerror or problem}"
                    results.put(FetchedFile(file, failure=NetworkError(reason)))
                except _Stopped:
                    raise
                except Exception as problem:  # a bug: whoever asked for results gets it
                    results.put(problem)

    def fetch(self, file: SourceFile) -> str | None:
        """Make sure of one file; return the address it came from, None when it was here."""
        if self._keep(file):
            return None
        if self.options.origin is None and self.options.offline and not self._local(file):
            raise MissingDataError(
                f"{file.label} is not here, and --offline forbids the network; run `seqexpr fetch {file.source}` "
                "without it, or with --from FOLDER"
            )
        file.path.parent.mkdir(parents=True, exist_ok=True)
        lock = file.path.with_name(f".{file.name}.lock")
        with one_at_a_time(lock, f"{file.label} is being fetched by another process; waiting for it"):
            if self._keep(file):  # another process got it while this one waited
                return None
            remove_leftovers(file.path)
            return self._get(file)

    def _keep(self, file: SourceFile) -> bool:
        """Whether the file is here and the recorded one. One that the user put there is recorded now."""
        if not file.present() or self.options.force:
            return False
        try:
            found = file.check()
        except NetworkError as problem:
            if self.options.offline and self.options.origin is None and not self._local(file):
                raise
            logger.warning("%s; getting it again", problem)
            return False
        if not file.recorded():
            with suppress(OSError):  # a shared cache that only its owner may write to
                file.record(url=None, size=file.path.stat().st_size, sha256=found, fetched=None)
        return True

    def _local(self, file: SourceFile) -> bool:
        return all(address.url.startswith("file:") for address in self.options.addresses(file))

    def _get(self, file: SourceFile) -> str:
        part = file.path.with_name(f"{file.name}.part")
        if self.options.origin is not None:
            Part(part).discard()
            mirror = Mirror(self.options.origin)
            origin = mirror.copy(file, part, self._growth(file), self.room)
            self._check_copy(origin, part)
            return self._accept(file, part, origin, mirror.record(file))
        failures: list[str] = []
        for address in self.options.addresses(file):
            if failures:
                logger.warning("%s; trying %s", failures[-1], address.url)
            try:
                self._arrive(file, address, part)
                return self._accept(file, part, address.url)
            except NetworkError as failure:
                failures.append(str(failure))
        raise NetworkError("; then ".join(failures))

    def _arrive(self, file: SourceFile, address: Address, part: Path) -> None:
        """Bring the bytes of one address into `part`, unpacked and whole."""
        if address.url.startswith("file:"):
            Part(part).discard()  # its note would make a later download go on from a part of this copy
            origin = Path(url2pathname(urlsplit(address.url).path))
            copy_file(origin, part, self._growth(file), self.room)
            self._check_copy(address.url, part)
            return
        packed = part.with_name(f"{file.name}.packed.part") if address.packed else part

        def check(arrived: Path) -> None:
            if arrived.stat().st_size > _LARGE:
                logger.info("%s: has arrived; checking it", file.label)
            check_whole(address.url, arrived, self._tick)
            if address.packed:
                Part(part).discard()
                unpack_gzip(arrived, part, lambda _: self._unpacked(part))
                check_whole(address.url, part, self._tick)

        download(
            address.url,
            packed,
            size=None if address.packed else file.size,
            progress=self._growth(file),
            check=check,
            patience=self.options.patience,
            room=self.room,
        )
        if address.packed:
            Part(packed).discard()

    def _check_copy(self, origin: str, part: Path) -> None:
        try:
            check_whole(origin, part, self._tick)
        except TryAgain as failure:  # a copy does not get better by waiting
            part.unlink()
            raise NetworkError(f"{origin}: {failure}") from None

    def _growth(self, file: SourceFile) -> Callable[[int, int | None], None]:
        def grown(done: int, total: int | None) -> None:
            self._tick()
            self.watch(file, done, total)

        return grown

    def _unpacked(self, part: Path) -> None:
        self._tick()
        check_free(part.parent, 0)

    def _tick(self) -> None:
        if self.stop.is_set():
            raise _Stopped

    def _accept(self, file: SourceFile, part: Path, origin: str, beside: dict[str, Any] | None = None) -> str:
        """Check the whole file, put it in its place and record it.

        At any moment of this, the file in place is whole, and its record is its own or absent. A record `beside` the
        file, where it was copied from, must be the file's too; it tells where that copy came from.
        """
        found, beside = sha256_file(part), beside or {}
        known = file.sha256 if self.options.force else file.known_sha256
        if known and found != known:
            Part(part).discard()
            raise NetworkError(f"{origin}: {file.mismatch(found)}")
        if beside.get("sha256") not in (None, found):
            Part(part).discard()
            recorded = f"found SHA-256 {found}; expected {beside['sha256']}, as recorded beside it"
            raise NetworkError(f"{origin}: {recorded}; the copy is damaged, or of another version than its record")
        size = part.stat().st_size
        if file.recorded().get("sha256") not in (None, found):
            file.record_path.unlink(missing_ok=True)
        with atomic_path(file.path) as temporary:
            part.replace(temporary)
        moment = datetime.now(timezone.utc).isoformat(timespec="seconds")
        if beside.get("url"):
            first = {"url": beside["url"], "fetched": beside.get("fetched")}
            file.record(**first, size=size, sha256=found, via=origin, copied=moment)
        else:
            file.record(url=origin, size=size, sha256=found, fetched=moment)
        Part(part).discard()
        return origin


def _check_room(files: Sequence[SourceFile], options: FetchOptions) -> None:
    """Before anything is asked for: the files whose sizes are known must fit."""
    wanted = [file for file in files if options.force or not file.present()]
    here = sum(Part(file.path.with_name(f"{file.name}.part")).size() for file in wanted)
    if known := sum(file.known_size or 0 for file in wanted):
        check_free(cache_folder("downloads"), max(0, known - here))


def _size(url: str) -> int | None:
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        return path.stat().st_size if path.is_file() else None
    return remote_size(url)
