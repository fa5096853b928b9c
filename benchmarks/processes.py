"""Whole commands in processes of their own, with their wall time and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.machine import maxrss_mib


@dataclass(frozen=True)
class Measured:
    """One finished command."""

    seconds: float
    peak_mib: float


def run_seqexpr(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run `seqexpr` with this interpreter; its output is thrown away.

    Raises:
        subprocess.CalledProcessError: it did not exit with 0.
    """
    return run_python(["-m", "seqexpr", *arguments], environment)


def run_python(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run this interpreter with these arguments, and `environment` on top of this process's own.

    Raises:
        subprocess.CalledProcessError: it did not exit with 0.
    """
    command = [sys.executable, *arguments]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if code := os.waitstatus_to_exitcode(status):
        raise subprocess.CalledProcessError(code, command)
    return Measured(seconds, maxrss_mib(usage))
