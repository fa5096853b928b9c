"""A variant's child as a thread of this process: no second import of torch for each."""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module
from queue import Queue
from typing import Any

from benchmarks.serving import WORKS, Finished
from benchmarks.variants import Child, Turn, Variant


class ThreadChild(Child):
    """Takes its turns from a queue; all that belongs to a process (allocator, memory) is of no account."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self._goes: Queue[bool] = Queue()
        self._answers: Queue[Turn | Exception] = Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> ThreadChild:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._goes.put(False)
        self._thread.join()

    def ready(self) -> Turn:
        return self._answer()

    def turn(self) -> Turn:
        self._goes.put(True)
        return self._answer()

    def give(self, **said: Any) -> None:
        """The work's side."""
        self._answers.put({**said, "peak_mib": 10.0 + said.get("items", 0), "device_peak_mib": None})
        if not self._goes.get():
            raise Finished

    def _answer(self) -> Turn:
        answer = self._answers.get(timeout=60)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _work(self) -> None:
        module, function = WORKS[self.variant.work].split(":")
        with suppress(Finished):
            try:
                getattr(import_module(module), function)(self.variant.settings, self)
            except Finished:
                raise
            except Exception as error:
                self._answers.put(error)
