"""Status on standard error: log lines, warnings and progress. Results never pass through here.

On a terminal progress is one live line, however narrow; elsewhere (a batch job's log file) it is a plain line twice a
minute.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seqexpr.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

PROGRAM = "seqexpr"

logger = logging.getLogger(f"{PROGRAM}.cli")

_PLAIN_LINE_SECONDS = 30.0
_SECONDS_TO_JUDGE = 1.0
_TEXT_WIDTH = 72

Advance = Callable[[int], None]
"""Tells a progress display that so many more items are done."""


def set_up_logging(*, quiet: bool = False, silent: bool = False) -> None:
    """Send the package's log records to standard error: all from INFO on, or warnings and errors when quiet.

    When silent, none at all: another process says the same.

    `SEQEXPR_DEBUG=1` in the environment adds debug records, and tracebacks to errors.
    """
    package = logging.getLogger(PROGRAM)
    package.handlers = [handler for handler in package.handlers if not isinstance(handler, StatusHandler)]
    package.addHandler(StatusHandler())
    package.setLevel(logging.WARNING if quiet else logging.DEBUG if debugging() else logging.INFO)
    if silent:
        package.setLevel(logging.CRITICAL + 1)


def debugging() -> bool:
    """Whether the environment asks for tracebacks and debug records."""
    return os.environ.get("SEQEXPR_DEBUG", "") not in ("", "0")


def status(message: str) -> None:
    """One line of status, unless `--quiet`."""
    logger.info(message)


class StatusHandler(logging.Handler):
    """Log records as lines on what standard error is at the time, above a live display if there is one."""

    live: Console | None = None
    _held: list[logging.LogRecord] | None = None

    @classmethod
    def hold_back(cls) -> None:
        """Keep what is logged from now on, below errors, until `say_held`."""
        cls._held = []

    @classmethod
    def say_held(cls, *, none_of_it: bool = False) -> None:
        """Write what was held back, or forget it, and hold nothing back any more."""
        held, cls._held = cls._held or [], None
        for handler in logging.getLogger(PROGRAM).handlers:
            if isinstance(handler, cls) and not none_of_it:
                for record in held:
                    handler.emit(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a standard error that nobody reads is no reason to stop working."""
        if self._held is not None and record.levelno < logging.ERROR:
            self._held.append(record)
            return
        line = "\n".join(map(printable, record.getMessage().split("\n")))
        if record.levelno != logging.INFO:
            line = f"{PROGRAM}: {record.levelname.lower()}: {line}"
        try:
            if StatusHandler.live is not None:
                StatusHandler.live.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                print(line, file=sys.stderr, flush=True)  # noqa: T201
        except OSError:
            pass


@contextmanager
def progress(
    what: str, unit: str, total: int | None = None, *, about: bool = False, live: bool = True
) -> Iterator[Advance]:
    """Show how far a long job is: `with progress("predict", "records") as advance: advance(1)`.

    Args:
        what: name of the job.
        unit: what is counted, in the plural.
        total: how many there will be, where that is known; it gives the time left.
        about: whether the total is an estimate.
        live: False when rows of the result scroll by on the same terminal, which a live line would break.
    """
    if not logger.isEnabledFor(logging.INFO):
        yield lambda _: None
    elif live and sys.stderr.isatty():
        with _live_progress(what, unit, total, about) as advance:
            yield advance
    else:
        yield PlainProgress(what, unit, total, about)


class PlainProgress:
    """A status line every so many seconds, none for a job that ends before."""

    def __init__(
        self,
        what: str,
        unit: str,
        total: int | None,
        about: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._unit, self._total = what, unit, total
        self._of = _of_total(total, about)
        self._clock = clock
        self._begin = self._last = clock()
        self._done = 0

    def __call__(self, count: int) -> None:
        """Count items as done."""
        self._done += count
        now = self._clock()
        if now - self._last < _PLAIN_LINE_SECONDS:
            return
        self._last = now
        pace = _pace(self._done, now - self._begin, self._total)
        status(f"{self._what}: {self._done:,}{self._of} {self._unit}, {pace}")


def _of_total(total: int | None, about: bool) -> str:
    if not total:
        return ""
    return f" of about {float(f'{total:.3g}'):,.0f}" if about else f" of {total:,}"


def _pace(done: float, seconds: float, total: int | None) -> str:
    rate = done / seconds
    left = f", {_in_words(max(0, total - done) / rate)} left" if total else ""
    return f"{rate:,.1f} per second{left}"


def _in_words(seconds: float) -> str:
    """ "45 s", "12 min", "3 h 5 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def _live_progress(what: str, unit: str, total: int | None, about: bool) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
    from rich.table import Column
    from rich.text import Text

    class Pace(ProgressColumn):
        """What is done, items a second since the beginning, as they come in bursts, and the time left if known."""

        def render(self, task: Task) -> Text:
            seconds = task.elapsed or 0.0
            judged = task.completed and seconds >= _SECONDS_TO_JUDGE
            pace = f", {_pace(task.completed, seconds, total)}" if judged else ""
            return Text(f"{what}: {task.completed:,.0f}{_of_total(total, about)} {unit}{pace}")

    console = Console(stderr=True)
    whole = Column(no_wrap=True, min_width=_TEXT_WIDTH)  # a narrow terminal cuts the bar
    columns = [SpinnerColumn(), Pace(table_column=whole), *([BarColumn()] if total else [])]
    with Progress(*columns, console=console, transient=True) as display:
        task = display.add_task(what, total=total)
        StatusHandler.live = console
        try:
            yield lambda count: display.advance(task, count)
        finally:
            StatusHandler.live = None


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """ "1 record", "1,234 records"; `nouns` for plurals that do not just take an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
