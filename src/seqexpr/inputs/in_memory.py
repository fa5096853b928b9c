"""Take sequences from Python: files by name, and text, mappings, lists or tokens as records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from seqexpr.errors import UsageError
from seqexpr.sequences.fasta import FastaRecord

if TYPE_CHECKING:
    import numpy as np

Sequences = Any
"""A FASTA file, a sequence as text, a mapping or Series from id to sequence, a list of sequences, or tokens."""

_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ*")
_SHORTEST_TEXT = 64
"""Letters of a text that is taken for a sequence where no file has such a name."""
_LONGEST_PATH = 4096


def given_sequences(
    sequences: Sequences | None, *, of_proteins: bool = False
) -> tuple[str | None, tuple[FastaRecord, ...] | None]:
    """Tell a file from sequences in memory.

    Args:
        sequences: what the caller gave.
        of_proteins: whether tokens are those of proteins.

    Returns:
        the file's name, or the records; neither where nothing was given.

    Raises:
        UsageError: sequences of another kind, or none; the text says which.
    """
    if sequences is None:
        return None, None
    if isinstance(sequences, os.PathLike):
        return os.fspath(sequences), None
    if isinstance(sequences, str):
        letters = sequences.strip().upper()
        if len(letters) >= _SHORTEST_TEXT and set(letters) <= _LETTERS and not os.path.exists(sequences):
            return None, _records([("1", letters)])
        if "\n" in sequences or "\0" in sequences or len(sequences) > _LONGEST_PATH:
            raise UsageError("sequences are a text that is neither a path nor the letters of one sequence")
        return sequences, None
    if isinstance(sequences, Mapping):
        return None, _records(sequences.items())
    if hasattr(sequences, "items"):  # a Series
        return None, _records(sequences.items())
    if hasattr(sequences, "dtype") and getattr(sequences, "ndim", 0) == 2:
        return None, _records(enumerate(_decoded(sequences, of_proteins), start=1))
    if isinstance(sequences, Iterable):
        return None, _records(enumerate(sequences, start=1))
    found = type(sequences).__name__
    raise UsageError(f"sequences are a {found}; expected a path, text, mapping, Series, list, or tokens (n, length)")


def _decoded(tokens: np.ndarray, of_proteins: bool) -> list[str]:
    from seqexpr.sequences.alphabet import DNA, PROTEIN

    alphabet = PROTEIN if of_proteins else DNA
    fits = tokens.dtype.kind in "iu" and (
        not tokens.size or 0 <= int(tokens.min()) <= int(tokens.max()) < alphabet.size
    )
    if not fits:
        raise UsageError(
            f"tokens are {tokens.dtype} numbers; expected 0 to {alphabet.size - 1}, as {alphabet.name} has"
        )
    return [alphabet.decode(row.astype("uint8")) for row in tokens]


def _records(pairs: Iterable[tuple[Any, Any]]) -> tuple[FastaRecord, ...]:
    records: dict[str, FastaRecord] = {}
    for number, (name, sequence) in enumerate(pairs, start=1):
        if isinstance(sequence, bytes):
            letters = sequence
        elif isinstance(sequence, str):
            letters = sequence.encode("ascii", "replace")
        else:
            raise UsageError(f"sequence {name!r} is a {type(sequence).__name__}; expected text")
        if not letters:
            raise UsageError(f"sequence {name!r} is empty")
        if not str(name).strip():
            raise UsageError(f"sequence {number} has no id")
        if str(name) in records:
            raise UsageError(f"two sequences have the id {str(name)!r}; give each its own")
        records[str(name)] = FastaRecord(str(name), "", letters, number)
    if not records:
        raise UsageError("there are no sequences; give at least one")
    return tuple(records.values())
