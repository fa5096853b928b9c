"""Tiny networks of every kind that can be explained, and effects that are made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seqexpr.effects.gene_effects import GeneEffects
from seqexpr.effects.letters import BASES, Letters
from seqexpr.inputs.half_life import FEATURES, TRANSFORMS, HalfLifeSchema
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel
from seqexpr.sequences.windows import Interval

SCHEMA = HalfLifeSchema(FEATURES, TRANSFORMS, (0.5,) * 8, (2.0,) * 8)


@pytest.fixture(scope="session")
def network() -> Callable[..., TrainedModel]:
    """An untrained network with windows of 144 + 72 bp, every flow of it with numbers in it."""
    import torch

    from seqexpr.models.perceiver import Perceiver

    def make(
        seed: int = 0, outputs: tuple[str, ...] = ("mrna",), preset: str = "dna-perceiver", **changes: Any
    ) -> TrainedModel:
        torch.manual_seed(seed)
        sizes = {"upstream": 144, "downstream": 72, "latents": 4, "latent_dim": 16, "stem_pool": 6, "tower_pool": 3}
        config = PerceiverConfig.from_preset(preset, outputs=len(outputs), **{**sizes, **changes})
        made = Perceiver(config)
        if made.kernel is not None:
            kernel = made.kernel
            kernel.landmarks.copy_(torch.randint(-60, 60, kernel.landmarks.shape, dtype=torch.int8))
            kernel.amplitudes.fill_(1.0)
            kernel.reach.fill_(0.3)
            kernel.weights.copy_(torch.randn(kernel.weights.shape))
        if made.words is not None:
            made.words.scores.copy_(torch.randn(made.words.scores.shape))
        metadata = ModelMetadata(
            config,
            tuple(Output(name, "log10(x)", 1.5, 2.0) for name in outputs),
            SCHEMA if config.reads_half_life else None,
        )
        return TrainedModel("tiny", made.eval(), metadata)

    return make


@pytest.fixture
def effects() -> Callable[..., GeneEffects]:
    """Effects drawn at random: `effects("g", "ACGTN", interval="chr1:100-105:-")`."""

    def make(
        name: str,
        letters: str,
        interval: str | None = None,
        *,
        symbol: str = "",
        first: int = 0,
        contig: int = 10_000,
        circular: bool = False,
        seed: int = 0,
        of: Letters = BASES,
    ) -> GeneEffects:
        tokens = of.alphabet.encode(letters.encode())
        deltas = np.random.default_rng(seed).normal(size=(len(of.letters), len(tokens))).astype(np.float32)
        own = np.flatnonzero((tokens > 0) & (tokens <= len(of.letters)))
        deltas[tokens[own] - 1, own] = 0
        deltas[:, ~of.known(tokens)] = np.nan
        place = None if interval is None else Interval.parse(interval)
        length = contig if place else 0
        return GeneEffects(name, symbol, place, length, first, tokens, 1.25, deltas, "mrna", "log10(x)", circular, of)

    return make
