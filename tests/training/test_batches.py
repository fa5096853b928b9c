from __future__ import annotations

import numpy as np
import pytest
import torch

from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.training.batches import BatchLoader, largest_shift

from ..small_dataset import tiny_config

CPU = torch.device("cpu")


@pytest.fixture
def schema(dataset):
    return HalfLifeSchema.fit(dataset.half_life(), dataset.half_life_names, dataset.half_life_transforms)


def test_tokens_go_to_the_flow_that_reads_them(dataset, schema):
    rows = np.array([4, 2])
    labels = dataset.labels(("a",))
    batch = BatchLoader(dataset, tiny_config("protein-dna-perceiver"), labels, schema, CPU).batch(rows)
    assert np.array_equal(batch.query_tokens.numpy(), dataset.dna(rows, 240, 120))
    assert np.array_equal(batch.latent_tokens.numpy(), dataset.proteins(rows, 100))
    assert batch.labels[:, 0].tolist() == pytest.approx(labels[rows, 0])
    assert batch.half_life.shape == (2, 8)


def test_a_shift_moves_the_window_downstream(dataset, schema):
    loader = BatchLoader(dataset, tiny_config(), dataset.labels(("a",)), schema, CPU)
    plain, moved = loader.batch(np.array([0])), loader.batch(np.array([0]), shift=7)
    assert np.array_equal(moved.latent_tokens[0, :-7], plain.latent_tokens[0, 7:])


def test_jitter_stays_within_the_stored_window(dataset):
    assert largest_shift(dataset, tiny_config(), 1_000) == 60  # 300 + 180 bp are stored, 240 + 120 read
    assert largest_shift(dataset, tiny_config(), 8) == 8
    assert largest_shift(dataset, tiny_config("protein-perceiver"), 8) == 0


def test_hidden_half_life_is_unknown(dataset, schema):
    loader = BatchLoader(dataset, tiny_config(), dataset.labels(("a",)), schema, CPU)
    batch = loader.batch(np.array([0, 1]), hidden_half_life=np.array([True, False]))
    assert batch.half_life[0].isnan().all()
    assert batch.half_life[1].nansum() != 0
