"""A dask cluster: one that is there, by its address, or one of a few processes of this machine.

dask is the engine: it gives chunks to workers, and gives those of a worker that died to others.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from seqexpr.errors import DeviceError, InputError, MissingDataError, SeqexprError, UsageError
from seqexpr.own_files import read_json
from seqexpr.runs.chunk_process import Chunk, ChunkStopped, Ended, share_of_cores
from seqexpr.runs.interrupts import interrupts_held
from seqexpr.threads import allowed_cores, usable_cores

logger = logging.getLogger(__name__)

_LOCAL = re.compile("local:([0-9]{1,4})", re.ASCII)
_RETRIES = 3
"""Of a chunk whose process is stopped from outside; how many dead workers a chunk survives, dask's
`distributed.scheduler.allowed-failures` says."""
_LACKS_SEQEXPR = "cannot import seqexpr: install it there, in the version of this command"
_SECONDS_TO_CONNECT = 10
_SECONDS_BETWEEN_LOOKS = 1.0
_LOOKS_BETWEEN_COUNTS = 5


class ChunkFailed(SeqexprError):
    """A chunk that failed, with the exit code of its command."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.exit_code = code


@dataclass
class Cluster:
    """A connection to a scheduler that has workers."""

    name: str
    """The scheduler, as the user named it."""
    local: int
    """Processes on this machine that are the workers; 0: the workers are elsewhere."""
    patience: float
    """Seconds without a worker that are too many."""
    client: Any

    @property
    def places(self) -> int:
        """How many chunks the workers of now run at once."""
        return sum(self.client.nthreads().values())

    def described(self) -> str:
        """Its workers and its name, in a few words."""
        places = self.places
        return f"{places:,} worker thread{'' if places == 1 else 's'} of {self.name}"

    def threads(self, asked: int | None) -> int | None:
        """Threads of each chunk; None: each worker decides by its cores.

        Args:
            asked: by the user; processes of this machine divide them, or the cores of this process.
        """
        return max(1, (asked or usable_cores()) // self.local) if self.local else asked

    def equal_threads(self, asked: int | None) -> int:
        """As `threads`, but a number that all workers of now can give.

        Raises:
            MissingDataError: seqexpr is not installed on a worker.
        """
        if threads := self.threads(asked):
            return threads
        at_once, cores = self.client.nthreads(), self.client.run(allowed_cores, on_error="return")
        for address, found in cores.items():
            if isinstance(found, Exception):
                raise MissingDataError(f"the worker {address} {_LACKS_SEQEXPR} ({found})")
        return min(share_of_cores(found, at_once.get(address, 1)) for address, found in cores.items())

    def run(self, chunks: Mapping[int, Chunk], called: str, heard: Callable[[int], None]) -> None:
        """Run chunks. One that fails stops no other, but for a mistake in the command's options.

        Args:
            chunks: by their numbers.
            called: what a chunk is called, with its number in braces: "fold {}".
            heard: gets the number of each chunk when it is done.

        Raises:
            ChunkFailed: at least one failed; the others are done.
            MissingDataError: the scheduler is gone, or there has been no worker for too long.
        """
        failed: dict[int, Ended] = {}
        with closing(self._ends(chunks)) as ends:
            for number, ended in ends:
                if ended.code == 0:
                    heard(number)
                    continue
                failed[number] = ended
                if ended.code == UsageError.exit_code:
                    raise ChunkFailed(ended.line, ended.code)
        if failed:
            lines = [_said(called.format(number), ended) for number, ended in sorted(failed.items())]
            for line in lines[1:]:
                logger.error("%s", line)
            raise ChunkFailed(lines[0], failed[min(failed)].code)

    def _ends(self, chunks: Mapping[int, Chunk]) -> Generator[tuple[int, Ended], None, None]:
        """Each chunk's number and how it ended, as they end; what is not given yet is cancelled at the end."""
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        mark = time.time_ns()
        task = _task()
        futures = {
            self.client.submit(
                task, asdict(chunk), key=f"seqexpr-{mark}-{number}", retries=_RETRIES, pure=False
            ): number
            for number, chunk in chunks.items()
        }
        try:
            for future in futures:
                future.add_done_callback(ended.put)
            for _ in range(len(futures)):
                future = self._next(ended)
                yield futures[future], _outcome(future)
        finally:
            if self.client.status == "running":
                self.client.cancel(list(futures), force=True)

    def _next(self, ended: queue.SimpleQueue[Any]) -> Any:
        """The next future that is done."""
        looks, last_seen = 0, time.monotonic()
        while True:
            try:
                future = ended.get(timeout=_SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                looks += 1
                if looks % _LOOKS_BETWEEN_COUNTS == 0:
                    now = time.monotonic()
                    last_seen = now if self.client.nthreads() else last_seen
                    if now - last_seen > self.patience:
                        raise MissingDataError(_no_worker(self.name, self.patience)) from None
                continue
            if future.cancelled():
                raise MissingDataError(f"the connection to the scheduler {self.name} was lost")
            return future


def _task() -> Callable[[dict[str, Any]], Ended]:
    """What is sent to a worker: as code, and not by a name that a worker without seqexpr would end over."""

    def run(described: dict[str, Any]) -> Ended:
        from seqexpr.runs.chunk_process import Chunk, run_chunk

        return run_chunk(Chunk(**described))

    return run


def _said(name: str, ended: Ended) -> str:
    where = f" on the worker {ended.worker}" if ended.worker else ""
    line = ended.line.removeprefix(f"{name}: ") or f"exit code {ended.code}"
    return f"{name} failed{where}: {line}"


def _outcome(future: Any) -> Ended:
    from distributed import KilledWorker

    if future.status == "finished":
        result: Ended = future.result()
        return result
    problem = future.exception()
    if isinstance(problem, KilledWorker):
        return Ended(
            DeviceError.exit_code,
            "every worker that computed it died, as happens when memory runs out",
            str(problem.last_worker.address),
        )
    if isinstance(problem, ChunkStopped):
        return Ended(DeviceError.exit_code, str(problem))
    if isinstance(problem, ImportError):
        return Ended(MissingDataError.exit_code, f"a worker {_LACKS_SEQEXPR} ({problem})")
    return Ended(1, f"{type(problem).__name__}: {problem}")


@contextmanager
def open_cluster(scheduler: str, patience: float) -> Iterator[Cluster]:
    """Connect to a scheduler, or start one with a few workers on this machine, and wait for the first worker.

    Args:
        scheduler: an address, such as "tcp://10.0.0.1:8786"; a file that `dask scheduler --scheduler-file` wrote, whose
            name ends in .json; or "local:N" for N processes of this machine.
        patience: seconds that a worker is waited for.

    Raises:
        MissingDataError: dask's distributed is not installed, or there is no scheduler, or no worker joined it.
        UsageError: `scheduler` is none of these.
        InputError: the file is none that a scheduler wrote.
    """
    local = _LOCAL.fullmatch(scheduler)
    if scheduler.startswith("local") and (local is None or not int(local[1])):
        raise UsageError(f"--scheduler {scheduler}: give the number of processes, such as local:2")
    address = scheduler if local else _address_of(scheduler)
    try:
        import distributed
    except ImportError:
        raise MissingDataError(
            "--scheduler needs dask's distributed, which is not installed; run: pip install distributed"
        ) from None
    _silence()
    with ExitStack() as stack:
        if local:
            with interrupts_held():  # the thread that starts workers is born with this, and so are these
                here = distributed.LocalCluster(
                    n_workers=int(local[1]),
                    threads_per_worker=1,  # a chunk each, whose process has threads of its own
                    memory_limit=0,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",  # any port: the usual one may be in use
                    silence_logs=logging.CRITICAL,
                )
            client = stack.enter_context(distributed.Client(stack.enter_context(here)))
        else:
            try:
                client = stack.enter_context(distributed.Client(address, timeout=_SECONDS_TO_CONNECT))
            except (OSError, ValueError, ImportError) as problem:
                raise MissingDataError(
                    f"no scheduler answers at {scheduler} ({' '.join(str(problem).split())}); start one with: "
                    "dask scheduler"
                ) from None
        cluster = Cluster(scheduler, int(local[1]) if local else 0, patience, client)
        deadline = time.monotonic() + patience
        while not client.nthreads():
            if time.monotonic() > deadline:
                raise MissingDataError(_no_worker(scheduler, patience))
            time.sleep(min(_SECONDS_BETWEEN_LOOKS, patience))
        yield cluster


def _address_of(scheduler: str) -> str:
    """The address, as it is or as a scheduler's file gives it."""
    if not scheduler.lower().endswith(".json"):
        return scheduler
    if not os.path.exists(scheduler):
        raise MissingDataError(
            f"{scheduler}: no such file; a scheduler writes it: dask scheduler --scheduler-file {scheduler}"
        )
    expected = "the file that dask scheduler --scheduler-file writes"
    found = read_json(scheduler, expected)
    if not isinstance(found, dict) or not isinstance(found.get("address"), str):
        raise InputError(scheduler, record="key 'address'", found="no address", expected=expected)
    address: str = found["address"]
    return address


def _no_worker(scheduler: str, patience: float) -> str:
    return (
        f"the scheduler {scheduler} has had no worker for {patience:g} s; start one with: dask worker ADDRESS, or wait "
        "longer (--worker-timeout)"
    )


def _silence() -> None:
    """Leave dask's log lines out: what goes wrong is said in one line."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
