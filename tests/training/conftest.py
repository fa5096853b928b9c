from __future__ import annotations

import numpy as np
import pytest

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.training.experiment import Experiment, Split
from seqexpr.training.recipe import Recipe

from ..small_dataset import make_small_dataset, tiny_config


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> PreparedDataset:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="session")
def coding_dataset(tmp_path_factory) -> PreparedDataset:
    """The small dataset with coding sequences."""
    return make_small_dataset(tmp_path_factory.mktemp("data") / "coding", with_coding=True)


@pytest.fixture
def experiment(dataset) -> Experiment:
    """Three epochs of a tiny dna-perceiver."""
    recipe = Recipe(
        "test",
        learning_rate=3e-3,
        batch_size=8,
        max_epochs=3,
        warmup_steps=2,
        half_life_dropout=0.2,
        tss_jitter=8,
        average_decay=0.9,
        patience=0,
    )
    return Experiment(dataset, ("a",), tiny_config(), recipe, seed=1)


@pytest.fixture
def split() -> Split:
    """36 genes to train on, 12 to validate on."""
    return Split(0, np.arange(0, 36), np.arange(36, 48))
