from __future__ import annotations

import hashlib
import json
import os
import stat

import pytest

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


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "absent" / "x"):
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
