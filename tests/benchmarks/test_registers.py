"""The CUDA kernels compile for cards that are not there, and keep their numbers in registers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import registers


def test_without_triton_it_says_so(monkeypatch):
    monkeypatch.setattr(registers, "find_spec", lambda name: None)
    assert registers.render(registers.run(None)) == "registers: Triton is not installed here"


@pytest.mark.slow
def test_no_kernel_spills(tmp_path):
    pytest.importorskip("triton")
    # A process of its own: in this one Triton may interpret.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    target = tmp_path / "registers.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "registers", "--json", str(target)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(registers.__file__).parents[1],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path / "cache")},
    )
    rows = json.loads(target.read_text())["sections"]["registers"]["rows"]
    kernels = [(row["kernel"], row["precision"]) for row in rows if row["architecture"] == 90]
    names = ("attend_part", "stem_groups, 4 letters", "stem_groups, 22 letters")
    both = [(kernel, precision) for precision in ("fp16", "fp32") for kernel in names]
    assert sorted(kernels) == sorted([*both, ("join", "fp16")]) and len(rows) == 14
    assert all(row["spilled_bytes"] == 0 and 32 < row["registers"] <= 255 for row in rows), done.stdout
    assert all(row["shared_bytes"] <= 99 * 1024 for row in rows), done.stdout  # what a program of any card may have
    assert "attend_part, fp16" in done.stdout
