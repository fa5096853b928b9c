from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from seqexpr.files import one_at_a_time


def test_the_second_waits_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with one_at_a_time(tmp_path / "lock", "never shown"):
            inside.set()
            leave.wait(10)
            order.append("first")

    def second() -> None:
        with one_at_a_time(tmp_path / "lock", "another process is at it; waiting"):
            order.append("second")

    with caplog.at_level(logging.WARNING):
        threads = [threading.Thread(target=first), threading.Thread(target=second)]
        threads[0].start()
        assert inside.wait(10)
        threads[1].start()
        while not caplog.messages:
            threads[1].join(0.01)
        leave.set()
        for thread in threads:
            thread.join(10)
    assert order == ["first", "second"]
    assert caplog.messages == ["another process is at it; waiting"]


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError), one_at_a_time(tmp_path / "lock", "busy"):
            raise ValueError
