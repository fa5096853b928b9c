"""The last file of a run, `.done`: its being there says that all others are whole, and it holds their checksums.

A result that was edited or damaged later is then an error, and never read as what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from seqexpr.errors import InputError
from seqexpr.files import sha256_file, write_json
from seqexpr.own_files import mapping, read_json, record, text

DONE = ".done"
"""Name of that file, in the folder of a run and of a fold."""

_EXPECTED = "the checksums of a finished run"


def is_done(folder: Path) -> bool:
    """Whether everything in the folder is whole."""
    return (folder / DONE).exists()


def fold_folder(folder: Path, fold: int) -> Path:
    """Where a fold of the run in `folder` lies."""
    return folder / "folds" / str(fold)


def done_folds(folder: Path, folds: int) -> list[int]:
    """The folds of a run that are whole."""
    return [fold for fold in range(folds) if is_done(fold_folder(folder, fold))]


def mark_done(folder: Path, results: Iterable[str] = ()) -> None:
    """Write the last file of a run.

    Args:
        folder: of the run, or of a fold.
        results: names of the files whose checksums it keeps; those that are not there are left out.
    """
    there = sorted(name for name in results if (folder / name).is_file())
    write_json(folder / DONE, {"sha256": {name: sha256_file(folder / name) for name in there}})


def check_result(path: Path) -> None:
    """Check a file against the checksum that its folder's `.done` holds, if there is one.

    Raises:
        InputError: the file was changed since, or `.done` is damaged.
    """
    written = _checksums(path.parent).get(path.name)
    if written and (found := sha256_file(path)) != written:
        raise InputError(path, found=f"SHA-256 {found}", expected=f"{written}, as it was written by the run")


def _checksums(folder: Path) -> dict[str, str]:
    path = folder / DONE
    if not path.exists() or not path.stat().st_size:  # runs of the first version have an empty one
        return {}
    sums: dict[str, str] = read_json(path, _EXPECTED, record({"sha256": mapping(text)}))["sha256"]
    return sums
