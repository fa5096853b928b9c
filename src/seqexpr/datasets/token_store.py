"""Token sequences on disk: one safetensors file, written as a stream and read through memory maps.

| tensor            | dtype | shape                 | content                                              |
|-------------------|-------|-----------------------|------------------------------------------------------|
| `dna`             | U8    | (records, window, bp) | windows, strand-oriented                             |
| `protein_offsets` | I64   | (records + 1,)        | protein i is `proteins[offsets[i]:offsets[i + 1]]`   |
| `proteins`        | U8    | (residues,)           | all proteins, one after the other                    |
| `coding_offsets`  | I64   | (records + 1,)        | as of proteins; a gene without one has no codon      |
| `coding`          | U8    | (codons,)             | all coding sequences, one after the other            |

Format: 8 bytes little-endian header length, JSON header (padded with spaces), raw data without holes
(safetensors format specification, "Format"). The library's own writer needs every tensor in memory; here the
number of records is not even known at the start, so the header's place is reserved and filled in last.
"""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from seqexpr.errors import InputError
from seqexpr.own_files import anything, check_shape, list_of, mapping, one_of, parse_json, record, whole
from seqexpr.sequences.alphabet import CODING, DNA, PROTEIN, Alphabet, CodonAlphabet

_EXPECTED = "the sequences of a prepared dataset; prepare it again"
_LONGEST_HEADER = 2**20

_DATA_START = 1024  # room for the length and a header of five tensors; keeps the data aligned
_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("<u1"), "I64": np.dtype("<i8")}


class _Ragged:
    """Sequences of any length on their way into a store: they follow the windows, so they wait in a file."""

    def __init__(self, name: str, offsets: str, folder: Path) -> None:
        self.name, self.offsets_name = name, offsets
        self.offsets = array("q", [0])
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def add(self, tokens: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(tokens).data)
        self.offsets.append(self.offsets[-1] + tokens.size)

    def append_to(self, file: BinaryIO) -> list[tuple[str, str, list[int]]]:
        """Write offsets and sequences, and return the header's entries."""
        file.write(np.frombuffer(self.offsets, dtype=np.int64).astype("<i8").data)
        self._file.seek(0)
        shutil.copyfileobj(self._file, file, 1 << 20)
        return [(self.offsets_name, "I64", [len(self.offsets)]), (self.name, "U8", [self.offsets[-1]])]

    def close(self) -> None:
        with suppress(OSError):  # a temporary file that could not be flushed is deleted all the same
            self._file.close()


class TokenStoreWriter:
    """Writes records one by one; a context manager that closes its files. Memory: 8 bytes a protein.

    Args:
        path: the file to write. It is a valid store only after `finish`.
        window: length of every DNA window, bp; 0 for a store without DNA.
        with_protein: whether every record has a protein.
        with_coding: whether records may have a coding sequence.
    """

    def __init__(self, path: Path, window: int, with_protein: bool, with_coding: bool = False) -> None:
        self.records = 0
        self._window = window
        self._file: BinaryIO = path.open("wb")
        self._file.write(b"\0" * _DATA_START)
        self._proteins = _Ragged("proteins", "protein_offsets", path.parent) if with_protein else None
        self._coding = _Ragged("coding", "coding_offsets", path.parent) if with_coding else None

    def __enter__(self) -> TokenStoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        try:
            self._file.close()
        except OSError:  # the disk is full and so the last block cannot be flushed: the first error counts
            if kind is None:
                raise
        finally:
            for part in self._ragged:
                part.close()

    @property
    def _ragged(self) -> list[_Ragged]:
        return [part for part in (self._proteins, self._coding) if part is not None]

    def add(self, dna: np.ndarray | None, protein: np.ndarray | None, coding: np.ndarray | None = None) -> None:
        """Append a record.

        Args:
            dna: uint8 (window,); None where the store has none.
            protein: uint8 (residues,); None where the store has none.
            coding: uint8 (codons,); None for a gene without one.

        Raises:
            ValueError: a sequence too many, too few, of another length or of another dtype.
            OSError: the disk is full.
        """
        shape = None if dna is None else dna.shape
        if shape != ((self._window,) if self._window else None):
            raise ValueError(f"a window of shape {shape}; the store's windows are {self._window} bp long")
        if (protein is not None) != (self._proteins is not None):
            raise ValueError("every record of a store has a protein, or none has")
        if coding is not None and self._coding is None:
            raise ValueError("a coding sequence for a store that has none")
        for tokens in (dna, protein, coding):
            if tokens is not None and (tokens.dtype != np.uint8 or tokens.ndim != 1):
                raise ValueError(f"tokens must be one-dimensional uint8, not {tokens.ndim}-d {tokens.dtype}")
        if dna is not None:
            self._file.write(np.ascontiguousarray(dna).data)
        if protein is not None and self._proteins is not None:
            self._proteins.add(protein)
        if self._coding is not None:
            self._coding.add(np.empty(0, np.uint8) if coding is None else coding)
        self.records += 1

    def finish(self) -> None:
        """Append proteins and coding sequences, write the header and flush.

        Raises:
            OSError: the disk is full.
        """
        tensors: list[tuple[str, str, list[int]]] = []
        if self._window:
            tensors.append(("dna", "U8", [self.records, self._window]))
        for part in self._ragged:
            tensors += part.append_to(self._file)
        self._file.seek(0)
        self._file.write(_header(tensors))
        self._file.flush()


def _header(tensors: list[tuple[str, str, list[int]]]) -> bytes:
    header: dict[str, Any] = {}
    end = 0
    for name, dtype, shape in tensors:
        start, end = end, end + int(np.prod(shape, dtype=np.int64)) * _DTYPES[dtype].itemsize
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", _DATA_START - 8) + text.ljust(_DATA_START - 8)


class TokenStore:
    """Reads a store. It can be pickled: every process maps the file for itself.

    Raises:
        InputError: the file is absent, cut short, or not such a store.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._map()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._map()

    @property
    def records(self) -> int:
        """Number of records."""
        return len(self.dna) if self.dna is not None else len(self._offsets) - 1

    @property
    def window(self) -> int:
        """Length of the stored windows, bp; 0 without DNA."""
        return 0 if self.dna is None else int(self.dna.shape[1])

    @property
    def has_protein(self) -> bool:
        """Whether the store holds proteins."""
        return self._proteins is not None

    @property
    def has_coding(self) -> bool:
        """Whether the store holds coding sequences, of some records at least."""
        return self._coding is not None

    @property
    def protein_lengths(self) -> np.ndarray:
        """Residues of every record's protein, int64 (records,)."""
        return np.diff(self._offsets)

    @property
    def coding_lengths(self) -> np.ndarray:
        """Codons of every record's coding sequence, int64 (records,); 0 for a record without one."""
        return np.diff(self._coding_offsets)

    def windows(self, indices: Sequence[int] | np.ndarray, start: int, stop: int) -> np.ndarray:
        """Letters `start` to `stop` of the windows `indices`: uint8 (len(indices), stop - start)."""
        if self.dna is None:
            raise ValueError(f"{self.path} holds no DNA")
        windows = np.array(self.dna[np.asarray(indices, dtype=np.int64), start:stop])
        self._check_letters(windows, indices, DNA)
        return windows

    def proteins(self, indices: Sequence[int] | np.ndarray, max_length: int) -> np.ndarray:
        """Proteins `indices`, cut to `max_length` and right-padded with 0: uint8 (genes, longest of them)."""
        if self._proteins is None:
            raise ValueError(f"{self.path} holds no proteins")
        return self._padded(self._proteins, self._offsets, indices, max_length, PROTEIN)

    def coding(self, indices: Sequence[int] | np.ndarray, max_length: int) -> np.ndarray:
        """Coding sequences `indices`, cut to `max_length` and right-padded with 0: uint8 (genes, longest of them)."""
        if self._coding is None:
            raise ValueError(f"{self.path} holds no coding sequences")
        return self._padded(self._coding, self._coding_offsets, indices, max_length, CODING)

    def _padded(
        self,
        sequences: np.ndarray,
        offsets: np.ndarray,
        indices: Sequence[int] | np.ndarray,
        max_length: int,
        alphabet: Alphabet | CodonAlphabet,
    ) -> np.ndarray:
        indices = np.asarray(indices, dtype=np.int64)
        starts = offsets[:-1][indices]
        lengths = np.minimum(offsets[1:][indices] - starts, max_length)
        batch = np.zeros((len(indices), int(lengths.max(initial=0))), dtype=np.uint8)
        for row, start, length in zip(batch, starts, lengths, strict=True):
            row[:length] = sequences[start : start + length]
        self._check_letters(batch, indices, alphabet)
        return batch

    def _check_letters(
        self, tokens: np.ndarray, indices: Sequence[int] | np.ndarray, alphabet: Alphabet | CodonAlphabet
    ) -> None:
        if tokens.max(initial=0) >= alphabet.size:
            row = int((tokens >= alphabet.size).any(axis=1).argmax())
            raise InputError(
                self.path,
                record=f"record {int(indices[row]) + 1}",
                found=f"token {int(tokens[row].max())}",
                expected=f"{alphabet.name} tokens from 0 to {alphabet.size - 1}; prepare the dataset again",
            )

    def _map(self) -> None:
        tensors = _read_header(self.path)
        self.dna: np.ndarray | None = self._tensor(tensors, "dna", 2)
        self._proteins, self._offsets = self._ragged(tensors, "proteins", "protein_offsets")
        self._coding, self._coding_offsets = self._ragged(tensors, "coding", "coding_offsets")
        records = {len(self.dna)} if self.dna is not None else set()
        if self._proteins is not None:
            records.add(len(self._offsets) - 1)
        whole = len(records) == 1 and (self._coding is None or {len(self._coding_offsets) - 1} == records)
        if not whole:
            raise _not_a_store(self.path, "tensors that do not fit together")

    def _ragged(self, tensors: _Header, name: str, offsets_name: str) -> tuple[np.ndarray | None, np.ndarray]:
        """Sequences of any length, one after the other, and where each begins; None and [0] where there are none."""
        sequences, found = self._tensor(tensors, name, 1), self._tensor(tensors, offsets_name, 1)
        offsets = np.zeros(1, dtype=np.int64) if found is None else np.array(found, dtype=np.int64)
        end = 0 if sequences is None else len(sequences)
        ordered = offsets.size > 0 and offsets[0] == 0 and (np.diff(offsets) >= 0).all()
        if not ((sequences is None) == (found is None) and ordered and offsets[-1] == end):
            raise _not_a_store(self.path, "tensors that do not fit together")
        return sequences, offsets

    def _tensor(self, header: _Header, name: str, dimensions: int) -> np.ndarray | None:
        if name not in header.tensors:
            return None
        entry = header.tensors[name]
        dtype, shape, start = _DTYPES[entry["dtype"]], tuple(entry["shape"]), header.start + entry["data_offsets"][0]
        if len(shape) != dimensions:
            raise _not_a_store(self.path, f"tensor {name!r} of shape {list(shape)}")
        if 0 in shape:  # an empty range cannot be mapped
            return np.zeros(shape, dtype)
        return np.memmap(self.path, dtype, "r", offset=start, shape=shape)


@dataclass(frozen=True)
class _Header:
    """Where the tensors lie, checked against the file's size."""

    tensors: dict[str, Any]
    start: int
    """Byte at which the data begin."""


_ENTRY = record(
    {
        "dtype": one_of(*_DTYPES),
        "shape": list_of(whole(0, 2**48)),
        "data_offsets": list_of(whole(0, 2**48), length=2),
    }
)


def _read_header(path: Path) -> _Header:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or length > min(size - 8, _LONGEST_HEADER):
                raise _not_a_store(path, "a file cut short, or not safetensors")
            text = file.read(length)
    except OSError as problem:
        raise _not_a_store(path, problem.strerror or "an unreadable file") from None
    tensors = parse_json(text, path, _EXPECTED, "header")
    check_shape(tensors, mapping(anything), path, _EXPECTED, "header")
    tensors = {name: entry for name, entry in tensors.items() if name != "__metadata__"}
    check_shape(tensors, mapping(_ENTRY), path, _EXPECTED, "header")
    for name, entry in tensors.items():
        begin, end = entry["data_offsets"]
        if end - begin != prod(entry["shape"]) * _DTYPES[entry["dtype"]].itemsize:
            raise _not_a_store(path, f"tensor {name[:60]!r} of shape {entry['shape']} in {end - begin:,} bytes")
    end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    if size != 8 + length + end:
        raise _not_a_store(path, f"{size:,} bytes where its header says {8 + length + end:,}: a file cut short")
    return _Header(tensors, 8 + length)


def _not_a_store(path: Path, found: str) -> InputError:
    return InputError(path, found=found, expected=_EXPECTED)
