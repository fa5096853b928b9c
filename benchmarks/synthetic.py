"""Does each preset learn what its inputs say, and nothing else? A matrix of planted signals and networks.

Every synthetic variant plants the signal in named inputs (DNA, proteins, half-life features) of the same kind of
genes. Each preset is trained once on each variant and judged on genes that were held out, and once on shuffled labels.

    python -m benchmarks.synthetic --jobs 2 --json matrix.json

The most that a preset can reach on a variant is the share of the signal in the inputs that it reads, times the
ceiling that the noise leaves. A cell passes

- where that is 0, and with shuffled labels: if r2 is at most 0 within its 95 % interval (its lower end is);
- elsewhere: if r2 comes within 0.1 of the most, and does not exceed it beyond its interval.

The exit status is 1 if a cell fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch

from seqexpr.evaluation.folds import split_once
from seqexpr.evaluation.metrics import evaluate
from seqexpr.models.config import PRESETS
from seqexpr.prediction.device import keep_freed_memory
from seqexpr.prediction.rows import predict_rows
from seqexpr.runs.setup import permute_labels, resolve_experiment
from seqexpr.tasks.catalogue import list_tasks, open_task_dataset
from seqexpr.training.experiment import Split
from seqexpr.training.trainer import EVALUATION_BATCH, train

RECOVERED_WITHIN = 0.1
"""How far below the most that it can reach a network's r2 may be."""

VALID_FRACTION, TEST_FRACTION = 0.1, 0.3
CONTROL = "synthetic-joint"
"""The variant whose labels are shuffled for the control."""


@dataclass(frozen=True)
class Cell:
    """One training: a preset on a variant, with its labels or with shuffled ones."""

    variant: str
    preset: str
    permuted: bool
    seed: int
    epochs: int | None


@dataclass(frozen=True)
class Result:
    """What came of a cell."""

    cell: Cell
    most: float
    """The highest r2 that the preset's inputs allow."""
    r2: float
    low: float
    high: float
    genes: int
    """Test genes."""
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the cell meets its criterion (see the module)."""
        if self.most == 0:
            return self.low <= 0
        return self.r2 >= self.most - RECOVERED_WITHIN and self.low <= self.most


def run_cell(cell: Cell) -> Result:
    """Train, and judge on the held-out genes."""
    torch.set_num_threads(1)
    keep_freed_memory()
    started = time.perf_counter()
    experiment = resolve_experiment(cell.variant, preset=cell.preset, epochs=cell.epochs, seed=cell.seed)
    if cell.permuted:
        experiment = replace(experiment, dataset=permute_labels(experiment.dataset, cell.seed))
    dataset = experiment.dataset
    rows = split_once(dataset.genes, "random", VALID_FRACTION, TEST_FRACTION, cell.seed)
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        model = train(experiment, Split(0, *rows), Path(folder), device, name=cell.preset).model
    predicted = predict_rows(model, dataset, rows[2], EVALUATION_BATCH[device.type])[:, 0]
    r2 = evaluate(experiment.values()[rows[2], 0], predicted)["r2"]
    read = {
        "dna": experiment.config.reads_dna,
        "protein": experiment.config.reads_protein,
        "half-life": experiment.config.reads_half_life,
    }
    share = sum(part for name, part in dataset.manifest["signal_variance"].items() if read[name])
    most = 0.0 if cell.permuted else share * dataset.manifest["ceiling_r2"]
    return Result(cell, most, r2.value, r2.low, r2.high, len(rows[2]), time.perf_counter() - started)


def all_cells(seed: int, epochs: int | None) -> list[Cell]:
    """Variants by presets, then the control."""
    variants = [task.name for task in list_tasks() if task.planted]
    return [
        *(Cell(variant, preset, False, seed, epochs) for variant in variants for preset in PRESETS),
        *(Cell(CONTROL, preset, True, seed, epochs) for preset in PRESETS),
    ]


def run(cells: list[Cell], jobs: int) -> Iterator[Result]:
    """The results in the order of the cells, `jobs` trainings at a time."""
    for variant in {cell.variant for cell in cells}:
        open_task_dataset(variant)  # made once, before the processes ask for it
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(run_cell, cells)


def main() -> None:
    """Print the table; write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, one thread each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="replaces the recipe's")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results too")
    options = parser.parse_args()
    print(f"{'variant':>32}  {'preset':<21}  {'most':>5}  {'r2 [95 % interval]':<23}  genes  seconds")
    results = []
    for result in run(all_cells(options.seed, options.epochs), options.jobs):
        results.append(result)
        cell = result.cell
        variant = cell.variant + (", labels shuffled" if cell.permuted else "")
        value = f"{result.r2:+.3f} [{result.low:+.3f}, {result.high:+.3f}]"
        verdict = "PASS" if result.passed else "FAIL"
        print(
            f"{variant:>32}  {cell.preset:<21}  {result.most:5.3f}  {value:<23}  {result.genes:5}  "
            f"{result.seconds:7.0f}  {verdict}",
            flush=True,
        )
    if options.json:
        rows = [{**asdict(result), "passed": result.passed} for result in results]
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} of {len(results)} cells pass")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
