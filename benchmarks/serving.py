"""The child's side of `benchmarks.variants`: python -m benchmarks.serving WORK SETTINGS

Standard input has a line for each turn and ends when the work should; standard output gets a JSON line when the work
is ready, and one after each turn.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol, TextIO

from benchmarks.machine import device_peak_mib, peak_mib

WORKS = {
    "predict-shipped": "benchmarks.predict_work:shipped",
    "predict-plain": "benchmarks.predict_work:plain",
    "train-shipped": "benchmarks.train_work:shipped",
    "train-plain": "benchmarks.train_work:plain",
    "matmul": "benchmarks.matmul_work:matmul",
    "scan-shared": "benchmarks.scan_work:shared",
    "scan-one-by-one": "benchmarks.scan_work:one_by_one",
    "windows-shipped": "benchmarks.window_work:shipped",
    "windows-pyfaidx": "benchmarks.window_work:pyfaidx_alone",
    "windows-letters": "benchmarks.window_work:letter_by_letter",
    "effects-incremental": "benchmarks.effects_work:incremental",
    "effects-full": "benchmarks.effects_work:full",
    "effects-variants": "benchmarks.effects_work:variants",
    "effects-windows": "benchmarks.effects_work:both_windows",
}
"""Works by name, and where their function (settings, turns) lies; each imports what it needs, and nothing before."""


class Finished(Exception):
    """No more turns: raised inside a work that waits for one."""


class Turns(Protocol):
    """The turns that a work is given."""

    def give(self, **said: Any) -> None:
        """Say something, and return when the next turn begins.

        Raises:
            Finished: there is none.
        """


class PipedTurns:
    """Turns that come and go as lines; each answer gets the process's peak memory."""

    def __init__(self, lines: TextIO, answers: TextIO) -> None:
        self._lines, self._answers = lines, answers

    def give(self, **said: Any) -> None:
        """See `Turns`."""
        answer = {**said, "peak_mib": peak_mib(), "device_peak_mib": device_peak_mib()}
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()
        if not self._lines.readline():
            raise Finished


def serve(do: Callable[[], int], turns: Turns, seconds: float) -> NoReturn:
    """Turn by turn, do the work again and again for at least so long.

    Args:
        do: the work; returns how many items it did, all done when it returns.
        turns: when to.
        seconds: 0 for once.

    Raises:
        Finished: at the end.
    """
    turns.give()
    while True:
        items, begun = 0, time.perf_counter()
        while True:
            items += do()
            elapsed = time.perf_counter() - begun
            if elapsed >= seconds:
                break
        turns.give(items=items, seconds=elapsed)


def main() -> None:
    """Work until the input ends."""
    module, function = WORKS[sys.argv[1]].split(":")
    work = getattr(importlib.import_module(module), function)
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is not an answer
    with suppress(Finished):
        work(json.loads(sys.argv[2]), PipedTurns(sys.stdin, answers))


if __name__ == "__main__":
    main()
