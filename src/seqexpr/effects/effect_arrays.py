"""Effects as arrays for motif discovery, in one file of numpy's."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from array import array
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO, TYPE_CHECKING

import numpy as np

from seqexpr.effects.gene_effects import GeneEffects
from seqexpr.effects.letters import Letters
from seqexpr.errors import InputError
from seqexpr.files import atomic_path
from seqexpr.prediction.merging import in_order
from seqexpr.prediction.writers import named_errors

if TYPE_CHECKING:
    from seqexpr.prediction.shard_files import Description, ShardFile


_KINDS = {"effects": "<f4", "one_hot": "|i1"}


class Arrays:
    """`effects`, float32, and `one_hot`, int8, both (genes, 4 or 20, length), and `ids`, as TF-MoDISco reads them.

    Unknown letters are 0 in both, and so is what is behind the end of a shorter protein. Rows wait in temporary files,
    for the number of genes stands at the beginning of an array's file.

    Args:
        out: the file, which appears whole when the block ends.
        letters: what is explained.
        shard: the shard that the file is, if it is one.
    """

    def __init__(self, out: str, letters: Letters, shard: ShardFile | None = None) -> None:
        self._out, self._letters, self._shard = out, letters, shard
        self._genes = [0]
        """Of each block of a shard; nothing stands before the first."""
        self._ids: list[str] = []
        self._lengths: list[int] = []
        self._waiting: dict[str, IO[bytes]] = {}

    def __enter__(self) -> Arrays:
        self._waiting = {name: tempfile.TemporaryFile() for name in _KINDS}  # noqa: SIM115
        return self

    def write(self, effects: GeneEffects) -> None:
        """Add a gene."""
        one_hot = effects.tokens == np.arange(1, len(self._letters.letters) + 1)[:, None]
        self._ids.append(effects.id.encode("utf-8", "replace").decode())
        self._lengths.append(len(effects.tokens))
        self._waiting["effects"].write(np.nan_to_num(effects.deltas, nan=0).astype("<f4").tobytes())
        self._waiting["one_hot"].write(one_hot.astype(np.int8).tobytes())

    def end_block(self) -> None:
        """End a block of a shard."""
        self._genes.append(len(self._ids) - sum(self._genes))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for waiting in self._waiting.values():
                stack.enter_context(waiting)
            if kind is not None:
                return
            if self._shard is not None:
                self._shard.sizes = self._genes
            _write(self._out, len(self._letters.letters), self._ids, self._lengths, self._waiting)


def merge_arrays(shards: Sequence[Description], out: str) -> None:
    """Write the arrays of shards as one run does. They wait on disk; one gene is in memory, and the genes' ids.

    Args:
        shards: all of one result, in their order.
        out: the file, which appears when it is whole.

    Raises:
        InputError: a shard is damaged.
        OSError: the file cannot be written.
    """
    places = [array("q") for _ in shards]
    total = 0
    for shard, block in in_order(shards):
        for _ in range(shards[shard].segments[block + 1]):
            places[shard].append(total)
            total += 1
    ids = [""] * total
    with ExitStack() as stack:
        shapes = [_shape(one, len(found)) for one, found in zip(shards, places, strict=True)]
        rows, longest = shapes[0][1], max(length for _, _, length in shapes)
        waiting = {name: stack.enter_context(tempfile.TemporaryFile()) for name in _KINDS}
        for one, found, (_, _, length) in zip(shards, places, shapes, strict=True):
            with zipfile.ZipFile(one.file) as file:
                for name, kind_of in _KINDS.items():
                    kind = np.dtype(kind_of)
                    with file.open(f"{name}.npy") as stream:
                        _header(stream)
                        for place in found:
                            gene = np.frombuffer(stream.read(rows * length * kind.itemsize), kind)
                            padded = np.pad(gene.reshape(rows, length), ((0, 0), (0, longest - length)))
                            waiting[name].seek(place * padded.nbytes)
                            waiting[name].write(padded.tobytes())
                with file.open("ids.npy") as stream:
                    for place, name in zip(found, np.lib.format.read_array(stream).tolist(), strict=True):
                        ids[place] = name
        _write(out, rows, ids, [longest] * total, waiting)


def _shape(shard: Description, genes: int) -> tuple[int, int, int]:
    """The shape of a shard's arrays."""
    with zipfile.ZipFile(shard.file) as file, file.open("effects.npy") as stream:
        shape = _header(stream)
    if shape[0] != genes:
        raise InputError(shard.file, found=f"{shape[0]:,} genes", expected=f"{genes:,}, as the JSON beside it says")
    return shape


def _header(stream: IO[bytes]) -> tuple[int, int, int]:
    np.lib.format.read_magic(stream)
    shape, _, _ = np.lib.format.read_array_header_1_0(stream)
    genes, rows, length = shape
    return genes, rows, length


def _write(out: str, rows: int, ids: Sequence[str], lengths: Sequence[int], waiting: Mapping[str, IO[bytes]]) -> None:
    """Write the file of what waits: of each gene, in the order of the ids, (rows, its length)."""
    with named_errors(out), atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as file:
        shape = (len(ids), rows, max(lengths, default=0))
        for name, kind in _KINDS.items():
            with _member(file, name) as stream:
                np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
                waiting[name].seek(0)
                _copy(waiting[name], stream, np.dtype(kind), rows, lengths)
        with _member(file, "ids") as stream:
            np.lib.format.write_array(stream, np.array(ids, dtype=np.str_), allow_pickle=False)


def _copy(waiting: IO[bytes], stream: IO[bytes], kind: np.dtype, rows: int, lengths: Sequence[int]) -> None:
    """Copy what waits, shorter genes with zeros behind them."""
    longest = max(lengths, default=0)
    if all(length == longest for length in lengths):
        shutil.copyfileobj(waiting, stream)
        return
    for length in lengths:
        found = np.frombuffer(waiting.read(rows * length * kind.itemsize), kind).reshape(rows, length)
        stream.write(np.pad(found, ((0, 0), (0, longest - length))).tobytes())


def _member(file: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A member of an archive in which no time of day stands: the same effects are the same bytes."""
    found = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    found.compress_type = zipfile.ZIP_DEFLATED
    return file.open(found, "w", force_zip64=True)
