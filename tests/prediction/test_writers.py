from __future__ import annotations

import errno
import gzip
import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from seqexpr.errors import MissingDataError, UsageError
from seqexpr.prediction.predictor import Prediction
from seqexpr.prediction.writers import choose_format, open_writer

ROWS = [
    Prediction("a", np.array([1.23456789, -1e-9]), np.array([0.5, 0.25])),
    Prediction("sp|O43657|TSN6", np.array([1234567.8, float("nan")]), np.array([0.0, 1.0])),
]
NAMES = ("mrna", "protein")
TSV = "id\tmrna\tmrna_sd\tprotein\tprotein_sd\na\t1.23457\t0.5\t-1e-09\t0.25\n"
TSV += "sp|O43657|TSN6\t1.23457e+06\t0\tnan\t1\n"


def write(out: str | None, rows: list[Prediction], format: str | None = None, ensemble: bool = True) -> None:
    with open_writer(out, format, NAMES, ensemble=ensemble) as writer:
        for row in rows:
            writer.write(row)


def test_tsv_on_standard_output(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    write(None, ROWS)
    assert capsysbinary.readouterr().out.decode() == TSV


def test_a_single_model_has_no_sd_columns(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    write("-", [Prediction("a", np.array([1.0, 2.0]))], ensemble=False)
    assert capsysbinary.readouterr().out == b"id\tmrna\tprotein\na\t1\t2\n"


def test_rows_are_there_as_soon_as_they_are_written(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_writer(None, None, NAMES, ensemble=True) as writer:
        assert capsysbinary.readouterr().out == b""  # no header before the first row
        writer.write(ROWS[0])
        assert capsysbinary.readouterr().out.decode() == "".join(TSV.splitlines(True)[:2])


def test_without_rows_a_table_still_has_its_header(tmp_path: Path) -> None:
    write(str(tmp_path / "o.tsv"), [])
    assert (tmp_path / "o.tsv").read_text() == TSV.splitlines(True)[0]


def test_json_lines_hold_null_for_what_json_has_no_number_for(tmp_path: Path) -> None:
    write(str(tmp_path / "o.jsonl"), ROWS)
    assert [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()] == [
        {"id": "a", "mrna": 1.23457, "mrna_sd": 0.5, "protein": -1e-9, "protein_sd": 0.25},
        {"id": "sp|O43657|TSN6", "mrna": 1234570.0, "mrna_sd": 0.0, "protein": None, "protein_sd": 1.0},
    ]


def test_gzip_by_suffix_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a.tsv.gz", "b.tsv.gz"):
        write(str(tmp_path / name), ROWS)
    assert gzip.decompress((tmp_path / "a.tsv.gz").read_bytes()).decode() == TSV
    assert (tmp_path / "a.tsv.gz").read_bytes() == (tmp_path / "b.tsv.gz").read_bytes()


def test_parquet_holds_full_numbers_in_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("seqexpr.prediction.writers._ROW_GROUP", 3)
    rows = [Prediction(f"g{i}", np.array([i / 7, -float(i)])) for i in range(8)]
    write(str(tmp_path / "o.parquet"), rows, ensemble=False)
    table = parquet.read_table(tmp_path / "o.parquet")
    assert table.column_names == ["id", "mrna", "protein"]
    assert table["id"].to_pylist() == [f"g{i}" for i in range(8)]
    assert table["mrna"].to_pylist() == [i / 7 for i in range(8)]
    assert parquet.ParquetFile(tmp_path / "o.parquet").num_row_groups == 3


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDataError, match=r"run: pip install pyarrow$"):
        open_writer(str(tmp_path / "o.parquet"), None, NAMES, ensemble=False)


@pytest.mark.parametrize("name", ["o.tsv", "o.tsv.gz", "o.jsonl", "o.parquet"])
def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("old")
    with (
        pytest.raises(ValueError, match="bad record"),
        open_writer(str(tmp_path / name), None, NAMES, ensemble=True) as writer,
    ):
        writer.write(ROWS[0])
        raise ValueError("bad record")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.tsv").write_text("old")
    (tmp_path / "link.tsv").symlink_to(tmp_path / "real.tsv")
    write(str(tmp_path / "link.tsv"), ROWS)
    assert (tmp_path / "link.tsv").is_symlink()
    assert (tmp_path / "real.tsv").read_text() == TSV


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_written_in_place(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.tsv"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(str(pipe), ROWS)
    reader.join(5)
    assert read == [TSV] and pipe.is_fifo()


@pytest.mark.parametrize(("name", "reason"), [("absent/o.tsv", errno.ENOENT), ("folder.tsv", errno.EISDIR)])
def test_a_file_that_cannot_be_is_an_error_before_any_work(name: str, reason: int, tmp_path: Path) -> None:
    (tmp_path / "folder.tsv").mkdir()
    out = str(tmp_path / name)
    with pytest.raises(OSError) as caught, open_writer(out, None, NAMES, ensemble=False):
        pytest.fail("the writer opened")
    assert (caught.value.errno, caught.value.filename) == (reason, out)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("format", ["tsv", "jsonl", "parquet"])
def test_a_full_disk_is_told_with_the_files_name(format: str) -> None:
    with pytest.raises(OSError) as caught:
        write("/dev/full", ROWS, format)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")


@pytest.mark.parametrize(
    ("out", "format", "chosen"),
    [
        (None, None, "tsv"),
        ("-", "jsonl", "jsonl"),
        ("a.tsv", None, "tsv"),
        ("a.JSONL", None, "jsonl"),
        ("a.tsv.gz", None, "tsv"),
        ("a.parquet", None, "parquet"),
        ("a.txt", "tsv", "tsv"),
        ("a.txt", None, "tsv"),
        ("a", None, "tsv"),
        ("a.gz", None, "tsv"),
        ("a.dat", "jsonl", "jsonl"),
        ("a.csv", "csv", "csv"),
    ],
)
def test_the_format_is_the_one_asked_for_else_by_suffix(out: str | None, format: str | None, chosen: str) -> None:
    assert choose_format(out, format) == chosen


@pytest.mark.parametrize(
    ("out", "format", "message"),
    [
        ("a.csv", "tsv", "a.csv says csv and --format tsv"),
        ("a.jsonl.gz", "csv", "a.jsonl.gz says jsonl and --format csv"),
        ("a.parquet", "jsonl", "a.parquet says parquet and --format jsonl"),
        (None, "parquet", "needs --out"),
        ("a.parquet.gz", None, "leave .gz out"),
        ("a.tsv", "xml", "choose among tsv, csv, jsonl, parquet"),
    ],
)
def test_formats_that_are_not_known(out: str | None, format: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose_format(out, format)
