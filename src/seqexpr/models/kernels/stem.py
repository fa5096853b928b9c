"""The query tower's first stage, letters to pooled features, without a letter's features in memory."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from seqexpr.models.kernels.cuda import availability
from seqexpr.models.kernels.cuda import stem as on_cuda
from seqexpr.models.kernels.cuda.precision import precision
from seqexpr.models.kernels.library import (
    PANEL,
    Library,
    StemGradients,
    StemShape,
    StemWeights,
    address,
    check_letters,
    computes_here,
    in_threads,
    library,
)

_LARGEST_KERNEL, _LARGEST_POOL, _LARGEST_VOCABULARY = 63, 48, 128
_MOST_LETTERS = 2**24
"""Letters in one call, at most: float32 counts them."""


class StemStage(NamedTuple):
    """The stage's weights, as `seqexpr.models.perceiver.QueryTower` holds them; `letters` are without padding."""

    stem: Tensor
    """(channels, kernel x letters), the convolution of one-hot letters"""
    stem_bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor
    residual: Tensor
    """(channels, channels)"""
    residual_bias: Tensor
    logits: Tensor
    """(channels, channels)"""


def stems(tokens: Tensor, stage: StemStage, norm: nn.BatchNorm1d, kernel: int, pool: int) -> bool:
    """Whether a kernel can do it; shapes as in `stem_stage`. On a CUDA device it is for inference alone."""
    if availability.computes_on(tokens.device):
        return on_cuda.stems(tokens, stage, norm, kernel, pool)
    channels, width = stage.stem.shape
    return (
        library() is not None
        and tokens.device.type == "cpu"
        and tokens.dtype == torch.uint8
        and tokens.numel() <= _MOST_LETTERS
        and tokens.shape[1] >= pool
        and tokens.numel() > 1  # one position has no variance
        and channels % PANEL == 0
        and kernel <= _LARGEST_KERNEL
        and pool <= _LARGEST_POOL
        and width // kernel + 1 <= _LARGEST_VOCABULARY
        and computes_here(*stage)
    )


def stem_stage(tokens: Tensor, stage: StemStage, norm: nn.BatchNorm1d, kernel: int, pool: int) -> Tensor:
    """Stem, residual convolution and attention pooling.

    Args:
        tokens: uint8 (batch, letters), 0 = padding.
        stage: the weights.
        norm: what normalises in front of the residual convolution; in training its running statistics follow.
        kernel: letters that the stem sees at once.
        pool: positions pooled to one.

    Returns:
        float32 (batch, letters // pool, channels)
    """
    if availability.computes_on(tokens.device):
        return on_cuda.stem_stage(tokens, stage, norm, kernel, pool, precision())
    return _StemStage.apply(tokens, norm, kernel, pool, *stage)


class _Prepared:
    """The arrays that the kernel reads, kept alive, and its view of them."""

    def __init__(self, tokens: Tensor, stage: StemStage, kernel: int, pool: int) -> None:
        self.library = _library()
        self.stage = stage = StemStage(*(weight.detach().contiguous() for weight in stage))
        channels, width = stage.stem.shape
        letters = width // kernel
        check_letters(tokens, letters + 1)
        by_letter = stage.stem.view(channels, kernel, letters).permute(1, 2, 0)
        self.tokens = tokens.contiguous()
        self.stem = functional.pad(by_letter, (0, 0, 1, 0)).contiguous()  # padding adds nothing
        self.transposed = [weight.t().contiguous() for weight in (stage.residual, stage.logits)]
        self.shape = (tokens.shape[1], letters + 1, kernel, channels, pool)
        self.normalise(torch.zeros_like(stage.stem_bias), torch.ones_like(stage.stem_bias))

    def normalise(self, mean: Tensor, inverse_sd: Tensor) -> None:
        """Fix BatchNorm's statistics."""
        self.unit_scale, self.unit_shift = inverse_sd, -mean * inverse_sd
        self.scale = self.stage.norm_weight * inverse_sd
        self.shift = self.stage.norm_bias - mean * self.scale

    def weights(self) -> StemWeights:
        """The kernel's view: addresses of arrays that this object keeps."""
        stage = self.stage
        arrays = (self.stem, stage.stem_bias, self.scale, self.shift, self.unit_scale, self.unit_shift)
        matrices = (stage.residual, self.transposed[0], stage.residual_bias, stage.logits, self.transposed[1])
        return StemWeights(*map(address, (*arrays, *matrices)))

    def call(self, function: str, part: slice, *arguments: Any) -> None:
        tokens = self.tokens[part]
        shape = StemShape(len(tokens), *self.shape)
        self.library.call(function, ctypes.byref(shape), address(tokens), ctypes.byref(self.weights()), *arguments)


class _StemStage(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, norm: nn.BatchNorm1d, kernel: int, pool: int, *weights: Tensor) -> Tensor:
        prepared = _Prepared(tokens, StemStage(*weights), kernel, pool)
        mean, var = _batch_statistics(prepared, norm) if norm.training else _running_statistics(norm)
        prepared.normalise(mean, (var + norm.eps).rsqrt())
        pooled = weights[0].new_empty(len(tokens), tokens.shape[1] // pool, len(weights[0]))
        in_threads(lambda part: prepared.call("stem_forward", part, address(pooled[part])), len(tokens))
        ctx.save_for_backward(*weights)  # not read, but torch then notices when they change before the backward pass
        ctx.prepared, ctx.of_batch = prepared, norm.training
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        assert ctx.saved_tensors  # raises where a weight has changed since
        prepared: _Prepared = ctx.prepared
        gradient = gradient.contiguous()

        def sums(part: slice) -> list[Tensor]:
            parts = _empty_gradients(prepared)
            prepared.call(
                "stem_backward", part, address(gradient[part]), ctypes.byref(StemGradients(*map(address, parts)))
            )
            return parts

        found = in_threads(sums, len(gradient))
        stem, standard, counts, norm_bias, norm_weight, residual, residual_bias, logits = (
            torch.stack(parts).sum(0) if len(parts) > 1 else parts[0] for parts in zip(*found, strict=True)
        )
        if ctx.of_batch:  # BatchNorm's mean and variance depend on every position too
            positions = prepared.tokens.numel()
            correction = counts.unsqueeze(2) * norm_bias + standard * norm_weight
            stem = stem - correction * (prepared.scale / positions)
            stem_bias = residual_bias
        else:
            stem_bias = residual_bias + norm_bias * prepared.scale
        stem = stem[:, 1:].permute(2, 0, 1).flatten(1)
        return None, None, None, None, stem, stem_bias, norm_weight, norm_bias, residual.t(), residual_bias, logits.t()


def _batch_statistics(prepared: _Prepared, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Mean and variance over all positions of the batch, (channels) each; the running ones follow."""
    channels = prepared.shape[3]

    def sums(part: slice) -> Tensor:
        found = torch.empty(2, channels, dtype=torch.float64, device="cpu")
        prepared.call("stem_statistics", part, address(found[0]), address(found[1]))
        return found

    total = torch.stack(list(in_threads(sums, len(prepared.tokens)))).sum(0)
    positions = prepared.tokens.numel()
    mean = total[0] / positions
    var = (total[1] / positions - mean.square()).clamp_(min=0)
    running_mean, running_var = _running_statistics(norm)
    assert norm.momentum is not None and norm.num_batches_tracked is not None
    running_mean.lerp_(mean.float(), norm.momentum)
    running_var.lerp_((var * (positions / (positions - 1))).float(), norm.momentum)
    norm.num_batches_tracked += 1
    return mean.float(), var.float()


def _running_statistics(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


def _empty_gradients(prepared: _Prepared) -> list[Tensor]:
    """In the order of `StemGradients`."""
    _, vocabulary, kernel, channels, _ = prepared.shape
    stem, vector, matrix = (kernel, vocabulary, channels), (channels,), (channels, channels)
    shapes = (stem, stem, (kernel, vocabulary), vector, vector, matrix, vector, matrix)
    return [prepared.stem.new_empty(shape) for shape in shapes]


def _library() -> Library:
    loaded = library()
    assert loaded is not None, "asked for after `stems` said so"
    return loaded
