"""One process at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


@contextmanager
def one_at_a_time(lock: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `lock`; where another process holds it, warn with `busy` and wait for its turn."""
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        logger.warning("%s", busy)
        held.acquire()
    try:
        yield
    finally:
        held.release()
