from __future__ import annotations

import pytest
import torch

from seqexpr.models.config import PerceiverConfig


@pytest.fixture
def small_config():
    """A dna-perceiver that is quick to run: 360 bp, 8 latents."""
    return PerceiverConfig.from_preset(
        "dna-perceiver", upstream=240, downstream=120, stem_pool=6, tower_pool=3, latents=8, latent_dim=16
    )


@pytest.fixture
def tokens():
    """uint8 (batch, length) of known letters, from a seed."""

    def make(batch: int, length: int, letters: int = 4, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(1, letters + 1, (batch, length), dtype=torch.uint8, generator=generator)

    return make
