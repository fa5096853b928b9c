"""A stream of items through several workers, results in the items' order, without a pause between batches."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar, cast

from seqexpr.threads import Prefetch

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKER_NAME = "seqexpr-worker"
"""Name of the computing threads."""


@dataclass(slots=True)
class _Place(Generic[Item, Result]):
    """Where an item stands in the line of those that are on their way."""

    item: Item
    result: Result | None = None
    failure: BaseException | None = None
    """Why there is no result."""
    done: bool = False


class Conveyor(Generic[Item, Result]):
    """An iterator over the results of `source`'s items, in the items' order.

    A worker that is free takes the next batch, whatever the others do. The stream is cut into batches by counting
    alone, so the same source gives the same batches, with any number of workers; only a source that pauses is not
    waited for. An error of the source, or of a batch, is raised after the results before it.

    Leaving the context ends the threads: at once where they wait, else after the batch in hand.

    Args:
        source: read on a thread of its own.
        stretches: how many items, again and again, are cut into batches together.
        cut: a stretch of items -> batches, as places in the stretch.
        compute: a batch of items -> their results; called by several threads at the same time.
        workers: how many.
        room: items, at most, between being read and their results being given out; no less than a stretch.
    """

    def __init__(
        self,
        source: Iterable[Item],
        *,
        stretches: Iterator[int],
        cut: Callable[[Sequence[Item]], Iterable[Sequence[int]]],
        compute: Callable[[list[Item]], Sequence[Result]],
        workers: int,
        room: int,
    ) -> None:
        self._reader = Prefetch(source, room)
        self._stretches, self._cut, self._compute = stretches, cut, compute
        self._planning = threading.Lock()  # held by the worker that waits for the next stretch and cuts it
        self._batches: deque[list[_Place[Item, Result]]] = deque()
        self._progress = threading.Condition()  # for all below
        self._line: deque[_Place[Item, Result]] = deque()
        self._ended = False
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"{WORKER_NAME}-{number}", daemon=True)
            for number in range(workers)
        ]

    def __enter__(self) -> Conveyor[Item, Result]:
        self._reader.__enter__()
        for thread in self._threads:
            thread.start()
        atexit.register(self._stop)  # an iterator that is left half-way must not be computing when Python ends
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        atexit.unregister(self._stop)
        self._stop()
        self._reader.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        with self._progress:
            self._progress.wait_for(self._is_something_due)
            if not self._line:
                raise self._failure or StopIteration
            place = self._line.popleft()
        self._reader.release()
        if place.failure is not None:
            raise place.failure
        return cast(Result, place.result)

    def _is_something_due(self) -> bool:
        return self._line[0].done if self._line else self._ended

    def _work(self) -> None:
        """What a worker does all its life."""
        try:
            while batch := self._next_batch():
                self._compute_batch(batch)
            self._end(self._reader.failure)
        except BaseException as error:
            self._reader.stop()
            self._end(error)

    def _next_batch(self) -> list[_Place[Item, Result]]:
        """The batch that comes next; [] when there is none any more."""
        with self._planning:
            if not self._batches and (stretch := self._reader.take(next(self._stretches))):
                places = [_Place[Item, Result](item) for item in stretch]
                self._batches.extend([places[index] for index in batch] for batch in self._cut(stretch))
                with self._progress:
                    self._line.extend(places)
            return self._batches.popleft() if self._batches else []

    def _compute_batch(self, batch: list[_Place[Item, Result]]) -> None:
        failure = None
        try:
            outcomes: list[tuple[_Place[Item, Result], Result | None]]
            outcomes = list(zip(batch, self._compute([place.item for place in batch]), strict=True))
        except BaseException as error:
            outcomes, failure = [(place, None) for place in batch], error
        with self._progress:
            for place, result in outcomes:
                place.result, place.failure, place.done = result, failure, True
            self._progress.notify()

    def _end(self, failure: BaseException | None) -> None:
        with self._progress:
            self._failure = self._failure or failure
            self._ended = True
            self._progress.notify()

    def _stop(self) -> None:
        """Let each worker finish the batch in hand, and wait for it."""
        self._reader.stop()
        with self._planning:
            self._batches.clear()
        for thread in self._threads:
            thread.join()
