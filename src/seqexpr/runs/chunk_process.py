"""What a worker of a cluster does for a chunk: it runs a command in a process of its own, which ends with the worker.

A process has an exit code, and one line of what went wrong; and memory that runs out takes no worker with it. Worker
and command need the same files, so the working folder and the files of the command are looked for first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seqexpr import __version__
from seqexpr.errors import INTERRUPTED, TERMINATED, MissingDataError
from seqexpr.threads import allowed_cores

_ENTRY = "from seqexpr.runs.chunk_process import main; main()"
_ERROR = "seqexpr: error: "
_SECONDS_BETWEEN_LOOKS = 1.0
"""Whether the result is still wanted."""
_SECONDS_TO_END = 10.0
"""A process that was asked to end gets this long to remove its temporary files."""


@dataclass(frozen=True)
class Chunk:
    """A command that a worker runs."""

    words: tuple[str, ...]
    """After `seqexpr`."""
    folder: str
    """The working folder."""
    wanted: str
    """A file that is there as long as the result is wanted."""
    result: str
    """A file whose being there says that the chunk is done."""
    inputs: tuple[str, ...] = ()
    """Files that the command reads."""
    threads: int | None = None
    """Of the command; None: the worker's cores divided by the chunks that it runs at once."""
    cache: str | None = None
    """The cache folder, where the user chose one."""
    version: str = __version__


@dataclass(frozen=True)
class Ended:
    """How a chunk's command ended."""

    code: int
    """Its exit code."""
    line: str = ""
    """What it said of its failure, in one line."""
    worker: str = ""
    """Address of the worker."""


class ChunkStopped(Exception):
    """The chunk's process was stopped from outside: another try, perhaps elsewhere, may do better."""


def share_of_cores(cores: int, at_once: int) -> int:
    """The threads of each chunk on a worker with so many cores, which runs so many chunks at once."""
    return max(1, cores // at_once)


def run_chunk(chunk: Chunk) -> Ended:
    """Run a chunk's command on this worker, to be called in a task of dask.

    Raises:
        ChunkStopped: its process was stopped from outside, or killed.
    """
    from distributed import get_worker

    dask = get_worker()
    worker = str(dask.address)
    if problem := _absent(chunk):
        return Ended(MissingDataError.exit_code, problem, worker)
    threads = chunk.threads or share_of_cores(allowed_cores(), dask.state.nthreads)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}  # dask sets it to 1
    if chunk.cache is not None:
        environment["SEQEXPR_CACHE"] = chunk.cache
    while True:
        code, said = _run([chunk.words[0], f"--threads={threads}", "--quiet", *chunk.words[1:]], chunk, environment)
        if code < 0 or code in (INTERRUPTED, TERMINATED):
            raise ChunkStopped(f"its process was stopped ({_reason(code)})")
        if code or os.path.exists(chunk.result) or not os.path.exists(chunk.wanted):
            return Ended(code, _line_of(said), worker)
        time.sleep(_SECONDS_BETWEEN_LOOKS)  # a fold that another process is at: when that is killed, it is to be done


def _absent(chunk: Chunk) -> str:
    """What this worker does not have; "" where it can begin."""
    if chunk.version != __version__:
        return f"this worker has seqexpr {__version__}, and the command is of {chunk.version}"
    for needed in (chunk.wanted, chunk.folder, *(os.path.join(chunk.folder, file) for file in chunk.inputs)):
        if not os.path.exists(needed):
            shown = os.path.dirname(needed) if needed == chunk.wanted else needed
            return f"this worker does not see {shown}: workers and the command need the same files at the same places"
    return ""


def _run(words: list[str], chunk: Chunk, environment: dict[str, str]) -> tuple[int, str]:
    """Run the command; returns its exit code and what it said on standard error."""
    its_end, our_end = os.pipe()  # which breaks when this process is killed, as a signal to the command
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _ENTRY, *words],
            cwd=chunk.folder,
            env=environment,
            stdin=its_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        os.close(its_end)
        its_end = -1
        while True:
            try:
                said = process.communicate(timeout=_SECONDS_BETWEEN_LOOKS)[1]
                return process.returncode, said.decode("utf-8", "replace")
            except subprocess.TimeoutExpired:
                if our_end >= 0 and not os.path.exists(chunk.wanted):
                    os.close(our_end)
                    our_end = -1
    finally:
        for end in (its_end, our_end):
            if end >= 0:
                os.close(end)


def _reason(code: int) -> str:
    if code == -9:  # SIGKILL, which not every system's `signal` knows
        return "killed, as happens when memory runs out"
    return signal.Signals(-code if code < 0 else code - 128).name


def _line_of(said: str) -> str:
    """The line of an error, without the program's name."""
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return errors[-1] if errors else lines[-1] if lines else ""


def main() -> None:
    """Run the command line of this process, until it ends or standard input does."""
    from seqexpr.__main__ import main as command

    threading.Thread(target=_end_with_input, daemon=True).start()
    command()


def _end_with_input() -> None:
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)  # as an exception, so that temporary files are removed
    time.sleep(_SECONDS_TO_END)
    os._exit(TERMINATED)


def cache_folder() -> str | None:
    """The cache folder that the user chose, as workers take it."""
    chosen = os.environ.get("SEQEXPR_CACHE")
    return str(Path(chosen).absolute()) if chosen else None
