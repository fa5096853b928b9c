"""Batch normalisation of channels, over whole batches or over the groups that a batch consists of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ChannelNorm(nn.BatchNorm1d):
    """Batch normalisation of each channel over all positions of all sequences."""

    groups: tuple[int, ...] | None = None
    """In training, how many sequences each group of the batch has; None: the batch is one group. See `grouped`."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, positions, channels) -> the same shape."""
        if self.training and self.groups is not None:
            return self._by_groups(x, self.groups)
        return super().forward(x.flatten(0, 1)).view_as(x)

    def _by_groups(self, x: Tensor, groups: tuple[int, ...]) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        normalised, means, variances = [], [], []
        start = 0
        for size, count in _runs(groups):
            part = x[start : start + size * count].reshape(count, -1, x.shape[2]).to(wide)
            start += size * count
            variance, mean = torch.var_mean(part, dim=1, correction=0, keepdim=True)
            scaled = (part - mean) * (variance + self.eps).rsqrt()
            normalised.append((scaled * self.weight + self.bias).to(x.dtype).reshape(-1, *x.shape[1:]))
            values = part.shape[1]
            means.append(mean.detach().squeeze(1))
            variances.append(variance.detach().squeeze(1) * (values / max(values - 1, 1)))
        self._follow(torch.cat(means), torch.cat(variances))
        return torch.cat(normalised)

    @torch.no_grad()
    def _follow(self, means: Tensor, variances: Tensor) -> None:
        """Let the running statistics follow the groups, (groups, channels) each, one after the other."""
        assert self.momentum is not None and self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        kept, count = 1 - self.momentum, len(means)
        shares = self.momentum * kept ** torch.arange(count - 1, -1, -1, device=means.device, dtype=means.dtype)
        for running, found in ((self.running_mean, means), (self.running_var, variances)):
            running.mul_(kept**count).add_(shares @ found)
        self.num_batches_tracked += count


@contextmanager
def grouped(network: nn.Module, sizes: Sequence[int]) -> Iterator[None]:
    """Let a batch that passes through a network in training be normalised group by group.

    The same function as passing the groups one after the other, which a GPU does many times as fast in one pass
    ("ghost" batch normalisation, Hoffer et al. 2017).

    Args:
        network: its `ChannelNorm` modules take part.
        sizes: sequences of each group, in the order of the batch.
    """
    norms = [module for module in network.modules() if isinstance(module, ChannelNorm)]
    for norm in norms:
        norm.groups = tuple(sizes)
    try:
        yield
    finally:
        for norm in norms:
            norm.groups = None


def _runs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours of the same size: (size, how many)."""
    found: list[tuple[int, int]] = []
    for size in sizes:
        if found and found[-1][0] == size:
            found[-1] = (size, found[-1][1] + 1)
        else:
            found.append((size, 1))
    return found
