"""Steps of an optimiser on each preset, shipped against plain, and their peak memory.

    python -m benchmarks train

Shipped is `seqexpr.training.trainer.train` itself, stopped between steps, with the paper's recipe at batch 32: in
groups as small as the default recipe's, and in one group. Plain takes the same steps with the plain network, the whole
batch at once and in smaller parts, of which the best counts. Dropout is on in both.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.comparison import (
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
from benchmarks.made_inputs import protein_lengths, write_dataset
from benchmarks.options import Options
from benchmarks.predict import render_comparison
from benchmarks.tables import table
from benchmarks.variants import Variant
from seqexpr.training.recipe_files import load_recipe

BATCH = 32
MEMORY_BATCH = 128
MEMORY_PRESETS = ("dna-perceiver", "protein-perceiver")
"""Whose peak memory is taken at the larger batch too."""

EPOCH_WINDOWS = 16_377
"""Training genes of Xpresso's human split, whose epoch's time is reckoned from the rate."""


def run(options: Options) -> dict[str, Any]:
    """All presets on all devices."""
    with tempfile.TemporaryDirectory() as folder:
        datasets = {}
        for preset in options.presets:
            datasets[preset] = Path(folder) / preset
            write_dataset(datasets[preset], options.config(preset), genes_of(options, preset))
        return {
            "rows": [
                _preset(options, preset, datasets[preset], *device)
                for device in options.devices
                for preset in options.presets
            ]
        }


def variants_of(
    options: Options, preset: str, dataset: Path, device: str, dtype: str, batch: int
) -> tuple[list[Variant], dict[str, list[str]]]:
    """All variants at a batch size, and the names of the plain ones by allocator."""
    settings = {
        "preset": preset,
        "changes": options.changes(preset),
        "dataset": str(dataset),
        "batch": batch,
        "threads": options.threads,
        "device": device,
        "dtype": dtype,
        "seconds": options.turn_seconds,
    }
    default = load_recipe("default", preset.removesuffix("-perceiver")).group_size
    found = [
        Variant(f"shipped, groups of {default}", "train-shipped", {**settings, "group": default}),
        Variant(f"shipped, one group of {batch}", "train-shipped", {**settings, "group": 0}),
    ]
    plain: dict[str, list[str]] = {}
    for allocator in allocators(device):
        ways = [
            Variant(
                f"plain {allocator}, {f'parts of {part}' if part else 'whole'}",
                "train-plain",
                {**settings, "allocator": allocator, "group": part},
            )
            for part in options.pick((0, 1, 2, 8), (0,))
        ]
        plain[allocator] = [way.name for way in ways]
        found += ways
    return found, plain


def genes_of(options: Options, preset: str) -> int:
    """Genes of the dataset: some to validate on, and enough for two of the largest batches."""
    return max(options.genes(preset), 2 * options.pick(MEMORY_BATCH, 4)) + 2


def _preset(options: Options, preset: str, dataset: Path, device: str, dtype: str) -> dict[str, Any]:
    batch = options.pick(BATCH, 4)
    variants, plain = variants_of(options, preset, dataset, device, dtype, batch)
    title = f"train, {preset}, {device} {dtype}"
    turns = measure(options, title, [matmul_variant(options, device, dtype), *variants])
    shipped = [variant.name for variant in variants if variant.work == "train-shipped"]
    compared = compare(turns, shipped, plain)
    peak = peak_flops(turns[MATMUL])
    flops = mean_reduced_flops(options.config(preset), protein_lengths(genes_of(options, preset))).training
    rate = max(compared["items_a_second"][name]["median"] for name in shipped)
    return {
        "preset": preset,
        "device": device,
        "dtype": dtype,
        "batch": batch,
        **compared,
        "matmul": peak,
        "floor": against_floor(rate, flops, peak["flops_a_second"]),
        "epoch_seconds": EPOCH_WINDOWS / rate,
        "memory": {},
        "large_batch": _memory(options, preset, dataset, device, dtype) if preset in MEMORY_PRESETS else None,
    }


def _memory(options: Options, preset: str, dataset: Path, device: str, dtype: str) -> dict[str, Any]:
    """Peak memory at the larger batch, whole in the plain form: what a user of either would run."""
    batch = options.pick(MEMORY_BATCH, 8)
    variants, plain = variants_of(options, preset, dataset, device, dtype, batch)
    parts = {name for names in plain.values() for name in names[1:]}
    whole = [variant for variant in variants if variant.name not in parts]
    return {"batch": batch, "memory": measure_memory(options, f"train, {preset}, batch {batch}", whole)}


def render(result: dict[str, Any]) -> str:
    """The tables."""
    texts = []
    for row in result["rows"]:
        title = f"{row['preset']}, {row['device']} {row['dtype']}"
        texts.append(
            render_comparison(row, f"train, {title}: one step, batch {row['batch']}", "genes/s")
            + f"\nat this rate the steps of an epoch of {EPOCH_WINDOWS:,} genes take {row['epoch_seconds']:,.0f} s"
        )
        if large := row["large_batch"]:
            lines = [[name, *memory.values()] for name, memory in large["memory"].items()]
            headers = ["", "ready MiB", "peak MiB", "own MiB", "on CUDA MiB"]
            texts.append(table(f"train, {title}: peak memory at batch {large['batch']}", headers, lines))
    return "\n\n".join(texts)
