"""Write files that appear whole or not at all, checksum them, and let one process at a time do a thing."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqexpr.errors import UsageError

logger = logging.getLogger(__name__)

DISK_ERRORS = (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC))
"""Errors of a disk that is full, broken or not to be written, and of a limit on the size of files."""


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `target` that becomes `target` when the block ends well.

    The file is flushed to disk, then renamed, so readers see the old file or the new one, never a part. When
    the block raises, the temporary file is removed and `target` is left as it was.

    Raises:
        OSError: the folder cannot be written, or the disk is full; its `filename` is then `target`.
    """
    target = Path(target)
    temporary = temporary_path(target)  # the name before the file: whatever signal comes, it is known what to remove
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(ordinary_mode(0o666))  # private so far; results are ordinary files
        temporary.replace(target)
        _fsync_folder(target.parent)
    except OSError as error:
        unnamed = error.filename is None and error.errno in DISK_ERRORS
        if unnamed or str(error.filename) == str(temporary):
            error.filename = str(target)  # a full disk does not say by itself which file it stopped
        raise
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


def temporary_path(target: Path) -> Path:
    """A name beside `target` that nobody has, for what is to take its place."""
    return target.with_name(f"{temporary_prefix(target)}{uuid.uuid4().hex}.tmp")


def temporary_prefix(target: Path) -> str:
    """How the name of a temporary file for `target` starts: hidden, and short enough for any file system."""
    return f".{target.name[:_KEPT_OF_NAME]}."


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` in the place of `target`, so that at any moment one of the two, whole, is there.

    Where the system can exchange two folders, that is one step. Elsewhere the old one first goes aside, and a process
    that is killed just then leaves it there; `recover_folder` puts it back.

    Args:
        new: a folder beside `target`, with a name of `temporary_path`. It is gone
            afterwards, and the old folder with it.
        target: a folder that may be absent.

    Raises:
        OSError: the place cannot be written; `target` is then as it was.
    """
    if not target.exists():
        new.rename(target)
        return
    if _exchange(new, target):
        shutil.rmtree(new, ignore_errors=True)
        return
    old = new.with_suffix(_ASIDE)
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        if not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(target: str | os.PathLike[str]) -> bool:
    """Put a folder with a manifest back that a killed process had moved aside to replace it; whether there was one."""
    target = Path(target)
    if target.exists() or target.is_symlink() or len(target.name) > _KEPT_OF_NAME:  # else it may be another's
        return False
    aside = [path for path in _leftovers(target, _ASIDE) if (path / "manifest.json").is_file()]
    if not aside:
        return False
    try:
        max(aside, key=lambda path: path.stat().st_mtime_ns).rename(target)
    except OSError:  # another process was first, or the place may only be read
        return target.exists()
    logger.warning("%s was being replaced by a process that was killed; the old one is put back", target)
    return True


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Mark a temporary folder as one that a living process works in, for `remove_abandoned`."""
    handle = _lock_folder(folder)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def remove_abandoned(target: str | os.PathLike[str]) -> None:
    """Remove temporary folders for `target` that no living process holds (`held_folder`)."""
    for path in [*_leftovers(Path(target), ".tmp"), *_leftovers(Path(target), _ASIDE)]:
        if path.is_dir() and (handle := _lock_folder(path)) is not None:
            try:
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _lock_folder(folder: Path) -> int | None:
    """A handle that holds the folder; None where another process has it, or the system has no such locks."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _leftovers(target: Path, suffix: str) -> list[Path]:
    """Temporary files and folders for just this target."""
    named = re.compile(re.escape(temporary_prefix(target)) + r"[a-z0-9_]+" + re.escape(suffix))
    try:
        return [path for path in target.parent.iterdir() if named.fullmatch(path.name)]
    except OSError:
        return []


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system or the file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        failed = renameat2(_CURRENT_FOLDER, os.fsencode(one), _CURRENT_FOLDER, os.fsencode(other), _RENAME_EXCHANGE)
    except (OSError, AttributeError, TypeError):  # no such function: not Linux, or an old one
        return False
    return failed == 0


_ASIDE = ".old"
_KEPT_OF_NAME = 40
_CURRENT_FOLDER, _RENAME_EXCHANGE = -100, 2  # of Linux's renameat2


def remove_leftovers(target: str | os.PathLike[str]) -> None:
    """Remove temporary files and folders for `target` that a killed process left behind.

    Only for whoever holds the lock of `target`: the temporary file of a process at work looks the same. A folder that
    was moved aside and never replaced is put back.
    """
    target = Path(target)
    recover_folder(target)
    for path in [*_leftovers(target, ".tmp"), *_leftovers(target, _ASIDE)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".tmp":
            path.unlink(missing_ok=True)


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically.

    Raises:
        ValueError: a number in it is NaN or infinite, which JSON does not have.
        OSError: as `atomic_path`.
    """
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


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


@contextmanager
def alone(lock: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `lock`.

    Raises:
        UsageError: another process holds it; `busy` says so.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise UsageError(busy) from None
    try:
        yield
    finally:
        held.release()
