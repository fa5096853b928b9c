"""A training's whole state in one safetensors file, so that it appears whole or not at all and holds no pickle."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqexpr.errors import InputError
from seqexpr.own_files import Shape, anything, check_shape, list_of, mapping, number, parse_json, record, shown
from seqexpr.tensor_files import load_tensors, read_metadata, save_tensors

FILE = "state.safetensors"

_EXPECTED = "the state of a training; remove the folder checkpoint to begin the training again"
_OPTIMIZER = record({"numbers": mapping(mapping(anything)), "param_groups": list_of(mapping(anything))})


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
    tensors = {f"{group}/{name}": tensor for group, state in groups.items() for name, tensor in state.items()}
    optimizer_tensors, optimizer_numbers = _flatten(optimizer.state_dict())
    tensors |= optimizer_tensors
    described = {"progress": progress, "optimizer": optimizer_numbers}
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / FILE, tensors, {key: json.dumps(value) for key, value in described.items()})


def load_state(
    folder: Path, optimizer: torch.optim.Optimizer, progress: Shape = anything, with_gaps: Collection[str] = ()
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """The groups and the progress that `save_state` wrote, the optimiser set to its stored state.

    Args:
        folder: where it lies.
        optimizer: as it was made at the start of the training.
        progress: shape of what was stored as such.
        with_gaps: tensors that may hold NaN, as "group/name".

    Returns:
        None when there is no state yet.

    Raises:
        InputError: the file is damaged, or is of another network or optimiser.
    """
    path = folder / FILE
    if not path.exists():
        return None
    metadata = read_metadata(path, _EXPECTED)
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_tensors(path, _EXPECTED, with_gaps=with_gaps).items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = tensor
    stored = {}
    for key, shape in (("progress", progress), ("optimizer", _OPTIMIZER)):
        stored[key] = parse_json(metadata.get(key, ""), path, _EXPECTED, f"metadata {key!r}")
        check_shape(stored[key], shape, path, _EXPECTED, f"metadata {key!r}")
    with fitting(folder):
        _check_settings(stored["optimizer"]["param_groups"], optimizer.param_groups)
        optimizer.load_state_dict(_unflatten(groups.pop("optimizer", {}), stored["optimizer"]))
        for parameters in optimizer.param_groups:
            for parameter in parameters["params"]:
                _check_moments(optimizer.state.get(parameter, {}), parameter)
    return groups, stored["progress"]


@contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Within it, a state that does not fit the network or the optimiser is an `InputError` that names the file."""
    try:
        yield
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError, IndexError) as problem:
        found = f"a state that does not fit ({(str(problem).splitlines() or [''])[-1].strip()})"
        raise InputError(folder / FILE, found=found, expected=_EXPECTED) from None


def _check_settings(stored: list[dict[str, Any]], groups: list[dict[str, Any]]) -> None:
    """The optimiser's settings are those of the recipe; the learning rate alone changes while it works."""
    for found, group in zip(stored, groups, strict=True):
        for key, value in group.items():
            wanted = list(value) if isinstance(value, tuple) else value
            if key not in ("lr", "params") and found.get(key) != wanted:
                raise ValueError(f"the optimiser's {key} {shown(found.get(key))}, not {shown(wanted)}")
        number(found.get("lr"), "lr")


def _check_moments(moments: dict[str, Any], parameter: Tensor) -> None:
    for key, value in moments.items():
        if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
            raise ValueError(f"{key} of shape {list(value.shape)}, of a parameter of shape {list(parameter.shape)}")


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
