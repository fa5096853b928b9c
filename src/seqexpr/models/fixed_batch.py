"""Layers that see one row per gene, computed so that a gene's numbers do not depend on the genes beside it.

A CPU's matrix product takes other kernels for few rows than for many, which add up in another order: the last digits of
a prediction would follow from the batch that its record fell into. All that is done letter by letter or latent by
latent has rows enough in any batch; what has one row per gene is therefore computed 16 rows at a time, always.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

ROWS = 16
"""Rows in each product: the usual batch on a CPU, so that it costs nothing there."""


def in_fixed_batches(layer: Callable[..., Tensor], *inputs: Tensor | None, fixed: bool) -> Tensor:
    """`layer(*inputs)`, on a CPU `ROWS` genes at a time, the last ones with zeros to fill up.

    Args:
        layer: from (genes, ...) each to a tensor whose first dimension is the genes.
        inputs: None is handed on.
        fixed: False in training, where gradients are wanted and batches are as they are.
    """
    first = next(tensor for tensor in inputs if tensor is not None)
    genes = len(first)
    if not fixed or first.device.type != "cpu" or genes == ROWS:
        return layer(*inputs)
    parts = []
    for start in range(0, max(genes, 1), ROWS):
        chosen = [None if tensor is None else _filled(tensor[start : start + ROWS]) for tensor in inputs]
        parts.append(layer(*chosen)[: min(ROWS, genes - start)])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _filled(rows: Tensor) -> Tensor:
    missing = ROWS - len(rows)
    return functional.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing)) if missing else rows
