"""Where seqexpr keeps what it may make again: downloads, datasets, weights, genome indices.

`SEQEXPR_CACHE` names the folder; else the platform's own cache folder. A home that is read-only or does not
exist is no error: a folder in the system's temporary directory takes its place, and a warning says so.
"""

from __future__ import annotations

import getpass
import logging
import os
import tempfile
from functools import cache
from pathlib import Path

import platformdirs

logger = logging.getLogger(__name__)


def cache_folder(name: str) -> Path:
    """The cache's subfolder `name` (`downloads`, `datasets`, `weights`, `genomes`), made when absent."""
    folder = _cache_root(os.environ.get("SEQEXPR_CACHE")) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def _cache_root(chosen: str | None) -> Path:
    root = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("seqexpr"))
    if _writable(root):
        return root
    fallback = _temporary_root()
    logger.warning("cache folder %s is not writable; using %s (set SEQEXPR_CACHE to choose)", root, fallback)
    return fallback


def _temporary_root() -> Path:
    """A folder of this user's own in the system's temporary directory, the same in each process if possible."""
    shared = Path(tempfile.gettempdir()) / f"seqexpr-cache-{_user()}"
    try:
        shared.mkdir(mode=0o700, exist_ok=True)
        if os.name == "nt" or shared.stat().st_uid == os.getuid():
            return shared
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="seqexpr-cache-"))  # the name is taken by somebody else


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user id without an account, common in containers
        return str(os.getuid())
