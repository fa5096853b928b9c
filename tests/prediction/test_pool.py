from __future__ import annotations

import itertools
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import pytest

from seqexpr.prediction.pool import WORKER_NAME, Conveyor
from seqexpr.threads import READER_NAME


def pairs(stretch: Sequence[int]) -> Iterator[range]:
    """Batches of two."""
    return (range(start, min(start + 2, len(stretch))) for start in range(0, len(stretch), 2))


def squares(batch: list[int]) -> list[int]:
    return [item * item for item in batch]


def convey(
    source: Iterable[int],
    compute: Callable[[list[int]], Sequence[Any]] = squares,
    *,
    workers: int = 3,
    stretch: int = 4,
    room: int = 20,
    cut: Callable[[Sequence[int]], Iterable[Sequence[int]]] = pairs,
) -> Conveyor[int, Any]:
    return Conveyor(source, stretches=itertools.repeat(stretch), cut=cut, compute=compute, workers=workers, room=room)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_results_come_in_the_items_order(workers: int) -> None:
    def sometimes_slow(batch: list[int]) -> list[int]:
        time.sleep(random.random() * 0.002)
        return squares(batch)

    with convey(range(201), sometimes_slow, workers=workers) as results:
        assert list(results) == [number * number for number in range(201)]
        assert list(results) == []


@pytest.mark.parametrize("workers", [1, 5])
def test_the_batches_are_the_same_with_any_number_of_workers(workers: int) -> None:
    batches: list[tuple[int, ...]] = []

    def note(batch: list[int]) -> list[int]:
        batches.append(tuple(batch))
        return batch

    def odd_ones_first(stretch: Sequence[int]) -> Iterator[list[int]]:
        yield [place for place, item in enumerate(stretch) if item % 2]
        yield [place for place, item in enumerate(stretch) if not item % 2]

    with convey(range(10), note, workers=workers, cut=odd_ones_first) as results:
        assert list(results) == list(range(10))
    assert sorted(batches) == [(0, 2), (1, 3), (4, 6), (5, 7), (8,), (9,)]


def test_a_slow_batch_keeps_no_other_worker_waiting() -> None:
    """The first batch ends only when batches of three later stretches are done."""
    others = threading.Semaphore(0)

    def compute(batch: list[int]) -> list[int]:
        if 0 in batch:
            for _ in range(7):
                assert others.acquire(timeout=10)
        else:
            others.release()
        return squares(batch)

    with convey(range(16), compute, workers=2) as results:
        assert list(results) == [number * number for number in range(16)]


def test_one_batch_is_made_while_another_waits_for_its_device() -> None:
    """As on CUDA: two workers, each of which sleeps until the device has computed what it sent there."""
    both = threading.Barrier(2)

    def compute(batch: list[int]) -> list[int]:
        both.wait(timeout=10)  # breaks where the second batch is not sent before the first has come back
        return squares(batch)

    with convey(range(16), compute, workers=2) as results:
        assert list(results) == [number * number for number in range(16)]


def test_a_consumer_that_takes_nothing_stops_the_reader() -> None:
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        for number in range(1000):
            read += 1
            yield number

    with convey(source(), room=20) as results:
        for given, _ in enumerate(results):
            if given < 3:
                time.sleep(0.02)
            assert read <= given + 1 + 20 + 1  # this one, the room, and one that waits for room
    assert read == 1000


def test_an_item_is_computed_while_the_source_pauses() -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    with convey(iter(queue.get, -1), stretch=256, room=512) as results:
        for number in (3, 4, 5):
            queue.put(number)
            assert next(results) == number * number
        queue.put(-1)
        assert list(results) == []


def test_an_error_of_the_source_comes_after_the_results_before_it() -> None:
    def source() -> Iterator[int]:
        yield from range(9)
        raise OSError("the disk is gone")

    given = []
    with pytest.raises(OSError, match="the disk is gone"), convey(source()) as results:
        given.extend(itertools.islice(results, 9))
        next(results)
    assert given == squares(list(range(9)))


@pytest.mark.parametrize("bad", ["raises", "gives too little"])
def test_an_error_of_a_batch_comes_after_the_results_before_it(bad: str) -> None:
    def compute(batch: list[int]) -> list[int]:
        if 6 in batch and bad == "raises":
            raise ValueError("six")
        return squares(batch)[: 1 if 6 in batch else None]

    given = []
    with pytest.raises(ValueError), convey(range(100), compute) as results:
        for result in results:
            given.append(result)
    assert given == squares(list(range(6)))


def test_an_error_in_cutting_ends_the_stream() -> None:
    def cut(stretch: Sequence[int]) -> Iterable[Sequence[int]]:
        if 8 in stretch:
            raise ArithmeticError("eight")
        return pairs(stretch)

    given = []
    with pytest.raises(ArithmeticError, match="eight"), convey(range(100), cut=cut) as results:
        for result in results:
            given.append(result)
    assert given == squares(list(range(8)))


def test_leaving_early_ends_the_threads_after_the_batch_in_hand() -> None:
    computed: list[list[int]] = []

    def compute(batch: list[int]) -> list[int]:
        time.sleep(0.01)
        computed.append(batch)
        return batch

    with convey(range(1000), compute, workers=2, room=400, stretch=100) as results:
        next(results)
    assert len(computed) <= 5  # not the fifty that have been cut
    named = (READER_NAME, WORKER_NAME)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(named)]


def test_a_stream_left_half_way_lets_python_end() -> None:
    script = (
        "import itertools, time\n"
        "from seqexpr.prediction.pool import Conveyor\n"
        "def compute(batch):\n"
        "    time.sleep(0.01)\n"
        "    return batch\n"
        "results = Conveyor(itertools.count(), stretches=itertools.repeat(8), compute=compute, workers=3, room=64,\n"
        "                   cut=lambda stretch: [[place] for place in range(len(stretch))])\n"
        "results.__enter__()\n"
        "print(next(results), next(results))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 1\n", "")
