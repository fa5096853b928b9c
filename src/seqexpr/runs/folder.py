"""Keep the folder of a run: its manifest first, `.done` last, everything between by atomic rename.

Several processes may work in one folder of `cv`, on a shared file system too: whoever comes first makes the manifest.
Two runs are the same when their data have the same digests and their options agree one by one. Where the data lie is
no part of that, for the folds of one run may be computed on machines with different folders.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import traceback
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import InputError, SeqexprError, UsageError
from seqexpr.files import atomic_path, write_json
from seqexpr.manifest import EPOCH, read_manifest
from seqexpr.own_files import list_of, read_json, read_json_lines, record, text

logger = logging.getLogger(__name__)

_CHANGING = ("created", "command", "versions", "platform", "device", "threads", "processes", "merged")
"""Parts of a manifest that may differ between a run and its resumption, or between runs that are merged."""

_PLACES = ("folder", "file", "source")
"""Where the dataset, the files that it was made of and the user's groups lie: digests say whether they are the same."""

_DIGESTS = {
    "ids_and_labels": "the dataset has other genes or labels now",
    "inputs": "the dataset has other sequences or half-life features now",
    "folds": "the genes are divided otherwise now",
}
"""The manifest's digests, and what it means when one differs."""

_BEGINNINGS = {
    "start": "it started from other weights",
    "teachers": "it had other teachers",
    "unlabelled": "it had other unlabelled DNA",
}
"""Files, in the manifest, that a training begins with, and what it means when they differ."""


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
    if teacher := options.get("recipe", {}).get("teacher"):
        teacher.pop("models", None)  # names and files: what they stand for is among the digests of `teaching`
    for part in ("dataset", "groups", "start", "teaching"):
        if part in options:
            options[part] = _without_places(options[part])
    return kept


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(entry) for key, entry in value.items() if key not in _PLACES}
    return [_without_places(entry) for entry in value] if isinstance(value, list) else value


def _difference(stored: Any, asked: Any, key: str) -> str:
    if key in _BEGINNINGS:
        return _BEGINNINGS[key]
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
    """SHA-256 of what networks read: the file of sequences, where the TSS lies in its windows, half-life features.

    Raises:
        InputError: the dataset's files are not those that `prepare` wrote.
    """
    sequences = dataset.check_content(required=False)["sequences.safetensors"]
    sides = [dataset.upstream, dataset.downstream]
    described = json.dumps([sequences, sides, dataset.half_life_names, dataset.half_life_transforms]).encode()
    half_life = dataset.half_life()
    return hashlib.sha256(described + (b"" if half_life is None else half_life.astype("<f8").tobytes())).hexdigest()


def folds_digest(fold_of: np.ndarray) -> str:
    """SHA-256 of which gene is in which fold, from the folds (genes,)."""
    return hashlib.sha256(fold_of.astype("<i8").tobytes()).hexdigest()


FAILURES = "failed.json"
"""What could not be computed after the training; absent where nothing failed."""

MANIFEST = "manifest.json"


def start_run(folder: Path, manifest: dict[str, Any], *, resume: bool) -> None:
    """Make the folder and write its manifest, or check that the one there asks for the same.

    Args:
        folder: of the run.
        manifest: what is asked for.
        resume: continue in a folder that is in use, whoever made it.

    Raises:
        UsageError: the folder is in use and `resume` is off, or it was started with other options.
        InputError: the folder is in use, but not as a run of this kind.
    """
    if _is_unused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if _claim(folder / MANIFEST, manifest):
            return
    check_free(folder, manifest["kind"], resume=resume)
    if difference := first_difference(read_manifest(folder, manifest["kind"]), manifest):
        raise UsageError(f"{folder} was started with other options ({difference}); choose another --out")


def check_free(folder: Path, kind: str, *, resume: bool) -> None:
    """Whether a run of this kind may begin in `folder`, or continue there: to be asked before anything that takes long.

    Raises:
        UsageError, InputError: as `start_run` does, but for the options, which are not looked at.
    """
    if _is_unused(folder):
        return
    if not resume:
        raise UsageError(f"{folder} exists already; continue it with --resume, or choose another --out")
    read_manifest(folder, kind)


def _is_unused(folder: Path) -> bool:
    """Whether the folder is absent or empty but for a manifest that another process is about to write."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(entry.name.lstrip(".").startswith(f"{MANIFEST}.") for entry in folder.iterdir())


def _claim(target: Path, manifest: dict[str, Any]) -> bool:
    """Write the manifest unless another process is first: a hard link never replaces a file, a rename does."""
    prepared = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        write_json(prepared, manifest)
        os.link(prepared, target)
    except FileExistsError:
        return False
    except OSError as error:
        if not prepared.exists():  # not even that could be written
            error.filename = str(target)
            raise
        return _claim_by_rename(prepared, target, manifest)
    finally:
        with suppress(OSError):
            prepared.unlink(missing_ok=True)
    return True


def _claim_by_rename(prepared: Path, target: Path, manifest: dict[str, Any]) -> bool:
    """`_claim` on a file system without links, where of several that rename at once the last one wins."""
    if target.exists():
        return False
    prepared.replace(target)
    try:
        return read_manifest(target.parent) == json.loads(json.dumps(manifest))
    except InputError:  # another one is about to replace it
        return False


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON Lines, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What `write_lines` wrote of a training's epochs.

    Raises:
        InputError: the file is damaged; the line is named.
    """
    expected = "the metrics of a training"
    rows = read_json_lines(path, expected, EPOCH)
    if not rows:
        raise InputError(path, found="no epoch", expected=expected)
    for line, (before, row) in enumerate(pairwise(rows), start=2):
        if row["epoch"] <= before["epoch"]:
            found = f"epoch {row['epoch']} after epoch {before['epoch']}"
            raise InputError(path, record=f"line {line}", found=found, expected=f"epochs in order: {expected}")
    return rows


def keep_failures(folder: Path, failures: Mapping[str, Exception]) -> None:
    """Name what failed after the training: in `failed.json`, and on the log. Without failures the file goes."""
    path = folder / FAILURES
    if not failures:
        path.unlink(missing_ok=True)
        return
    rows = [{"what": what, "error": describe(error), "trace": _trace(error)} for what, error in failures.items()]
    write_json(path, rows)
    for row in rows:
        logger.error("%s failed (%s)", row["what"], row["error"])


def read_failures(folder: Path) -> list[str]:
    """What failed in a run after its training, one name each; none where it is whole."""
    path = folder / FAILURES
    if not path.exists():
        return []
    return [row["what"] for row in read_json(path, "what failed in a run", list_of(record({"what": text})))]


def describe(error: Exception) -> str:
    """An error in one line: its own text where it is one of seqexpr's, else with its kind."""
    text = " ".join(str(error).split())
    return text if isinstance(error, SeqexprError) else f"{type(error).__name__}: {text}"


def _trace(error: Exception) -> list[str]:
    return "".join(traceback.format_exception(error)).splitlines()
