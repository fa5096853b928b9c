"""Public sources of data: what they are, where they come from, and what of them is on this machine.

The registry is `sources.toml`. A file of a source lies at `downloads/SOURCE/FILE` of the cache folder; beside
it `FILE.json` records its address, size and SHA-256 as they were at the first download.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from seqexpr.errors import MissingDataError, NetworkError, UsageError
from seqexpr.files import sha256_file, write_json
from seqexpr.own_files import maybe, read_json, record, text, whole
from seqexpr.paths import cached_path
from seqexpr.toml_files import packaged_toml


@dataclass(frozen=True)
class Address:
    """One place to get a file from."""

    url: str
    packed: Literal["gzip"] | None = None
    """How what arrives is packed, where the file itself is not."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    source: str
    name: str
    addresses: tuple[Address, ...]
    """In the order they are tried."""
    use: str
    """What it is for, in a few words."""
    size: int | None = None
    """Bytes, where known for certain."""
    sha256: str | None = None
    """64 hexadecimal digits, where known for certain."""
    about: int | None = None
    """Bytes, roughly, for people."""

    def __post_init__(self) -> None:
        for name in (self.source, self.name):
            if not name or name in (".", "..") or Path(name).name != name or "\\" in name:
                raise ValueError(f"{name!r} is no name of a source or file")

    @property
    def label(self) -> str:
        """The file's name among all sources: SOURCE/FILE."""
        return f"{self.source}/{self.name}"

    @property
    def path(self) -> Path:
        """Where the file lies once it is here."""
        return cached_path("downloads", self.source, self.name)

    @property
    def record_path(self) -> Path:
        """Where its address, size and checksum are recorded."""
        return self.path.with_name(f"{self.name}.json")

    @property
    def known_size(self) -> int | None:
        """Bytes, from the registry or this machine's record."""
        return self.size or self.recorded().get("size")

    @property
    def known_sha256(self) -> str | None:
        """The checksum that the file must have, from the registry or this machine's record; None: not known yet."""
        return self.sha256 or self.recorded().get("sha256")

    def present(self) -> bool:
        """Whether the file is here, whole: one that is still being downloaded is not."""
        return self.path.is_file()

    def recorded(self) -> dict[str, Any]:
        """What was recorded at the first download (sha256, size, url, fetched); empty when nothing was.

        Raises:
            InputError: the record is damaged: its checksum must not be forgotten in silence.
        """
        if not self.record_path.is_file():
            return {}
        expected = f"the record of a download; remove it, and run: seqexpr fetch {self.source} --force"
        record: dict[str, Any] = read_json(self.record_path, expected, RECORD)
        return record

    def record(self, **facts: Any) -> None:
        """Record facts about the file beside it, atomically."""
        write_json(self.record_path, facts)

    def check(self) -> str:
        """The SHA-256 of the file that is here, which must be the known one.

        Raises:
            NetworkError: it is another.
        """
        found, known = sha256_file(self.path), self.known_sha256
        if known and found != known:
            raise NetworkError(f"{self.path}: found SHA-256 {found}; expected {known}: it is damaged, or was replaced")
        return found

    def mismatch(self, found: str) -> str:
        """What to say of a checksum that is not the known one, of bytes that came from elsewhere."""
        if self.sha256:
            return f"found SHA-256 {found}; expected {self.sha256}"
        way_out = "if the source has changed and you want it as it is now, add --force"
        return f"found SHA-256 {found}; expected {self.known_sha256} as first recorded ({way_out})"


RECORD = record({}, {"size": maybe(whole(0)), "sha256": maybe(text), "url": maybe(text), "fetched": maybe(text)})


@dataclass(frozen=True)
class Source:
    """A public source: one or more files that belong together."""

    name: str
    title: str
    licence: str
    citation: str
    files: tuple[SourceFile, ...]

    @property
    def size(self) -> int | None:
        """Bytes of all files, from the registry or this machine's records; None when one is unknown."""
        sizes = [file.known_size for file in self.files]
        return sum(size for size in sizes if size) if all(sizes) else None

    @property
    def about(self) -> int | None:
        """Bytes of all files, roughly; None when one is unknown."""
        sizes = [file.known_size or file.about for file in self.files]
        return sum(size for size in sizes if size) if all(sizes) else None

    def present(self) -> bool:
        """Whether every file is here."""
        return all(file.present() for file in self.files)

    def file(self, name: str) -> Path:
        """The path of one of the source's files.

        Raises:
            MissingDataError: it is not here; the text names the command that gets it.
        """
        entry = next(file for file in self.files if file.name == name)
        if not entry.present():
            raise MissingDataError(f"{entry.label} is not here; run: seqexpr fetch {self.name}")
        return entry.path


@cache
def list_sources() -> tuple[Source, ...]:
    """All sources, in the registry's order."""
    return tuple(_source(name, entry) for name, entry in packaged_toml(__package__, "sources.toml").items())


def find_source(name: str) -> Source:
    """The source of that name.

    Raises:
        UsageError: there is none.
    """
    return resolve_sources([name], tasks={})[0]


def resolve_sources(names: Sequence[str], tasks: Mapping[str, Sequence[str]]) -> list[Source]:
    """The sources that names stand for, each once, in the order asked.

    Args:
        names: names of sources or of tasks.
        tasks: for each task name, the names of the sources it needs.

    Raises:
        UsageError: a name that is neither.
    """
    known = {source.name: source for source in list_sources()}
    chosen: dict[str, Source] = {}
    for name in names:
        if name not in known and name not in tasks:
            close = difflib.get_close_matches(name, [*known, *tasks], n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise UsageError(f"no source or task {name!r}; {hint}`seqexpr fetch --list` shows sources and tasks")
        for part in [name] if name in known else tasks[name]:
            chosen[part] = known[part]
    return list(chosen.values())


def _source(name: str, entry: dict[str, Any]) -> Source:
    files = tuple(
        SourceFile(
            name,
            file["name"],
            tuple(map(_address, file["urls"])),
            file["use"],
            file.get("size"),
            file.get("sha256"),
            file.get("about"),
        )
        for file in entry["files"]
    )
    return Source(name, entry["title"], entry["licence"], entry["citation"], files)


def _address(entry: str | dict[str, Any]) -> Address:
    """An address as the registry writes it: text, or a table with `url` and `packed`."""
    return Address(entry) if isinstance(entry, str) else Address(**entry)
