"""Networks that were trained by others on all promoters, read as fixed inputs: Xpresso's form, one tower a network.

Agarwal & Shendure 2020: two convolutions with max-pooling over 10,500 bp around the TSS, three dense layers, one
number. Their half-life inputs are left at zero, the average gene: the composition flow has the features themselves.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqexpr.models.config import PROMOTER_WINDOW

_LETTERS = 4
_STEM, _STEM_WIDTH, _STEM_POOL = 128, 6, 30
_SECOND, _SECOND_WIDTH, _SECOND_POOL = 32, 9, 10
_POSITIONS = sum(PROMOTER_WINDOW) // (_STEM_POOL * _SECOND_POOL)
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
        letters = torch.arange(1, _LETTERS + 1, dtype=torch.uint8, device=windows.device)
        one_hot = (windows[:, None] == letters[:, None]).to(self.stem.weight.dtype)
        x = functional.relu(functional.max_pool1d(_convolve(self.stem, one_hot), _STEM_POOL))
        x = functional.relu(functional.max_pool1d(_convolve(self.second, x), _SECOND_POOL))
        # Each tower's channels, position by position.
        x = x.unflatten(1, (self.towers, _SECOND)).permute(1, 0, 3, 2).flatten(2)  # (towers, batch, features)
        for number, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True), start=1):
            x = x @ kernel + bias
            if number < len(_DENSE):
                x = functional.relu(x)
        return x.squeeze(2).T


def _convolve(convolution: nn.Conv1d, x: Tensor) -> Tensor:
    """As long as before, like Keras's "same": what an even width leaves over is padded on the right."""
    width = convolution.kernel_size[0]
    return convolution(functional.pad(x, ((width - 1) // 2, width // 2)))
