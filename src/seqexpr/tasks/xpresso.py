"""Xpresso's HDF5 files (Agarwal & Shendure 2020): promoters, half-life features and mRNA levels of genes.

- `promoter`, bool (genes, 20000, 4), gzip, chunked: one-hot A C G T, strand-oriented, the TSS at 10,000; an unknown
  letter has none of the four.
- `data`, float (genes, 8): half-life features as z-scores over all genes, of log10(x + 0.1) for lengths and density.
- `label`, float (genes,): z-scores of log10(RPKM + 0.1), the median of cell types and tissues.
- `geneName`, strings (genes,): Ensembl genes.

One-hot promoters of all human genes are 1.5 GB; they are read in blocks of a few hundred genes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.errors import InputError, MissingDataError
from seqexpr.inputs.half_life import FEATURES

UPSTREAM = DOWNSTREAM = 10_000
"""Bases before the TSS boundary and from it on."""

_EXPECTED = "an Xpresso HDF5 file"
_DATASETS = ("promoter", "data", "label", "geneName")
_MOST_ROWS = 1024  # of a block: 82 MB of one-hot letters


@dataclass(frozen=True)
class XpressoBlock:
    """Some genes of a file, in its order."""

    ids: list[str]
    windows: np.ndarray
    """Tokens, uint8 (genes, 20000)."""
    half_life: np.ndarray
    """Z-scores, float64 (genes, 8), in the order of `FEATURES`; NaN where missing."""
    labels: np.ndarray
    """float64 (genes,)."""


def read_blocks(path: Path) -> Iterator[XpressoBlock]:
    """The genes of a file, block by block; memory does not grow with their number.

    Raises:
        MissingDataError: h5py is not installed.
        InputError: no whole HDF5 file, other datasets or shapes than above, letters that are not one-hot, a gene
            without a name, or a label that is no number.
    """
    try:
        import h5py
    except ImportError:
        raise MissingDataError(
            "reading Xpresso's HDF5 files needs h5py, which is not installed; run: pip install h5py"
        ) from None
    try:
        file = h5py.File(path, "r", locking=False)  # some shared file systems have no locks
    except OSError:
        raise InputError(path, found="a file that is not whole HDF5", expected=_EXPECTED) from None
    with file:
        _check(path, file)
        promoter = file["promoter"]
        step = _rows_at_once(promoter)
        try:
            for start in range(0, len(promoter), step):
                yield _block(path, file, slice(start, min(start + step, len(promoter))))
        except OSError as problem:  # a chunk that cannot be decompressed
            raise InputError(path, found=f"damaged data ({_first_line(problem)})", expected=_EXPECTED) from None


def _check(path: Path, file: Any) -> None:
    missing = [name for name in _DATASETS if name not in file]
    if missing:
        raise InputError(path, found=f"no dataset {', '.join(missing)}", expected=_EXPECTED)
    genes = len(file["geneName"])
    shapes = {"promoter": (genes, UPSTREAM + DOWNSTREAM, 4), "data": (genes, len(FEATURES)), "label": (genes,)}
    for name, shape in shapes.items():
        if file[name].shape != shape:
            raise InputError(path, record=f"dataset {name!r}", found=f"shape {file[name].shape}", expected=f"{shape}")
        if file[name].dtype.kind not in "biuf":
            raise InputError(path, record=f"dataset {name!r}", found=f"type {file[name].dtype}", expected="numbers")


def _rows_at_once(promoter: Any) -> int:
    """Whole chunks, so that none is decompressed twice; but not more rows than fit in memory."""
    rows = promoter.chunks[0] if promoter.chunks else 1
    return min(_MOST_ROWS, rows * max(1, 256 // rows))


def _block(path: Path, file: Any, part: slice) -> XpressoBlock:
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in file["geneName"][part]]
    if "" in names:
        raise InputError(path, record=f"row {part.start + names.index('') + 1}", found="no name", expected="a gene")
    labels = file["label"][part].astype(np.float64)
    half_life = file["data"][part].astype(np.float64)
    for name, unusable in (("label", ~np.isfinite(labels)), ("half-life feature", np.isinf(half_life).any(axis=1))):
        if unusable.any():
            row = names[int(unusable.argmax())]
            raise InputError(path, record=repr(row), found=f"a {name} that is not finite", expected="a number")
    return XpressoBlock(names, _tokens(path, file["promoter"], part, names), half_life, labels)


def _tokens(path: Path, promoter: Any, part: slice, names: list[str]) -> np.ndarray:
    """Tokens of some genes: uint8 (genes, 20000)."""
    tokens = np.zeros((len(names), promoter.shape[1]), dtype=np.uint8)
    letters = np.zeros_like(tokens)  # how many of the four are set
    # Letter by letter: the files' chunks hold one letter each, and h5py copies those in long runs, more than
    # twice as fast as interleaved.
    for letter in range(4):
        values = promoter[part, :, letter]
        present = values.view(np.uint8) if values.dtype == bool else (values != 0).view(np.uint8)
        if values.dtype != bool and (values[values != 0] != 1).any():
            raise InputError(path, record="dataset 'promoter'", found="other values than 0 and 1", expected="one-hot")
        tokens += present * np.uint8(letter + 1)
        letters += present
    if letters.max(initial=0) > 1:
        row, base = (int(index) for index in np.unravel_index(int(letters.argmax()), letters.shape))
        raise InputError(
            path, record=repr(names[row]), found=f"{letters[row, base]} letters at base {base:,}", expected="one"
        )
    return tokens


def _first_line(problem: Exception) -> str:
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
