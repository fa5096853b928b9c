"""The machine's matrix products, the operations that a gene takes by formula, and the floor that both give.

    python -m benchmarks peak

The floor is the rate that the reduced operations of `flops` would have if all of them ran as fast as the best matrix
product. It leaves out what is no sum of products (exponentials of the softmaxes, error functions of the GELUs,
normalisations), dropout masks, and the bytes that are moved.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import predict, train
from benchmarks.comparison import MATMUL, against_floor, matmul_variant, measure, peak_flops
from benchmarks.flops import least_bytes, mean_reduced_flops, plain_flops
from benchmarks.made_inputs import protein_lengths, write_dataset
from benchmarks.options import Options
from benchmarks.tables import table
from benchmarks.variants import rates


def run(options: Options) -> dict[str, Any]:
    """Matrix products and both shipped forms of all presets, turn about."""
    return {"rows": [_device(options, *device) for device in options.devices]}


def _device(options: Options, device: str, dtype: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for preset in options.presets:
            dataset = Path(folder) / preset
            write_dataset(dataset, options.config(preset), train.genes_of(options, preset))
            found[preset] = _preset(options, preset, dataset, device, dtype)
    return {"device": device, "dtype": dtype, "presets": found}


def _preset(options: Options, preset: str, dataset: Path, device: str, dtype: str) -> dict[str, Any]:
    config = options.config(preset)
    predicting = predict.variants_of(options, preset, device, dtype)[0][0]
    training = train.variants_of(options, preset, dataset, device, dtype, options.pick(train.BATCH, 4))[0][0]
    variants = [matmul_variant(options, device, dtype), predicting, training]
    turns = measure(options, f"peak, {preset}, {device} {dtype}", variants)
    peak = peak_flops(turns[MATMUL])
    plain = plain_flops(config)
    lengths = protein_lengths(predicting.settings["genes"])
    reduced = mean_reduced_flops(config, lengths)
    flops_a_second = peak["flops_a_second"]
    forward = rates(turns[predicting.name])["median"]
    steps = rates(turns[training.name])["median"]
    return {
        "matmul": peak,
        "plain_flops": {"predict": plain.forward, "train": plain.training},
        "reduced_flops": {"predict": reduced.forward, "train": reduced.training},
        "items_a_second": {"predict": forward, "train": steps},
        "predict": against_floor(forward, reduced.forward, flops_a_second),
        "train": against_floor(steps, reduced.training, flops_a_second),
        "least_bytes": least_bytes(config, config.window_length + (mean(lengths) if config.reads_protein else 0.0)),
    }


def render(result: dict[str, Any]) -> str:
    """The tables."""
    return "\n\n".join(text for row in result["rows"] for text in (_products(row), _floors(row)))


def _products(row: dict[str, Any]) -> str:
    presets = row["presets"]
    sizes = next(iter(presets.values()))["matmul"]["sizes"]
    lines = [[size, *(presets[preset]["matmul"]["sizes"][size] / 1e9 for preset in presets)] for size in sizes]
    return table(f"matrix products, {row['device']} {row['dtype']}, GFLOP/s, beside", ["", *presets], lines)


def _floors(row: dict[str, Any]) -> str:
    lines = []
    for preset, found in row["presets"].items():
        for what in ("predict", "train"):
            plain, reduced = found["plain_flops"][what] / 1e6, found["reduced_flops"][what] / 1e6
            floor, rate = found[what], found["items_a_second"][what]
            share = f"{floor['fraction']:.0%}"
            lines.append([f"{preset}, {what}", plain, reduced, floor["most_items_a_second"], rate, share])
    headers = ["", "plain M", "reduced M", "floor genes/s", "genes/s", "reached"]
    return table(f"operations of a gene and the floor, {row['device']} {row['dtype']}", headers, lines)
