"""What ran: versions, machine, command and options, for every folder that seqexpr writes."""

from __future__ import annotations

import platform
import re
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from seqexpr.errors import InputError
from seqexpr.own_files import (
    Misfit,
    anything,
    check_shape,
    distinct,
    flag,
    list_of,
    mapping,
    maybe,
    name,
    number,
    read_json,
    record,
    shown,
    text,
    whole,
)

_LIBRARIES = ("seqexpr", "torch", "numpy", "pandas", "safetensors", "pyfaidx", "scikit-learn")


def describe_run(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """The common head of a manifest.

    Args:
        kind: what the folder holds: "dataset", "train" or "cv".
        options: the resolved options, as JSON can hold them.
    """
    return {
        "kind": kind,
        "format": 1,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": ["seqexpr", *sys.argv[1:]],
        "options": options,
        "versions": {"python": platform.python_version(), **_library_versions()},
        "platform": platform.platform(),
    }


def read_manifest(folder: str | Path, kind: str | None = None) -> dict[str, Any]:
    """The manifest of a folder that seqexpr wrote.

    Raises:
        InputError: there is none, it is not JSON, it describes another kind of folder, or an entry is not of its type.
    """
    path = Path(folder) / "manifest.json"
    expected = f"a seqexpr {kind} folder" if kind else "a folder that seqexpr wrote"
    if not path.is_file():
        raise InputError(folder, found="no readable manifest.json", expected=expected)
    manifest = read_json(path, expected)
    if not isinstance(manifest, dict) or (kind and manifest.get("kind") != kind):
        found = shown(manifest.get("kind") if isinstance(manifest, dict) else type(manifest).__name__)
        raise InputError(path, found=f"a manifest of kind {found}", expected=expected)
    check_shape(manifest, _HEAD, path, expected)
    if manifest["kind"] in ("train", "cv"):
        check_shape(manifest, _RUN, path, expected)
    return manifest


def _digest(value: Any, where: str) -> None:
    """64 hexadecimal digits."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise Misfit(where, shown(value), "a SHA-256")


_LARGEST_WINDOW = 2**27
_RUN_OPTIONS = record(
    {},
    {
        "task": text,
        "labels": distinct(name),
        "dataset": record({}, {"folder": text, "genes": whole(0)}),
        "model": record({"preset": text}),
        "recipe": mapping(anything),
        "digests": mapping(text),
        "seed": whole(),
        "folds": whole(1, 100_000),
        "resamples": whole(0),
        "permute_labels": flag,
        "split": text,
        "valid_fraction": number,
        "test_fraction": number,
    },
)
"""Options of runs, as far as they are read again; those of other folders have other names or the same types."""

_HEAD = record(
    {"kind": text},
    {
        "format": whole(),
        "created": text,
        "command": list_of(text),
        "options": mapping(anything),  # of runs, see `_RUN`
        "versions": mapping(text),
        "platform": text,
        "device": text,
        "threads": whole(1),
        "merged": list_of(text),
    },
)
_RUN = record({}, {"options": _RUN_OPTIONS})

EPOCH = record({"epoch": whole(0)}, {"train_loss": number, "valid_loss": number, "valid_r2": number})
"""A line of metrics.jsonl."""

ESTIMATE = record({"value": maybe(number)}, {"low": maybe(number), "high": maybe(number)})
"""A metric with its interval."""

SCORE = record(
    {"model": text, "output": text, "scope": text, "n": whole(0), "metrics": mapping(ESTIMATE)},
    {"difference": maybe(mapping(ESTIMATE))},
)
"""A row of metrics.json, and of the numbers that a run's weights carry."""

CV_OPTIONS = record(
    {
        **dict.fromkeys(
            ("task", "labels", "model", "recipe", "seed", "folds", "resamples", "permute_labels"), anything
        ),
        "dataset": record({"folder": text}),
        "digests": record({"folds": text}),
    }
)
"""The options that the manifest of a run of `cv` must have for its folds to be put together."""

DATASET = record(
    {
        "labels": distinct(name),
        "proteins": flag,
        "window": maybe(
            record({"upstream": whole(0, _LARGEST_WINDOW), "downstream": whole(0, _LARGEST_WINDOW)}),
        ),
        "half_life": maybe(record({"names": distinct(name), "transforms": list_of(text)})),
    },
    {
        "records": whole(0),
        "coding": flag,
        "content": maybe(mapping(_digest)),
        "label_units": mapping(text),
        "model": mapping(anything),
        "joins": list_of(mapping(anything)),
        "notes": list_of(text),
    },
)
"""The manifest of a prepared dataset, after its head."""


def _library_versions() -> dict[str, str]:
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed
    return versions
