"""What `python -m benchmarks gpu` does on a card, done on the CPU in its quick form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.options import Options

from benchmarks import gpu

from .in_process import ThreadChild

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def same_threads():
    """The works set torch's threads, and here they share the tests' process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_all_parts():
    options = Options(quick=True, threads=1, start=ThreadChild, presets=("dna-perceiver", "dna-protein-perceiver"))
    found = gpu.measure(options, torch.device("cpu"))
    assert [name for name in gpu.PARTS if "error" in found[name]] == []
    assert [row["way"] for row in found["parity"]] == 2 * ["fp16", "fp32", "torch fp32"]
    assert all(row["error"] < 1e-4 for row in found["parity"])
    assert next(iter(found["network"])) == "shipped fp16" and found["network"]["plain bf16"]["median"] > 0
    assert set(found["stream"]) == {"fp16", "fp32"}
    assert found["floors"]["operations"] > 0
    assert found["command"]["windows"] == 4
    assert "shipped, one group of 4" in found["training"] and "plain default, whole" in found["training"]
    text = gpu.render(found)
    assert "FAILED" not in text and "largest error against the CPU" in text and "predict --genome --tss" in text


def test_a_part_that_fails_takes_no_other_with_it(monkeypatch):
    def fail(options, device):
        raise RuntimeError("out of patience")

    parts = {"network": gpu.Part(fail, str), "floors": gpu.Part(lambda options, device: {"x": 1.0}, str)}
    monkeypatch.setattr(gpu, "PARTS", parts)
    text = gpu.render(gpu.measure(Options(quick=True), torch.device("cpu")))
    assert "network FAILED:" in text and "out of patience" in text and text.endswith("{'x': 1.0}")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so_in_one_line():
    root = Path(gpu.__file__).parents[1]
    done = subprocess.run([sys.executable, "-m", "benchmarks", "gpu"], capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.splitlines()[-1].startswith("gpu: no CUDA device is available to torch")
