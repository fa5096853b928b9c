"""A child of `benchmarks.pipeline`: what `seqexpr predict --genome --tss` does, with the model's passes timed.

python -m benchmarks.pipeline_child SETTINGS, which are genome, sites, out, threads and started (the time at which the
parent started this process). Prints a JSON line.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from benchmarks.machine import peak_mib
from seqexpr.prediction.inputs import InputCounts, InputRecord, InputSources, ModelNeeds

Interval = tuple[float, float]


class Timed:
    """A model for the predictor that notes when it computes."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._lock = threading.Lock()
        self.passes: list[Interval] = []
        """When each pass began and ended."""

    @property
    def metadata(self) -> Any:
        """The model's."""
        return self._model.metadata

    def predict_members(
        self,
        dna: np.ndarray | None,
        protein: np.ndarray | None,
        half_life: np.ndarray | None,
        coding: np.ndarray | None = None,
    ) -> np.ndarray:
        """As the model's; on several threads at once."""
        begun = time.perf_counter()
        values = self._model.predict_members(dna, protein, half_life, coding)
        with self._lock:
            self.passes.append((begun, time.perf_counter()))
        return values


def covered(intervals: Sequence[Interval]) -> float:
    """Seconds during which at least one of the intervals runs."""
    total, end = 0.0, float("-inf")
    for begun, ended in sorted(intervals):
        total += max(0.0, ended - max(begun, end))
        end = max(end, ended)
    return total


def shares(passes: Sequence[Interval], begun: float, ended: float, workers: int) -> dict[str, float]:
    """Of the time between: the part in which any pass runs, and the part of all workers' time that is in passes."""
    seconds = ended - begun
    busy = sum(stop - start for start, stop in passes)
    return {"model_share": covered(passes) / seconds, "workers_share": busy / (seconds * workers)}


def main() -> None:
    """Predict, and print how the time was spent."""
    settings = json.loads(sys.argv[1])
    from seqexpr.cli.predict_options import DEFAULT_DNA_MODEL
    from seqexpr.models.registry import resolve_models
    from seqexpr.models.trained import load_model
    from seqexpr.prediction.device import choose_device, use_threads
    from seqexpr.prediction.predictor import Predictor
    from seqexpr.prediction.records import read_records
    from seqexpr.prediction.writers import open_writer

    device = choose_device("auto")
    workers = use_threads(device, settings["threads"])
    model = Timed(load_model(resolve_models([DEFAULT_DNA_MODEL])[0], device))
    needs = ModelNeeds.of([model.metadata])
    predictor = Predictor([model], device, "auto", workers)
    stamps: list[float] = []
    records = _stamped(
        read_records(InputSources(genome=settings["genome"], tss=settings["sites"]), needs, InputCounts()), stamps
    )
    startup = time.time() - settings["started"]
    with (
        open_writer(settings["out"], "tsv", needs.outputs, ensemble=False) as writer,
        closing(predictor.predict(records)) as predictions,
    ):
        rows = 0
        for prediction in predictions:
            writer.write(prediction)
            rows += 1
        ended = time.perf_counter()
    found = {"windows": rows, "startup_seconds": startup, "seconds": ended - stamps[0], "workers": workers}
    print(json.dumps({**found, **shares(model.passes, stamps[0], ended, workers), "peak_mib": peak_mib()}))


def _stamped(records: Iterable[InputRecord], stamps: list[float]) -> Iterator[InputRecord]:
    """The records; the time at which the first one is there is noted."""
    for record in records:
        if not stamps:
            stamps.append(time.perf_counter())
        yield record


if __name__ == "__main__":
    main()
