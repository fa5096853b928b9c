"""How far a device's numbers are from the CPU's in float32, of every preset and every bundled model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from benchmarks.made_inputs import SEED
from benchmarks.options import Options
from benchmarks.predict_work import untrained
from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.models import kernels
from seqexpr.models.registry import list_models
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, load_model
from seqexpr.tasks.synthetic import random_half_life

WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "fp16": lambda: kernels.computing_in("fp16"),
    "fp32": lambda: kernels.computing_in("fp32"),
    "torch fp32": kernels.disabled,
}
"""Ways of computing on the device."""

ALLOWED = {"fp16": 1e-3, "fp32": 1e-4, "torch fp32": 1e-4}
"""Of the standard deviation of an output over the genes."""


def parity(options: Options, device: torch.device) -> list[dict[str, Any]]:
    """A row for each network and way of computing; `error` is the largest over genes and outputs, in standard
    deviations of the output over the genes."""
    rows = []
    for name, models in _models(options, device):
        inputs = _inputs(models[0], options.pick(24, 6))
        with kernels.disabled():
            expected = models[0].predict(*inputs)
        sd = expected.std(axis=0)
        for way, computing in WAYS.items():
            with computing():
                errors = np.abs(models[1].predict(*inputs) - expected) / sd
            rows.append({"model": name, "way": way, "error": float(errors.max()), "allowed": ALLOWED[way]})
    return rows


def _models(options: Options, device: torch.device) -> Iterator[tuple[str, list[TrainedModel]]]:
    """Each network's name, and it on the CPU and on the device."""
    for preset in options.presets:
        config = options.config(preset)
        raw = random_half_life(np.random.default_rng(SEED), 100, 0.0)
        metadata = ModelMetadata(
            config, (Output("level"),), HalfLifeSchema.fit(raw) if config.reads_half_life else None
        )
        both = [untrained(config, torch.device("cpu")), untrained(config, device)]
        yield preset, [TrainedModel(preset, network, metadata) for network in both]
    for entry in list_models():
        if entry.origin == "bundled" and not options.quick:
            yield entry.name, [load_model(entry.path, "cpu"), load_model(entry.path, device)]


def _inputs(model: TrainedModel, genes: int) -> tuple[np.ndarray | None, ...]:
    """DNA, proteins and half-life features of genes that differ in composition, some with ends that are padding."""
    random, config = np.random.default_rng(SEED), model.metadata.config
    dna = protein = half_life = None
    if config.reads_dna:
        dna = _letters(random, genes, config.window_length, 4)
        dna[1, : config.window_length // 3] = 0
    if config.reads_protein:
        protein = _letters(random, genes, min(1_000, config.protein_length), 20)
        protein[0, protein.shape[1] // 4 :] = 0
    if model.metadata.half_life is not None:
        half_life = random_half_life(random, genes, 0.1)
    return dna, protein, half_life


def _letters(random: np.random.Generator, genes: int, length: int, kinds: int) -> np.ndarray:
    """uint8 (genes, length), each gene's letters in shares of its own."""
    shares = random.dirichlet(np.full(kinds, 5.0), size=genes)
    return np.stack([random.choice(np.arange(1, kinds + 1, dtype=np.uint8), length, p=share) for share in shares])
