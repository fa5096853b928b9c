"""Tensors with checksums: a changed bit is found, and names its tensor."""

from __future__ import annotations

import errno
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from seqexpr.errors import InputError
from seqexpr.tensor_files import check_metadata, load_tensors, read_metadata, save_tensors

TENSORS = {
    "half": torch.tensor([[1.0, 2.0]]).half(),
    "scalar": torch.tensor(3),
    "empty": torch.zeros(0, 4),
    "strided": torch.arange(6.0).view(2, 3).T,
}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    save_tensors(tmp_path / "f", TENSORS, {"note": "é"})
    assert read_metadata(tmp_path / "f", "x")["note"] == "é"
    loaded = load_tensors(tmp_path / "f", "x")
    assert loaded.keys() == TENSORS.keys()
    assert all(
        torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype for name, tensor in TENSORS.items()
    )


def test_the_same_content_makes_the_same_bytes(tmp_path: Path) -> None:
    """Eight entries and the checksums, which the library writes in the same order once in 9! times."""
    noted = {f"note {letter}": f'"{letter}" \\ \n \x7f \x01 \u00e9 \U0001f9ec' for letter in "hgfedcba"}
    for name, metadata in (("one", noted), ("two", dict(reversed(noted.items())))):
        save_tensors(tmp_path / name, TENSORS, metadata)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    stored = read_metadata(tmp_path / "one", "x")
    check_metadata("one", stored, "x")
    assert {key: stored[key] for key in noted} == noted
    loaded = load_tensors(tmp_path / "one", "x")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in TENSORS.items())


def test_each_flipped_bit_of_the_numbers_is_found(tmp_path: Path) -> None:
    save_tensors(tmp_path / "f", {"a": torch.ones(4)}, {})
    data = bytearray((tmp_path / "f").read_bytes())
    for bit in range(16 * 8):
        damaged = data.copy()
        damaged[-16 + bit // 8] ^= 1 << bit % 8
        (tmp_path / "f").write_bytes(damaged)
        with pytest.raises(InputError, match="tensor 'a'"):
            load_tensors(tmp_path / "f", "x")


def test_changed_metadata_are_found(tmp_path: Path) -> None:
    save_tensors(tmp_path / "f", {}, {"note": "mean 0.5"})
    stored = read_metadata(tmp_path / "f", "x")
    check_metadata("f", stored, "x")
    with pytest.raises(InputError, match="metadata 'note'"):
        check_metadata("f", {**stored, "note": "mean 0.7"}, "x")


def test_other_programs_files_are_read_without_checksums(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "f")
    assert load_tensors(tmp_path / "f", "x")["a"].tolist() == [1, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_found_without_checksums_too(tmp_path: Path, bad: float) -> None:
    save_file({"a": torch.tensor([1.0, bad])}, tmp_path / "f")
    with pytest.raises(InputError, match="tensor 'a': found NaN or infinite"):
        load_tensors(tmp_path / "f", "x")
    save_file({"a": torch.tensor([1.0, float("nan")])}, tmp_path / "f")
    assert load_tensors(tmp_path / "f", "x", with_gaps=["a"])["a"].isnan().any()


def test_a_claim_of_petabytes_is_no_allocation(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 4 * 10**15]}}).encode()
    (tmp_path / "f").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InputError, match="damaged"):
        load_tensors(tmp_path / "f", "x")


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError
    from safetensors import torch as library

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: File too large (os error 27)")

    monkeypatch.setattr(library, "save_file", full)
    with pytest.raises(OSError, match="too large") as caught:
        save_tensors(tmp_path / "f", {}, {})
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(tmp_path / "f")
    assert not list(tmp_path.iterdir())
