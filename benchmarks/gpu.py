"""All that is claimed of a CUDA device, in one command of a few minutes.

    python -m benchmarks gpu

It compares every preset and bundled model with the CPU, runs the tests that need a card, and measures prediction (the
network alone, records in memory, a whole command on a genome) and training against the plain network. Rates are medians
of turns, in which all ways take their turn after one another.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.flops import mean_reduced_flops
from benchmarks.machine import ROOT
from benchmarks.made_inputs import SEED, random_genes, write_dataset, write_genome, write_sites
from benchmarks.options import Options
from benchmarks.parity import parity
from benchmarks.plain_perceiver import PlainPerceiver
from benchmarks.predict_work import untrained
from benchmarks.processes import run_seqexpr
from benchmarks.tables import table, tell
from benchmarks.train import variants_of
from benchmarks.variants import interleave, rates
from seqexpr.errors import DeviceError
from seqexpr.models import kernels
from seqexpr.models.config import HALF_LIFE_FEATURES
from seqexpr.models.registry import DEFAULT_DNA_MODEL
from seqexpr.models.trained import load_model
from seqexpr.prediction.device import describe_device, use_threads
from seqexpr.prediction.inputs import InputRecord
from seqexpr.prediction.predictor import Predictor

PRESET = "dna-perceiver"
BATCH = 512
TRAINING_BATCH = 128
ROUNDS = 5
"""Turns of each way, whatever --rounds says: the whole is to take minutes."""

_EXPONENTIALS_A_CYCLE = 16
"""That a multiprocessor's special function units give."""

TESTS = ("tests/models/kernels/cuda", "tests/models/test_perceiver.py", "tests/models/test_transfers.py")


def run(options: Options) -> dict[str, Any]:
    """Everything, on this machine's card.

    Raises:
        DeviceError: there is none.
    """
    if not torch.cuda.is_available():
        raise DeviceError(f"no CUDA device is available to torch {torch.__version__}: nothing of it is measured")
    return measure(options, torch.device("cuda"))


def measure(options: Options, device: torch.device) -> dict[str, Any]:
    """Each part, told as soon as it is there. A part that fails is told too, and takes no other with it: a card may be
    lent for minutes."""
    found: dict[str, Any] = {"device": describe_device(device)}
    tell(found["device"])
    for name, part in PARTS.items():
        tell(f"gpu: {name}")
        try:
            found[name] = part.measure(options, device)
            tell(part.render(found[name]))
        except Exception as error:
            found[name] = {"error": "".join(traceback.format_exception(error))}
            tell(found[name]["error"])
    return found


def render(result: dict[str, Any]) -> str:
    """The tables."""
    texts = [result["device"]]
    for name, part in PARTS.items():
        failed = isinstance(result[name], dict) and "error" in result[name]
        texts.append(f"{name} FAILED:\n{result[name]['error']}" if failed else part.render(result[name]))
    return "\n\n".join(texts)


def run_tests(options: Options, device: torch.device) -> dict[str, Any]:
    """The tests that compute on a card where there is one; what pytest says last."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", *options.pick(TESTS, ("--version",))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=240)
    lines = (done.stdout + done.stderr).strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"passed": done.returncode == 0, "failed": failed, "summary": lines[-1] if lines else ""}


def measure_network(options: Options, device: torch.device) -> dict[str, Any]:
    """Windows a second of the network alone, tokens and half-life features being on the device, and its memory."""
    config = options.config(PRESET)
    batch = options.pick(BATCH, 4)
    generator = torch.Generator().manual_seed(SEED)
    tokens = torch.randint(1, 5, (batch, config.window_length), generator=generator, dtype=torch.uint8).to(device)
    half_life = torch.randn(batch, 8, generator=generator).to(device)
    network = untrained(config, device)
    plain = PlainPerceiver.of(untrained(config, device))

    def of(
        network: torch.nn.Module, context: Callable[[], AbstractContextManager[Any]], parts: int
    ) -> Callable[[], int]:
        def compute() -> int:
            with torch.inference_mode(), context():
                for part in range(parts):
                    chosen = slice(part * batch // parts, (part + 1) * batch // parts)
                    network(tokens[chosen], tokens[chosen], half_life[chosen])
            return batch

        return compute

    def bf16() -> AbstractContextManager[Any]:
        return torch.autocast(device.type, torch.bfloat16)

    ways = {
        "shipped fp16": of(network, lambda: kernels.computing_in("fp16"), 1),
        "shipped fp32": of(network, lambda: kernels.computing_in("fp32"), 1),
        "shipped, without the Triton kernels": of(network, kernels.disabled, 1),
        "plain fp32": of(plain, nullcontext, 4),
        "plain bf16": of(plain, bf16, 4),
    }
    return take_turns(options, ways, device)


def measure_stream(options: Options, device: torch.device) -> dict[str, Any]:
    """Records a second through `Predictor`, from memory to rows, of the bundled model of DNA."""
    workers = use_threads(device, options.threads)
    model = load_model(DEFAULT_DNA_MODEL, device)
    count = options.pick(8_192, 4)
    windows, _ = random_genes(model.metadata.config, min(count, 1_024))
    unknown = np.full(HALF_LIFE_FEATURES, np.nan)
    different = [InputRecord(f"gene{number}", dna, None, unknown) for number, dna in enumerate(windows)]
    records = list(itertools.islice(itertools.cycle(different), count))

    def of(precision: kernels.Precision) -> Callable[[], int]:
        predictor = Predictor([model], device, "auto", workers, precision)
        return lambda: sum(1 for _ in predictor.predict(records))

    return take_turns(options, {"fp16": of("fp16"), "fp32": of("fp32")}, device)


def take_turns(options: Options, ways: dict[str, Callable[[], int]], device: torch.device) -> dict[str, Any]:
    """Items a second of each way, by median, and the device's peak memory; one turn of each before does not count."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    memory: dict[str, float | None] = {}
    for number in range(options.pick(ROUNDS, 1) + 1):
        for name, compute in ways.items():
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                torch.cuda.synchronize()
            begun, items = time.perf_counter(), 0
            while not items or time.perf_counter() - begun < options.pick(0.4, 0):
                items += compute()
                if device.type == "cuda":
                    torch.cuda.synchronize()
            if number:
                turns[name].append({"items": items, "seconds": time.perf_counter() - begun})
                memory[name] = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None
    return {name: {**rates(turns[name]), "device_peak_mib": memory[name]} for name in ways}


def floors(options: Options, device: torch.device) -> dict[str, float]:
    """Windows a second that operations, at the rate of large fp16 products here, and exponentials would allow."""
    config = options.config(PRESET)
    size = options.pick(8_192, 256)
    left = torch.randn(size, size, device=device).half()
    seconds = []
    for _ in range(options.pick(20, 2)):
        begun = time.perf_counter()
        torch.mm(left, left)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    found = {"operations": 2.0 * size**3 / statistics.median(seconds) / mean_reduced_flops(config, ()).forward}
    if device.type == "cuda" and (clock := _highest_clock()) is not None:
        exponentials = config.window_length * (config.latents + 2 * config.stem_channels)
        units = torch.cuda.get_device_properties(device).multi_processor_count * _EXPONENTIALS_A_CYCLE
        found["exponentials"] = units * clock / exponentials
    return found


def _highest_clock() -> float | None:
    """Of the card's multiprocessors, Hz; None where the driver's tool is absent."""
    command = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"]
    try:
        return 1e6 * float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None


def measure_command(options: Options, device: torch.device) -> dict[str, Any]:
    """`seqexpr predict --genome --tss` as a process of its own, on few and on many windows."""
    few, many = options.pick((100, 50_000), (2, 4))
    length = options.pick(5_000_000, 100_000)
    with tempfile.TemporaryDirectory() as folder:
        genome, sites, out = (Path(folder) / name for name in ("genome.fa", "sites.bed", "out.tsv"))
        write_genome(genome, 4, length)
        seconds = {}
        for count in (few, few, many):  # the first builds indexes, and Triton's kernels
            write_sites(sites, count, 4, length, 10_500)
            command = [
                "predict",
                "--device",
                device.type,
                "--genome",
                str(genome),
                "--tss",
                str(sites),
                "--out",
                str(out),
            ]
            seconds[count] = run_seqexpr(command).seconds
    rate = (many - few) / max(seconds[many] - seconds[few], 1e-9)
    return {"windows": many, "seconds": seconds[many], "start_seconds": seconds[few], "windows_a_second": rate}


def measure_training(options: Options, device: torch.device) -> dict[str, Any]:
    """Genes a second of the trainer, in groups and whole, and of the plain network; on CUDA in bf16."""
    batch = options.pick(TRAINING_BATCH, 4)
    dtype = "bf16" if device.type == "cuda" else "fp32"
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        write_dataset(dataset, options.config(PRESET), 2 * batch + 2)
        variants, plain = variants_of(options, PRESET, dataset, device.type, dtype, batch)
        partly = {name for names in plain.values() for name in names[1:]}
        chosen = [variant for variant in variants if variant.name not in partly]
        turns = interleave(chosen, options.pick(3, 1), start=options.start, tell=lambda text: tell(f"  {text}"))
    return {name: {**rates(of), "device_peak_mib": of[-1]["device_peak_mib"]} for name, of in turns.items()}


def _render_parity(rows: list[dict[str, Any]]) -> str:
    lines = [
        [row["model"], row["way"], f"{row['error']:.1e}", f"{row['allowed']:.0e}",
         "ok" if row["error"] <= row["allowed"] else "TOO LARGE"]
        for row in rows
    ]  # fmt: skip
    return table("largest error against the CPU, in sds of the output", ["", "", "error", "allowed", ""], lines)


def _render_tests(tests: dict[str, Any]) -> str:
    return "\n".join([f"tests: {tests['summary']}", *tests["failed"]])


def _render_floors(floor: dict[str, float]) -> str:
    return "floors: " + ", ".join(f"{name} allow {rate:,.0f} windows/s" for name, rate in floor.items())


def _render_command(command: dict[str, Any]) -> str:
    return (
        f"predict --genome --tss, {command['windows']:,} windows: {command['seconds']:.1f} s, of which start-up "
        f"{command['start_seconds']:.1f} s; {command['windows_a_second']:,.0f} windows/s behind it"
    )


def _rates(title: str, unit: str) -> Callable[[dict[str, Any]], str]:
    def render_rates(ways: dict[str, Any]) -> str:
        lines = [
            [name, way["median"], min(way["rates"]), max(way["rates"]), way["device_peak_mib"]]
            for name, way in ways.items()
        ]
        return table(title, ["", unit, "lowest", "highest", "peak MiB on the card"], lines)

    return render_rates


@dataclass(frozen=True)
class Part:
    """One thing that is measured, and its table."""

    measure: Callable[[Options, torch.device], Any]
    render: Callable[[Any], str]


PARTS = {
    "parity": Part(parity, _render_parity),
    "network": Part(measure_network, _rates(f"the network alone, {PRESET}, batch {BATCH}", "windows/s")),
    "floors": Part(floors, _render_floors),
    "stream": Part(measure_stream, _rates(f"records in memory, {DEFAULT_DNA_MODEL}", "windows/s")),
    "command": Part(measure_command, _render_command),
    "training": Part(measure_training, _rates(f"train, {PRESET}, batch {TRAINING_BATCH}", "genes/s")),
    "tests": Part(run_tests, _render_tests),
}
"""In the order of their worth: the time on a card may end before the last."""
