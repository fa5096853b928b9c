"""Everything that is claimed about speed and memory: python -m benchmarks [SECTION ...]"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.machine import Others, describe_machine
from benchmarks.measured import Measurement
from benchmarks.options import Options
from benchmarks.tables import tell
from seqexpr.errors import DeviceError
from seqexpr.models.config import PRESETS

SECTIONS = {
    "predict": "predictions a second and peak memory, shipped against plain",
    "train": "optimiser steps and peak memory, shipped against plain",
    "registers": "registers and spills of the CUDA kernels, compiled without a card",
    "gpu": "a CUDA device: parity with the CPU, tests, prediction and training against plain, in six minutes",
    "peak": "the machine's matrix products, the operations of a gene, the floor that they allow",
    "windows": "windows a second from a genome on one core",
    "effects": "substitutions and variants a second, against predicting whole windows",
    "scan": "positions a second along a genome, against predict on the same windows",
    "startup": "seconds until a command answers",
    "pipeline": "the whole command on few and many windows: seconds, peak memory, the model's share of the time",
    "busy": "an epoch of training beside other work, in four cases",
    "scaling": "cost against the number of records and the length of the window",
}

_TOLERATED = 0.05
"""Share of the cores that other processes may take; more, and torch's threads wait for one another."""


def parse(arguments: list[str] | None = None) -> tuple[Options, Path | None]:
    """The options, and where the JSON goes."""
    listed = "\n".join(f"  {name:<10}{what}" for name, what in SECTIONS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{__doc__}\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="which; default: all")
    parser.add_argument("--preset", action="append", choices=PRESETS, help="only this one; repeatable")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each variant (default 7)")
    parser.add_argument("--threads", type=int, help="default: the cores that this process may use")
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 100, 10_000], help="for pipeline: how many")
    parser.add_argument("--quick", action="store_true", help="tiny networks: shows that it works, measures nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go; default: printed at the end")
    accuracy = parser.add_argument_group("accuracy instead of speed", "of the section effects, see benchmarks.measured")
    accuracy.add_argument("--measured", type=Path, metavar="FILE", help="table with offset, ref, alt and effect")
    accuracy.add_argument("--fasta", type=Path, metavar="FILE", help="the gene's window")
    accuracy.add_argument("--tss-at", type=int, metavar="N", help="letters before the TSS in it")
    accuracy.add_argument("--record", metavar="ID", help="its id; default: the first record")
    given = parser.parse_args(arguments)
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if min(given.rounds, given.threads or 1, *given.windows) < 1:
        parser.error("--rounds, --threads and --windows must be at least 1")
    measured = None
    if given.measured is not None:
        if given.sections != ["effects"] or given.fasta is None or given.tss_at is None:
            parser.error("--measured needs the section effects, --fasta and --tss-at")
        measured = Measurement(given.measured, given.fasta, given.tss_at, given.record)
    changes = {"threads": given.threads} if given.threads else {}
    options = Options(
        presets=tuple(given.preset or PRESETS),
        rounds=given.rounds,
        quick=given.quick,
        windows=tuple(given.windows),
        sections=tuple(given.sections or SECTIONS),
        measured=measured,
        **changes,
    )
    return options, given.json


def main() -> None:
    """Print each section's tables as soon as they are there, then the JSON."""
    options, path = parse()
    without_device: DeviceError | None = None
    if options.quick:
        tell("--quick: the figures below measure nothing")
    found = {"machine": {**describe_machine(), "threads": options.threads}, "sections": {}}
    for name in options.sections:
        tell(f"== {name}")
        section, others = importlib.import_module(f"benchmarks.{name}"), Others()
        try:
            result = section.run(options)
        except DeviceError as error:
            tell(f"{name}: {error}")
            without_device = error
            continue
        found["sections"][name] = {**result, "others_share": others.share()}
        print(section.render(result), end="\n\n", flush=True)
        if (share := others.share()) is not None:
            print(f"other processes took {share:.0%} of the cores meanwhile{verdict(share)}", end="\n\n", flush=True)
        if path:  # after each section: a long run that is cut off has kept what it had
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if without_device is not None and not found["sections"]:  # nothing that was asked for can be measured here
        sys.exit(without_device.exit_code)
    if not path:
        print(json.dumps(found))


def verdict(share: float) -> str:
    """What the share of the cores that other processes took makes of the figures."""
    return ": too much for any figure above to be quoted" if share > _TOLERATED else ""


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        tell("interrupted")
        sys.exit(130)
