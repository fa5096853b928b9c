"""The hidden folder beside a command's output, where the chunks that a cluster computes are kept until all are there.

A chunk is a shard. Into how many of them the work is divided is decided once and kept, so that a run which was stopped
goes on with its finished chunks on however many workers there are then.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqexpr import __version__
from seqexpr.errors import UsageError
from seqexpr.files import alone, write_json
from seqexpr.own_files import anything, list_of, mapping, read_json, record, text, whole
from seqexpr.prediction.shard_files import SUFFIX, describe_file

_LOCK = "lock"
_STATE = "chunks.json"
_WANTED = ".wanted-"
_SHAPE = record({"seqexpr": text, "command": list_of(text), "inputs": mapping(anything), "chunks": whole(1, 100_000)})


class ChunkFolder:
    """The chunks of one command.

    Args:
        out: the command's output: a file, or what the names of its files begin with.
        command: the words that decide its result, after `seqexpr`.
        inputs: files that it reads.
    """

    def __init__(self, out: str, command: Sequence[str], inputs: Sequence[str]) -> None:
        target = Path(out)
        self.path = target.with_name(f".{target.name}.chunks")
        self._name = target.name
        self._command, self._inputs = list(command), list(inputs)
        self.count = 0
        """How many chunks there are; known once the folder is opened."""

    @contextmanager
    def opened(self, count: Callable[[], int], chosen: int | None, *, resume: bool) -> Iterator[list[int]]:
        """Hold the folder for this process; gives the chunks, from 1, that are done.

        Args:
            count: says how many chunks there are to be, where a run begins.
            chosen: how many the user asked for.
            resume: go on with a run that was begun.

        Raises:
            UsageError: another process is at work there; a run was begun and `resume` is not set; or it was begun with
                other options or inputs.
            OSError: the place cannot be written.
        """
        self.path.mkdir(exist_ok=True)
        busy = f"another process is writing this result ({self.path}): wait for it, or choose another --out"
        unused = False
        try:
            with alone(self.path / _LOCK, busy):
                try:
                    yield self._begun(count, chosen, resume)
                finally:
                    unused = not self._parts_there()
        finally:
            if unused:
                self.remove()

    def _begun(self, count: Callable[[], int], chosen: int | None, resume: bool) -> list[int]:
        state = self.path / _STATE
        for left in (*self.path.glob(f"{_WANTED}*"), *self.path.glob(".*.tmp")):
            left.unlink(missing_ok=True)  # of a run that was killed; workers that still compute for it end
        described = {"seqexpr": __version__, "command": self._command, "inputs": self._described()}
        if not (state.exists() and self._parts_there()):
            self.count = chosen or count()
            write_json(state, {**described, "chunks": self.count})
            return []
        if not resume:
            raise UsageError(
                f"chunks of a run that was not finished are in {self.path}: --resume goes on with it; to begin again, "
                "remove it"
            )
        begun = read_json(state, "the state of chunks on a cluster", _SHAPE)
        self.count = begun["chunks"]
        differing = [key for key, value in described.items() if begun[key] != value]
        if chosen not in (None, self.count):
            differing.append(f"--chunks {self.count}")
        if differing:
            others = ", ".join(differing)
            raise UsageError(f"{self.path} was begun with other options or files ({others}): give those, or remove it")
        return self.done()

    def _described(self) -> Mapping[str, Any]:
        return {file: describe_file(file) for file in self._inputs}

    def part(self, number: int) -> str:
        """Where a chunk goes, as its --out takes it; the suffix is that of the output."""
        return str((self.path / f"{number:06}.{self._name}").absolute())

    def description(self, number: int) -> str:
        """The JSON of the chunk, which is there when it is done."""
        return f"{self.part(number)}{SUFFIX}"

    def done(self) -> list[int]:
        """The chunks that are done."""
        there = self._parts_there()
        return [number for number in range(1, self.count + 1) if os.path.basename(self.description(number)) in there]

    def _parts_there(self) -> set[str]:
        """Names of the chunks' JSON files; the folder is listed, for a shared file system may remember absent names."""
        return {name for name in os.listdir(self.path) if name.endswith(SUFFIX)}

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def wanted_in(folder: Path) -> Iterator[str]:
    """A file in the folder that is there as long as the block runs: what workers compute for it is wanted."""
    marker = folder / f"{_WANTED}{uuid.uuid4().hex}"
    marker.touch()
    try:
        yield str(marker.absolute())
    finally:
        marker.unlink(missing_ok=True)
