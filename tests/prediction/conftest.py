"""Toy models: their answers can be worked out by hand, so batching and streaming are judged exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from seqexpr.inputs.half_life import FEATURES, TRANSFORMS, HalfLifeSchema
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.trained import ModelMetadata, Output
from seqexpr.prediction.inputs import InputRecord

SCHEMA = HalfLifeSchema(FEATURES, TRANSFORMS, (0.0,) * 8, (1.0,) * 8)


@dataclass
class ToyModel:
    """Sums of what it reads; `calls` lists the shapes of each forward pass."""

    metadata: ModelMetadata
    offset: float = 0.0
    calls: list[tuple[int, int]] = field(default_factory=list)

    def predict_members(
        self,
        dna: np.ndarray | None,
        protein: np.ndarray | None,
        half_life: np.ndarray | None,
        coding: np.ndarray | None = None,
    ) -> np.ndarray:
        config = self.metadata.config
        assert (dna is not None) == config.reads_dna
        assert (protein is not None) == config.reads_protein
        assert (half_life is not None) == config.reads_half_life
        total = np.zeros(len(next(array for array in (dna, protein) if array is not None)))
        width = 0
        if dna is not None:
            assert dna.dtype == np.uint8 and dna.shape[1] == config.window_length
            total = total + dna @ np.arange(1.0, 1 + dna.shape[1])  # letters weighted by their place
            width += dna.shape[1]
        if protein is not None:
            assert protein.dtype == np.uint8 and protein.shape[1] <= config.protein_length
            total = total + 1000 * protein.sum(axis=1, dtype=float)
            width += protein.shape[1]
        if half_life is not None:
            total = total + np.nansum(half_life, axis=1)
        self.calls.append((len(total), width))
        return np.stack([total + self.offset + i for i in range(len(self.metadata.outputs))], axis=1)[None]


@pytest.fixture
def metadata() -> Callable[..., ModelMetadata]:
    """Metadata of a small model of the preset given."""

    def make(
        preset: str = "dna-perceiver",
        names: tuple[str, ...] = ("mrna",),
        unit: str = "log10",
        schema: HalfLifeSchema = SCHEMA,
        upstream: int = 288,
        downstream: int = 144,
        protein_length: int = 300,
    ) -> ModelMetadata:
        sizes = {}
        if "dna" in preset:
            sizes |= {"upstream": upstream, "downstream": downstream}
        if "protein" in preset:
            sizes |= {"protein_length": protein_length}
        config = PerceiverConfig.from_preset(preset, outputs=len(names), **sizes)
        outputs = tuple(Output(name, unit) for name in names)
        return ModelMetadata(config, outputs, schema if config.reads_half_life else None)

    return make


@pytest.fixture
def toy(metadata: Callable[..., ModelMetadata]) -> Callable[..., ToyModel]:
    """A toy model of the preset given."""

    def make(preset: str = "dna-perceiver", offset: float = 0.0, **changes: object) -> ToyModel:
        return ToyModel(metadata(preset, **changes), offset)

    return make


@pytest.fixture
def random_records() -> Callable[..., Iterator[InputRecord]]:
    """A stream of records whose proteins differ much in length."""

    def make(count: int, seed: int = 0, window: int = 432, longest: int = 300) -> Iterator[InputRecord]:
        draw = np.random.default_rng(seed)
        for number in range(count):
            yield InputRecord(
                f"g{number}",
                draw.integers(0, 5, window).astype(np.uint8),
                draw.integers(1, 23, int(draw.integers(1, longest + 1))).astype(np.uint8),
                np.where(draw.random(8) < 0.3, np.nan, draw.random(8)),
            )

    return make
