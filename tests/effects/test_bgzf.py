from __future__ import annotations

import gzip
import io
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from Bio import bgzf
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.effects.bgzf import BLOCK, END, BgzfWriter
from seqexpr.errors import InputError
from seqexpr.sequences.streams import read_lines


def written(*pieces: bytes) -> bytes:
    stream = io.BytesIO()
    with BgzfWriter(stream) as writer:
        for piece in pieces:
            assert writer.write(piece) == len(piece)
    return stream.getvalue()


def block_sizes(data: bytes) -> list[tuple[int, int]]:
    """Bytes of each block and of its text, from the blocks' own fields."""
    sizes, at = [], 0
    while at < len(data):
        assert data[at : at + 4] == b"\x1f\x8b\x08\x04"
        assert data[at + 10 : at + 16] == b"\x06\x00BC\x02\x00"
        size = struct.unpack_from("<H", data, at + 16)[0] + 1
        sizes.append((size, struct.unpack_from("<I", data, at + size - 4)[0]))
        at += size
    return sizes


def test_nothing_written_is_the_end_block_alone() -> None:
    assert written() == END
    assert gzip.decompress(END) == b""


def test_text_is_cut_into_full_blocks_and_the_end_block_follows() -> None:
    text = bytes(random.Random(0).choices(b"ACGT\n", k=2 * BLOCK + 1))
    data = written(text)
    assert [length for _, length in block_sizes(data)] == [BLOCK, BLOCK, 1, 0]
    assert data.endswith(END)
    assert gzip.decompress(data) == text


def test_a_full_block_has_no_empty_one_behind_it() -> None:
    assert [length for _, length in block_sizes(written(b"A" * BLOCK))] == [BLOCK, 0]


def test_text_that_does_not_compress_fits_in_its_block() -> None:
    text = random.Random(0).randbytes(BLOCK)
    data = written(text)
    assert [length for _, length in block_sizes(data)] == [BLOCK, 0]
    assert gzip.decompress(data) == text


@given(st.lists(st.binary(max_size=40) | st.integers(0, 2 * BLOCK).map(lambda n: b"\tchr1\n" * (n // 6)), max_size=6))
def test_the_bytes_are_those_of_the_text_however_it_comes(pieces: list[bytes]) -> None:
    data = written(*pieces)
    assert data == written(b"".join(pieces))
    assert gzip.decompress(data) == b"".join(pieces)
    with bgzf.BgzfReader(fileobj=io.BytesIO(data), mode="rb") as reader:
        assert reader.read(len(data) * 1100) == b"".join(pieces)  # deflate shrinks text by 1,032 at most


def test_biopython_finds_a_place_in_the_file(tmp_path: Path) -> None:
    lines = [f"{number:07d}\n".encode() for number in range(30_000)]
    path = tmp_path / "x.gz"
    path.write_bytes(written(*lines))
    with path.open("rb") as handle:
        places = {first: place for place, _, first, _ in bgzf.BgzfBlocks(handle)}
    with bgzf.open(str(path), "rb") as reader:
        reader.seek(bgzf.make_virtual_offset(places[2 * BLOCK], 16))
        assert reader.readline() == lines[2 * BLOCK // 8 + 2]


def test_an_error_leaves_a_file_that_readers_refuse(tmp_path: Path) -> None:
    path = tmp_path / "x.vcf.gz"
    with pytest.raises(KeyError), path.open("wb") as stream, BgzfWriter(stream) as writer:
        writer.write(b"A\n" * BLOCK)
        raise KeyError
    with pytest.raises(InputError, match="EOF marker is absent"):
        list(read_lines(path))


def test_a_closed_file_takes_no_more_and_its_stream_stays_open() -> None:
    stream = io.BytesIO()
    writer = BgzfWriter(stream)
    writer.write(b"A")
    writer.close()
    writer.close()
    assert stream.getvalue().count(END) == 1
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"C")


@pytest.mark.skipif(not (shutil.which("bcftools") and shutil.which("tabix")), reason="bcftools and tabix are not here")
def test_htslib_indexes_the_file_and_finds_a_region(tmp_path: Path) -> None:
    header = b"##fileformat=VCFv4.3\n##contig=<ID=chr1,length=900000>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    records = [f"chr1\t{place}\t.\tA\tC\t.\t.\t.\n".encode() for place in range(1, 200_000, 7)]
    path = tmp_path / "x.vcf.gz"
    path.write_bytes(written(header, *records))
    subprocess.run(["tabix", "-p", "vcf", path], check=True)
    found = subprocess.run(["tabix", path, "chr1:150000-150006"], check=True, capture_output=True).stdout
    assert found in records
    viewed = subprocess.run(["bcftools", "view", "-H", path], check=True, capture_output=True).stdout
    assert viewed == b"".join(records)
