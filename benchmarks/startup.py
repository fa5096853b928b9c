"""How long until a command answers, and what does it import?

    python -m benchmarks startup
    python -m benchmarks.startup --runs 11       # the same alone

The last line is `predict` on one window from a genome, end to end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.made_inputs import write_genome, write_sites
from benchmarks.options import Options
from benchmarks.processes import run_seqexpr
from benchmarks.tables import table, tell
from seqexpr.models.config import PerceiverConfig

HEAVY = ("torch", "pandas", "numpy", "pyfaidx", "sklearn", "matplotlib", "httpx", "pyarrow")
COMMANDS = (("--help",), ("predict", "--help"), ("--version",), ("models", "list"))


def run(options: Options) -> dict[str, Any]:
    """Each command: all take turns, and each has one run before that does not count."""
    with tempfile.TemporaryDirectory() as folder:
        genome, sites = Path(folder) / "genome.fa", Path(folder) / "sites.bed"
        write_genome(genome, 1, 100_000)
        write_sites(sites, 1, 1, 100_000, PerceiverConfig.from_preset("dna-perceiver").window_length)
        one_window = ["predict", "--genome", str(genome), "--tss", str(sites), "--out", str(Path(folder) / "out.tsv")]
        commands = {" ".join(command): list(command) for command in COMMANDS}
        commands["predict, 1 window"] = one_window
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(options.turns + 1):
            tell(f"startup: round {turn} of {options.turns}")
            for name, arguments in commands.items():
                seconds[name].append(run_seqexpr(arguments).seconds)
        rows = {
            name: {
                "median_seconds": statistics.median(seconds[name][1:]),
                "runs": options.turns,
                "heavy_imports": heavy_imports(arguments),
            }
            for name, arguments in commands.items()
        }
    return {"rows": rows}


def heavy_imports(arguments: Sequence[str]) -> list[str]:
    """Which of the packages that take long to import a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "seqexpr", *arguments]
    trace = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    imported = {line.rsplit("|", 1)[-1].strip() for line in trace.splitlines()}
    return [name for name in HEAVY if name in imported]


def render(result: dict[str, Any]) -> str:
    """The table."""
    lines = [
        [f"seqexpr {name}", row["median_seconds"], row["runs"], ", ".join(row["heavy_imports"]) or "none"]
        for name, row in result["rows"].items()
    ]
    return table("start-up", ["", "median s", "runs", "heavy imports"], lines)


def main() -> None:
    """Print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    result = run(Options(rounds=parser.parse_args().runs))
    print(render(result))
    print(json.dumps(result["rows"]))


if __name__ == "__main__":
    main()
