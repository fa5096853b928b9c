"""Bring one file of a source into the cache, from wherever the options say, checked, whole and recorded.

Every way to get a file has a growing file of its own, so that trying another way never costs what one has brought:
`FILE.part` for the first address, `FILE.2.part` for the second and so on, `FILE.copy.part`, `FILE.unpacked.part`.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from seqexpr.errors import MissingDataError, NetworkError, UsageError
from seqexpr.files import atomic_path, one_at_a_time, remove_leftovers, sha256_file
from seqexpr.sources.disk_space import DiskError, DiskRoom, check_free
from seqexpr.sources.download import Part, Patience, download
from seqexpr.sources.http_status import TryAgain
from seqexpr.sources.integrity import check_whole, unpack_gzip
from seqexpr.sources.mirrors import Mirror, copy_file
from seqexpr.sources.registry import Address, SourceFile

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
        if self.mirror is not None and not _is_address(self.mirror):
            raise UsageError(f"--mirror: found {self.mirror!r}; expected an address of http://, https:// or file:///")
        if self.jobs < 1:
            raise UsageError(f"--jobs {self.jobs}: must be at least 1")

    def addresses(self, file: SourceFile) -> tuple[Address, ...]:
        """Where on the network, or behind file:, to look for a file, in order."""
        if self.mirror is not None:
            return (Address(f"{self.mirror.rstrip('/')}/{quote(file.source)}/{quote(file.name)}"),)
        return file.addresses


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # "http://[::1"
        return False
    if text.startswith("file:"):
        return parts.netloc in ("", "localhost") and parts.path.startswith("/")
    return text.startswith(("http://", "https://")) and bool(parts.netloc)


logger = logging.getLogger(__name__)

Watch = Callable[[SourceFile, int, int | None], None]
"""Called as a file grows: the file, the bytes that are here, the bytes there will be (None while unknown)."""

_LARGE = 100 << 20  # bytes from which a check takes seconds


class Stopped(Exception):
    """Nobody waits for the file any more."""


@dataclass
class FileFetcher:
    """Fetches files one by one; shared by the threads of one call of `fetch`."""

    options: FetchOptions
    watch: Watch
    room: DiskRoom = field(default_factory=DiskRoom)
    stop: Event = field(default_factory=Event)
    """Once set, whatever is under way ends with `Stopped`; what is there is kept."""

    def fetch(self, file: SourceFile) -> str | None:
        """Make sure of one file.

        Returns:
            The address that it came from; None when it was here.

        Raises:
            MissingDataError: it is neither here nor where the options allow to look.
            NetworkError: it cannot be had, or is not the one that was recorded.
            UsageError: httpx is not installed.
            OSError: the cache cannot be written.
            Stopped: see `stop`.
        """
        if self._is_kept(file):
            return None
        if not file.present() and self.options.origin is None and self.options.offline and not self._local(file):
            raise MissingDataError(
                f"{file.label} is not here, and --offline forbids the network; run `seqexpr fetch {file.source}` "
                "without it, or with --from FOLDER"
            )
        file.path.parent.mkdir(parents=True, exist_ok=True)
        lock = file.path.with_name(f".{file.name}.lock")
        with one_at_a_time(lock, f"{file.label} is being fetched by another process; waiting for it"):
            if self._is_kept(file):  # another process got it while this one waited
                return None
            if self._is_kept_unrecorded(file):
                return None
            for beside in ("", ".json", ".part", ".part.json"):
                remove_leftovers(file.path.with_name(f"{file.path.name}{beside}"))
            return self._get(file)

    def _is_kept(self, file: SourceFile) -> bool:
        """Whether the file is here and the recorded one.

        Raises:
            NetworkError: it is another, and --offline forbids to get it again.
        """
        if self.options.force or not file.present():
            return False
        if not file.recorded():
            return not os.access(file.path.parent, os.W_OK)  # a shared cache that only its owner writes to
        try:
            file.check()
        except NetworkError as problem:
            if self.options.offline and self.options.origin is None and not self._local(file):
                raise
            logger.warning("%s; getting it again", problem)
            return False
        return True

    def _is_kept_unrecorded(self, file: SourceFile) -> bool:
        """Record a file that the user put there, or whose record a kill prevented. Only under the lock."""
        if self.options.force or not file.present() or file.recorded():
            return False
        try:
            found = file.check()
        except NetworkError as problem:  # of a checksum in the registry
            logger.warning("%s; getting it again", problem)
            return False
        file.record(url=None, size=file.path.stat().st_size, sha256=found, fetched=None)
        return True

    def _local(self, file: SourceFile) -> bool:
        return all(address.url.startswith("file:") for address in self.options.addresses(file))

    def _get(self, file: SourceFile) -> str:
        if self.options.origin is not None:
            mirror, part = Mirror(self.options.origin), growing(file, "copy")
            if file.size is not None:
                _expect_size(str(self.options.origin), file, mirror.find(file)[1])
            with _nothing_left_of(part):
                origin = mirror.copy(file, part, self._growth(file), self.room)
                self._check_copy(origin, part)
            return self._accept(file, part, origin, mirror.record(file))
        failures: list[str] = []
        for number, address in enumerate(self.options.addresses(file), start=1):
            if failures:
                logger.warning("%s; trying %s", failures[-1], address.url)
            try:
                return self._accept(file, self._arrive(file, address, number), address.url)
            except DiskError:
                raise
            except NetworkError as failure:
                failures.append(str(failure))
        raise NetworkError("; then ".join(failures))

    def _arrive(self, file: SourceFile, address: Address, number: int) -> Path:
        """Bring the bytes of one address, unpacked and whole; return where they are."""
        if address.url.startswith("file:"):
            part = growing(file, "copy")
            with _nothing_left_of(part):
                copy_file(Path(url2pathname(urlsplit(address.url).path)), part, self._growth(file), self.room)
                self._check_copy(address.url, part)
            return part
        part, unpacked = growing(file, "" if number == 1 else str(number)), growing(file, "unpacked")

        def check(arrived: Path) -> None:
            if arrived.stat().st_size > _LARGE:
                logger.info("%s: has arrived; checking it", file.label)
            check_whole(address.url, arrived, self._tick)
            if address.packed:
                with _nothing_left_of(unpacked):
                    unpack_gzip(arrived, unpacked, lambda done: self._unpacked(address, file, done))
                    check_whole(address.url, unpacked, self._tick)

        download(
            address.url,
            part,
            size=None if address.packed else file.size,
            decoded=not (address.packed or file.name.endswith(".gz")),
            progress=self._growth(file),
            check=check,
            patience=self.options.patience,
            room=self.room,
        )
        return unpacked if address.packed else part

    def _check_copy(self, origin: str, part: Path) -> None:
        try:
            check_whole(origin, part, self._tick)
        except TryAgain as failure:  # a copy does not get better by waiting
            raise NetworkError(f"{origin}: {failure}") from None

    def _growth(self, file: SourceFile) -> Callable[[int, int | None], None]:
        def grown(done: int, total: int | None) -> None:
            self._tick()
            self.watch(file, done, total)

        return grown

    def _unpacked(self, address: Address, file: SourceFile, done: int) -> None:
        self._tick()
        check_free(file.path.parent, 0)
        if done > (file.size or done):
            raise NetworkError(f"{address.url}: unpacks to more than the {file.size:,} bytes of {file.label}")

    def _tick(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _accept(self, file: SourceFile, part: Path, origin: str, beside: dict[str, Any] | None = None) -> str:
        """Check the whole file, put it in its place and record it.

        At any moment of this, the file in place is whole, and its record is its own or absent. A record `beside` the
        file, where it was copied from, must be the file's too; it tells where that copy came from.
        """
        with _nothing_left_of(part):
            _expect_size(origin, file, part.stat().st_size)
        found, beside = sha256_file(part), beside or {}
        known = file.sha256 if self.options.force else file.known_sha256
        if known and found != known:
            Part(part).discard()
            raise NetworkError(f"{origin}: {file.mismatch(found)}")
        if beside.get("sha256") not in (None, found):
            Part(part).discard()
            recorded = f"found SHA-256 {found}; expected {beside['sha256']}, as recorded beside it"
            raise NetworkError(f"{origin}: {recorded}; the copy is damaged, or of another version than its record")
        facts: dict[str, Any] = {"size": part.stat().st_size, "sha256": found}
        moment = datetime.now(timezone.utc).isoformat(timespec="seconds")
        if beside.get("url"):
            facts |= {"url": beside["url"], "fetched": beside.get("fetched"), "via": origin, "copied": moment}
        else:
            facts |= {"url": origin, "fetched": moment}
        if file.recorded().get("sha256") not in (None, found):
            file.record_path.unlink(missing_ok=True)
        with atomic_path(file.path) as temporary:
            part.replace(temporary)
        file.record(**facts)
        for left in parts_of(file):
            left.unlink(missing_ok=True)
        return origin


@contextmanager
def _nothing_left_of(part: Path) -> Iterator[None]:
    """Remove `part` where the block fails on what is in it: half of a copy is of no use."""
    try:
        yield
    except (NetworkError, TryAgain):
        Part(part).discard()
        raise


def _expect_size(origin: str, file: SourceFile, size: int) -> None:
    """Pass a file of the registry's size, where it has one.

    Raises:
        NetworkError: it has another size.
    """
    if file.size not in (None, size):
        raise NetworkError(f"{origin}: found {size:,} bytes; expected {file.size:,} of {file.label}")


def growing(file: SourceFile, way: str = "") -> Path:
    """The file that grows while a file is got in some way."""
    return file.path.with_name(".".join(filter(None, (file.name, way, "part"))))


def parts_of(file: SourceFile) -> list[Path]:
    """All growing files of a file, and the notes beside them."""
    endings = (".part", ".part.json", ".*.part", ".*.part.json")
    return [path for ending in endings for path in file.path.parent.glob(glob.escape(file.name) + ending)]
