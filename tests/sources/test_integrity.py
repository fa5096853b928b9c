"""Files that look finished and are not."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqexpr.errors import NetworkError
from seqexpr.sources.http_status import TryAgain
from seqexpr.sources.integrity import check_whole, unpack_gzip

URL = "https://somewhere/f"
TABLE = b"idx\tA\tB\n" + b"".join(b"gene%d\t1.5\t-2.25\n" % number for number in range(200))


def put(folder: Path, content: bytes) -> Path:
    path = folder / "f.part"
    path.write_bytes(content)
    return path


def hdf5(folder: Path) -> bytes:
    with h5py.File(folder / "made.h5", "w") as file:
        file["x"] = np.arange(5_000.0)
    return (folder / "made.h5").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\1\t\2\n\3",
        b"no tabs\nat all",
        TABLE,
        TABLE.rstrip(),
        gzip.compress(TABLE),
        gzip.compress(b"") * 2,
        b"id\n",
    ],
)
def test_what_is_whole_passes(tmp_path: Path, content: bytes) -> None:
    check_whole(URL, put(tmp_path, content))


def test_whole_hdf5_passes(tmp_path: Path) -> None:
    check_whole(URL, put(tmp_path, hdf5(tmp_path)))


@pytest.mark.parametrize("left", [4, 100, -1])
def test_gzip_cut_short(tmp_path: Path, left: int) -> None:
    with pytest.raises(TryAgain, match=r"gzip cut short after [\d,]+ bytes"):
        check_whole(URL, put(tmp_path, gzip.compress(TABLE)[:left]))


def test_gzip_that_is_damaged_or_has_something_after_it(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TABLE))
    packed[-6] ^= 1
    for content in (bytes(packed), gzip.compress(TABLE) + b"Error encountered when streaming data."):
        with pytest.raises(TryAgain, match="damaged gzip"):
            check_whole(URL, put(tmp_path, content))


@pytest.mark.parametrize("cut", [9, 600, -1])
def test_hdf5_cut_short(tmp_path: Path, cut: int) -> None:
    with pytest.raises(TryAgain, match="HDF5 cut short or damaged"):
        check_whole(URL, put(tmp_path, hdf5(tmp_path)[:cut]))


@pytest.mark.parametrize("cut", [-7, -12, -14])
def test_a_table_cut_short(tmp_path: Path, cut: int) -> None:
    with pytest.raises(TryAgain, match=r"a table cut short \(\d cells in its last line, 3 in its first\)"):
        check_whole(URL, put(tmp_path, TABLE[:cut]))


@pytest.mark.parametrize("packed", [False, True])
def test_messages_instead_of_data(tmp_path: Path, packed: bool) -> None:
    def path(content: bytes) -> Path:
        return put(tmp_path, gzip.compress(content) if packed else content)

    with pytest.raises(TryAgain, match="an error message instead of data"):
        check_whole(URL, path(b"Error encountered when streaming data. Please try again later.\n"))
    with pytest.raises(NetworkError, match="found a web page"):
        check_whole(URL, path(b"<!DOCTYPE html><html>Sign in</html>"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("rows", [2, 200_000])
def test_a_message_at_the_end_of_some_data(tmp_path: Path, packed: bool, rows: int) -> None:
    """As UniProt's stream ends when it fails on the way; with many rows, in another block than the start."""
    content = b">sp|P1|A\nMKV\n" * rows + b"Error encountered when streaming data. Please try again later.\n"
    with pytest.raises(TryAgain, match="the data end in an error message of the server"):
        check_whole(URL, put(tmp_path, gzip.compress(content, 1) if packed else content))


def test_messages_are_worth_few_attempts(tmp_path: Path) -> None:
    with pytest.raises(TryAgain) as caught:
        check_whole(URL, put(tmp_path, b'{"error": "try later"}'))
    assert caught.value.attempts == 3


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_bytes_pass_or_fail_in_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    try:
        check_whole(URL, put(tmp_path_factory.mktemp("whole"), content))
    except (TryAgain, NetworkError) as problem:
        assert "\n" not in str(problem)


def test_unpacking(tmp_path: Path) -> None:
    seen: list[int] = []
    unpack_gzip(put(tmp_path, gzip.compress(TABLE) + gzip.compress(b"end")), tmp_path / "out", seen.append)
    assert (tmp_path / "out").read_bytes() == TABLE + b"end"
    assert seen[-1] == len(TABLE) + 3
    with pytest.raises(TryAgain, match="damaged gzip"):
        unpack_gzip(put(tmp_path, b"plain"), tmp_path / "out")


@pytest.mark.slow
def test_a_bomb_is_left_before_it_fills_the_disk(tmp_path: Path) -> None:
    bomb = put(tmp_path, gzip.compress(bytes(300 << 20), 9))  # 0.3 MB for 315 MB
    with pytest.raises(TryAgain, match="unpacks to more than 1,000 times its size"):
        unpack_gzip(bomb, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size <= 310 << 20
    with pytest.raises(TryAgain, match="unpacks to more than 1,000 times its size"):
        check_whole(URL, bomb)


def test_a_file_that_another_process_holds_is_not_damaged(tmp_path: Path) -> None:
    """Some file systems have no locks, or somebody else has one: neither says anything about the content."""
    fcntl = pytest.importorskip("fcntl")
    path = put(tmp_path, hdf5(tmp_path))
    with path.open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        check_whole(URL, path)
