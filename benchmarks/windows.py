"""Windows a second from a genome in plain FASTA, both strands mixed, on one core.

    python -m benchmarks windows

Shipped is `read_records`, through which `seqexpr predict --genome --tss` gets its tokens. Beside it pyfaidx alone,
which gives text, and a Python loop over letters. Each runs on one thread of a process that is bound to one core.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.comparison import measure
from benchmarks.made_inputs import write_genome, write_sites
from benchmarks.options import Options
from benchmarks.tables import table
from benchmarks.variants import Variant, rates
from seqexpr.models.config import PerceiverConfig


def run(options: Options) -> dict[str, Any]:
    """All three ways, turn about."""
    config = PerceiverConfig.from_preset("dna-perceiver")
    chromosomes, length = 4, options.pick(10_000_000, 50_000)
    with tempfile.TemporaryDirectory() as folder:
        genome, sites = Path(folder) / "genome.fa", Path(folder) / "sites.bed"
        write_genome(genome, chromosomes, length)
        write_sites(sites, options.pick(20_000, 20), chromosomes, length, config.window_length)
        settings = {
            "genome": str(genome),
            "sites": str(sites),
            "upstream": config.upstream,
            "downstream": config.downstream,
        }
        variants = [
            Variant("read_records", "windows-shipped", {**settings, "windows": options.pick(20_000, 20)}),
            Variant("pyfaidx alone", "windows-pyfaidx", {**settings, "windows": options.pick(5_000, 20)}),
            Variant("letter by letter", "windows-letters", {**settings, "windows": options.pick(200, 4)}),
        ]
        turns = measure(options, "windows", variants)
    rows = {name: {**rates(found), "peak_mib": found[-1]["peak_mib"]} for name, found in turns.items()}
    return {
        "window_letters": config.window_length,
        "chromosomes": chromosomes,
        "bases": chromosomes * length,
        **rows_of(rows),
    }


def rows_of(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The rows, and how often the shipped way is faster than each."""
    own = rows["read_records"]["median"]
    return {"rows": {name: {**row, "times_faster": own / row["median"]} for name, row in rows.items()}}


def render(result: dict[str, Any]) -> str:
    """The table."""
    lines = [
        [name, row["median"], min(row["rates"]), max(row["rates"]), row["times_faster"], row["peak_mib"]]
        for name, row in result["rows"].items()
    ]
    title = f"windows of {result['window_letters']:,} letters from {result['bases']:,} bases, both strands, one core"
    return table(title, ["", "windows/s", "lowest", "highest", "shipped is x", "peak MiB"], lines)
