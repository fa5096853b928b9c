from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel
from seqexpr.prediction.rows import predict_rows

from ..small_dataset import fill_kernel, make_small_dataset, tiny_config


@pytest.mark.parametrize("preset", ["dna-perceiver", "protein-perceiver", "dna-protein-perceiver"])
def test_rows_come_in_the_order_asked_for_whatever_the_batch_size(preset: str, tmp_path: Any) -> None:
    dataset = make_small_dataset(tmp_path / "small")
    torch.manual_seed(0)
    config = tiny_config(preset)
    model = TrainedModel("tiny", Perceiver(config), ModelMetadata(config, (Output("a", mean=3.0, sd=2.0),)))
    indices = np.array([7, 3, 40, 3, 11])
    whole = predict_rows(model, dataset, indices, 5)
    assert whole.shape == (5, 1)
    assert whole[1] == whole[3]
    np.testing.assert_allclose(predict_rows(model, dataset, indices, 2), whole, atol=1e-5)
    for place, row in enumerate(indices):
        np.testing.assert_allclose(predict_rows(model, dataset, np.array([row]), 1)[0], whole[place], atol=1e-5)


def test_coding_sequences_of_a_dataset_are_read_where_there_are_some(tmp_path: Any) -> None:
    torch.manual_seed(0)
    config = tiny_config(kernel_genes=4, coding_length=60)
    network = fill_kernel(Perceiver(config))
    model = TrainedModel("tiny", network, ModelMetadata(config, (Output("a"),)))
    dataset = make_small_dataset(tmp_path / "coding", with_coding=True)
    with_codons = predict_rows(model, dataset, np.arange(8), 3)
    without = predict_rows(model, make_small_dataset(tmp_path / "plain"), np.arange(8), 3)
    assert ((with_codons == without)[:, 0] == (np.arange(8) % 4 == 0)).all()
