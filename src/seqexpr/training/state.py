"""A training's whole state in one safetensors file, so that it appears whole or not at all and holds no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqexpr.errors import InputError
from seqexpr.files import atomic_path

FILE = "state.safetensors"


def save_state(
    folder: Path, groups: dict[str, dict[str, Tensor]], optimizer: torch.optim.Optimizer, progress: dict[str, Any]
) -> None:
    """Write the state of a training after an epoch.

    Args:
        folder: made when absent.
        groups: named state dicts: the network, its running mean, the best weights.
        optimizer: its moments and step counts are stored too.
        progress: numbers of the loop, as JSON can hold them.
    """
    from safetensors.torch import save_file

    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, state in groups.items()
        for name, tensor in state.items()
    }
    optimizer_tensors, optimizer_numbers = _flatten(optimizer.state_dict())
    tensors |= optimizer_tensors
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / FILE) as temporary:
        metadata = {"progress": json.dumps(progress), "optimizer": json.dumps(optimizer_numbers)}
        save_file(tensors, temporary, metadata=metadata)


def load_state(
    folder: Path, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """The groups and the progress that `save_state` wrote, the optimiser set to its stored state.

    Returns:
        None when there is no state yet.

    Raises:
        InputError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / FILE
    if not path.exists():
        return None
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(str(path), framework="pt") as handle:
            metadata = handle.metadata()
            for key in handle.keys():  # noqa: SIM118 - the handle is no mapping
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = handle.get_tensor(key)
    except SafetensorError as problem:
        raise InputError(path, found=f"a damaged file ({problem})", expected="a training state") from None
    optimizer.load_state_dict(_unflatten(groups.pop("optimizer", {}), json.loads(metadata["optimizer"])))
    return groups, json.loads(metadata["progress"])


def _flatten(state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state dict as named tensors and JSON."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}.{key}"] = value.detach().cpu().contiguous()
            else:
                numbers.setdefault(str(index), {})[key] = value
    return tensors, {"numbers": numbers, "param_groups": state["param_groups"]}


def _unflatten(tensors: dict[str, Tensor], stored: dict[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    for index, entries in stored["numbers"].items():
        state.setdefault(int(index), {}).update(entries)
    return {"state": state, "param_groups": stored["param_groups"]}
