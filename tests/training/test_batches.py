from __future__ import annotations

import numpy as np
import pytest
import torch

from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.models.config import PerceiverConfig
from seqexpr.training.batches import BatchLoader, joined, largest_shift

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


def reading_codons() -> PerceiverConfig:
    return tiny_config(kernel_genes=4, coding_length=20)


def test_codons_come_where_the_network_reads_them(coding_dataset):
    labels = coding_dataset.labels(("a",))
    rows = np.array([4, 2])
    batch = BatchLoader(coding_dataset, reading_codons(), labels, None, CPU).batch(rows)
    assert np.array_equal(batch.coding.numpy(), coding_dataset.coding(rows, 20))
    assert batch.coding.shape == (2, 20) and not batch.coding[0].any()
    assert BatchLoader(coding_dataset, tiny_config(), labels, None, CPU).batch(rows).coding is None


def test_hidden_coding_sequences_are_unknown(coding_dataset):
    loader = BatchLoader(coding_dataset, reading_codons(), coding_dataset.labels(("a",)), None, CPU)
    batch = loader.batch(np.array([1, 2]), hidden_coding=np.array([True, False]))
    assert not batch.coding[0].any() and batch.coding[1].all()


def test_codons_are_counted_in_blocks(coding_dataset, monkeypatch):
    loader = BatchLoader(coding_dataset, reading_codons(), coding_dataset.labels(("a",)), None, CPU)
    rows = np.arange(9, 40)
    counts = loader.codon_counts(rows)
    assert counts.sum(dim=1).tolist() == [20 * (row % 4 > 0) for row in rows]
    monkeypatch.setattr("seqexpr.training.batches._GENES_AT_ONCE", 7)
    assert torch.equal(loader.codon_counts(rows), counts)


def test_batches_are_joined_where_the_query_tower_reads_them_alike(dataset, schema):
    labels = dataset.labels(("a",))
    loader = BatchLoader(dataset, tiny_config("protein-dna-perceiver"), labels, schema, CPU)
    rows = np.array([4, 2, 7])
    parts, whole = [loader.batch(rows[:2]), loader.batch(rows[2:])], loader.batch(rows)
    found = joined(parts)
    assert torch.equal(found.latent_tokens, whole.latent_tokens)
    assert torch.equal(found.query_tokens, whole.query_tokens)
    assert torch.equal(found.half_life.nan_to_num(), whole.half_life.nan_to_num())
    assert torch.equal(found.labels, whole.labels)
    assert found.coding is None and found.told is None


def test_proteins_of_other_lengths_in_the_query_tower_are_not_joined(dataset, schema):
    loader = BatchLoader(dataset, tiny_config("protein-perceiver"), dataset.labels(("a",)), None, CPU)
    lengths = dataset.protein_lengths
    short, long = int(lengths.argmin()), int(lengths.argmax())
    assert lengths[short] < lengths[long]
    assert joined([loader.batch(np.array([short])), loader.batch(np.array([long]))]) is None
    assert len(joined([loader.batch(np.array([long]))] * 2).labels) == 2
