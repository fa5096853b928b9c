"""Predictions a second and peak memory of each preset, shipped against plain.

    python -m benchmarks predict

Shipped is `Predictor` over records in memory, as `seqexpr predict` sets it up; plain is `plain_perceiver` with all of
torch's threads at several batch sizes, of which the best counts.
"""

from __future__ import annotations

from typing import Any

from benchmarks.comparison import (
    ALLOCATORS,
    MATMUL,
    against_floor,
    allocators,
    compare,
    matmul_variant,
    measure,
    measure_memory,
    peak_flops,
)
from benchmarks.flops import mean_reduced_flops
from benchmarks.made_inputs import protein_lengths
from benchmarks.options import Options
from benchmarks.tables import table
from benchmarks.variants import Variant

BATCH = 32
"""The batch size at which both forms are shown, whatever their best."""


def run(options: Options) -> dict[str, Any]:
    """All presets on all devices."""
    return {"rows": [_preset(options, preset, *device) for device in options.devices for preset in options.presets]}


def variants_of(options: Options, preset: str, device: str, dtype: str) -> tuple[list[Variant], dict[str, list[str]]]:
    """All variants, and the names of the plain ones by allocator."""
    settings = {
        "preset": preset,
        "changes": options.changes(preset),
        "genes": options.genes(preset) * (1 if device == "cpu" else 16),
        "threads": options.threads,
        "device": device,
        "dtype": dtype,
        "seconds": options.turn_seconds,
    }
    batches = options.pick((1, 2, 8, BATCH, 128) if device == "cpu" else (BATCH, 128, 512), (4,))
    found = [Variant("shipped auto", "predict-shipped", {**settings, "batch": "auto"}), _shipped_32(settings)]
    plain: dict[str, list[str]] = {}
    for allocator in allocators(device):
        ways = [
            Variant(f"plain {allocator} {batch}", "predict-plain", {**settings, "allocator": allocator, "batch": batch})
            for batch in batches
        ]
        plain[allocator] = [way.name for way in ways]
        found += ways
    return found, plain


def _shipped_32(settings: dict[str, Any]) -> Variant:
    return Variant(f"shipped {BATCH}", "predict-shipped", {**settings, "batch": BATCH})


def _preset(options: Options, preset: str, device: str, dtype: str) -> dict[str, Any]:
    variants, plain = variants_of(options, preset, device, dtype)
    title = f"predict, {preset}, {device} {dtype}"
    turns = measure(options, title, [matmul_variant(options, device, dtype), *variants])
    shipped = [variant.name for variant in variants if variant.work == "predict-shipped"]
    compared = compare(turns, shipped, plain)
    wanted = {*shipped, *compared["best_plain"].values(), *(f"plain {name} {BATCH}" for name in plain)}
    config, peak = options.config(preset), peak_flops(turns[MATMUL])
    flops = mean_reduced_flops(config, protein_lengths(variants[0].settings["genes"])).forward
    rate = max(compared["items_a_second"][name]["median"] for name in shipped)
    return {
        "preset": preset,
        "device": device,
        "dtype": dtype,
        **compared,
        "matmul": peak,
        "floor": against_floor(rate, flops, peak["flops_a_second"]),
        "memory": measure_memory(options, title, [variant for variant in variants if variant.name in wanted]),
    }


def render(result: dict[str, Any]) -> str:
    """The tables."""
    return "\n\n".join(_rendered(row) for row in result["rows"])


def _rendered(row: dict[str, Any]) -> str:
    return render_comparison(row, f"predict, {row['preset']}, {row['device']} {row['dtype']}", "genes/s")


def render_comparison(row: dict[str, Any], title: str, unit: str) -> str:
    """One preset's table: a line for each variant, then the machine's peak and the floor."""
    lines = []
    for name, rate in row["items_a_second"].items():
        ratios = row["ratios"].get(name, {})
        memory = row["memory"].get(name, {})
        mark = " *" if name in row["best_plain"].values() else ""
        low, high = min(rate["rates"]), max(rate["rates"])
        cells = [rate["median"], low, high, *map(ratios.get, ALLOCATORS)]
        lines.append([name + mark, *cells, *map(memory.get, ("peak_mib", "own_mib", "device_peak_mib"))])
    headers = ["", unit, "lowest", "highest", "x default *", "x tuned *", "peak MiB", "own MiB", "on CUDA MiB"]
    peak, floor = row["matmul"], row["floor"]
    below = (
        f"matmul peak {peak['flops_a_second'] / 1e9:,.0f} GFLOP/s ({peak['best_size']}); "
        f"{floor['flops_an_item'] / 1e6:,.0f} M operations a gene allow {floor['most_items_a_second']:,.0f} {unit}; "
        f"reached {floor['fraction']:.0%}"
    )
    return table(title, headers, lines) + "\n" + below
