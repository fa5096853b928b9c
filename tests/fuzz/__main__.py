"""Damage files for as long as you like: `python -m tests.fuzz --seconds 600`, from the repository's root.

A finding is printed with the seed that makes it again (`--target weights --seed 17`), and goes into
tests/fuzz/seeds/TARGET.json once it is mended.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .targets import TARGETS, try_damaged


def main() -> int:
    """Run, and return how many kinds of finding there were."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="how long, in seconds (default 20)")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only these (default all)")
    parser.add_argument("--seed", type=int, help="only this seed")
    parser.add_argument("--first", type=int, help="first seed (default: random)")
    options = parser.parse_args()
    found: dict[tuple[str, str], int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SEQEXPR_CACHE"] = f"{scratch}/cache"
        names = options.target or sorted(TARGETS)
        for name in names:
            (Path(scratch) / name).mkdir()
            TARGETS[name].make(Path(scratch) / name)
        end, tried = time.monotonic() + options.seconds, 0
        seed = options.seed if options.seed is not None else options.first or random.randrange(2**31)
        while time.monotonic() < end:
            for name in names:
                started = time.monotonic()
                try:
                    try_damaged(TARGETS[name], Path(scratch) / name, Path(scratch) / "work", seed)
                except Exception as problem:
                    last = traceback.extract_tb(problem.__traceback__)[-1]
                    kind = (name, f"{type(problem).__name__} in {last.filename}:{last.lineno}")
                    if kind not in found:
                        print(f"--target {name} --seed {seed}: {problem!r:.300}\n  {kind[1]}", flush=True)
                    if options.seed is not None:
                        traceback.print_exc()
                    found[kind] = found.get(kind, 0) + 1
                if (took := time.monotonic() - started) > 5:
                    print(f"--target {name} --seed {seed}: {took:.0f} s", flush=True)
                tried += 1
            seed += 1
            if options.seed is not None:
                break
    print(f"{tried:,} damaged files, {len(found)} kinds of finding: {found}")
    return min(len(found), 100)


if __name__ == "__main__":
    sys.exit(main())
