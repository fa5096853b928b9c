from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from seqexpr.effects.tracks import bedgraph_rows, check_format, write_track
from seqexpr.errors import InputError, MissingDataError

ROWS = [b"chr2\t0\t50\t1.5\nchr2\t50\t100\t-0.25\n", b"", b"chr1\t7\t9\t1e-06\n"]
CONTIGS = {"chr2": 100, "chr3": 5, "chr1": 9}


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"part{number}" for number in range(len(ROWS))]
    for path, rows in zip(paths, ROWS, strict=True):
        path.write_bytes(rows)
    return paths


def test_rows_have_six_digits_and_gaps_have_none() -> None:
    values = np.array([1.23456789, np.nan, -1e-7])
    rows = bedgraph_rows("chr1", np.array([0, 5, 10]), np.array([5, 10, 12]), values)
    assert rows == b"chr1\t0\t5\t1.23457\nchr1\t10\t12\t-1e-07\n"
    assert bedgraph_rows("chr1", np.empty(0, int), np.empty(0, int), np.empty(0)) == b""


def test_bedgraph_is_the_parts_one_after_the_other(tmp_path: Path, parts: list[Path]) -> None:
    write_track(tmp_path / "a.bedgraph", "bedgraph", parts, CONTIGS)
    assert (tmp_path / "a.bedgraph").read_bytes() == b"".join(ROWS)


def test_gzip_holds_the_same_and_no_time(tmp_path: Path, parts: list[Path]) -> None:
    for name in ("a", "b"):
        write_track(tmp_path / f"{name}.bedgraph.gz", "bedgraph.gz", parts, CONTIGS)
    first, second = ((tmp_path / f"{name}.bedgraph.gz").read_bytes() for name in ("a", "b"))
    assert first == second and first[4:8] == bytes(4)
    assert gzip.decompress(first) == b"".join(ROWS)


def test_bigwig_holds_the_same(tmp_path: Path, parts: list[Path]) -> None:
    pybigtools = pytest.importorskip("pybigtools")
    for name in ("a", "b"):
        write_track(tmp_path / f"{name}.bw", "bigwig", parts, CONTIGS)
    assert (tmp_path / "a.bw").read_bytes() == (tmp_path / "b.bw").read_bytes()
    track = pybigtools.open(str(tmp_path / "a.bw"))
    assert track.chroms() == {"chr1": 9, "chr2": 100}  # of contigs with values
    assert list(track.records("chr2")) == [(0, 50, 1.5), (50, 100, -0.25)]
    assert list(track.records("chr1")) == [(7, 9, pytest.approx(1e-6))]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bw", "b.bw", "part0", "part1", "part2"]


def test_a_bigwig_needs_a_value(tmp_path: Path, parts: list[Path]) -> None:
    pytest.importorskip("pybigtools")
    with pytest.raises(InputError, match=r"a\.bw: found no value to write; expected a window with known letters"):
        write_track(tmp_path / "a.bw", "bigwig", parts[1:2], CONTIGS)
    assert not list(tmp_path.glob("*.bw"))


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    check_format("bedgraph.gz")
    with pytest.raises(MissingDataError, match=r"run: pip install pybigtools$"):
        check_format("bigwig")


def test_a_part_that_cannot_be_read_leaves_the_old_track(tmp_path: Path, parts: list[Path]) -> None:
    track = tmp_path / "a.bedgraph"
    track.write_bytes(b"old")
    with pytest.raises(OSError):
        write_track(track, "bedgraph", [*parts, tmp_path / "absent"], CONTIGS)
    assert track.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bedgraph", "part0", "part1", "part2"]
