"""Double precision, where the device has it."""

from __future__ import annotations

import torch


def widest_float(device: torch.device) -> torch.dtype:
    """The type for sums and differences whose last digits matter: float64, but float32 on MPS, which has no other."""
    return torch.float32 if device.type == "mps" else torch.float64
