from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from seqexpr.inputs import expected
from seqexpr.inputs.expected import Expected, expected_records


def written(path: Path, records: int, length: int = 200) -> bytes:
    letters = random.Random(0)
    text = "".join(f">g{number} x>y\n{''.join(letters.choices('ACGT', k=length))}\n" for number in range(records))
    path.write_bytes(text.encode())
    return text.encode()


def test_small_files_are_counted(tmp_path: Path) -> None:
    text = written(tmp_path / "a.fa", 321)
    assert expected_records(tmp_path / "a.fa") == Expected(321, exact=True)
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(text))
    assert expected_records(tmp_path / "a.fa.gz") == Expected(321, exact=True)
    cut = text.index(b">g200 ")  # as bgzip does, a member may begin anywhere
    members = (text[: cut - 1], text[cut - 1 : cut], text[cut : cut + 1], text[cut + 1 :])
    (tmp_path / "members.gz").write_bytes(b"".join(map(gzip.compress, members)))
    assert expected_records(tmp_path / "members.gz") == Expected(321, exact=True)


def test_the_rest_of_a_large_file_is_taken_to_be_like_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected, "_PLAIN_HEAD", 30_000)
    monkeypatch.setattr(expected, "_PACKED_HEAD", 20_000)
    text = written(tmp_path / "a.fa", 5000)
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(text))
    for name in ("a.fa", "a.fa.gz"):
        found = expected_records(tmp_path / name)
        assert found is not None and not found.exact
        assert found.records == pytest.approx(5000, rel=0.05)


def test_a_small_file_that_unpacks_to_much_is_not_unpacked_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected, "_TEXT", 1 << 20)
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(b">a\n" + b"A" * (64 << 20)))
    found = expected_records(tmp_path / "a.fa.gz")
    assert found is not None and not found.exact


def test_what_cannot_be_counted(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b\x08hello, this is no gzip")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b">a\nACGT\n")[:8])
    for name in ("absent", "empty", "bad.gz", "cut.gz", "."):
        assert expected_records(tmp_path / name) is None
    assert expected_records("-") is None
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert expected_records(tmp_path / "pipe") is None
