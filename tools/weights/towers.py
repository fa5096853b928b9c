"""Networks that were trained by others on all promoters, as teachers: Xpresso's form, one tower a network.

Agarwal & Shendure 2020: two convolutions with max-pooling over 10,500 bp around the TSS, three dense layers, one
number. Their half-life inputs are left at zero, the average gene.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqexpr.models.fixed_batch import in_fixed_batches

WINDOW = (7_000, 3_500)
"""What a tower reads, bp upstream and downstream of the TSS."""

_LETTERS = 4
_STEM, _STEM_WIDTH, _STEM_POOL = 128, 6, 30
_WORD = _STEM_WIDTH // 2
_STRETCH = 70 * _STEM_POOL
_TOGETHER = 2
_SECOND, _SECOND_WIDTH, _SECOND_POOL = 32, 9, 10
_POSITIONS = sum(WINDOW) // (_STEM_POOL * _SECOND_POOL)
_DENSE = (64, 2, 1)


class PromoterTowers(nn.Module):
    """All towers side by side; their weights are given (`load_state_dict`) and never trained."""

    def __init__(self, towers: int) -> None:
        super().__init__()
        self.towers = towers
        self.stem = nn.Conv1d(_LETTERS, towers * _STEM, _STEM_WIDTH)
        self.second = nn.Conv1d(towers * _STEM, towers * _SECOND, _SECOND_WIDTH, groups=towers)
        widths = (_SECOND * _POSITIONS, *_DENSE)
        self.kernels = nn.ParameterList(
            torch.randn(towers, before, after) * before**-0.5 for before, after in pairwise(widths)
        )
        self.biases = nn.ParameterList(torch.zeros(towers, 1, after) for after in _DENSE)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, windows: Tensor) -> Tensor:
        """uint8 (batch, 10,500) -> (batch, towers), in each network's own units; unknown letters are zeros."""
        # A few at a time: larger buffers would leave holes in memory that nothing else fits into.
        x = torch.cat([self._stem(part) for part in windows.split(_TOGETHER)])
        x = functional.conv1d(_same(x, _SECOND_WIDTH), self.second.weight, self.second.bias, groups=self.towers)
        x = functional.relu(functional.max_pool1d(x, _SECOND_POOL))
        # Each tower's channels, position by position.
        x = x.unflatten(1, (self.towers, _SECOND)).permute(0, 1, 3, 2).flatten(2)  # (batch, towers, features)
        return in_fixed_batches(self._dense, x, fixed=not self.training)

    def _dense(self, x: Tensor) -> Tensor:
        """(batch, towers, features) -> (batch, towers)."""
        x = x.transpose(0, 1)
        for number, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True), start=1):
            x = x @ kernel + bias
            if number < len(_DENSE):
                x = functional.relu(x)
        return x.squeeze(2).T

    def _stem(self, windows: Tensor) -> Tensor:
        """uint8 (batch, 10,500) -> (batch, channels, pooled positions).

        The convolution of six letters is the sum of two rows of a table that holds what any three letters give: a
        twentieth of the time, for 10,500 positions of one-hot letters and all channels pass through memory otherwise.
        """
        weight = functional.pad(self.stem.weight.permute(2, 1, 0), (0, 0, 1, 0))  # (6, letters with unknown, channels)
        first, second = (
            (part[0][:, None, None] + part[1][:, None] + part[2]).flatten(0, 2) for part in weight.split(_WORD)
        )
        table = torch.cat([first + self.stem.bias, second])
        letters = _same(windows, _STEM_WIDTH).int()
        places = _LETTERS + 1
        words = (letters[:, :-2] * places + letters[:, 1:-1]) * places + letters[:, 2:]
        pairs = torch.stack([words[:, :-_WORD], words[:, _WORD:] + places**_WORD], dim=2)
        pooled = [  # in stretches that stay in a CPU's cache
            functional.embedding_bag(part, table, mode="sum").unflatten(0, (-1, _STEM_POOL)).amax(dim=1)
            for part in pairs.flatten(0, 1).split(_STRETCH)
        ]
        return functional.relu(torch.cat(pooled).unflatten(0, (len(windows), -1)).transpose(1, 2))


def _same(x: Tensor, width: int) -> Tensor:
    """Padded so that a convolution leaves its length, like Keras's "same": an even width's odd zero is on the right."""
    return functional.pad(x, ((width - 1) // 2, width // 2))
