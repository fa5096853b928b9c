from __future__ import annotations

import gzip
import io
import sys
import time
from pathlib import Path

import pytest
from Bio import bgzf
from hypothesis import assume, given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences import streams
from seqexpr.sequences.streams import GZIP_MAGIC, read_blocks, read_lines

TEXT = b"first\nsecond\n"
LINES = [(1, b"first"), (2, b"second")]


def lines_of(folder: Path, content: bytes) -> list[tuple[int, bytes]]:
    path = folder / "lines.txt"
    path.write_bytes(content)
    return list(read_lines(path))


def bgzipped(*pieces: bytes) -> bytes:
    """A bgzip file with a member for each piece, and the empty one at its end."""
    target = io.BytesIO()
    writer = bgzf.BgzfWriter(fileobj=target)
    for piece in pieces:
        writer.write(piece)
        writer.flush()
    writer.flush()
    target.write(bgzf._bgzf_eof)
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [(1, b"")]),
        (b"a", [(1, b"a")]),
        (b"a\n\nb\n", [(1, b"a"), (2, b""), (3, b"b")]),
        (b"a\r\nb\r\n", [(1, b"a"), (2, b"b")]),
        (b"a\rb\r\r\n", [(1, b"a\rb\r")]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", [(1, b"a"), (2, b"\xef\xbb\xbfb")]),
        (b"\xef\xbb\xbf", []),
        (b"\xef\xbb", [(1, b"\xef\xbb")]),
        (b"\x1f", [(1, b"\x1f")]),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 1 << 20])
def test_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, expected: list[tuple[int, bytes]], block: int
) -> None:
    monkeypatch.setattr(streams, "_BLOCK", block)
    assert lines_of(tmp_path, content) == expected


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TEXT),
        gzip.compress(TEXT[:3]) + gzip.compress(TEXT[3:]),
        gzip.compress(TEXT[:6]) + gzip.compress(b"") + gzip.compress(TEXT[6:]),
        gzip.compress(TEXT) + b"\0" * 512,
        gzip.compress(TEXT[:6]) + b"\0" * 512 + gzip.compress(TEXT[6:]),
        bgzipped(TEXT),
        bgzipped(TEXT[:9], TEXT[9:]),
    ],
    ids=["gzip", "two-members", "empty-member", "padded", "padded-within", "bgzip", "two-bgzip-blocks"],
)
@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_compressed_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, block: int) -> None:
    monkeypatch.setattr(streams, "_BLOCK", block)
    assert lines_of(tmp_path, content) == LINES


def lines_by_hand(content: bytes) -> list[tuple[int, bytes]]:
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [(number, line.removesuffix(b"\r")) for number, line in enumerate(lines, start=1)]


tricky = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"\xef", b"\xbb\xbf", b"\xef\xbb\xbf", b"a", b"\x1f"]))


@given(st.lists(st.binary(max_size=60) | tricky.map(b"".join), max_size=4), st.integers(1, 70))
def test_any_bytes_give_the_same_lines_in_every_form(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], block: int
) -> None:
    content = b"".join(pieces)
    assume(not content.startswith(GZIP_MAGIC))
    forms = [content, gzip.compress(content), bgzipped(*pieces)]
    if pieces:
        forms.append(b"".join(map(gzip.compress, pieces)))
    for form in forms:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(streams, "_BLOCK", block)
            if b"\0" in content:
                at = content[: content.index(b"\0")].count(b"\n") + 1
                with pytest.raises(InputError, match=f"lines.txt, line {at}: found a NUL byte; expected text"):
                    lines_of(tmp_path_factory.getbasetemp(), form)
            else:
                assert lines_of(tmp_path_factory.getbasetemp(), form) == lines_by_hand(content)


@pytest.mark.parametrize("block", [3, 1 << 20])
def test_a_gzip_file_cut_anywhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(streams, "_BLOCK", block)
    whole = gzip.compress(TEXT)
    for length in range(2, len(whole)):
        with pytest.raises(InputError, match="found a gzip file that is cut short; expected an intact gzip file"):
            lines_of(tmp_path, whole[:length])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(TEXT)[:-8] + b"\1" * 8, "incorrect data check"),
        (gzip.compress(TEXT) + b"junk", "incorrect header check"),
        (gzip.compress(TEXT) + b"\0" * 9 + b"junk", "incorrect header check"),
        (GZIP_MAGIC + b"\x07" + bytes(20), "unknown compression method"),
    ],
    ids=["checksum", "junk", "junk-after-padding", "method"],
)
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_damaged_gzip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str, block: int) -> None:
    monkeypatch.setattr(streams, "_BLOCK", block)
    with pytest.raises(InputError, match=rf"lines\.txt: found a damaged gzip file \({reason}\)"):
        lines_of(tmp_path, content)


def test_a_small_file_of_zeros_does_not_become_a_huge_block(tmp_path: Path) -> None:
    (tmp_path / "zeros.gz").write_bytes(gzip.compress(bytes(5 << 20)))
    sizes = [len(block) for block in read_blocks(tmp_path / "zeros.gz")]
    assert sum(sizes) == 5 << 20
    assert max(sizes) <= 1 << 20
    assert min(sizes) > 0


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (TEXT, gzip.compress(TEXT)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert list(read_lines("-")) == LINES


def test_a_line_of_many_blocks_is_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_BLOCK", 16)
    long = b"acgtacgtacgtacgt" * 250_000  # to copy what is there at each block would be half a terabyte
    began = time.process_time()
    assert lines_of(tmp_path, b"first\n" + long + b"\nlast") == [(1, b"first"), (2, long), (3, b"last")]
    assert time.process_time() - began < 10


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(TEXT)
    for path, found in (
        (tmp_path / "absent.txt", "no such file"),
        (tmp_path, "a folder"),
        (tmp_path / "file" / "below", r"a file that cannot be read \(Not a directory\)"),
    ):
        with pytest.raises(InputError, match=f"^{path}: found {found}; expected a readable file$"):
            list(read_blocks(path))


class FailingDisk(io.RawIOBase):
    """Gives one line, then an error as a broken disk does."""

    given = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self.given:
            raise OSError(5, "Input/output error")
        self.given = True
        buffer[:6] = b"first\n"
        return 6


def test_a_read_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(FailingDisk())))
    lines = read_lines("-")
    assert next(lines) == (1, b"first")
    with pytest.raises(InputError, match=r"^standard input: found a read error \(Input/output error\)"):
        next(lines)
