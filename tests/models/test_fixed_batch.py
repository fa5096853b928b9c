"""On a CPU a gene's numbers do not depend, to the last bit, on the genes beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqexpr.models.fixed_batch import ROWS, in_fixed_batches
from seqexpr.models.registry import list_models
from seqexpr.models.trained import TrainedModel, load_model


@pytest.mark.parametrize("genes", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_rows_come_back_in_order(genes: int) -> None:
    layer = torch.nn.Linear(3, 2)
    x = torch.randn(genes, 3)
    with torch.inference_mode():
        found = in_fixed_batches(layer, x, fixed=True)
        torch.testing.assert_close(found, layer(x))


def test_training_is_left_alone() -> None:
    calls: list[int] = []
    in_fixed_batches(lambda x: calls.append(len(x)) or x, torch.ones(5, 1), fixed=False)
    in_fixed_batches(lambda x: calls.append(len(x)) or x, torch.ones(ROWS + 1, 1), fixed=True)
    assert calls == [5, ROWS, ROWS]


@pytest.fixture(scope="module", params=["human-mrna", "human-prot"])
def model(request: pytest.FixtureRequest) -> TrainedModel:
    return load_model(next(entry.path for entry in list_models() if entry.name == request.param))


def test_a_prediction_is_the_same_bits_in_every_batch(model: TrainedModel) -> None:
    generator, config = np.random.default_rng(0), model.metadata.config
    windows = generator.integers(1, 5, (7, config.window_length)).astype(np.uint8)
    proteins = [generator.integers(1, 21, length).astype(np.uint8) for length in (2, 40, 255, 256, 300, 700, 1100)]

    def predict(genes: list[int]) -> np.ndarray:
        width = max(len(proteins[gene]) for gene in genes)
        padded = np.stack([np.pad(proteins[gene], (0, width - len(proteins[gene]))) for gene in genes])
        dna, protein = windows[genes] if config.reads_dna else None, padded if config.reads_protein else None
        return model.predict_members(dna, protein, None)

    together = predict(list(range(7)))
    for genes in ([0], [6], [3, 1], [5, 0, 2], [4, 6, 1, 3, 2]):
        np.testing.assert_array_equal(predict(genes), together[:, genes])
