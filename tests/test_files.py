from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from seqexpr import files
from seqexpr.files import atomic_path, remove_leftovers, sha256_file, write_json


def test_a_file_appears_whole_with_ordinary_permissions(tmp_path):
    with atomic_path(tmp_path / "result.txt") as temporary:
        temporary.write_text("done")
        assert not (tmp_path / "result.txt").exists()
    assert (tmp_path / "result.txt").read_text() == "done"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "result.txt").stat().st_mode) == 0o666 & ~umask
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_what_was_there(tmp_path, error):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(type(error)), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"]


@pytest.mark.parametrize("step", ["open", "close", "fsync", "replace"])
def test_a_signal_at_any_step_leaves_no_temporary_file(tmp_path, monkeypatch, step):
    """SIGTERM and Ctrl-C raise between any two steps: also just after the file was made."""
    owner = Path if step == "replace" else os
    real = getattr(owner, step)

    def interrupted(*arguments, **options):
        real(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, interrupted)
        with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "result.txt") as temporary:
            temporary.touch()
    assert [path.name for path in tmp_path.iterdir() if path.name != "result.txt"] == []


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent/x'$"), atomic_path(tmp_path / "absent" / "x"):
        raise AssertionError("the block must not run")


def test_json_keeps_letters_of_other_scripts(tmp_path):
    write_json(tmp_path / "x.json", {"name": "Žofie"})
    assert "Žofie" in (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"name": "Žofie"}


def test_sha256_of_a_file_longer_than_a_block(tmp_path):
    content = b"ACGT" * 500_000
    (tmp_path / "x").write_bytes(content)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_leftovers_of_a_killed_process_are_removed(tmp_path) -> None:
    for name in (".set.ab.tmp", ".set.cd.old", ".set2.ab.tmp", ".other.ab.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_text("x")
    for name in (".set.ef.tmp", ".set.lock", "set.tmp"):
        (tmp_path / name).write_text("x")
    remove_leftovers(tmp_path / "set")
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [".other.ab.tmp", ".set.lock", ".set2.ab.tmp", "set.tmp"]


def _folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "manifest.json").write_text(content)
    return path


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    target = _folder(tmp_path / "ds", "old")
    files.replace_folder(_folder(tmp_path / ".ds.abcdefgh.tmp", "new"), target)
    assert (target / "manifest.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["ds"]


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    target = _folder(tmp_path / "ds", "old")
    new = _folder(tmp_path / ".ds.abcdefgh.tmp", "new")
    _folder(tmp_path / ".ds.more.abcdefgh.old", "another dataset's")
    target.rename(new.with_suffix(".old"))  # and here the process is killed
    assert files.recover_folder(target)
    assert (target / "manifest.json").read_text() == "old"
    assert not files.recover_folder(target)
    files.remove_abandoned(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ds.more.abcdefgh.old", "ds"]


def test_a_folder_in_work_is_not_abandoned(tmp_path: Path) -> None:
    busy = _folder(tmp_path / ".ds.abcdefgh.tmp", "half")
    with files.held_folder(busy):
        files.remove_abandoned(tmp_path / "ds")
        assert busy.exists()


def test_a_failure_of_the_second_rename_puts_the_old_one_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    target = _folder(tmp_path / "ds", "old")
    with pytest.raises(FileNotFoundError):
        files.replace_folder(tmp_path / ".ds.abcdefgh.tmp", target)
    assert (target / "manifest.json").read_text() == "old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_names_the_file(tmp_path: Path, number: int) -> None:
    with pytest.raises(OSError, match="result") as caught, atomic_path(tmp_path / "result.txt") as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))
    assert caught.value.filename == str(tmp_path / "result.txt")


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "f.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
