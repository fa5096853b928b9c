"""The command line: which commands there are, and how each way of ending becomes an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Annotated, NoReturn

import typer

from seqexpr import __version__
from seqexpr.cli.compare import compare
from seqexpr.cli.console import PROGRAM, debugging
from seqexpr.cli.cv import cv
from seqexpr.cli.explain import explain
from seqexpr.cli.fetch import fetch
from seqexpr.cli.help import Command, Group
from seqexpr.cli.merge import merge
from seqexpr.cli.models import models
from seqexpr.cli.predict import predict
from seqexpr.cli.prepare import prepare
from seqexpr.cli.prepare_options import PrepareCommand
from seqexpr.cli.scan import scan
from seqexpr.cli.train import train
from seqexpr.cli.variants import variants
from seqexpr.errors import (
    INTERRUPTED,
    TERMINATED,
    DeviceError,
    InputError,
    SeqexprError,
    UsageError,
    printable,
)

app = typer.Typer(
    name=PROGRAM,
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Results go to standard output or --out, all else to standard error. Exit codes: 0 done, 1 a bug in "
    "seqexpr, or a part of a run that failed after its training (all else is written), 2 usage, 3 bad input, 4 data or "
    "weights missing, 5 device or memory, 6 network or checksum, 130 interrupted, 143 terminated. "
    "SEQEXPR_CACHE names the cache folder; SEQEXPR_DEBUG=1 shows tracebacks.",
)
app.command(cls=Command)(predict)
app.command(cls=Command)(variants)
app.command(cls=Command)(explain)
app.command(cls=Command)(scan)
app.command(cls=Command)(merge)
app.command(cls=PrepareCommand)(prepare)
app.command(cls=Command)(train)
app.command(cls=Command)(cv)
app.command(cls=Command)(compare)
app.command(cls=Command)(fetch)
app.add_typer(models, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Predict mRNA and protein expression levels of genes from DNA around the TSS and from proteins."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; errors go to standard error, in one line each.

    Args:
        arguments: as typed after the program's name; None = those of this process.
    """
    _end_on_sigterm()
    lines: list[str] = []
    try:
        code = _run_command(arguments)
        sys.stdout.flush()
    except Exception as error:
        lines, code = _told(error)
    except KeyboardInterrupt:  # one that came before Typer was there to catch it
        code = INTERRUPTED
    if said := {INTERRUPTED: "interrupted", TERMINATED: "terminated"}.get(code):
        lines.append(f"{PROGRAM}: {said}")
    if code and (first := _ended_before(code)) is not None:  # one of many processes has said why all end
        code, lines = first, []
    for line in lines:
        _say(line)
    _end_streams()
    if signal.getsignal(signal.SIGTERM) is _terminate and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # while Python tidies up, an exception would be a traceback
    return code


def _run_command(arguments: Sequence[str] | None) -> int:
    try:
        # Not standalone: Typer gives an early end as a return value, and leaves the errors to us.
        code = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SystemExit as end:
        if end.code == 1 and not _completing():
            # Typer and rich say so when the reader of a pipe, such as `head`, took all it wanted: no error.
            return 0
        return end.code if isinstance(end.code, int) else 0


def _ended_before(code: int) -> int | None:
    """The exit code of the process that ended first, where this is one of many and another ended before it."""
    from seqexpr.training.distributed import Place, ended_before

    with suppress(UsageError):  # which is why this process ends
        if (place := Place.of_environment()) is not None:
            if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _terminate:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends all; this one is about to
            return ended_before(place, code)
    return None


def _told(error: Exception) -> tuple[list[str], int]:
    """What is to be said of an error, and the exit code that stands for it."""
    message, code = _explain(error)
    lines = [f"{PROGRAM}: error: {printable(' '.join(message.split()))}"] if message else []
    if code == 1 or debugging():
        lines.append("".join(traceback.format_exception(error)).rstrip())
    return lines, code


def _explain(error: Exception) -> tuple[str, int]:
    if isinstance(error, SeqexprError):
        return str(error), error.exit_code
    if isinstance(error, BrokenPipeError):
        return "", 0
    if isinstance(error, typer.Abort):
        return "aborted", INTERRUPTED
    # Typer's usage errors; it has carried click's classes under a name of its own since 0.2x.
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            return error.format_message(), UsageError.exit_code
        hint = f" (see: {context.command_path} --help)" if context else ""
        # Pydantic, which checks values for Typer, puts words of its own before the mistake.
        return f"{error.format_message().replace(': Value error, ', ': ')}{hint}", UsageError.exit_code
    if isinstance(error, OSError):
        return f"{_place(error)}: {error.strerror or error}", InputError.exit_code
    if _is_out_of_memory(error):
        return "out of memory; try a smaller --batch-size", DeviceError.exit_code
    return f"this is a bug in {PROGRAM}, please report it with the lines below: {error!r}", 1


def _place(error: OSError) -> str:
    """The file that an error of the system is about."""
    if error.filename is not None:
        return os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(error.filename)
    if _is_from_printing(error):
        return "standard output"
    try:
        sys.stdout.flush()  # what could not be written is still there, and fails once more
    except OSError as again:
        if again.errno == error.errno:
            return "standard output"
    return "input or output"


def _is_from_printing(error: OSError) -> bool:
    """Whether it was raised by writing to standard output, which commands alone do, by themselves or by a library."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return module.split(".")[0] in ("typer", "rich") or module.startswith(f"{PROGRAM}.cli.")


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    if "torch" not in sys.modules:  # an error of torch presupposes torch
        return False
    from seqexpr.prediction.device import is_out_of_memory

    return is_out_of_memory(error)


def _say(text: str) -> None:
    with suppress(OSError):  # when nobody reads standard error any more, the exit code still tells
        typer.echo(text, err=True)


def _end_streams() -> None:
    """Leave nothing that Python would flush again, and complain about, on its way out."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the disk is full, or the reader has gone: what is left goes nowhere
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _end_on_sigterm() -> None:
    """Let a batch system's SIGTERM end the command like an exception, so that temporary files are removed."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _completing() -> bool:
    return f"_{PROGRAM.upper()}_COMPLETE" in os.environ
