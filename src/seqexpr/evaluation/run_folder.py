"""The folder of a run: its manifest first, `.done` last, everything between by atomic rename.

Several processes may work in one folder of `cv`, on a shared file system too: whoever comes first makes the manifest.
"""

from __future__ import annotations

import json
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqexpr.errors import InputError, UsageError
from seqexpr.evaluation.identity import first_difference
from seqexpr.files import atomic_path, write_json
from seqexpr.manifest import read_manifest

DONE = ".done"

MANIFEST = "manifest.json"


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
    check_free(folder, manifest["kind"], resume=resume)
    if difference := first_difference(read_manifest(folder, manifest["kind"]), manifest):
        raise UsageError(f"{folder} was started with other options ({difference}); choose another --out")


def check_free(folder: Path, kind: str, *, resume: bool) -> None:
    """Whether a run of this kind may begin in `folder`, or go on there: to be asked before anything that takes long.

    Raises:
        UsageError, InputError: as `start_run` does, but for the options, which are not looked at.
    """
    if _is_unused(folder):
        return
    if not resume:
        raise UsageError(f"{folder} exists already; go on with --resume, or choose another --out")
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
    except OSError:
        if not prepared.exists():  # not even that could be written
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
