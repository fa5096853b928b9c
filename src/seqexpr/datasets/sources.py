"""Public sources of data: what they are, where they come from, and what of them is on this machine.

The registry is `sources.toml`. A file of a source lies at `downloads/SOURCE/FILE` of the cache folder; beside
it `FILE.json` records its address, size and SHA-256 as they were at the first download.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from seqexpr.errors import MissingDataError, UsageError
from seqexpr.files import write_json
from seqexpr.paths import cache_folder
from seqexpr.toml_files import packaged_toml


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    source: str
    name: str
    urls: tuple[str, ...]
    """Addresses in the order they are tried."""
    size: int | None = None
    """Bytes, where known for certain."""
    sha256: str | None = None
    """64 hexadecimal digits, where known for certain."""

    @property
    def label(self) -> str:
        """The file's name among all sources: SOURCE/FILE."""
        return f"{self.source}/{self.name}"

    @property
    def path(self) -> Path:
        """Where the file lies once it is here."""
        return cache_folder("downloads") / self.source / self.name

    @property
    def record_path(self) -> Path:
        """Where its address, size and checksum are recorded."""
        return self.path.with_name(f"{self.name}.json")

    def present(self) -> bool:
        """Whether the file is here, whole: one that is still being downloaded is not."""
        return self.path.is_file()

    def recorded(self) -> dict[str, Any]:
        """What was recorded at the first download (sha256, size, url, fetched); empty when nothing was."""
        try:
            record = json.loads(self.record_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def record(self, **facts: Any) -> None:
        """Record facts about the file beside it, atomically."""
        write_json(self.record_path, facts)


@dataclass(frozen=True)
class Source:
    """A public source: one or more files that belong together."""

    name: str
    title: str
    licence: str
    citation: str
    files: tuple[SourceFile, ...]
    about: str = ""
    """A rough size for people, where the exact one is not known."""

    @property
    def size(self) -> int | None:
        """Bytes of all files, from the registry or this machine's records; None when one is unknown."""
        sizes = [file.size or file.recorded().get("size") for file in self.files]
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


def resolve_sources(names: Sequence[str], tasks: dict[str, Sequence[str]]) -> list[Source]:
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
            raise UsageError(f"no source or task {name!r}; {hint}`seqexpr fetch --list` shows the sources there are")
        for part in [name] if name in known else tasks[name]:
            chosen[part] = known[part]
    return list(chosen.values())


def _source(name: str, entry: dict[str, Any]) -> Source:
    files = tuple(
        SourceFile(name, file["name"], tuple(file["urls"]), file.get("size"), file.get("sha256"))
        for file in entry["files"]
    )
    return Source(name, entry["title"], entry["licence"], entry["citation"], files, entry.get("about", ""))
