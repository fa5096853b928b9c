"""Reading ahead on a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.1

READER_NAME = "seqexpr-reader"
"""Name of the reading thread. It may outlast its use when it waits for a file that sends nothing."""


class Prefetch(Generic[T]):
    """An iterator over `source`, which runs on another thread and is at most `depth` items ahead.

    An error of the source is raised after the items before it. Leaving the context stops the thread, unless
    it waits for a file that sends nothing; it is a daemon then.
    """

    def __init__(self, source: Iterable[T], depth: int) -> None:
        self._queue: queue.Queue[tuple[T] | BaseException] = queue.Queue(depth)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(source,), name=READER_NAME, daemon=True)

    def __enter__(self) -> Prefetch[T]:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join(timeout=1)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item = self._queue.get()
        if isinstance(item, BaseException):
            self._put(item)  # every later call ends the same way
            raise item
        return item[0]

    def _fill(self, source: Iterable[T]) -> None:
        end: BaseException = StopIteration()
        try:
            for item in source:
                if not self._put((item,)):
                    return
        except BaseException as error:
            end = error
        self._put(end)

    def _put(self, item: tuple[T] | BaseException) -> bool:
        """Whether the item found a place before the reader was told to stop."""
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False
