"""Where files of sources may come from, and how hard to try."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from seqexpr.datasets.download import Patience
from seqexpr.datasets.sources import Address, SourceFile
from seqexpr.errors import UsageError

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
