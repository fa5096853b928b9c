"""Attention of one head over a long context that is key and value at once, without logits in memory."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqexpr.models.dropout import mask_generator
from seqexpr.models.kernels.cuda import attention as on_cuda
from seqexpr.models.kernels.cuda import availability
from seqexpr.models.kernels.cuda.precision import precision
from seqexpr.models.kernels.library import (
    PANEL,
    AttentionContext,
    AttentionDropout,
    Library,
    address,
    check_letters,
    computes_here,
    in_threads,
    library,
)

_WIDTH_STEP = 32
SHORTEST_CONTEXT = 256
"""Below, torch's own few operations cost nothing."""


def attends(query: Tensor, context: Tensor, tokens: Tensor | None = None) -> bool:
    """Whether the CPU's kernel can do it; shapes as in `attend_context`."""
    letters = context.shape[1] if tokens is None else tokens.shape[1]
    return (
        library() is not None
        and letters >= SHORTEST_CONTEXT
        and query.shape[1] % PANEL == 0
        and context.shape[2] % _WIDTH_STEP == 0
        and query.numel() > 0
        and computes_here(query, context)
    )


def reads_letters(tokens: Tensor, latents: Tensor, embedding: Tensor) -> bool:
    """Whether the context had better be the table of all letters at all positions, for the kernel to choose from.

    It is computed once for all windows, so on a CPU it pays where there are more of them than letters in the alphabet.
    The kernel of CUDA devices reads nothing else.

    Args:
        tokens: uint8 (batch, letters).
        latents: (batch, latents, width).
        embedding: (vocabulary, context width).
    """
    if availability.computes_on(tokens.device):
        return on_cuda.reads_letters(tokens, latents, embedding)
    return (
        not torch.is_grad_enabled()
        and tokens.dtype == torch.uint8
        and len(tokens) >= len(embedding)
        and attends(latents, embedding.unsqueeze(0), tokens)
    )


def attend_context(
    query: Tensor,
    context: Tensor,
    scale: float,
    dropout: float,
    mask: Tensor | None = None,
    tokens: Tensor | None = None,
) -> Tensor:
    """softmax(query context' x scale) context, as `seqexpr.models.perceiver.attend` with one head.

    Args:
        query: float32 (batch, latents, width).
        context: float32 (batch, letters, width), key and value; with `tokens`, (letters, vocabulary, width).
        scale: what logits are multiplied by.
        dropout: probability of dropping a weight, rounded to 256ths; which ones follows from torch's seed.
        mask: bool (batch, letters), True = attend, at least one a row; None: all.
        tokens: uint8 (batch, letters), which row of the context's table each position is; without gradients.

    Returns:
        (batch, latents, width)
    """
    if tokens is not None and availability.computes_on(tokens.device):
        return on_cuda.attend_letters(query, context, scale, mask, tokens, precision())
    return _Attention.apply(query * scale, context, dropout, mask, tokens)


class SharedLogits:
    """Attention of queries that all windows share, to the table of all letters at all positions: its logits, kept.

    For inference on a CPU, where `attends` says so. It gives the same bits as `attend_context` with tokens, sooner.

    Args:
        query: float32 (latents, width).
        context: float32 (letters, vocabulary, width), key and value.
        scale: what logits are multiplied by.
    """

    def __init__(self, query: Tensor, context: Tensor, scale: float) -> None:
        query, self.context = (query * scale).contiguous(), context.contiguous()
        letters, vocabulary, width = context.shape
        self.logits = query.new_empty(letters, vocabulary, len(query))
        """float32 (letters, vocabulary, latents), times log2(e)"""
        sizes = map(ctypes.c_size_t, (letters * vocabulary, width, len(query)))
        _library().call("attend_logits", address(query), address(self.context), *sizes, address(self.logits))

    def attend(self, tokens: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What windows give, and log2 of the sums of their exp(logit).

        Args:
            tokens: uint8 (batch, letters).
            mask: as for `attend_context`.

        Returns:
            (batch, latents, width) and (batch, latents)
        """
        letters, vocabulary, latents = self.logits.shape
        assert tokens.shape[1] == letters
        check_letters(tokens, vocabulary)
        tokens, mask = tokens.contiguous(), None if mask is None else mask.contiguous()
        output = self.logits.new_empty(len(tokens), latents, self.context.shape[2])
        log_sums = self.logits.new_empty(len(tokens), latents)
        loaded = _library()

        def attend(part: slice) -> None:
            loaded.call(
                "attend_shared",
                address(self.logits),
                ctypes.byref(_context(self.context, mask, tokens, part)),
                ctypes.c_size_t(len(output[part])),
                ctypes.c_size_t(latents),
                address(output[part]),
                address(log_sums[part]),
            )

        in_threads(attend, len(output))
        return output, log_sums


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, context: Tensor, dropout: float, mask: Tensor | None, tokens: Tensor | None
    ) -> Tensor:
        query, context = query.contiguous(), context.contiguous()
        threshold = min(255, round(256 * dropout))
        key = torch.randint(2**32, (2,), generator=mask_generator()).tolist() if threshold else [0, 0]
        mask, tokens = (None if array is None else array.contiguous() for array in (mask, tokens))
        if tokens is not None:
            check_letters(tokens, context.shape[1])
        output, log_sums = torch.empty_like(query), query.new_empty(query.shape[:2])
        loaded = _library()

        def attend(part: slice) -> None:
            loaded.call(
                "attend_forward",
                address(query[part]),
                ctypes.byref(_context(context, mask, tokens, part)),
                ctypes.byref(_dropout(key, threshold, part)),
                ctypes.c_size_t(len(query[part])),
                ctypes.c_size_t(query.shape[1]),
                address(output[part]),
                address(log_sums[part]),
            )

        in_threads(attend, len(query))
        ctx.save_for_backward(query, context, mask, output, log_sums)
        ctx.key, ctx.threshold, ctx.library = key, threshold, loaded
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        query, context, mask, output, log_sums = ctx.saved_tensors
        gradient = gradient.contiguous()
        query_gradient = torch.empty_like(query)
        context_gradient = torch.empty_like(context) if mask is None else torch.zeros_like(context)
        loaded: Library = ctx.library

        def attend(part: slice) -> None:
            loaded.call(
                "attend_backward",
                address(query[part]),
                ctypes.byref(_context(context, mask, None, part)),
                ctypes.byref(_dropout(ctx.key, ctx.threshold, part)),
                ctypes.c_size_t(len(query[part])),
                ctypes.c_size_t(query.shape[1]),
                address(output[part]),
                address(log_sums[part]),
                address(gradient[part]),
                address(query_gradient[part]),
                address(context_gradient[part]),
            )

        in_threads(attend, len(query))
        return query_gradient, context_gradient, None, None, None


def _library() -> Library:
    loaded = library()
    assert loaded is not None, "asked for after `attends` said so"
    return loaded


def _context(rows: Tensor, mask: Tensor | None, tokens: Tensor | None, part: slice) -> AttentionContext:
    width = rows.shape[2]
    own_mask, own_tokens = (None if array is None else array[part] for array in (mask, tokens))
    if tokens is None:
        letters = rows.shape[1]
        own_rows, window_stride, row_stride = rows[part], letters * width, width
    else:
        letters = len(rows)
        own_rows, window_stride, row_stride = rows, 0, rows.shape[1] * width
    return AttentionContext(
        address(own_rows), address(own_tokens), address(own_mask), window_stride, row_stride, letters, width
    )


def _dropout(key: list[int], threshold: int, part: slice) -> AttentionDropout:
    return AttentionDropout((ctypes.c_uint32 * 2)(*key), threshold, part.start)
