"""Substitutions a second as `explain` computes them, and variants a second, each against predicting whole windows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import measured
from benchmarks.comparison import measure
from benchmarks.made_inputs import write_genome, write_sites
from benchmarks.options import Options
from benchmarks.tables import table
from benchmarks.variants import Variant, rates
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.registry import DEFAULT_DNA_MODEL

PLAIN = "dna-perceiver"
"""The unchanged network, without kernel flow or words."""

EXPLAINED = (
    *((PLAIN, "dna"), (DEFAULT_DNA_MODEL, "dna")),
    *(("protein-perceiver", "protein"), ("dna-protein-perceiver", "protein"), ("protein-dna-perceiver", "dna")),
)
"""Models, and the inputs in which letters are replaced."""


def run(options: Options) -> dict[str, Any]:
    """Both ways, turn about: every substitution of a window, and SNVs each of which lies in one gene's window.

    With `options.measured`, how well predicted effects agree with measured ones instead.
    """
    if options.measured is not None:
        return {"measured": measured.run(options.measured, options.threads), "name": options.measured.table.name}
    rows = []
    common = {"threads": options.threads, "seconds": options.turn_seconds}
    for model, read in EXPLAINED:
        settings = {**common, "model": model, "input": read}
        many = 4_000 if read == "dna" else 800
        changes = [
            Variant("substitutions", "effects-incremental", {**settings, "positions": options.pick(many, 20)}),
            Variant("full passes", "effects-full", {**settings, "positions": options.pick(64, 4)}),
        ]
        name = f"explain, {model}: {'substitutions' if read == 'dna' else 'residues'}"
        rows.append(_row(name, measure(options, name, changes)))
    with tempfile.TemporaryDirectory() as folder:
        genome, sites = Path(folder) / "genome.fa", Path(folder) / "sites.bed"
        length = PerceiverConfig.from_preset(PLAIN).window_length
        contig = options.pick(4_000_000, 100_000)
        write_genome(genome, 1, contig)
        write_sites(sites, options.pick(1_000, 8), 1, contig, length)
        for each in options.pick((100, 10, 1), (2,)):
            settings = {**common, "genome": str(genome), "sites": str(sites), "each": each, "model": DEFAULT_DNA_MODEL}
            genes = options.pick(max(4, 128 // each), 2)
            ways = [
                Variant("variants", "effects-variants", {**settings, "genes": genes}),
                Variant("both windows", "effects-windows", {**settings, "genes": genes}),
            ]
            turns = measure(options, f"variants, {each} a gene", ways)
            rows.append(_row(f"variants, {DEFAULT_DNA_MODEL}: SNVs, {each} a gene", turns))
    return {"rows": rows}


def _row(name: str, turns: dict[str, Any]) -> dict[str, Any]:
    (own, found), (other, whole) = ((way, rates(all_turns)) for way, all_turns in turns.items())
    return {
        "name": name,
        "ways": {own: found, other: whole},
        "ratio": found["median"] / whole["median"],
        "peak_mib": {way: all_turns[-1]["peak_mib"] for way, all_turns in turns.items()},
    }


def render(result: dict[str, Any]) -> str:
    """The table."""
    if "measured" in result:
        return measured.render(result["measured"], result["name"])
    lines = []
    for row in result["rows"]:
        (_, own), (other, whole) = row["ways"].items()
        lines.append(
            [row["name"], own["median"], whole["median"], other, row["ratio"], next(iter(row["peak_mib"].values()))]
        )
    headers = ["", "a second", "whole windows", "by", "is x", "peak MiB"]
    return table("what a change of sequence does", headers, lines)
