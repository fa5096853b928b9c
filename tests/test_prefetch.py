from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from seqexpr import threads as prefetch
from seqexpr.threads import READER_NAME, Prefetch


def feed(queue: SimpleQueue[int]) -> Iterator[int]:
    """What the queue holds, one number at a time; a negative one is the end."""
    while (number := queue.get()) >= 0:
        yield number


def until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.001)


def test_items_come_in_stretches_in_order_and_end() -> None:
    with Prefetch(range(10), room=20) as reader:
        assert [reader.take(4), reader.take(4), reader.take(4), reader.take(4)] == [
            [0, 1, 2, 3],
            [4, 5, 6, 7],
            [8, 9],
            [],
        ]
        assert reader.failure is None


def test_an_error_is_known_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    with Prefetch(source(), room=8) as reader:
        assert reader.take(5) == [1, 2]
        assert reader.take(5) == reader.take(5) == []
        assert str(reader.failure) == "the disk is gone"


def test_reading_stops_without_room_and_goes_on_with_it() -> None:
    read: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            yield number

    with Prefetch(source(), room=5) as reader:
        taken = reader.take(5)
        until(lambda: len(read) == 6)  # one more waits for room, although five have been taken
        time.sleep(0.02)
        assert len(read) == 6
        for released in range(1, 21):
            reader.release()
            until(lambda count=6 + released: len(read) == count)  # type: ignore[misc]
            taken += reader.take(1)
        assert taken == list(range(25))


def test_an_item_does_not_wait_long_for_others() -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    with Prefetch(feed(queue), room=100) as reader:
        queue.put(7)
        assert reader.take(50) == [7]  # the source is still open, and sends nothing
        queue.put(8)
        queue.put(-1)
        assert reader.take(50) == [8]


def test_items_that_come_quickly_wait_for_a_whole_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "_PATIENCE", 60.0)

    def source() -> Iterator[int]:
        for number in range(6):
            time.sleep(0.002)
            yield number

    with Prefetch(source(), room=100) as reader:
        assert [reader.take(4), reader.take(4)] == [[0, 1, 2, 3], [4, 5]]


def test_leaving_early_stops_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with Prefetch(source(), room=2) as reader:
        reader.take(1)
    assert closed.wait(5)
    assert all(thread.name != READER_NAME for thread in threading.enumerate())


def test_who_waits_for_items_is_told_of_the_stop() -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    with Prefetch(feed(queue), room=2) as reader:
        timer = threading.Timer(0.02, reader.stop)
        timer.start()
        assert reader.take(1) == []
        queue.put(-1)
