"""`python -m seqexpr` and the console script `seqexpr`."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    from seqexpr.cli.app import run
    from seqexpr.errors import INTERRUPTED, TERMINATED
    from seqexpr.threads import COURIER_NAME, READER_NAME

    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the caller (`>&-`): Python has no stream there
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process
    code = run()
    stopped = code in (INTERRUPTED, TERMINATED)
    if stopped or any(thread.name in (READER_NAME, COURIER_NAME) for thread in threading.enumerate()):
        # A reader that still waits for standard input holds its lock, and Python would abort over that lock
        # in tidying up; torch would over a connection in use, or over threads that compute when a signal comes.
        # All output is flushed by now.
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
