from __future__ import annotations

import pytest
import torch

from seqexpr.models.precision import widest_float


@pytest.mark.parametrize(("kind", "wanted"), [("cpu", torch.float64), ("cuda", torch.float64), ("mps", torch.float32)])
def test_only_mps_has_no_double_precision(kind: str, wanted: torch.dtype) -> None:
    assert widest_float(torch.device(kind)) == wanted
