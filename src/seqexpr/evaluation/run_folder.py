"""The folder of a run: its manifest first, `.done` last, everything between by atomic rename.

Several processes may work in one folder of `cv`, on a shared file system too: whoever comes first makes the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqexpr.datasets.prepared import PreparedDataset
from seqexpr.errors import UsageError
from seqexpr.files import atomic_path, write_json
from seqexpr.manifest import read_manifest

DONE = ".done"

MANIFEST = "manifest.json"

_CHANGING = ("created", "command", "versions", "platform", "device", "threads", "merged")
"""Parts of a manifest that may differ between a run and its resumption, or between runs that are merged."""

_DIGESTS = {
    "ids_and_labels": "the dataset has other genes or labels now",
    "folds": "the genes are divided otherwise now",
}
"""The manifest's digests, and what it means when one differs."""


def start_run(folder: Path, manifest: dict[str, Any], *, resume: bool) -> None:
    """Make the folder and write its manifest, or check that the one there asks for the same.

    Args:
        folder: of the run.
        manifest: what is asked for.
        resume: go on in a folder that is in use, whoever made it.

    Raises:
        UsageError: the folder is in use and `resume` is off, or it was started with other options.
        InputError: the folder is in use, but not as a run of this kind.
    """
    if _is_unused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if _claim(folder / MANIFEST, manifest):
            return
    if not resume:
        raise UsageError(f"{folder} exists already; go on with --resume, or choose another --out")
    if difference := first_difference(read_manifest(folder, manifest["kind"]), manifest):
        raise UsageError(f"{folder} was started with other options ({difference}); choose another --out")


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
    except OSError:
        if not prepared.exists():  # not even that could be written
            raise
        prepared.replace(target)  # a file system without links: the last one wins, and all ask for the same
    finally:
        with suppress(OSError):
            prepared.unlink(missing_ok=True)
    return True


def first_difference(stored: dict[str, Any], asked: dict[str, Any]) -> str:
    """Where two manifests disagree on what decides the result, in words; "" when they agree."""
    asked = json.loads(json.dumps(asked))
    for key in sorted(asked.keys() | stored.keys()):
        if key not in _CHANGING and asked.get(key) != stored.get(key):
            return _difference(stored.get(key), asked.get(key), key)
    return ""


def _difference(stored: Any, asked: Any, key: str) -> str:
    if isinstance(stored, dict) and isinstance(asked, dict):
        for name in sorted(stored.keys() | asked.keys()):
            if stored.get(name) != asked.get(name):
                return _difference(stored.get(name), asked.get(name), name)
    if isinstance(stored, str) and isinstance(asked, str) and key in _DIGESTS:
        return _DIGESTS[key]
    return f"{key} was {stored!r}, now {asked!r}"


def labels_digest(dataset: PreparedDataset, names: Sequence[str]) -> str:
    """SHA-256 of the genes' ids and of the labels `names`: the same genes with the same labels give the same."""
    described = json.dumps([dataset.ids, list(names)]).encode()
    return hashlib.sha256(described + dataset.labels(names).astype("<f8").tobytes()).hexdigest()


def folds_digest(fold_of: np.ndarray) -> str:
    """SHA-256 of which gene is in which fold, from the folds (genes,)."""
    return hashlib.sha256(fold_of.astype("<i8").tobytes()).hexdigest()


def fold_folder(folder: Path, fold: int) -> Path:
    """Where a fold of the run in `folder` lies."""
    return folder / "folds" / str(fold)


def is_done(folder: Path) -> bool:
    """Whether everything in the folder is whole."""
    return (folder / DONE).exists()


def mark_done(folder: Path) -> None:
    """The last file of a run."""
    with atomic_path(folder / DONE):
        pass


def prediction_rows(
    genes: pd.DataFrame,
    indices: np.ndarray,
    predicted: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    **columns: Any,
) -> pd.DataFrame:
    """Predictions as a long table: id, chrom, the given columns, output, label, prediction.

    Args:
        genes: the dataset's genes.
        indices: rows that were predicted (n,).
        predicted: (n, outputs).
        labels: of all genes, (genes, outputs); missing ones stay empty in the table.
        names: of the outputs.
        columns: further columns, one value for all rows (fold=3) or one for each (n,).
    """
    chosen = genes.iloc[indices]
    tables = [
        pd.DataFrame(
            {
                "id": chosen["id"].to_numpy(),
                "chrom": chosen["chrom"].to_numpy(),
                **columns,
                "output": name,
                "label": labels[indices, column],
                "prediction": predicted[:, column],
            }
        )
        for column, name in enumerate(names)
    ]
    return pd.concat(tables, ignore_index=True)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A tab-separated file; missing numbers are empty. Numbers keep all their digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """What `write_table` wrote, to the last digit."""
    # As text first: float() reads back exactly what was written, which not every version of pandas does by default.
    texts = dict.fromkeys(("id", "chrom", "output", "label", "prediction"), str)
    table = pd.read_csv(path, sep="\t", dtype=texts, keep_default_na=False)
    for name in ("label", "prediction"):
        table[name] = [float(cell) if cell else np.nan for cell in table[name]]
    return table


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON Lines, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What `write_lines` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
