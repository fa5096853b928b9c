"""Whether the kernels run on a device."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec

import torch

from seqexpr.models.kernels.library import turned_off

logger = logging.getLogger(__name__)

_OLDEST = (8, 0)
"""Compute capability: tensor cores that multiply fp16 and tf32, and the devices for which the kernels are compiled in
tests."""


def computes_on(device: torch.device) -> bool:
    """Whether the kernels compute there: a CUDA device that is new enough, Triton, a C compiler for Triton's launchers,
    and the switch is not "off"."""
    return device.type == "cuda" and not turned_off() and _launches(device)


@cache
def _launches(device: torch.device) -> bool:
    if torch.version.cuda is None or find_spec("triton") is None:  # torch for AMD calls its devices "cuda" too
        return False
    if torch.cuda.get_device_capability(device) < _OLDEST:
        return False
    from seqexpr.models.kernels.cuda.attention import attend_letters

    # The presets' shape, so that what is compiled here is used later.
    query, table = torch.zeros(1, 128, 32, device=device), torch.zeros(100, 5, 32, device=device)
    tokens = torch.zeros(1, 100, dtype=torch.uint8, device=device)
    try:
        attend_letters(query, table, 1.0, tokens == 0, tokens, "fp16")
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # Triton has no class for what a missing compiler or driver library raises
        reason = str(error).strip().splitlines()
        logger.warning("Triton cannot launch kernels here (%s); torch computes", reason[0] if reason else repr(error))
        return False
    return True
