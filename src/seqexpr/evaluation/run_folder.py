"""The folder of a run: its manifest first, `.done` last, everything between by atomic rename."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqexpr.errors import UsageError
from seqexpr.files import atomic_path, write_json
from seqexpr.manifest import read_manifest

DONE = ".done"

_CHANGING = ("created", "command", "versions", "platform", "device")
"""Parts of a manifest that may differ between a run and its resumption."""


def start_run(folder: Path, manifest: dict[str, Any], *, resume: bool) -> None:
    """Make the folder and write its manifest, or check that the one there asks for the same.

    Raises:
        UsageError: the folder is in use and `resume` is off, or it was started with other options.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "manifest.json", manifest)
        return
    if not resume:
        raise UsageError(f"{folder} exists already; go on with --resume, or choose another --out")
    stored = read_manifest(folder, manifest["kind"])
    asked = json.loads(json.dumps(manifest))
    for key in asked.keys() | stored.keys():
        if key not in _CHANGING and asked.get(key) != stored.get(key):
            difference = _first_difference(stored.get(key), asked.get(key), key)
            raise UsageError(f"{folder} was started with other options ({difference}); choose another --out")


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
        columns: further columns, one value for all rows, for instance fold=3.
    """
    chosen = genes.iloc[indices]
    tables = [
        pd.DataFrame(
            {
                "id": chosen["id"].to_numpy(),
                "chrom": chosen["chrom"].to_numpy(),
                **{key: [value] * len(indices) for key, value in columns.items()},
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
    """What `write_table` wrote."""
    missing = {"label": [""], "prediction": [""]}
    return pd.read_csv(path, sep="\t", dtype={"id": str, "chrom": str}, keep_default_na=False, na_values=missing)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON Lines, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What `write_lines` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _first_difference(stored: Any, asked: Any, key: str) -> str:
    if isinstance(stored, dict) and isinstance(asked, dict):
        for name in sorted(stored.keys() | asked.keys()):
            if stored.get(name) != asked.get(name):
                return _first_difference(stored.get(name), asked.get(name), name)
    return f"{key} was {stored!r}, now {asked!r}"
