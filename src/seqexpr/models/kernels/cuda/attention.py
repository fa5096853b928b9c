"""Attention of one head over the table of all letters at all positions, on a CUDA device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqexpr.models.kernels.cuda.precision import Launch, Precision

PART = 3_520
"""Letters in one program: three of these hold a window of 10,500. The number does not depend on the batch, so a
window's digits do not either."""

LAUNCHES: dict[Precision, Launch] = {
    "fp16": Launch(torch.float16, 64, 4),
    "fp32": Launch(torch.float32, 32, 8, "tf32x3"),
}
"""Rows are letters in one step of a program."""

_LATENTS = (16, 32, 64, 128)
_WIDTHS = (16, 32, 64)
_MOST_NUMBERS = 2**31
"""In the table, which is addressed by 32-bit numbers."""


def reads_letters(tokens: Tensor, latents: Tensor, embedding: Tensor) -> bool:
    """Whether `attend_letters` can do it; shapes as in `seqexpr.models.kernels.reads_letters`."""
    vocabulary, width = embedding.shape
    return (
        not torch.is_grad_enabled()
        and tokens.dtype == torch.uint8
        and tokens.numel() > 0
        and latents.shape[1] in _LATENTS
        and width in _WIDTHS
        and tokens.shape[1] * vocabulary * width < _MOST_NUMBERS
    )


def attend_letters(
    query: Tensor, table: Tensor, scale: float, mask: Tensor | None, tokens: Tensor, precision: Precision
) -> Tensor:
    """softmax(query rows' x scale) rows, where each window's rows are those of its letters.

    Args:
        query: float (batch, latents, width).
        table: float (letters, vocabulary, width), key and value.
        scale: what logits are multiplied by; positive.
        mask: bool (batch, letters), True = attend, at least one a row; None: all.
        tokens: uint8 (batch, letters), which row of the table each position is. On the device nobody looks whether they
            are in the alphabet: a letter beyond its last counts as its last.
        precision: of the products.

    Returns:
        float32 (batch, latents, width)
    """
    from seqexpr.models.kernels.cuda import attention_kernels as kernels

    launch = LAUNCHES[precision]
    windows, latents, width = query.shape
    letters, vocabulary = table.shape[:2]
    parts = math.ceil(letters / PART)
    query, table = query.float().contiguous(), table.to(launch.operand).contiguous()
    tokens = tokens.contiguous()
    attended = tokens if mask is None else mask.contiguous().view(torch.uint8)
    whole = tokens if mask is None else mask.all(dim=1).view(torch.uint8)
    largest = torch.empty(windows, parts, latents, dtype=torch.float32, device=query.device)
    total = torch.empty_like(largest)
    sums = torch.empty(windows, parts, latents, width, dtype=torch.float32, device=query.device)
    kernels.attend_part[(windows, parts)](
        query, table, tokens, attended, whole, largest, total, sums,
        letters, vocabulary, scale / math.log(2),
        HAS_MASK=mask is not None, PART=PART, BLOCK=launch.rows, LATENTS=latents, WIDTH=width,
        **launch.constants(), **launch.options(),
    )  # fmt: skip
    return join_parts(largest, total, sums)


def join_parts(largest: Tensor, total: Tensor, sums: Tensor) -> Tensor:
    """One softmax from its parts: float32 (batch, parts, latents) twice and (batch, parts, latents, width), as
    `attention_kernels.attend_part` writes them -> (batch, latents, width)."""
    from seqexpr.models.kernels.cuda import attention_kernels as kernels

    windows, parts, latents, width = sums.shape
    output = sums.new_empty(windows, latents, width)
    power = 1 << (parts - 1).bit_length()
    kernels.join[(windows,)](largest, total, sums, output, parts, PARTS=power, LATENTS=latents, WIDTH=width)
    return output
