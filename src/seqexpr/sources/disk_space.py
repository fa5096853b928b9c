"""Free space: what several downloads will need together, asked before they fill the disk."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seqexpr.errors import NetworkError


class DiskError(NetworkError):
    """What stops a download on this machine: no other address would help, and what is there is kept."""


SPARE_BYTES = 64 << 20
"""What must stay free."""


class DiskRoom:
    """The space that files on the way to one disk still need. For several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needs: dict[Path, int] = {}

    @contextmanager
    def claim(self, path: Path, needed: int) -> Iterator[Callable[[int], None]]:
        """Set aside `needed` bytes for the file `path`; the function yielded says how much is still needed.

        Raises:
            DiskError: all that is on its way does not fit.
        """
        with self._lock:
            total = max(0, needed) + sum(self._needs.values())
            check_free(path.parent, total)
            self._needs[path] = max(0, needed)
        try:
            yield lambda rest: self._needs.__setitem__(path, max(0, rest))
        finally:
            with self._lock:
                del self._needs[path]


def check_free(folder: Path, needed: int) -> None:
    """Check that `needed` bytes and the spare ones fit on the folder's disk.

    Raises:
        DiskError: they do not.
    """
    free, needed = shutil.disk_usage(folder).free, needed + SPARE_BYTES
    if free < needed:
        raise DiskError(
            f"{folder}: found {free / 1e9:.2f} GB free; expected {needed / 1e9:.2f} GB "
            "(SEQEXPR_CACHE chooses another folder)"
        )
