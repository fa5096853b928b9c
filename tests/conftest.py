"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from .browser import Browser, Tab

# Set before any test module imports torch, and inherited by the commands that tests start: several test
# processes share the machine, and one thread each is both faster and reproducible.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Else `train` and `cv` look at how busy the machine is, and say so in a line that no test expects.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

settings.register_profile("seqexpr", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("seqexpr")

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a cache folder of its own, so none sees another's indices or downloads."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SEQEXPR_CACHE", str(folder))
    return folder


@pytest.fixture
def shared_data() -> Path:
    """The folder of real development data; the test is skipped where it is absent."""
    if not _SHARED_DATA.is_dir():
        pytest.skip("the real development data are not here")
    return _SHARED_DATA


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless browser; tests that need one are skipped where none is installed or it does not start."""
    from .browser import NAMES, Browser, BrowserError, find_browser

    program = find_browser()
    if program is None:
        pytest.skip(f"no browser that tests can drive is installed (none of {', '.join(NAMES)})")
    try:
        started = Browser(program, tmp_path_factory.mktemp("browser"))
    except BrowserError as problem:
        pytest.skip(str(problem))
    yield started
    started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Shows files in the browser; none of them may complain, nor ask for anything but itself."""
    shown: list[tuple[Tab, str]] = []

    def check() -> None:
        while shown:
            tab, address = shown.pop()
            others = [asked for asked in tab.requests if not asked.startswith("data:")]
            assert (tab.faults, others) == ([], [address])

    def open_one(page: Path, **window: Any) -> Tab:
        check()
        tab = browser.open(page, **window)
        shown.append((tab, page.as_uri()))
        return tab

    yield open_one
    check()


@pytest.fixture(scope="session")
def source_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all sources that the named tasks need, as SOURCE/FILE; made once, so leave them as they are."""
    from .source_files import make_source_files

    return make_source_files(tmp_path_factory.mktemp("sources"))


@pytest.fixture
def fetched(source_files: Path, private_cache: Path) -> Path:
    """Those files as the cache's downloads, not yet recorded; the folder `downloads`."""
    return Path(shutil.copytree(source_files, private_cache / "downloads"))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Give gzip files one name in all test processes, because their bytes hold the time at which each made them."""
    return "gzip" if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None
