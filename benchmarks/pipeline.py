"""`seqexpr predict --genome --tss` as a whole process, on few and on many windows.

    python -m benchmarks pipeline --windows 1 100 10000

First the command itself: seconds, windows a second, peak memory. Then the same steps in a process that notes when the
model computes: how long it takes until the first record is asked for, and, from the first record to the last row, in
what part of the time at least one forward pass runs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.made_inputs import write_genome, write_sites
from benchmarks.options import Options
from benchmarks.processes import run_seqexpr
from benchmarks.tables import table, tell
from seqexpr.models.config import PerceiverConfig

FEW = 1_000
"""Runs of at most so many windows are repeated, and the median counts."""


def run(options: Options) -> dict[str, Any]:
    """Each number of windows."""
    window = PerceiverConfig.from_preset("dna-perceiver").window_length
    chromosomes, length = 4, options.pick(10_000_000, 50_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        genome = folder / "genome.fa"
        write_genome(genome, chromosomes, length)
        rows = []
        for count in options.pick(options.windows, (2,)):
            tell(f"pipeline: {count:,} windows")
            write_sites(folder / "sites.bed", count, chromosomes, length, window)
            repeats = options.turns if count <= FEW and not options.quick else 1
            rows.append({"windows": count, "runs": repeats, **_whole(folder, options, count, repeats)})
            rows[-1]["inside"] = _inside(folder, options)
    return {"bases": chromosomes * length, "rows": rows}


def _whole(folder: Path, options: Options, count: int, repeats: int) -> dict[str, Any]:
    """The command itself. The first run of all makes the genome's index, so it is not counted."""
    arguments = ["predict", "--genome", str(folder / "genome.fa"), "--tss", str(folder / "sites.bed")]
    arguments += ["--out", str(folder / "out.tsv"), "--threads", str(options.threads)]
    if not (folder / "genome.fa.fai").exists():
        run_seqexpr(arguments)
    runs = [run_seqexpr(arguments) for _ in range(repeats)]
    rows = len((folder / "out.tsv").read_text().splitlines()) - 1
    if rows != count:
        raise RuntimeError(f"{rows:,} rows for {count:,} windows")
    seconds = statistics.median(run.seconds for run in runs)
    peak = max(run.peak_mib for run in runs)
    return {"seconds": seconds, "windows_a_second": count / seconds, "peak_mib": peak}


def _inside(folder: Path, options: Options) -> dict[str, Any]:
    settings = {
        "genome": str(folder / "genome.fa"),
        "sites": str(folder / "sites.bed"),
        "out": str(folder / "timed.tsv"),
        "threads": options.threads,
        "started": time.time(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pipeline_child", json.dumps(settings)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def render(result: dict[str, Any]) -> str:
    """The table."""
    lines = []
    for row in result["rows"]:
        inside = row["inside"]
        shares = [f"{inside[share]:.1%}" for share in ("model_share", "workers_share")]
        cells = [row["seconds"], row["windows_a_second"], row["peak_mib"], inside["startup_seconds"]]
        lines.append([f"{row['windows']:,}", *cells, inside["seconds"], *shares])
    headers = ["windows", "seconds", "a second", "peak MiB", "start-up s", "then s", "model computes", "workers busy"]
    return table("seqexpr predict --genome --tss, whole processes", headers, lines)
