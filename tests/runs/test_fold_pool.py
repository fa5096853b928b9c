from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import pytest
import torch

from seqexpr.errors import DeviceError, InputError
from seqexpr.runs.cross_validation import run_folds
from seqexpr.runs.fold_pool import PACKAGE, portable, restored, work
from seqexpr.runs.setup import RunOptions, resolve_experiment

from .conftest import SilentObserver


def travelled(error):
    """The error after its way through a pipe."""
    try:
        raise error
    except Exception as caught:
        return restored(*pickle.loads(pickle.dumps(portable(caught))))


def test_errors_survive_the_pipe_whole():
    """An InputError is made from more than its text, which the usual way of sending errors cannot cope with."""
    error = travelled(InputError("genes.tsv", record="line 3", found="x", expected="y"))
    assert type(error) is InputError
    assert (str(error), error.record) == ("genes.tsv, line 3: found x; expected y", "line 3")
    assert error.__cause__ is None
    full = travelled(OSError(28, "No space left on device", "run/x"))
    assert (full.errno, full.filename, full.strerror) == (28, "run/x", "No space left on device")


def test_a_bug_brings_its_traceback_even_if_it_cannot_travel():
    class Local(Exception):
        pass

    error = travelled(Local("odd"))
    assert (type(error), str(error)) == (RuntimeError, "Local('odd')")
    assert "in travelled" in str(error.__cause__)


class Killer(SilentObserver):
    """Kills the worker whose training begins, as a system does that is out of memory."""

    def on_fold(self, fold, folds):
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)
        return super().on_fold(fold, folds)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_worker_is_told_from_a_bug_and_ends_the_others(dataset, tmp_path):
    experiment = resolve_experiment(str(dataset.folder), labels=("a",), preset="dna-perceiver", epochs=50)
    options = RunOptions("random", folds=3)
    with pytest.raises(DeviceError, match=r"^fold \d: its process was killed, .* try fewer --jobs$"):
        run_folds(experiment, options, tmp_path / "run", torch.device("cpu"), [0, 2], observer=Killer(), jobs=2)
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(os.name != "posix", reason="needs SIGTERM")
def test_a_worker_that_is_ending_ignores_sigterm():
    """Raised while Python tidies up, the exception would be printed as a traceback."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    package, threads = logging.getLogger(PACKAGE), torch.get_num_threads()
    handlers, level = list(package.handlers), package.level
    ours, theirs = multiprocessing.Pipe()
    ours.send(None)
    try:
        work(theirs, None, 2, Path(), "cpu", threads, False, logging.WARNING)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        package.handlers = handlers
        package.setLevel(level)
        for number, handler in before.items():
            signal.signal(number, handler)
