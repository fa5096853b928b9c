from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ..source_files import make_source_files


@pytest.fixture(scope="session")
def source_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all sources that the named tasks need, as SOURCE/FILE; made once, so leave them as they are."""
    return make_source_files(tmp_path_factory.mktemp("sources"))


@pytest.fixture
def fetched(source_files: Path, private_cache: Path) -> Path:
    """Those files as the cache's downloads, not yet recorded; the folder `downloads`."""
    return Path(shutil.copytree(source_files, private_cache / "downloads"))
