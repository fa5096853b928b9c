import pickle
from multiprocessing import get_context
from operator import methodcaller
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from seqexpr.datasets.token_store import TokenStore, TokenStoreWriter
from seqexpr.errors import InputError


def sequences(seed: int, records: int, window: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    random = np.random.default_rng(seed)
    dna = [random.integers(0, 5, window, dtype=np.uint8) for _ in range(records)]
    proteins = [random.integers(1, 23, int(random.integers(0, 9)), dtype=np.uint8) for _ in range(records)]
    return dna, proteins


def write(path: Path, dna: list[np.ndarray] | None, proteins: list[np.ndarray] | None) -> TokenStore:
    window = 0 if dna is None else len(dna[0])
    with TokenStoreWriter(path, window, proteins is not None) as writer:
        for i in range(len(dna or proteins or [])):
            writer.add(None if dna is None else dna[i], None if proteins is None else proteins[i])
        writer.finish()
    return TokenStore(path)


@given(
    seed=st.integers(0, 999),
    records=st.integers(1, 7),
    window=st.integers(1, 33),
    kinds=st.sampled_from("dpb"),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_safetensors_library_reads_the_same_arrays(
    tmp_path: Path, seed: int, records: int, window: int, kinds: str
) -> None:
    dna, proteins = sequences(seed, records, window)
    path = tmp_path / "store.safetensors"
    store = write(path, dna if kinds != "p" else None, proteins if kinds != "d" else None)
    tensors = load_file(path)
    assert store.records == records
    if kinds != "p":
        np.testing.assert_array_equal(tensors["dna"], np.stack(dna))
        assert tensors["dna"].dtype == np.uint8
        np.testing.assert_array_equal(store.windows(range(records), 0, window), np.stack(dna))
    if kinds != "d":
        np.testing.assert_array_equal(tensors["proteins"], np.concatenate(proteins))
        lengths = [len(protein) for protein in proteins]
        assert tensors["protein_offsets"].dtype == np.int64
        np.testing.assert_array_equal(np.diff(tensors["protein_offsets"]), lengths)
        np.testing.assert_array_equal(store.protein_lengths, lengths)
    assert [file.name for file in tmp_path.iterdir()] == ["store.safetensors"]


def test_reads_what_the_library_wrote(tmp_path: Path) -> None:
    path = tmp_path / "store.safetensors"
    tensors = {
        "dna": np.arange(12, dtype=np.uint8).reshape(3, 4) % 5,
        "proteins": np.array([1, 2, 3], dtype=np.uint8),
        "protein_offsets": np.array([0, 1, 1, 3]),
    }
    save_file(tensors, path, metadata={"note": "x"})
    store = TokenStore(path)
    np.testing.assert_array_equal(store.windows([2, 0], 1, 3), [[4, 0], [1, 2]])
    np.testing.assert_array_equal(store.proteins([2, 1, 0], 9), [[2, 3], [0, 0], [1, 0]])


def test_proteins_are_cut_and_padded(tmp_path: Path) -> None:
    proteins = [np.array(values, dtype=np.uint8) for values in ([5], [1, 2, 3, 4], [7, 8])]
    store = write(tmp_path / "s", None, proteins)
    np.testing.assert_array_equal(store.proteins([1, 0], 3), [[1, 2, 3], [5, 0, 0]])
    np.testing.assert_array_equal(store.proteins(np.array([0, 2]), 99), [[5, 0], [7, 8]])
    assert store.proteins([], 3).shape == (0, 0)
    with pytest.raises(IndexError):
        store.proteins([3], 3)


def test_a_store_travels_to_other_processes(tmp_path: Path) -> None:
    dna, _ = sequences(1, 3, 8)
    store = write(tmp_path / "s", dna, None)
    assert len(pickle.dumps(store)) < 1000
    with get_context("spawn").Pool(1) as pool:
        (letters,) = pool.map(methodcaller("windows", [1], 0, 3), [store])
    np.testing.assert_array_equal(letters, [dna[1][:3]])


@pytest.mark.parametrize(
    ("dna", "protein"),
    [
        (None, np.ones(2, np.uint8)),
        (np.ones(4, np.uint8), None),
        (np.ones(3, np.uint8), np.ones(2, np.uint8)),
        (np.ones(4), np.ones(2, np.uint8)),
        (np.ones(4, np.uint8), np.ones((1, 2), np.uint8)),
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    tmp_path: Path, dna: np.ndarray | None, protein: np.ndarray | None
) -> None:
    with TokenStoreWriter(tmp_path / "s", 4, True) as writer, pytest.raises(ValueError):
        writer.add(dna, protein)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "store.safetensors"
    write(path, *sequences(2, 4, 10))
    whole = path.read_bytes()
    for content in (b"", whole[:5], whole[:500], whole[:-1], whole + b"x", b"\xff" * 2000, b"\0" * 2000):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"store\.safetensors.*: found .*prepare it again"):
            TokenStore(path)
    save_file({"other": np.ones(3, np.float32)}, path)
    with pytest.raises(InputError, match=r"other\.dtype"):
        TokenStore(path)
    save_file({"proteins": np.ones(3, np.uint8), "protein_offsets": np.array([0, 9])}, path)
    with pytest.raises(InputError, match="do not fit together"):
        TokenStore(path)
    with pytest.raises(InputError, match="No such file"):
        TokenStore(tmp_path / "absent")


def test_coding_sequences_may_be_absent_of_single_records(tmp_path: Path) -> None:
    sequences = [np.array([1, 64, 0], np.uint8), None, np.array([5], np.uint8)]
    with TokenStoreWriter(tmp_path / "s", 2, False, with_coding=True) as writer:
        for coding in sequences:
            writer.add(np.array([1, 2], np.uint8), None, coding)
        writer.finish()
    store = TokenStore(tmp_path / "s")
    assert (store.has_coding, store.has_protein, store.records) == (True, False, 3)
    assert store.coding_lengths.tolist() == [3, 0, 1]
    assert store.coding([2, 0, 1], 9).tolist() == [[5, 0, 0], [1, 64, 0], [0, 0, 0]]
    assert store.coding([0, 2], 2).tolist() == [[1, 64], [5, 0]]


def test_a_store_without_coding_sequences_takes_and_gives_none(tmp_path: Path) -> None:
    with TokenStoreWriter(tmp_path / "s", 2, False) as writer:
        with pytest.raises(ValueError, match="a coding sequence for a store that has none"):
            writer.add(np.array([1, 2], np.uint8), None, np.array([1], np.uint8))
        writer.finish()
    store = TokenStore(tmp_path / "s")
    assert not store.has_coding
    with pytest.raises(ValueError, match="no coding sequences"):
        store.coding([0], 9)


def test_a_token_that_is_no_codon_is_refused(tmp_path: Path) -> None:
    with TokenStoreWriter(tmp_path / "s", 0, True, with_coding=True) as writer:
        writer.add(None, np.array([1], np.uint8), np.array([65], np.uint8))
        writer.finish()
    with pytest.raises(InputError, match="found token 65; expected coding tokens from 0 to 64"):
        TokenStore(tmp_path / "s").coding([0], 9)
