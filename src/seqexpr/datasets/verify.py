"""Are the files of the cache still the ones that were fetched? Reads and tells; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from seqexpr.datasets.file_fetch import parts_of
from seqexpr.datasets.sources import Source, SourceFile
from seqexpr.files import sha256_file

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
