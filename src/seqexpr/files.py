"""Write files that appear whole or not at all, checksum them, and let one process at a time do a thing."""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `target` that becomes `target` when the block ends well.

    The file is flushed to disk, then renamed, so readers see the old file or the new one, never a part. When
    the block raises, the temporary file is removed and `target` is left as it was.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    target = Path(target)
    handle, name = tempfile.mkstemp(prefix=temporary_prefix(target), suffix=".tmp", dir=target.parent or Path())
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(ordinary_mode(0o666))  # mkstemp makes files private; results are ordinary files
        temporary.replace(target)
        _fsync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def ordinary_mode(asked: int) -> int:
    """The permissions that a new file or folder gets when a program asks for `asked`."""
    return asked & ~_UMASK


def _read_umask() -> int:
    """It cannot be read without being set, so once, before there are threads that would make files meanwhile."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


_UMASK = _read_umask()


def temporary_prefix(target: Path) -> str:
    """How the name of a temporary file for `target` starts: hidden, and short enough for any file system."""
    return f".{target.name[:40]}."


def remove_leftovers(target: str | os.PathLike[str]) -> None:
    """Remove temporary files and folders for `target` that a killed process left behind.

    Only for whoever holds the lock of `target`: the temporary file of a process at work looks the same.
    """
    target = Path(target)
    for path in target.parent.glob(f"{glob.escape(temporary_prefix(target))}*"):
        if path.suffix in (".tmp", ".old") and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".tmp":
            path.unlink(missing_ok=True)


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _fsync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no handle on folders to flush
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
