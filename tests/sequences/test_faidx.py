from __future__ import annotations

import gzip
from pathlib import Path

import pyfaidx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences import streams
from seqexpr.sequences.faidx import build_index, format_index, parse_index


def index_text(folder: Path, content: bytes) -> str:
    path = folder / "genome.fa"
    path.write_bytes(content)
    return format_index(build_index(path))


def test_index_as_samtools_writes_it(tmp_path: Path) -> None:
    # samtools faidx of these bytes, checked by hand: name, bases, offset, bases and bytes of a line
    assert index_text(tmp_path, b">c1 x\nACGT\nAC\n>c2\nGG\n") == "c1\t6\t6\t4\t5\nc2\t2\t18\t2\t3\n"
    assert index_text(tmp_path, b">c1\r\nACGT\r\nAC\r\n") == "c1\t6\t5\t4\t6\n"
    assert index_text(tmp_path, b">c1\nACGT") == "c1\t4\t4\t4\t4\n"
    assert index_text(tmp_path, gzip.compress(b">c1\nACGT\n\n")) == "c1\t4\t4\t4\t5\n"


def test_parse_gives_what_was_formatted(tmp_path: Path) -> None:
    (tmp_path / "genome.fa").write_bytes(b">c1\nACGT\nAC\n>c2\nGG\n")
    contigs = build_index(tmp_path / "genome.fa")
    assert parse_index(format_index(contigs)) == contigs
    assert contigs["c1"].byte_at(5) == 10


@pytest.mark.parametrize("text", ["", "c1\t4\n", "c1\tx\t4\t4\t5\n", "c1\t4\t4\t0\t5\n", "c1\t0\t4\t4\t5\n"])
def test_damaged_index(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        parse_index(text)


@given(
    st.lists(st.text("ACGTN", min_size=1, max_size=60), min_size=1, max_size=5),
    st.integers(1, 25),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.integers(1, 40),
)
def test_same_index_as_pyfaidx(
    tmp_path_factory: pytest.TempPathFactory,
    sequences: list[str],
    width: int,
    newline: str,
    last_newline: bool,
    block: int,
) -> None:
    lines: list[str] = []
    for number, sequence in enumerate(sequences):
        lines.append(f">contig{number} text")
        lines += [sequence[at : at + width] for at in range(0, len(sequence), width)]
    path = tmp_path_factory.mktemp("fai") / "genome.fa"
    path.write_bytes((newline.join(lines) + newline * last_newline).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "_BLOCK", block)
        ours = build_index(path)
    with pyfaidx.Faidx(str(path)) as theirs:
        assert {
            name: (entry.rlen, entry.offset, entry.lenc, entry.lenb) for name, entry in theirs.index.items()
        } == {
            contig.name: (contig.length, contig.offset, contig.line_bases, contig.line_bytes)
            for contig in ours.values()
        }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b"ACGT\n", "found text before the first '>'"),
        (b">c\nACGT\nAC\nACGT\n", "contig 'c': found lines of different lengths"),
        (b">c\nACGT\nACGTA\n", "contig 'c': found lines of different lengths"),
        (b">c\nACGT\n\nACGT\n", "contig 'c': found lines of different lengths"),
        (b">c\nACGT\r\nACGT\nACGT\r\n", "contig 'c': found lines of different lengths"),
        (b">c\n>d\nA\n", "contig 'c': found no sequence"),
        (b">c\nA\n>d\n", "contig 'd': found no sequence"),
        (b">c\nA\n>c\nA\n", "contig 'c': found the name twice"),
        (b">\nA\n", "found header '>'"),
        (b">c\xff\nA\n", "found header"),
        (gzip.compress(b">c\nACGT\n")[:-4], "cut short"),
    ],
)
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_genomes_without_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str, block: int
) -> None:
    monkeypatch.setattr(streams, "_BLOCK", block)
    with pytest.raises(InputError, match=message):
        index_text(tmp_path, content)
