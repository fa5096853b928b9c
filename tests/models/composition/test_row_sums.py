from __future__ import annotations

import pytest
import torch

from seqexpr.models.composition.row_sums import gather_and_sum, sum_rows


@pytest.mark.parametrize("sums", [sum_rows, gather_and_sum])
def test_sums_by_hand(sums):
    rows, table = torch.tensor([[0, 2], [1, 1]]), torch.tensor([[1.0, 10], [2, 20], [4, 40]])
    assert sums(rows, table).tolist() == [[5, 50], [4, 40]]
    assert sums(rows.int(), table).tolist() == [[5, 50], [4, 40]]
    assert sums(rows, table, torch.tensor([[0.5, 1], [0, 3]])).tolist() == [[4.5, 45], [6, 60]]
