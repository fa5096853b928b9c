"""Ways of doing the same thing, timed turn by turn, each in a process of its own.

The allocator and the number of threads belong to a whole process, so each variant is a child that stays alive, does
one timed slice of work when it is told to, and waits. Only one works at a time. Every round gives each variant one
turn, odd rounds in the opposite order: what the machine does beside falls on all alike, and medians are compared.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

Turn = dict[str, Any]
"""What a child says of a slice: at least "items", "seconds" and "peak_mib"."""


@dataclass(frozen=True)
class Variant:
    """One way."""

    name: str
    work: str
    """The child's work, as `benchmarks.serving` names it."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What the work is told, as JSON can hold it."""


class Child:
    """A variant's process; as a context manager it ends with the context.

    `ready` waits until it stands (imports done, weights there) and gives what it says of itself; then `turn`.
    """

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving", variant.work, json.dumps(variant.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(BrokenPipeError):
            self._pipe(self._process.stdin).close()  # the child takes it for the end
        if error is not None:
            self._process.kill()
        self._process.wait()
        self._pipe(self._process.stdout).close()

    def ready(self) -> Turn:
        """What the child says once it can begin."""
        return self._read()

    def turn(self) -> Turn:
        """One slice of its work."""
        pipe = self._pipe(self._process.stdin)
        with suppress(BrokenPipeError):  # it has died; reading tells
            pipe.write("go\n")
            pipe.flush()
        return self._read()

    def _read(self) -> Turn:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"variant {self.variant.name!r} ended with status {self._process.wait()}")
        return json.loads(line)

    @staticmethod
    def _pipe(stream: Any) -> Any:
        assert stream is not None
        return stream


def order_of(count: int, turn: int) -> list[int]:
    """Whose turns come in a round, by place: forwards in even rounds, backwards in odd ones."""
    places = list(range(count))
    return places if turn % 2 == 0 else places[::-1]


def interleave(
    variants: Sequence[Variant],
    rounds: int,
    *,
    start: Callable[[Variant], Child],
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, list[Turn]]:
    """The turns of each variant, by name, in the order of the rounds. One turn of each before them is thrown away.

    Args:
        variants: with names of their own.
        rounds: how many, at least 1.
        start: makes a variant's child.
        tell: is told what happens.
    """
    with ExitStack() as stack:
        children = [stack.enter_context(start(variant)) for variant in variants]
        for child in children:  # none works before all stand
            child.ready()
        for child in children:
            tell(f"warm-up: {child.variant.name}")
            child.turn()
        turns: dict[str, list[Turn]] = {variant.name: [] for variant in variants}
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for place in order_of(len(children), number):
                turns[children[place].variant.name].append(children[place].turn())
    return turns


@dataclass(frozen=True)
class Memory:
    """MiB of a process of its own."""

    ready: float
    """Its peak when it stands: the interpreter, torch, the weights and the inputs."""
    peak: float
    """Its peak when it has worked."""
    device: float | None = None
    """Its tensors' peak on CUDA, where it computes there."""

    @property
    def own(self) -> float:
        """What the work itself took."""
        return self.peak - self.ready

    def to_dict(self) -> dict[str, float | None]:
        """As JSON can hold it."""
        return {"ready_mib": self.ready, "peak_mib": self.peak, "own_mib": self.own, "device_peak_mib": self.device}


def peak_memory(variant: Variant, *, start: Callable[[Variant], Child], turns: int = 2) -> Memory:
    """Peak memory of a short run of its own."""
    with start(variant) as child:
        ready = child.ready()["peak_mib"]
        for _ in range(turns):
            last = child.turn()
    return Memory(ready, last["peak_mib"], last["device_peak_mib"])


def rates(turns: Sequence[Turn]) -> dict[str, Any]:
    """Items a second of each turn, and their median."""
    each = [turn["items"] / turn["seconds"] for turn in turns]
    return {"median": statistics.median(each), "rates": each}
