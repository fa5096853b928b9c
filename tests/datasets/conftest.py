from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def fetched(source_files: Path, private_cache: Path) -> Path:
    """Those files as the cache's downloads, not yet recorded; the folder `downloads`."""
    return Path(shutil.copytree(source_files, private_cache / "downloads"))
