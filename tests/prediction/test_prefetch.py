from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from seqexpr.prediction.prefetch import READER_NAME, Prefetch


def test_items_come_in_order_and_end() -> None:
    with Prefetch(range(100), depth=3) as stream:
        assert list(stream) == list(range(100))
        assert list(stream) == []


def test_an_error_comes_after_the_items_before_it_and_again_when_asked_again() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    with Prefetch(source(), depth=8) as stream:
        assert [next(stream), next(stream)] == [1, 2]
        for _ in range(2):
            with pytest.raises(OSError, match="the disk is gone"):
                next(stream)


def test_reading_is_never_further_ahead_than_the_depth() -> None:
    read = []

    def source() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            yield number

    with Prefetch(source(), depth=5) as stream:
        for taken in range(1, 21):
            next(stream)
            time.sleep(0.002)
            assert len(read) <= taken + 5 + 1  # the queue, and one that waits for a place in it


def test_leaving_early_stops_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with Prefetch(source(), depth=2) as stream:
        next(stream)
    assert closed.wait(5)
    assert all(thread.name != READER_NAME for thread in threading.enumerate())
