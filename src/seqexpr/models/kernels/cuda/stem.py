"""The query tower's first stage, letters to pooled features, on a CUDA device."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqexpr.models.kernels.cuda.precision import Launch, Precision

if TYPE_CHECKING:
    from seqexpr.models.kernels.stem import StemStage

COLUMNS = 64
"""Places in the kernel, times kinds of letters, in one product."""

LAUNCHES: dict[Precision, Launch] = {"fp16": Launch(torch.float16, 32, 4), "fp32": Launch(torch.float32, 32, 8)}
"""Rows are groups of letters in one program. With 64, an A100 has too few registers; with "tf32x3", smaller cards have
too little shared memory."""

_CHANNELS = 64
_MOST_CHUNKS = 8
_MOST_LETTERS = 2**31
"""In all windows together, whose groups 32-bit numbers count."""


def stems(tokens: Tensor, stage: StemStage, norm: nn.BatchNorm1d, kernel: int, pool: int) -> bool:
    """Whether `stem_stage` can do it."""
    channels, width = stage.stem.shape
    return (
        not (torch.is_grad_enabled() or norm.training)
        and tokens.dtype == torch.uint8
        and 0 < tokens.numel() < _MOST_LETTERS
        and tokens.shape[1] >= pool
        and channels == _CHANNELS
        and kernel % 2 == 1
        and width <= _MOST_CHUNKS * COLUMNS
    )


def stem_stage(
    tokens: Tensor, stage: StemStage, norm: nn.BatchNorm1d, kernel: int, pool: int, precision: Precision
) -> Tensor:
    """Stem, residual convolution and attention pooling, in evaluation.

    Args:
        tokens: uint8 (batch, letters), 0 = padding. On the device nobody looks whether they are in the alphabet: a
            letter beyond its last counts as padding.
        stage: the weights.
        norm: whose running statistics normalise in front of the residual convolution.
        kernel: letters that the stem sees at once, an odd number.
        pool: positions pooled to one.
        precision: of the products.

    Returns:
        float32 (batch, letters // pool, channels)
    """
    from seqexpr.models.kernels.cuda import stem_kernels as kernels

    launch = LAUNCHES[precision]
    channels, width = stage.stem.shape
    assert norm.running_mean is not None and norm.running_var is not None
    chunks = math.ceil(width / COLUMNS)
    stem = functional.pad(stage.stem.t(), (0, 0, 0, chunks * COLUMNS - width))
    matrices = [stem, stage.residual.t(), stage.logits.t() / math.log(2)]
    scale = stage.norm_weight * (norm.running_var + norm.eps).rsqrt()
    vectors = [stage.stem_bias, scale, stage.norm_bias - norm.running_mean * scale, stage.residual_bias]
    windows, letters = tokens.shape
    groups = letters // pool
    output = torch.empty(windows, groups, channels, dtype=torch.float32, device=tokens.device)
    kernels.stem_groups[(math.ceil(windows * groups / launch.rows),)](
        tokens.contiguous(),
        *(matrix.to(launch.operand).contiguous() for matrix in matrices),
        *(vector.float().contiguous() for vector in vectors),
        output, letters, groups, windows * groups,
        KINDS=width // kernel, KERNEL=kernel, POOL=pool, CHUNKS=chunks, COLUMNS=COLUMNS, GROUPS=launch.rows,
        CHANNELS=channels, **launch.constants(), **launch.options(),
    )  # fmt: skip
    return output
