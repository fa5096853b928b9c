"""Sums over the columns of each row whose last digits do not depend on how many columns there are."""

from __future__ import annotations

import torch
from torch import Tensor


def exact_sum(values: Tensor) -> Tensor:
    """(n, k) -> (n, 1), in double precision where the device has it.

    A float32 sum's last digit depends on k, and so would a protein's features on the padding behind it.
    """
    return values.sum(dim=1, keepdim=True, dtype=torch.float32 if values.device.type == "mps" else torch.float64)
