"""Arrays to the device that computes and back, without its waiting for either.

A GPU works through what is queued for it. A plain copy stands still until the queue is empty; these do not, so one
batch can be made and sent while another is computed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """The array as a tensor on `device`; on the CPU it shares the array's memory.

    CUDA copies in the background only from page-locked memory. torch keeps that until the copy is done.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(tensor: Tensor) -> np.ndarray:
    """The tensor's numbers, as soon as they are computed; what has been queued behind them is not waited for."""
    if tensor.device.type != "cuda":
        return tensor.cpu().numpy()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    copied = torch.cuda.Event(blocking=True)  # the thread sleeps until then, and leaves its core to others
    copied.record(torch.cuda.current_stream(tensor.device))
    copied.synchronize()
    return host.numpy()
