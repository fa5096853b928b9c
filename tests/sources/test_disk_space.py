from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqexpr.errors import NetworkError
from seqexpr.sources.disk_space import SPARE_BYTES, DiskRoom, check_free


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    disk = SimpleNamespace(free=SPARE_BYTES + 1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    return disk


def test_files_on_their_way_must_fit_together(tmp_path: Path, free: SimpleNamespace) -> None:
    room = DiskRoom()
    with room.claim(tmp_path / "a", 600) as shrink:
        with (
            pytest.raises(NetworkError, match=r"GB free; expected 0\.07 GB \(SEQEXPR_CACHE"),
            room.claim(tmp_path / "b", 600),
        ):
            pass
        free.free -= 300
        shrink(300)  # a has arrived by half: 300 more are to come, 700 are free
        with room.claim(tmp_path / "b", 400):
            pass
        with pytest.raises(NetworkError), room.claim(tmp_path / "b", 401):
            pass
    with room.claim(tmp_path / "b", 700):  # a is done
        pass


def test_the_spare_bytes_stay_free(tmp_path: Path, free: SimpleNamespace) -> None:
    check_free(tmp_path, 1_000)
    with pytest.raises(NetworkError, match=str(tmp_path)):
        check_free(tmp_path, 1_001)
