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
    fallback = Path(tempfile.gettempdir()) / f"seqexpr-cache-{getpass.getuser() if _has_user() else os.getuid()}"
    logger.warning("cache folder %s is not writable; using %s (set SEQEXPR_CACHE to choose)", root, fallback)
    return fallback


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _has_user() -> bool:
    try:
        return bool(getpass.getuser())
    except (KeyError, OSError, ImportError):  # a user id without an account, common in containers
        return False
