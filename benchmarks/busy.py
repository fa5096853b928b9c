"""How long does an epoch of training take beside other work? Four cases of the task `synthetic`, in turn.

    python -m benchmarks busy

Quiet; and with two busy processes for each core: as the command runs by itself, on one thread, and with torch's threads
waiting passively. The floor of a busy case is the quiet time times the processes that share a core. The machine must be
quiet otherwise.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.processes import run_seqexpr
from benchmarks.tables import table, tell
from seqexpr.threads import usable_cores

BUSY_PER_CORE = 2
CASES: dict[str, tuple[bool, list[str], dict[str, str]]] = {
    "quiet": (False, [], {}),
    "busy": (True, [], {}),
    "busy, --threads 1": (True, ["--threads", "1"], {}),
    "busy, OMP_WAIT_POLICY=passive": (True, [], {"OMP_WAIT_POLICY": "passive"}),
}
"""By name: whether others are busy, further options, and variables of the environment."""


def run(options: Options) -> dict[str, Any]:
    """Seconds of each epoch but the first, which also makes the dataset's pages come in."""
    epochs = options.pick(3, 1)
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.pick(min(options.rounds, 3), 1)):
            for number, (name, (busy, arguments, environment)) in enumerate(CASES.items()):
                tell(f"busy: turn {turn + 1}, {name}")
                out = Path(folder) / f"{turn}-{number}"
                command = ["train", "--task", "synthetic", "--epochs", str(epochs), "--out", str(out), *arguments]
                with _others(BUSY_PER_CORE * usable_cores() if busy else 0):
                    run_seqexpr(command, {"SEQEXPR_CACHE": f"{folder}/cache", **environment})
                seconds[name] += _epochs(out)
    return {"rows": {name: statistics.median(values) for name, values in seconds.items()}, "cores": usable_cores()}


def render(result: dict[str, Any]) -> str:
    """The table: seconds an epoch, and how many times those of the quiet machine."""
    quiet = result["rows"]["quiet"]
    lines = [[name, seconds, seconds / quiet] for name, seconds in result["rows"].items()]
    return table(f"an epoch of training, {result['cores']} cores", ["", "seconds", "x quiet"], lines)


def _epochs(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["seconds"] for row in rows[1:] or rows]


@contextmanager
def _others(count: int) -> Iterator[None]:
    """So many processes that only count, within the block."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
