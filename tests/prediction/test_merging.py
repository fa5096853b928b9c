"""Shards become the file of one run, however many there are: with few open files and in flat memory."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seqexpr.errors import InputError
from seqexpr.prediction.merging import add_up, merge_parquet, merge_text
from seqexpr.prediction.shard_files import ShardFile, read_shards
from seqexpr.prediction.writers import Column, open_table

resource = pytest.importorskip("resource", reason="limits of a process are Unix's")

COLUMNS = [Column("id", "text"), Column("place", "whole"), Column("level"), Column("letters", "text")]
LETTERS = "ACGTTGCAAG" * 800


def cells(record: int) -> list[str | int | float | None]:
    """A row; 8 kB of text."""
    return [f"g{record}", record, record / 7 if record % 5 else None, LETTERS]


def write_shards(folder: Path, name: str, count: int, records: int) -> None:
    """The shards of a table."""
    format = name.removesuffix(".gz").rpartition(".")[2]
    for index in range(1, count + 1):
        shard = ShardFile(str(folder / f"{index}.{name}"), f"{index}/{count}", "predict", format)
        with shard.in_blocks(open_table(shard.out, format, COLUMNS, shard)) as rows:
            for record in range(records):
                if shard.share.takes(str(record)):
                    rows.write(cells(record))
        shard.finish({"records": shard.share.own, "odd": {"a": 1}, "same": {"all": records}})


@contextmanager
def few_files(most: int) -> Iterator[None]:
    """As `ulimit -n` does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl.gz", "a.parquet"])
def test_a_thousand_shards_need_few_files_and_little_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)  # of 2,000 files that are soon gone
    parts = tmp_path / "parts"
    parts.mkdir()
    records = 3_500
    write_shards(parts, name, 1_000, records)
    one, merged = str(tmp_path / f"one.{name}"), str(tmp_path / f"merged.{name}")
    with open_table(one, None, COLUMNS) as rows:
        for record in range(records):
            rows.write(cells(record))
    tracemalloc.start()
    try:
        with few_files(256):
            shards = read_shards([parts])
            (merge_parquet if name.endswith("parquet") else merge_text)(shards, merged)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert Path(merged).read_bytes() == Path(one).read_bytes()
    # 28 MB of rows; a shard's JSON is a few kB. A Parquet file is written in groups of 16,384 rows.
    assert peak < (60e6 if name.endswith("parquet") else 10e6)
    assert add_up(shards) == {"records": records, "odd": {"a": 1_000}, "same": {"all": records}}


@pytest.mark.parametrize("records", [0, 1, 2, 17, 16_384])
@pytest.mark.parametrize("name", ["a.tsv", "a.csv.gz", "a.jsonl", "a.parquet"])
def test_few_and_many_records(name: str, records: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.prediction.test_merging.LETTERS", "AC,\tG")
    parts = tmp_path / "parts"
    parts.mkdir()
    write_shards(parts, name, 3, records)
    one, merged = str(tmp_path / f"one.{name}"), str(tmp_path / f"merged.{name}")
    with open_table(one, None, COLUMNS) as rows:
        for record in range(records):
            rows.write(cells(record))
    (merge_parquet if name.endswith("parquet") else merge_text)(read_shards([parts]), merged)
    assert Path(merged).read_bytes() == Path(one).read_bytes()


def test_a_shard_is_readable_by_itself(tmp_path: Path) -> None:
    write_shards(tmp_path, "a.tsv.gz", 2, 5)
    text = gzip.decompress((tmp_path / "2.a.tsv.gz").read_bytes()).decode()
    assert [line.split("\t")[0] for line in text.splitlines()] == ["id", "g1", "g4"]
    write_shards(tmp_path, "a.parquet", 2, 5)
    pyarrow = pytest.importorskip("pyarrow.parquet")
    assert pyarrow.read_table(tmp_path / "2.a.parquet")["id"].to_pylist() == ["g1", "g4"]


def test_counts_of_different_kinds_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, "a.tsv", 2, 5)
    first, second = read_shards([tmp_path])
    second.counts["odd"] = 3  # type: ignore[index]
    with pytest.raises(InputError, match=r"2\.a\.tsv\.shard\.json, key 'counts': found counts that cannot be added"):
        add_up([first, second])
