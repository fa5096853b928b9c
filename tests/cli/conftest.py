"""Whole commands: run as a user would, and judged by standard output, standard error and exit code."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def seqexpr(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    """Run a command line in this process: `seqexpr("predict", "--fasta", "-", stdin=b">a...")`."""
    from seqexpr.cli.app import run

    def command(*arguments: object, stdin: bytes = b"") -> Finished:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        code = run([str(argument) for argument in arguments])
        written = capsysbinary.readouterr()
        return Finished(code, written.out.decode(), written.err.decode())

    return command


def _obey_interrupts() -> None:
    """A test run in the background of a shell ignores SIGINT, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def program() -> Callable[..., subprocess.Popen[bytes]]:
    """Start `python -m seqexpr` as a process of its own, with pipes at its three streams."""

    def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "seqexpr", *map(str, arguments)],
            **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | options,  # type: ignore[arg-type]
            env={**os.environ, "TERM": "dumb", "COLUMNS": "100"},
            preexec_fn=_obey_interrupts if os.name == "posix" else None,
        )

    return start


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A file of small untrained weights of the preset given; DNA windows are 288 + 144 bp."""
    import torch

    from seqexpr.inputs.half_life import FEATURES, IDENTITY, TRANSFORMS, HalfLifeSchema
    from seqexpr.models.config import PerceiverConfig
    from seqexpr.models.perceiver import Perceiver
    from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, save_model

    folder = tmp_path_factory.mktemp("weights")

    @cache
    def make(
        preset: str = "dna-perceiver",
        output: str = "mrna",
        seed: int = 0,
        upstream: int = 288,
        downstream: int = 144,
        name: str | None = None,
        z_scores: bool = False,
    ) -> Path:
        torch.manual_seed(seed)
        window = {"upstream": upstream, "downstream": downstream} if "dna" in preset else {}
        protein = {"protein_length": 300} if "protein" in preset else {}
        config = PerceiverConfig.from_preset(preset, latents=4, **window, **protein)
        transforms = (IDENTITY,) * 8 if z_scores else TRANSFORMS
        schema = HalfLifeSchema(FEATURES, transforms, (0.5,) * 8, (2.0,) * 8)
        path = folder / f"{name or f'{preset}-{output}-{seed}-{upstream}-{z_scores}'}.safetensors"
        metadata = ModelMetadata(
            config,
            (Output(output, "log10(x)", 1.5, 2.0),),
            schema if config.reads_half_life else None,
            {"genes": 12, "recipe": {"name": "paper"}},
            {"use": "tests", "species": ["human", "mouse"]},
        )
        save_model(path, TrainedModel(path.stem, Perceiver(config), metadata))
        return path

    return make
