"""Sums over the columns of each row whose last digits do not depend on how many columns there are."""

from __future__ import annotations

from torch import Tensor

from seqexpr.models.precision import widest_float


def exact_sum(values: Tensor) -> Tensor:
    """(n, k) -> (n, 1), in double precision where the device has it.

    A float32 sum's last digit depends on k, and so would a protein's features on the padding behind it.
    """
    return values.sum(dim=1, keepdim=True, dtype=widest_float(values.device))
