"""How long does `seqexpr --help` take, and what does it import?

python -m benchmarks.startup
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from benchmarks.processes import run_seqexpr

HEAVY = ("torch", "pandas", "numpy", "pyfaidx", "sklearn", "matplotlib", "httpx", "pyarrow")


def main() -> None:
    """Print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    options = parser.parse_args()
    results = {}
    for arguments in (["--help"], ["predict", "--help"], ["--version"], ["models", "list"]):
        seconds = [run_seqexpr(arguments).seconds for _ in range(options.runs + 1)][1:]  # the first warms the cache
        trace = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "seqexpr", *arguments],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        imported = {line.rsplit("|", 1)[-1].strip() for line in trace.splitlines()}
        heavy = [name for name in HEAVY if name in imported]
        median = statistics.median(seconds)
        results[" ".join(arguments)] = {"median_seconds": median, "runs": options.runs, "heavy_imports": heavy}
        command = f"seqexpr {' '.join(arguments)}"
        print(f"{command:<23} median {median:.3f} s of {options.runs}, heavy imports: {', '.join(heavy) or 'none'}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
