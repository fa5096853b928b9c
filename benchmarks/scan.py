"""Positions a second of `scan`, whose overlapping windows share work, against `predict` on the same windows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.comparison import measure
from benchmarks.flops import reduced_flops, scan_flops
from benchmarks.made_inputs import write_genome
from benchmarks.options import Options
from benchmarks.tables import table
from benchmarks.variants import Variant, rates
from seqexpr.models.registry import DEFAULT_DNA_MODEL, resolve_models
from seqexpr.models.trained import read_metadata

_STRETCH = 256
"""Positions whose windows share work."""


def run(options: Options) -> dict[str, Any]:
    """Both ways, turn about, on both strands of 1 Mb, for each step."""
    config = read_metadata(resolve_models([DEFAULT_DNA_MODEL])[0]).config
    rows = []
    bases = options.pick(1_000_000, 20_000)
    with tempfile.TemporaryDirectory() as folder:
        genome = Path(folder) / "genome.fa"
        write_genome(genome, 1, bases)
        for step in options.pick((50, 10), (50,)):
            settings = {
                "genome": str(genome),
                "bases": bases,
                "step": step,
                "positions": options.pick(_STRETCH, 20),
                "threads": options.threads,
                "seconds": options.turn_seconds,
            }
            variants = [Variant("scan", "scan-shared", settings), Variant("predict", "scan-one-by-one", settings)]
            turns = measure(options, f"scan, step {step}", variants)
            found = {name: rates(own) for name, own in turns.items()}
            shared = scan_flops(config, step, _STRETCH)
            whole = reduced_flops(config, config.window_length, config.window_length).forward
            rows.append(
                {
                    "step": step,
                    "positions_a_second": found,
                    "ratio": found["scan"]["median"] / found["predict"]["median"],
                    "flops": {"scan": shared, "predict": whole, "ratio": whole / shared},
                }
            )
    return {"bases": bases, "rows": rows}


def render(result: dict[str, Any]) -> str:
    """The table."""
    lines = [
        [
            f"step {row['step']}",
            *(row["positions_a_second"][name]["median"] for name in ("scan", "predict")),
            row["ratio"],
            *(row["flops"][name] / 1e6 for name in ("scan", "predict")),
            row["flops"]["ratio"],
        ]
        for row in result["rows"]
    ]
    headers = ["", "scan/s", "predict/s", "scan is x", "Mflop", "of predict", "fewer x"]
    return table(f"{DEFAULT_DNA_MODEL} along {result['bases']:,} bases, both strands", headers, lines)
