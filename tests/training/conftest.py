from __future__ import annotations

import numpy as np
import pytest

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.training.job import TrainingJob
from seqexpr.training.recipe import Recipe

from ..small_dataset import make_small_dataset, tiny_config


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> PreparedDataset:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture
def job(dataset) -> TrainingJob:
    """Three epochs of a tiny dna-perceiver."""
    return TrainingJob(
        dataset,
        ("a",),
        np.arange(0, 36),
        np.arange(36, 48),
        tiny_config(),
        Recipe(
            "test",
            learning_rate=3e-3,
            batch_size=8,
            max_epochs=3,
            warmup_steps=2,
            half_life_dropout=0.2,
            tss_jitter=8,
            average_decay=0.9,
            patience=0,
        ),
        seed=1,
    )
