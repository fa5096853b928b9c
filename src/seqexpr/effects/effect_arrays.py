"""Effects as arrays for motif discovery, in one file of numpy's."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from contextlib import ExitStack
from types import TracebackType
from typing import IO

import numpy as np

from seqexpr.effects.gene_effects import GeneEffects
from seqexpr.effects.letters import Letters
from seqexpr.files import atomic_path
from seqexpr.prediction.writers import named_errors


class Arrays:
    """`effects`, float32, and `one_hot`, int8, both (genes, 4 or 20, length), and `ids`, as TF-MoDISco reads them.

    Unknown letters are 0 in both, and so is what is behind the end of a shorter protein. Rows wait in temporary files,
    for the number of genes stands at the beginning of an array's file.

    Args:
        out: the file, which appears whole when the block ends.
        letters: what is explained.
    """

    def __init__(self, out: str, letters: Letters) -> None:
        self._out, self._letters = out, letters
        self._ids: list[str] = []
        self._lengths: list[int] = []
        self._waiting: dict[str, IO[bytes]] = {}

    def __enter__(self) -> Arrays:
        self._waiting = {name: tempfile.TemporaryFile() for name in ("effects", "one_hot")}  # noqa: SIM115
        return self

    def write(self, effects: GeneEffects) -> None:
        """Add a gene."""
        one_hot = effects.tokens == np.arange(1, len(self._letters.letters) + 1)[:, None]
        self._ids.append(effects.id)
        self._lengths.append(len(effects.tokens))
        self._waiting["effects"].write(np.nan_to_num(effects.deltas, nan=0).astype("<f4").tobytes())
        self._waiting["one_hot"].write(one_hot.astype(np.int8).tobytes())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for waiting in self._waiting.values():
                stack.enter_context(waiting)
            if kind is not None:
                return
            with named_errors(self._out), atomic_path(self._out) as temporary, zipfile.ZipFile(temporary, "w") as file:
                shape = (len(self._ids), len(self._letters.letters), max(self._lengths, default=0))
                for name, kind_of in (("effects", "<f4"), ("one_hot", "|i1")):
                    with _member(file, name) as stream:
                        header = {"descr": kind_of, "fortran_order": False, "shape": shape}
                        np.lib.format.write_array_header_1_0(stream, header)
                        self._waiting[name].seek(0)
                        self._copy(self._waiting[name], stream, np.dtype(kind_of), shape)
                with _member(file, "ids") as stream:
                    ids = np.array([one.encode("utf-8", "replace").decode() for one in self._ids], dtype=np.str_)
                    np.lib.format.write_array(stream, ids, allow_pickle=False)

    def _copy(self, waiting: IO[bytes], stream: IO[bytes], kind: np.dtype, shape: tuple[int, int, int]) -> None:
        """Copy what waits, shorter genes with zeros behind them."""
        _, rows, longest = shape
        if all(length == longest for length in self._lengths):
            shutil.copyfileobj(waiting, stream)
            return
        for length in self._lengths:
            found = np.frombuffer(waiting.read(rows * length * kind.itemsize), kind).reshape(rows, length)
            stream.write(np.pad(found, ((0, 0), (0, longest - length))).tobytes())


def _member(file: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A member of an archive in which no time of day stands: the same effects are the same bytes."""
    found = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    found.compress_type = zipfile.ZIP_DEFLATED
    return file.open(found, "w", force_zip64=True)
