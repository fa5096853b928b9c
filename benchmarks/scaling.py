"""How cost grows with the number of records and with the length of the window, of dna-perceiver.

    python -m benchmarks scaling

Each point is a process of its own, which is ended after its turns; every round goes through all points. An exponent is
the slope of log(seconds) over log(size), fitted to the larger half of the sizes: 1 is linear.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_inputs import write_dataset
from benchmarks.options import Options
from benchmarks.tables import table, tell
from benchmarks.variants import Variant
from seqexpr.models.config import PerceiverConfig

PRESET = "dna-perceiver"
RECORDS = (50, 100, 200, 500, 1_000, 2_000)
LENGTHS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000)
UPSTREAM_SHARE = 2 / 3
"""Of a window, as in the preset."""

TRAINING_BATCH = 2
"""Windows of a step, one in each group: as few as BatchNorm and memory at the longest window allow."""


@dataclass(frozen=True)
class Point:
    """A variant at a size."""

    curve: str
    size: int
    variant: Variant


def run(options: Options) -> dict[str, Any]:
    """All points in each round."""
    rounds = options.pick(min(options.turns, 3), 1)
    seconds: dict[tuple[str, int], list[float]] = {}
    peaks: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        points = [*points_of_records(options), *points_of_lengths(options, Path(folder))]
        for number in range(rounds):
            for point in points:
                tell(f"scaling: round {number + 1} of {rounds}: {point.curve}, {point.size:,}")
                with options.start(point.variant) as child:
                    child.ready()
                    child.turn()
                    turn = child.turn()
                key = point.curve, point.size
                items = 1 if point.curve == "records" else turn["items"]
                seconds.setdefault(key, []).append(turn["seconds"] / items)
                peaks.setdefault(key, []).append(turn["peak_mib"])
    rows = [
        {"curve": curve, "size": size, "seconds": statistics.median(found), "peak_mib": max(peaks[curve, size])}
        for (curve, size), found in seconds.items()
    ]
    return {"rows": rows, "exponents": {curve: exponent(rows, curve) for curve in dict.fromkeys(curve_names(rows))}}


def curve_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The curve of each row."""
    return [row["curve"] for row in rows]


def exponent(rows: Sequence[dict[str, Any]], curve: str) -> float:
    """The slope of a curve in logarithms, over the larger half of its sizes (two at least)."""
    points = sorted((row["size"], row["seconds"]) for row in rows if row["curve"] == curve)
    upper = points[min(len(points) // 2, len(points) - 2) :]
    sizes, seconds = np.log(np.array(upper)).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def points_of_records(options: Options) -> Iterator[Point]:
    """Seconds of a stream, by its number of records."""
    for records in options.pick(RECORDS, (4, 8)):
        settings = {**_settings(options, options.changes(PRESET)), "genes": records, "batch": "auto"}
        yield Point("records", records, Variant(f"{records} records", "predict-shipped", settings))


def points_of_lengths(options: Options, folder: Path) -> Iterator[Point]:
    """Seconds of a window in prediction and in a step of training, shipped and plain, by its length."""
    for length in options.pick(LENGTHS, (1_000, 2_000)):
        upstream = round(length * UPSTREAM_SHARE)
        changes = {"upstream": upstream, "downstream": length - upstream}
        settings = _settings(options, changes)
        genes = max(8 * options.threads, options.pick(1_000_000, 8_000) // length)
        yield _point("predict, shipped", length, "predict-shipped", {**settings, "genes": genes, "batch": "auto"})
        plain = {**settings, "genes": 2, "batch": 1, "allocator": "default"}
        yield _point("predict, plain", length, "predict-plain", plain)
        dataset = folder / f"windows{length}"
        write_dataset(dataset, PerceiverConfig.from_preset(PRESET, **changes), 2 * TRAINING_BATCH + 2)
        training = {**settings, "dataset": str(dataset), "batch": TRAINING_BATCH, "group": 1}
        yield _point("train, shipped", length, "train-shipped", training)
        yield _point("train, plain", length, "train-plain", {**training, "allocator": "default"})


def _settings(options: Options, changes: dict[str, int]) -> dict[str, Any]:
    common = {"preset": PRESET, "changes": changes, "threads": options.threads, "device": "cpu", "dtype": "fp32"}
    return {**common, "seconds": 0}


def _point(curve: str, length: int, work: str, settings: dict[str, Any]) -> Point:
    seconds = 0 if work == "predict-shipped" else 0.5  # one pass over all genes; at least so long
    return Point(curve, length, Variant(f"{curve}, {length}", work, {**settings, "seconds": seconds}))


def render(result: dict[str, Any]) -> str:
    """The tables."""
    records = [row for row in result["rows"] if row["curve"] == "records"]
    lines = [[f"{row['size']:,}", row["seconds"], row["size"] / row["seconds"], row["peak_mib"]] for row in records]
    heading = f"dna-perceiver, seconds of a stream: exponent {result['exponents']['records']:.2f}"
    texts = [table(heading, ["records", "seconds", "records/s", "peak MiB"], lines)]
    curves = [curve for curve in result["exponents"] if curve != "records"]
    found = {(row["curve"], row["size"]): row for row in result["rows"]}
    sizes = sorted({row["size"] for row in result["rows"] if row["curve"] != "records"})
    for key, unit, factor in (("seconds", "milliseconds a window", 1e3), ("peak_mib", "peak MiB", 1.0)):
        lines = [[f"{size:,}", *(found[curve, size][key] * factor for curve in curves)] for size in sizes]
        if key == "seconds":
            lines.append(["exponent", *(result["exponents"][curve] for curve in curves)])
        texts.append(table(f"dna-perceiver, {unit}, by length of the window", ["letters", *curves], lines))
    return "\n\n".join(texts)
