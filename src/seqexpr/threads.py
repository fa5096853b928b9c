"""Count the cores that this process may use, and read ahead, or wait, on a thread of its own.

torch itself takes all the cores that the machine has, which in a container may be many more than it is given.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar

_PROCESS_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_CPU_TIMES = Path("/proc/stat")
_BUSY_SHARE = 0.3
"""Of the cores, in use by others: then torch's threads had better not spin."""


def usable_cores(groups: Path = _GROUPS, process_groups: Path = _PROCESS_GROUPS) -> int:
    """The cores that compute for this process, at least 1: `allowed_cores`, or `OMP_NUM_THREADS` where that is less."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list is one number for each nested level
    wanted = [int(asked)] if asked.isascii() and asked.isdigit() else []
    return min([allowed_cores(groups, process_groups), *(count for count in wanted if count)])


def allowed_cores(groups: Path = _GROUPS, process_groups: Path = _PROCESS_GROUPS) -> int:
    """The cores that the system allows this process, at least 1.

    The least of: the cores that it may run on (taskset, SLURM, Kubernetes' static policy), and the CPU quota of its
    control groups (`docker run --cpus`, Kubernetes' limits), rounded up, where each is known.

    Args:
        groups: where control groups, version 1 or 2, are mounted.
        process_groups: the file that names those of this process.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(-(-quota // period) for quota, period in _quotas(groups, process_groups))]))


def wait_passively_if_busy(seconds: float = 0.1, file: Path = _CPU_TIMES) -> float | None:
    """Let torch's threads wait without spinning where other processes use much of the machine.

    To be asked before torch is imported, which reads the setting then; `OMP_WAIT_POLICY` in the environment counts
    first. Spinning threads are faster on a quiet machine, and several times slower where other processes are busy.

    Args:
        seconds: how long the machine is looked at.
        file: where the system counts the time of its cores.

    Returns:
        the share of the cores that others use, where that is why the setting was changed; else None.
    """
    if "OMP_WAIT_POLICY" in os.environ or "torch" in sys.modules:
        return None
    before = _cpu_times(file)
    time.sleep(seconds)
    after = _cpu_times(file)
    if before is None or after is None or after[1] <= before[1]:
        return None
    share = (after[0] - before[0]) / (after[1] - before[1])
    if share < _BUSY_SHARE:
        return None
    os.environ["OMP_WAIT_POLICY"] = "passive"
    return share


def _cpu_times(file: Path) -> tuple[int, int] | None:
    """Ticks of all cores that were busy, and all ticks, since the machine started; None where it does not say."""
    try:
        numbers = [int(word) for word in file.read_text(encoding="ascii").split("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    if len(numbers) < 5:
        return None
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)  # all but idle and waiting for disks


def _quotas(groups: Path, process_groups: Path) -> list[tuple[int, int]]:
    """Microseconds of CPU in each period of so many microseconds, for each group that bounds this process."""
    found = []
    for folder in _folders(groups, process_groups):
        # Version 2 has both numbers in one file, "max" for no bound; version 1 has two files, -1 for no bound.
        two_files = (folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
        words = _words(folder / "cpu.max") or [word for file in two_files for word in _words(file)]
        if len(words) == 2 and all(word.isdigit() and int(word) for word in words):
            found.append((int(words[0]), int(words[1])))
    return found


def _folders(groups: Path, process_groups: Path) -> list[Path]:
    """The folders of this process's CPU groups, and of all groups around them, which bound it too.

    A container sees its own group as the root of what is mounted, whatever path `process_groups` names.
    """
    folders = [groups, groups / "cpu", groups / "cpu,cpuacct"]
    try:
        lines = process_groups.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        inner = root / path.lstrip("/")
        folders += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return list(dict.fromkeys(folders))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


T = TypeVar("T")

READER_NAME = "seqexpr-reader"
"""Name of the reading thread. It may outlast its use when it waits for a file that sends nothing."""

COURIER_NAME = "seqexpr-courier"
"""Name of the thread that waits for other processes. It may outlast its use when one of them sends nothing."""

_PATIENCE = 0.1
"""Seconds that an item waits for others before it is handed out without them."""

_HEARING = 1.0
"""Seconds after which who waits for a courier looks up."""

_FAREWELL = 0.5
"""Seconds that a reader which is told to stop gets to close its files."""


class Prefetch(Generic[T]):
    """The items of `source`, which runs on another thread, handed out in stretches.

    Args:
        source: what is read. Leaving the context stops the thread, unless it waits for a file that sends nothing.
        room: items, at most, that have been read and not yet been released; with no room the thread waits.
    """

    def __init__(self, source: Iterable[T], room: int) -> None:
        self.failure: BaseException | None = None
        """What ended the source, where that was an error; known once `take` gives nothing."""
        self._room = room
        self._held = 0
        self._waiting: deque[tuple[float, T]] = deque()  # each with the time of its arrival
        self._ended = self._stopping = False
        self._lock = threading.Lock()
        self._arrival = threading.Condition(self._lock)
        self._departure = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._fill, args=(source,), name=READER_NAME, daemon=True)

    def __enter__(self) -> Prefetch[T]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join(_FAREWELL)

    def take(self, count: int) -> list[T]:
        """The next `count` items, as soon as they are there.

        Fewer at the source's end, or when the source pauses: no item waits for others longer than a moment. None
        when the source has ended, or was told to stop.
        """
        with self._lock:
            while not self._is_due(count):
                self._arrival.wait(self._patience_left())
            if self._stopping:
                return []
            return [self._waiting.popleft()[1] for _ in range(min(count, len(self._waiting)))]

    def release(self) -> None:
        """Make room for another item: one that was taken is done with."""
        with self._lock:
            self._held -= 1
            self._departure.notify()

    def stop(self) -> None:
        """Read no more, and hand out nothing that has been read."""
        with self._lock:
            self._stopping = True
            self._arrival.notify_all()
            self._departure.notify_all()

    def _is_due(self, count: int) -> bool:
        left = self._patience_left()
        return self._stopping or self._ended or len(self._waiting) >= count or (left is not None and left <= 0)

    def _patience_left(self) -> float | None:
        return self._waiting[0][0] + _PATIENCE - time.monotonic() if self._waiting else None

    def _fill(self, source: Iterable[T]) -> None:
        try:
            for item in source:
                if not self._add(item):
                    return
        except BaseException as error:
            self.failure = error
        finally:
            with self._lock:
                self._ended = True
                self._arrival.notify_all()

    def _add(self, item: T) -> bool:
        """Whether the item found room before the thread was told to stop."""
        with self._lock:
            while self._held >= self._room and not self._stopping:
                self._departure.wait()
            self._held += 1
            self._waiting.append((time.monotonic(), item))
            self._arrival.notify()
            return not self._stopping


class Courier:
    """Does what may wait for long in a library, on a thread of its own, so that a signal ends the caller's wait.

    Python hears of signals only between its own instructions, and none comes while a library waits for the network.
    """

    def __init__(self) -> None:
        self._errands: SimpleQueue[tuple[Callable[[], object], Future[None]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=COURIER_NAME, daemon=True).start()

    def do(self, errand: Callable[[], object]) -> None:
        """Do this, after all that was asked before, and wait until it is done; its error is the caller's."""
        done: Future[None] = Future()
        self._errands.put((errand, done))
        while not done.done():
            wait([done], _HEARING)  # a signal that the system gave to another thread is heard between two waits
        done.result()

    def close(self) -> None:
        """End the thread once all is done."""
        self._errands.put(None)

    def _run(self) -> None:
        while (asked := self._errands.get()) is not None:
            errand, done = asked
            try:
                errand()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)
