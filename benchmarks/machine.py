"""What the benchmarks run on, and how much memory a process has taken."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def peak_mib() -> float:
    """The most memory that this process has had since its program started, MiB.

    Linux counts in ru_maxrss what the process was before it became this program, so its own count is taken there.
    """
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return maxrss_mib(resource.getrusage(resource.RUSAGE_SELF))
    kib = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(kib[1]) / 1024 if kib else maxrss_mib(resource.getrusage(resource.RUSAGE_SELF))


def device_peak_mib() -> float | None:
    """The most memory that this process's tensors have had on CUDA, MiB; None where it has computed nothing there."""
    torch = sys.modules.get("torch")  # what has not been imported has computed nothing
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.max_memory_allocated() / 2**20


def maxrss_mib(usage: resource.struct_rusage) -> float:
    """`ru_maxrss` in MiB: it counts bytes on macOS and KiB elsewhere."""
    return usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def describe_machine() -> dict[str, Any]:
    """Processor, load, versions and commit: what a figure needs beside it."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_since_commit": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


class Others:
    """How much of the cores other processes take, from now on: figures made beside them are worth less."""

    def __init__(self) -> None:
        self._begun, self._busy, self._own = time.monotonic(), _busy_seconds(), _own_seconds()

    def share(self) -> float | None:
        """Of all cores' time so far, once all children have ended; None where the system does not say."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (_own_seconds() - self._own)
        return max(0.0, others / ((time.monotonic() - self._begun) * (os.cpu_count() or 1)))


def _busy_seconds() -> float | None:
    """Seconds that all cores together have computed for anyone, or have been lent to other virtual machines."""
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Seconds that this process and its children that have ended have computed."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _git(*arguments: str) -> str:
    """What git says of this checkout; nothing where there is none."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
