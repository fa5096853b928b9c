"""Run several folds at once, each in a process of its own, so that neither Python nor torch makes them wait.

Both ends of one pipe are here. The worker sends its parent what an observer is to know and what it logs. It ends with
its parent, by a signal from it or because it is gone.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from seqexpr.errors import DeviceError, SeqexprError
from seqexpr.prediction.device import keep_freed_memory
from seqexpr.runs.fold_run import run_fold
from seqexpr.runs.interrupts import interrupts_held
from seqexpr.runs.observers import FoldObserver
from seqexpr.training.experiment import Experiment, Split
from seqexpr.training.trainer import Observer

PACKAGE = "seqexpr"
"""Name of the logger whose records are sent on."""


def work(
    connection: Connection,
    experiment: Experiment,
    folds: int,
    folder: Path,
    device: str,
    threads: int,
    wait: bool,
    level: int,
) -> None:
    """Run one fold after the other until given None.

    Args:
        connection: gives splits and takes messages: a kind ("begin", "step", "epoch", "whole", "log", "next",
            "failed") and its content.
        experiment, folds, folder, wait: as for `run_fold`.
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
    try:
        with suppress(ConnectionError, EOFError):  # the parent is gone
            while (split := connection.recv()) is not None:
                try:
                    done = run_fold(experiment, split, folds, folder, torch.device(device), relay, wait=wait)
                except ConnectionError:
                    raise
                except Exception as error:
                    connection.send(("failed", *portable(error)))
                    return
                connection.send(("next", done))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends: an exception now would only make a traceback


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _FoldRelay:
    """Sends on what a `FoldObserver` and the observer of its one fold hear."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def on_fold(self, fold: int, folds: int) -> _FoldRelay:
        """The fold begins."""
        self._connection.send(("begin",))
        return self

    def on_fold_done(self, fold: int) -> None:
        """The fold is whole."""
        self._connection.send(("whole",))

    def on_begin(self, folder: Path, max_epochs: int) -> None:
        """A run begins in its own process."""

    def on_stage(self, stage: str) -> None:
        """There are no stages within a fold."""

    def on_part(self, part: str, done: int, total: int) -> None:
        """And so there are no parts of stages."""

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


_SECONDS_TO_END = 5.0
"""A worker that was asked to end gets this long to remove its temporary files."""


def run_in_workers(
    experiment: Experiment,
    splits: Sequence[Split],
    folds: int,
    folder: Path,
    device: torch.device,
    observer: FoldObserver,
    *,
    workers: int,
    threads: int,
    wait: bool,
) -> list[int]:
    """Run folds in worker processes.

    Args:
        experiment, folds, folder, device, wait: as for `run_fold`.
        splits: to run; each worker takes the next when it is done with one.
        observer: hears of all folds, from this process and one event at a time.
        workers: processes at once.
        threads: of torch in each of them.

    Returns:
        the folds that another run is at.

    Raises:
        SeqexprError: the first that a fold raised; the other workers are ended then.
        DeviceError: a worker was killed, as the system does when memory runs out.
    """
    pending, elsewhere = deque(splits), list[int]()
    team = _Team(experiment, folds, folder, device, threads, wait)
    observers: dict[int, Observer] = {}
    try:
        for _ in range(min(workers, len(pending))):
            team.start(pending.popleft())
        while team.fold_of:
            connection, (kind, *content) = team.receive()
            fold = team.fold_of[connection]
            if kind == "log":
                name, level, message = content
                logging.getLogger(name).log(level, "%s", message)
            elif kind == "begin":
                observers[fold] = observer.on_fold(fold, folds)
            elif kind == "step":
                observers[fold].on_step(*content)
            elif kind == "epoch":
                observers[fold].on_epoch(*content)
            elif kind == "whole":
                observer.on_fold_done(fold)
            elif kind == "failed":
                raise restored(*content)
            elif kind == "next":
                if not content[0]:
                    elsewhere.append(fold)
                team.give(connection, pending.popleft() if pending else None)
        return elsewhere
    finally:
        team.end()


class _Team:
    """The worker processes, and which fold each is at."""

    def __init__(
        self, experiment: Experiment, folds: int, folder: Path, device: torch.device, threads: int, wait: bool
    ) -> None:
        self.fold_of: dict[Connection, int] = {}
        self._processes: dict[Connection, BaseProcess] = {}
        # Fresh processes: a fork of one in which torch has threads can hang, and CUDA cannot be forked at all.
        self._context = multiprocessing.get_context("spawn")
        level = logging.getLogger(PACKAGE).getEffectiveLevel()
        self._arguments = (experiment, folds, folder, device.type, threads, wait, level)

    def start(self, split: Split) -> None:
        """Start a worker with its first fold."""
        here, there = self._context.Pipe()
        process = self._context.Process(target=work, args=(there, *self._arguments), daemon=True)
        with interrupts_held():  # a worker is born with this, and leaves Ctrl-C to its parent
            process.start()
        there.close()  # so that the pipe ends with the worker
        self._processes[here] = process
        self.give(here, split)

    def give(self, connection: Connection, split: Split | None) -> None:
        """Give a worker its next fold, or let it go."""
        if split is None:
            del self.fold_of[connection]
        else:
            self.fold_of[connection] = split.number
        with suppress(BrokenPipeError):  # it is gone: `receive` says so
            connection.send(split)

    def receive(self) -> tuple[Connection, tuple[Any, ...]]:
        """The next message of any worker."""
        connection = wait_for(list(self.fold_of))[0]
        assert isinstance(connection, Connection)
        try:
            return connection, connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._lost(connection) from None

    def _lost(self, connection: Connection) -> Exception:
        process = self._processes[connection]
        process.join()
        fold, code = self.fold_of[connection], process.exitcode or 0
        if code == -9:  # SIGKILL, which not every system's `signal` knows
            return DeviceError(
                f"fold {fold}: its process was killed, as happens when memory runs out; try fewer --jobs"
            )
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return RuntimeError(f"the process of fold {fold} ended unexpectedly ({reason})")

    def end(self) -> None:
        """End all workers: those without a fold have nothing left to do, the others are stopped."""
        for connection, process in self._processes.items():
            if connection in self.fold_of:
                process.terminate()
        for connection, process in self._processes.items():
            process.join(_SECONDS_TO_END)
            if process.is_alive():
                process.kill()
                process.join()
            connection.close()
