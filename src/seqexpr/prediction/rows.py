"""Predictions for rows of a prepared dataset."""

from __future__ import annotations

import numpy as np

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.models.trained import TrainedModel


def predict_rows(model: TrainedModel, dataset: PreparedDataset, indices: np.ndarray, batch_size: int) -> np.ndarray:
    """float64 (len(indices), outputs), in the labels' units, in the order of `indices`."""
    return predict_members(model, dataset, indices, batch_size).mean(axis=0)


def predict_members(
    model: TrainedModel,
    dataset: PreparedDataset,
    indices: np.ndarray,
    batch_size: int,
    *,
    hide_half_life: bool = False,
) -> np.ndarray:
    """What each member of the network says: float64 (members, len(indices), outputs), else as `predict_rows`.

    Args:
        hide_half_life: as if no half-life feature were known.
    """
    config = model.metadata.config
    raw = dataset.half_life() if model.metadata.half_life and not hide_half_life else None
    order = np.arange(len(indices))
    if config.reads_protein:  # alike lengths side by side: short batches are cheap
        order = np.argsort(dataset.protein_lengths[indices], kind="stable")
    predicted = np.empty((config.members, len(indices), len(model.metadata.outputs)))
    for start in range(0, len(indices), batch_size):
        places = order[start : start + batch_size]
        rows = indices[places]
        predicted[:, places] = model.predict_members(
            dataset.dna(rows, config.upstream, config.downstream) if config.reads_dna else None,
            dataset.proteins(rows, config.protein_length) if config.reads_protein else None,
            None if raw is None else raw[rows],
            dataset.coding(rows, config.coding_length) if config.reads_coding and dataset.has_coding else None,
        )
    return predicted
