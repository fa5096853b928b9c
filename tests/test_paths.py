from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from seqexpr import paths
from seqexpr.paths import _cache_root, cache_folder, cached_path


def test_the_environment_names_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQEXPR_CACHE", str(tmp_path / "own"))
    assert cache_folder("weights") == tmp_path / "own" / "weights"
    assert (tmp_path / "own" / "weights").is_dir()


def test_a_place_that_cannot_be_written_is_replaced_and_said(monkeypatch, tmp_path, caplog):
    """A file where the folder should be refuses even the superuser, as a read-only home refuses others."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEQEXPR_CACHE", str(tmp_path / "file" / "cache"))
    _cache_root.cache_clear()
    folder = cache_folder("weights")
    assert folder.is_dir()
    assert Path(tempfile.gettempdir()) in folder.parents
    assert "is not writable" in caplog.text
    assert "SEQEXPR_CACHE" in caplog.text


def test_a_folder_of_somebody_else_is_not_used(monkeypatch, tmp_path):
    """Whoever could write into the cache could hand out weights and datasets of their own."""
    import os

    import seqexpr.paths as paths

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first = paths._temporary_root()
    assert first == paths._temporary_root()
    monkeypatch.setattr(os, "getuid", lambda: first.stat().st_uid + 1)
    other = paths._temporary_root()
    assert other != first
    assert other.parent == tmp_path


def test_a_cache_that_may_only_be_read_is_read(monkeypatch, tmp_path, caplog):
    import seqexpr.paths as paths

    shared = tmp_path / "shared"
    (shared / "datasets" / "lung").mkdir(parents=True)
    monkeypatch.setenv("SEQEXPR_CACHE", str(shared))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(paths, "_writable", lambda folder: folder != shared)
    _cache_root.cache_clear()
    assert cached_path("datasets", "lung") == shared / "datasets" / "lung"
    made = cached_path("datasets", "glio")
    assert made.parent.is_dir() and shared not in made.parents
    assert caplog.text.count("is not writable") == 1
    _cache_root.cache_clear()


@pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")
@pytest.mark.parametrize("trap", ["link", "open to all", "a file"])
def test_a_fallback_that_others_can_fill_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    """Anybody may have made something of that name in the temporary directory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(paths, "_user", lambda: "me")
    shared = tmp_path / "seqexpr-cache-me"
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    if trap == "link":
        shared.symlink_to(victim)
    elif trap == "a file":
        shared.write_text("")
    else:
        shared.mkdir()
        shared.chmod(0o777)
    chosen = paths._temporary_root()
    assert chosen != shared and chosen.parent == tmp_path
    assert chosen.stat().st_mode & 0o077 == 0
    assert not list(victim.iterdir())
    shared.unlink() if shared.is_symlink() or shared.is_file() else shared.rmdir()
    assert paths._temporary_root() == shared == paths._temporary_root()
