"""The life of a worker process that runs folds for another process.

It tells its parent through a pipe what an observer would be told, and what it logs. It ends with its parent, however
that ends: by a signal from it, or because its parent is gone.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from seqexpr.errors import SeqexprError
from seqexpr.evaluation.fold_run import FoldPlan, run_fold
from seqexpr.prediction.device import keep_freed_memory

PACKAGE = "seqexpr"
"""Name of the logger whose records are sent on."""


def work(
    connection: Connection, plan: FoldPlan, folder: Path, device: str, threads: int, wait: bool, level: int
) -> None:
    """Run one fold after the other until given None.

    Args:
        connection: gives fold numbers and takes messages: a kind ("begin", "step", "epoch", "whole", "log", "next",
            "failed") and its content.
        plan, folder, wait: as for `run_fold`.
        device: its type.
        threads: of torch.
        level: of log records that are sent on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)  # as an exception, so that temporary files are removed
    threading.Thread(target=_end_with_parent, daemon=True).start()
    package = logging.getLogger(PACKAGE)
    package.addHandler(_LogRelay(connection))
    package.setLevel(level)
    torch.set_num_threads(threads)
    keep_freed_memory()
    relay = _FoldRelay(connection)
    with suppress(BrokenPipeError, EOFError):  # the parent is gone
        while (fold := connection.recv()) is not None:
            try:
                done = run_fold(plan, fold, folder, torch.device(device), relay, wait=wait)
            except BrokenPipeError:
                raise
            except Exception as error:
                connection.send(("failed", *portable(error)))
                return
            connection.send(("next", done))


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _FoldRelay:
    """Sends on what a `FoldObserver` and the observer of its one fold are told."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def on_fold(self, fold: int, folds: int) -> _FoldRelay:
        """The fold begins."""
        self._connection.send(("begin",))
        return self

    def on_fold_done(self, fold: int) -> None:
        """The fold is whole."""
        self._connection.send(("whole",))

    def on_stage(self, stage: str) -> None:
        """There are no stages within a fold."""

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """A step is done."""
        self._connection.send(("step", epoch, step, steps))

    def on_epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done."""
        self._connection.send(("epoch", row))


class _LogRelay(logging.Handler):
    """Sends log records on, as text."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._connection.send(("log", record.name, record.levelno, record.getMessage()))


def portable(error: Exception) -> tuple[type[Exception], tuple[Any, ...], dict[str, Any], str]:
    """An error as its parts, which survive a pipe even where its constructor takes more than a message."""
    kind, content, state = type(error), error.args, error.__dict__
    if isinstance(error, OSError) and error.filename is not None:  # which `args` leaves out
        content = (*content, error.filename)
    try:
        pickle.dumps((kind, content, state))
    except Exception:  # an error that cannot travel: its text can
        kind, content, state = RuntimeError, (repr(error),), {}
    return kind, content, state, "".join(traceback.format_exception(error))


def restored(kind: type[Exception], content: tuple[Any, ...], state: dict[str, Any], trace: str) -> Exception:
    """The error of a worker; one that is a bug brings its traceback along."""
    error = kind.__new__(kind, *content)
    error.__dict__.update(state)
    if not isinstance(error, SeqexprError):
        error.__cause__ = RuntimeError(f"in a worker process:\n{trace}")
    return error
