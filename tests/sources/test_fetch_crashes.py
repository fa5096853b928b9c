"""A process that dies at any of its file operations leaves a file that is whole, with a record of its own or none."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqexpr.sources.fetch import fetch
from seqexpr.sources.file_fetch import FetchOptions
from seqexpr.sources.registry import Source, SourceFile

OLD, NEW = b"the old version", b"the new version, which is longer"
WHAT = Source("made-up", "", "", "", (SourceFile("made-up", "file.bin", (), "tests"),))
_OPERATIONS = ("open", "os.remove", "os.rename", "os.chmod")


def crash_at_every_operation(mirror: str) -> None:
    """In a process without threads: for each n, a child that takes NEW by force and dies before its n-th operation."""
    for number in range(1, 1_000):
        _put(OLD)
        child = os.fork()
        if child == 0:
            _die_before(number)
            results = list(fetch([WHAT], FetchOptions(mirror=mirror, force=True)))
            os._exit(0 if results[0].failure is None else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        file = WHAT.files[0]
        found, record = file.path.read_bytes(), file.recorded().get("sha256")
        assert found in (OLD, NEW), (number, found)
        assert record in (None, hashlib.sha256(found).hexdigest()), (number, found, record)
        (after,) = fetch([WHAT], FetchOptions(offline=True))
        assert after.failure is None and file.recorded()["sha256"] == hashlib.sha256(found).hexdigest(), number
        (again,) = fetch([WHAT], FetchOptions(mirror=mirror, force=True))
        assert again.failure is None and file.path.read_bytes() == NEW, number
        left = {path.name for path in file.path.parent.iterdir() if not path.name.endswith(".lock")}
        assert left == {"file.bin", "file.bin.json"}, (number, left)
        if code == 0:  # it had fewer operations than that
            print(number - 1)
            return
        assert code == 9, (number, code)


def _put(content: bytes) -> None:
    file = WHAT.files[0]
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.path.write_bytes(content)
    file.record(url="https://first", size=len(content), sha256=hashlib.sha256(content).hexdigest(), fetched="then")


def _die_before(number: int) -> None:
    folder, seen = str(WHAT.files[0].path.parent), 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in _OPERATIONS and str(arguments[0]).startswith(folder):
            seen += 1
            if seen == number:
                os._exit(9)  # as kill -9: nothing is cleaned up

    sys.addaudithook(hook)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_crash_at_every_file_operation(tmp_path: Path, private_cache: Path) -> None:
    (tmp_path / "made-up").mkdir()
    (tmp_path / "made-up" / "file.bin").write_bytes(NEW)
    code = f"from {__name__} import crash_at_every_operation; crash_at_every_operation({tmp_path.as_uri()!r})"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10  # copy, remove and rename, each seen
