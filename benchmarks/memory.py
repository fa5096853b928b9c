"""Does memory grow with the number of records? Peak memory of `predict` and of `prepare` as whole processes.

python -m benchmarks.memory                     # predict on 500 and 5,000 windows, prepare on 18,377 of 20 kb
python -m benchmarks.memory --predict 100 1000 --prepare 2000
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.made_inputs import write_record
from benchmarks.processes import run_seqexpr

PREDICT_WINDOW, PREPARE_WINDOW = 10_500, 20_000


def write_windows(path: Path, records: int, length: int) -> None:
    """A FASTA file of random windows, 60 letters a line."""
    generator = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    with path.open("wb") as file:
        for record in range(records):
            write_record(file, f"gene{record}", letters[generator.integers(0, 4, length)])


def main() -> None:
    """Print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predict", type=int, nargs="*", default=[500, 5_000], help="numbers of windows")
    parser.add_argument("--prepare", type=int, nargs="*", default=[18_377], help="numbers of windows")
    options = parser.parse_args()
    results = []
    print(f"{'command':>8} {'windows':>8} {'length':>7} {'seconds':>8} {'a second':>9} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        windows = folder / "windows.fa"
        jobs = [("predict", count, PREDICT_WINDOW) for count in options.predict]
        jobs += [("prepare", count, PREPARE_WINDOW) for count in options.prepare]
        for command, count, length in jobs:
            write_windows(windows, count, length)
            if command == "predict":
                arguments = ["predict", "--fasta", str(windows), "--out", str(folder / "out.tsv")]
            else:
                arguments = ["prepare", "--fasta", str(windows), "--out", str(folder / f"dataset{count}")]
            run = run_seqexpr(arguments)
            rate = count / run.seconds
            print(f"{command:>8} {count:>8,} {length:>7,} {run.seconds:>8.1f} {rate:>9.1f} {run.peak_mib:>9.0f}")
            results.append({"command": command, "windows": count, "seconds": run.seconds, "peak_mib": run.peak_mib})
    print(json.dumps(results))


if __name__ == "__main__":
    main()
