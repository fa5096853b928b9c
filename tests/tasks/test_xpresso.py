from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seqexpr.errors import InputError
from seqexpr.sequences.alphabet import DNA
from seqexpr.tasks.xpresso import XpressoBlock, read_blocks

WINDOW = 20_000


def write(path: Path, **changes: Any) -> Path:
    """A file of two genes whose promoters start with ACGT, an unknown letter and TT; None leaves a dataset away."""
    promoter = np.zeros((2, WINDOW, 4), dtype=bool)
    for base, letter in enumerate([0, 1, 2, 3, None, 3, 3]):
        if letter is not None:
            promoter[0, base, letter] = True
    promoter[1, :, 2] = True
    content: dict[str, Any] = {
        "promoter": promoter,
        "data": np.arange(16.0).reshape(2, 8) / 10,
        "label": np.array([0.25, -1.5]),
        "geneName": np.array([b"ENSG00000000001", b"ENSG00000000002"]),
    }
    with h5py.File(path, "w") as file:
        for name, value in {**content, **changes}.items():
            if value is not None:
                file.create_dataset(name, data=value, compression="gzip", compression_opts=1)
    return path


def whole(path: Path) -> XpressoBlock:
    blocks = list(read_blocks(path))
    return XpressoBlock(
        [gene for block in blocks for gene in block.ids],
        *(np.concatenate([getattr(block, name) for block in blocks]) for name in ("windows", "half_life", "labels")),
    )


def test_letters_features_and_labels(tmp_path: Path) -> None:
    (block,) = read_blocks(write(tmp_path / "f.h5"))
    assert block.ids == ["ENSG00000000001", "ENSG00000000002"]
    assert block.windows.dtype == np.uint8 and block.windows.shape == (2, WINDOW)
    assert DNA.decode(block.windows[0, :9]) == "ACGTNTTNN"
    assert (block.windows[1] == 3).all()
    np.testing.assert_array_equal(block.half_life[1], np.arange(8, 16) / 10)
    np.testing.assert_array_equal(block.labels, [0.25, -1.5])


@pytest.mark.parametrize(
    "kind", [lambda x: x.astype(np.uint8), lambda x: x.astype(np.float32), lambda x: x.astype(np.int64)]
)
def test_other_types_of_promoters_are_the_same_letters(tmp_path: Path, kind: Callable[[Any], Any]) -> None:
    plain = whole(write(tmp_path / "a.h5"))
    with h5py.File(tmp_path / "a.h5") as file:
        promoter = kind(file["promoter"][:])
    np.testing.assert_array_equal(whole(write(tmp_path / "b.h5", promoter=promoter)).windows, plain.windows)


def test_names_of_variable_length(tmp_path: Path) -> None:
    names = np.array(["ENSG1", "ENSG22"], dtype=h5py.string_dtype())
    assert whole(write(tmp_path / "f.h5", geneName=names)).ids == ["ENSG1", "ENSG22"]


@pytest.mark.parametrize("chunks", [None, (1, WINDOW, 4), (16, 625, 1), (200, 5_000, 2)])
def test_the_same_whatever_the_chunks(tmp_path: Path, chunks: tuple[int, ...] | None) -> None:
    generator = np.random.default_rng(3)
    letters = generator.integers(0, 5, (300, WINDOW))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("promoter", data=np.eye(5, dtype=bool)[letters][:, :, :4], chunks=chunks)
        file["data"], file["label"] = generator.normal(size=(300, 8)), generator.normal(size=300)
        file["geneName"] = np.array([f"ENSG{number:011d}".encode() for number in range(300)])
    blocks = list(read_blocks(tmp_path / "f.h5"))
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate([block.windows for block in blocks]), (letters + 1) % 5)
    assert blocks[-1].ids[-1] == f"ENSG{299:011d}"


def test_memory_is_that_of_a_block(tmp_path: Path) -> None:
    genes = 2_500
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("promoter", (genes, WINDOW, 4), dtype=bool, compression="gzip")  # 200 MB of False
        file["data"], file["label"] = np.zeros((genes, 8)), np.zeros(genes)
        file["geneName"] = np.array([f"g{number}".encode() for number in range(genes)])
    tracemalloc.start()
    seen = sum(len(block.ids) for block in read_blocks(tmp_path / "f.h5"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == genes
    assert peak < 60e6  # a block of 256 genes is 5 MB of tokens and as much again while it is made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, r"f\.h5: found no dataset label; expected an Xpresso HDF5 file"),
        ({"data": None, "geneName": None}, "no dataset data, geneName"),
        ({"data": np.zeros((2, 6))}, r"dataset 'data': found shape \(2, 6\); expected \(2, 8\)"),
        ({"label": np.zeros(3)}, r"dataset 'label': found shape \(3,\); expected \(2,\)"),
        ({"promoter": np.zeros((2, 10_500, 4), bool)}, r"found shape \(2, 10500, 4\); expected \(2, 20000, 4\)"),
        ({"label": np.array([b"a", b"b"])}, r"dataset 'label': found type \|S1; expected numbers"),
        ({"label": np.array([0.5, np.nan])}, "'ENSG00000000002': found a label that is not finite"),
        ({"data": np.full((2, 8), np.inf)}, "'ENSG00000000001': found a half-life feature that is not finite"),
        ({"geneName": np.array([b"a", b""])}, "row 2: found no name"),
        ({"promoter": np.full((2, WINDOW, 4), 0.5)}, "dataset 'promoter': found other values than 0 and 1"),
        ({"promoter": np.ones((2, WINDOW, 4), bool)}, "'ENSG00000000001': found 4 letters at base 0; expected one"),
    ],
)
def test_files_that_are_not_as_they_should_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_blocks(write(tmp_path / "f.h5", **changes)))


def test_missing_features_stay_missing(tmp_path: Path) -> None:
    data = np.zeros((2, 8))
    data[0, 4] = np.nan
    assert np.isnan(whole(write(tmp_path / "f.h5", data=data)).half_life).sum() == 1


def test_a_file_cut_short_or_of_another_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="not whole HDF5"):
        list(read_blocks(path))
    path.write_bytes(b"<html>")
    with pytest.raises(InputError, match="not whole HDF5"):
        list(read_blocks(path))


def test_damaged_chunks(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    with h5py.File(path) as file:
        chunk = file["promoter"].id.get_chunk_info(0)
    with path.open("rb+") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * min(64, chunk.size))
    with pytest.raises(InputError, match=r"f\.h5: found damaged data \(.+\); expected an Xpresso HDF5 file"):
        list(read_blocks(path))
