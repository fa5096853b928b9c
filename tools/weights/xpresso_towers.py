"""The published Xpresso networks as promoter towers: from Keras's HDF5 to tensors that `PromoterTowers` loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tools.weights.xpresso_windows import Xpresso
from torch import Tensor

from seqexpr.files import atomic_path


def towers_of(networks: Sequence[Xpresso]) -> dict[str, Tensor]:
    """The tensors of as many towers; the half-life inputs, which are zeros, are left out."""
    parts = [network.weights for network in networks]
    found = {}
    for ours, theirs in (("stem", "conv1d_1"), ("second", "conv1d_2")):
        # Keras stores (width, in, out).
        found[f"{ours}.weight"] = torch.cat([part[theirs, "kernel"].permute(2, 1, 0) for part in parts])
        found[f"{ours}.bias"] = torch.cat([part[theirs, "bias"] for part in parts])
    inputs = found["second.weight"].shape[0] // len(parts)
    for number, theirs in enumerate(("dense_1", "dense_2", "dense_3")):
        kernels = torch.stack([part[theirs, "kernel"] for part in parts])
        if number == 0:
            kernels = kernels[:, : kernels.shape[1] // inputs * inputs]
        found[f"kernels.{number}"] = kernels
        found[f"biases.{number}"] = torch.stack([part[theirs, "bias"] for part in parts]).unsqueeze(1)
    return {name: tensor.contiguous() for name, tensor in found.items()}


def write_towers(path: Path, files: Sequence[Path]) -> None:
    """A file for `PromoterTowers`."""
    towers = towers_of([Xpresso(file) for file in files])
    with atomic_path(path) as temporary:
        save_file(towers, temporary)
