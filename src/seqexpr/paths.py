"""Where seqexpr keeps what it may make again: downloads, datasets, weights, genome indices.

`SEQEXPR_CACHE` names the folder; else the platform's own cache folder. A home that is read-only or does not
exist is no error: a folder in the system's temporary directory takes its place, and a warning says so.
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import platformdirs

logger = logging.getLogger(__name__)


def cache_folder(name: str) -> Path:
    """The cache's subfolder `name` (`downloads`, `datasets`, `weights`, `genomes`), made when absent."""
    folder = _cache_root(os.environ.get("SEQEXPR_CACHE")) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached_path(name: str, *parts: str) -> Path:
    """Where a file or folder of the cache is, or is to be made.

    A cache that may only be read, such as one that a group shares, is read all the same; only what it lacks goes
    elsewhere.

    Args:
        name: the cache's subfolder, as of `cache_folder`.
        parts: the way from there.
    """
    chosen = _chosen_root(os.environ.get("SEQEXPR_CACHE")) / name
    there = chosen.joinpath(*parts)
    return there if there.exists() else cache_folder(name).joinpath(*parts)


def _chosen_root(chosen: str | None) -> Path:
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("seqexpr"))


@cache
def _cache_root(chosen: str | None) -> Path:
    root = _chosen_root(chosen)
    if _writable(root):
        return root
    fallback = _temporary_root()
    logger.warning("cache folder %s is not writable; using %s (set SEQEXPR_CACHE to choose)", root, fallback)
    return fallback


def _temporary_root() -> Path:
    """A folder of this user's own in the system's temporary directory, the same in each process if possible.

    Anybody may have made something of that name there. Only a real folder that belongs to this user and that nobody
    else may write to is used: weights and genomes are taken from it without further questions.
    """
    shared = Path(tempfile.gettempdir()) / f"seqexpr-cache-{_user()}"
    with suppress(OSError):
        with suppress(FileExistsError):
            shared.mkdir(mode=0o700)
        if _is_own(shared):
            return shared
    return Path(tempfile.mkdtemp(prefix="seqexpr-cache-"))  # the name is taken by somebody else


def _is_own(folder: Path) -> bool:
    found = folder.lstat()  # of a link itself, not of what it leads to
    if not stat.S_ISDIR(found.st_mode):
        return False
    return os.name == "nt" or (found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _user() -> str:
    try:
        return re.sub(r"[^\w.-]", "_", getpass.getuser())  # $USER may be any text, with slashes too
    except (KeyError, OSError, ImportError):  # a user id without an account, common in containers
        return str(os.getuid())
