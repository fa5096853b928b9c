"""`python -m seqexpr` and the console script `seqexpr`."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    from seqexpr.cli.app import run
    from seqexpr.prediction.prefetch import READER_NAME

    code = run()
    if any(thread.name == READER_NAME for thread in threading.enumerate()):
        # A reader that still waits for standard input holds its lock, and Python would abort over that lock
        # in tidying up. All output is flushed by now.
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
