"""What may wait for long is done on another thread, so that a signal reaches who waits for it."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from seqexpr.threads import COURIER_NAME, Courier


def couriers() -> int:
    return sum(thread.name == COURIER_NAME for thread in threading.enumerate())


def test_errands_are_done_in_their_order_and_on_another_thread() -> None:
    done: list[tuple[int, bool]] = []
    courier = Courier()
    for number in range(3):
        courier.do(lambda number=number: done.append((number, threading.current_thread().name == COURIER_NAME)))
    courier.close()
    assert done == [(0, True), (1, True), (2, True)]


def test_an_error_is_the_callers_and_the_courier_goes_on() -> None:
    def fails() -> None:
        raise RuntimeError("Connection closed by peer")

    courier, done = Courier(), []
    with pytest.raises(RuntimeError, match="closed by peer"):
        courier.do(fails)
    courier.do(lambda: done.append(1))
    courier.close()
    assert done == [1]


def test_a_signal_ends_the_wait_but_not_the_errand() -> None:
    def end(*_: object) -> None:
        raise SystemExit(143)

    release, courier, before = threading.Event(), Courier(), signal.signal(signal.SIGTERM, end)
    timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGTERM])
    timer.start()
    began = time.monotonic()
    try:
        with pytest.raises(SystemExit):
            courier.do(lambda: release.wait(60))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - began < 20 and couriers() == 1
    release.set()
    courier.close()
