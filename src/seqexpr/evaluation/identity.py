"""Whether two runs are about the same: their data by digest, their options one by one.

Where the data lie is no part of it, for the folds of one run may be run on machines with different folders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seqexpr.datasets.prepared import PreparedDataset
from seqexpr.files import sha256_file

_CHANGING = ("created", "command", "versions", "platform", "device", "threads", "merged")
"""Parts of a manifest that may differ between a run and its resumption, or between runs that are merged."""

_PLACES = ("folder", "file", "source")
"""Where the dataset, the files that it was made of and the user's groups lie: digests say whether they are the same."""

_DIGESTS = {
    "ids_and_labels": "the dataset has other genes or labels now",
    "inputs": "the dataset has other sequences or half-life features now",
    "folds": "the genes are divided otherwise now",
}
"""The manifest's digests, and what it means when one differs."""


def first_difference(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Where two manifests disagree on what decides the result, in words; "" when they agree."""
    stored, asked = _deciding(stored), _deciding(asked)
    one, other = (manifest.get("options", {}).get("digests", {}) for manifest in (stored, asked))
    for name in one.keys() ^ other.keys():  # runs made before a digest was introduced do not have it
        one.pop(name, None)
        other.pop(name, None)
    for key in sorted(asked.keys() | stored.keys()):
        if asked.get(key) != stored.get(key):
            return _difference(stored.get(key), asked.get(key), key)
    return ""


def _deciding(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A copy, as JSON holds it, of what decides the result."""
    kept = json.loads(json.dumps({key: value for key, value in manifest.items() if key not in _CHANGING}))
    options = kept.get("options", {})
    options.pop("task", None)  # a name or a folder: what it stands for is in the labels, the network and the digests
    for part in ("dataset", "groups"):
        if part in options:
            options[part] = _without_places(options[part])
    return kept


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(entry) for key, entry in value.items() if key not in _PLACES}
    return [_without_places(entry) for entry in value] if isinstance(value, list) else value


def _difference(stored: Any, asked: Any, key: str) -> str:
    if isinstance(stored, dict) and isinstance(asked, dict):
        for name in sorted(stored.keys() | asked.keys()):
            if stored.get(name) != asked.get(name):
                return _difference(stored.get(name), asked.get(name), name)
    if isinstance(stored, str) and isinstance(asked, str) and key in _DIGESTS:
        return _DIGESTS[key]
    return f"{key} was {stored!r}, now {asked!r}"


def data_digests(dataset: PreparedDataset, names: Sequence[str]) -> dict[str, str]:
    """Digests of all that a run with the labels `names` reads of a dataset, by their names in the manifest."""
    return {"ids_and_labels": labels_digest(dataset, names), "inputs": inputs_digest(dataset)}


def labels_digest(dataset: PreparedDataset, names: Sequence[str]) -> str:
    """SHA-256 of the genes' ids and of the labels `names`: the same genes with the same labels give the same."""
    described = json.dumps([dataset.ids, list(names)]).encode()
    return hashlib.sha256(described + dataset.labels(names).astype("<f8").tobytes()).hexdigest()


def inputs_digest(dataset: PreparedDataset) -> str:
    """SHA-256 of what networks read: the file of sequences, where the TSS lies in its windows, half-life features."""
    sequences = sha256_file(dataset.folder / "sequences.safetensors")
    sides = [dataset.upstream, dataset.downstream]
    described = json.dumps([sequences, sides, dataset.half_life_names, dataset.half_life_transforms]).encode()
    half_life = dataset.half_life()
    return hashlib.sha256(described + (b"" if half_life is None else half_life.astype("<f8").tobytes())).hexdigest()


def folds_digest(fold_of: np.ndarray) -> str:
    """SHA-256 of which gene is in which fold, from the folds (genes,)."""
    return hashlib.sha256(fold_of.astype("<i8").tobytes()).hexdigest()
