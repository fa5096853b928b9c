from __future__ import annotations

import hashlib
from pathlib import Path

from seqexpr.sources.fetch import verify
from seqexpr.sources.registry import Source, SourceFile


def test_every_state(private_cache: Path) -> None:
    names = ("whole", "changed", "unknown", "begun", "absent", "known")
    known = hashlib.sha256(b"known").hexdigest()
    files = [SourceFile("made-up", name, (), "tests", sha256=known if name == "known" else None) for name in names]
    folder = files[0].path.parent
    folder.mkdir(parents=True)
    for file in files[:2]:
        file.path.write_bytes(b"content")
        file.record(sha256=hashlib.sha256(b"content").hexdigest())
    files[1].path.write_bytes(b"other")
    files[2].path.write_bytes(b"content")
    (folder / "begun.part").write_bytes(b"con")
    files[5].path.write_bytes(b"known")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    found = list(verify([Source("made-up", "", "", "", tuple(files))]))
    assert [item.state for item in found] == ["ok", "changed", "no record", "part", "absent", "ok"]
    assert found[1].found == hashlib.sha256(b"other").hexdigest()
    assert found[1].expected == hashlib.sha256(b"content").hexdigest()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
