"""Sums of some rows of a table, many at a time: what one-hot letters or words give when they are multiplied with it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sum_rows(rows: Tensor, table: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum rows of a table.

    Args:
        rows: int (n, k), which rows.
        table: (all rows, d).
        weights: (n, k), a factor on each; None = 1.

    Returns:
        (n, d)
    """
    if rows.device.type == "mps":  # torch has no embedding_bag there before 2.10
        return gather_and_sum(rows, table, weights)
    return functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")


def exact_sum(values: Tensor) -> Tensor:
    """(n, k) -> (n, 1), in double precision where the device has it.

    A float32 sum's last digit depends on k, and so would a protein's features on the padding behind it.
    """
    return values.sum(dim=1, keepdim=True, dtype=torch.float32 if values.device.type == "mps" else torch.float64)


def gather_and_sum(rows: Tensor, table: Tensor, weights: Tensor | None = None) -> Tensor:
    """As `sum_rows`, for any device; all the rows are in memory at once."""
    gathered = table[rows.int()]
    return gathered.sum(dim=1) if weights is None else torch.einsum("nkd,nk->nd", gathered, weights)
