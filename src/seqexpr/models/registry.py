"""Which weights there are, and what a name on the command line stands for."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from seqexpr.errors import InputError, MissingDataError
from seqexpr.finished import is_done
from seqexpr.manifest import read_manifest
from seqexpr.next_command import command_to_end
from seqexpr.paths import cache_folder

SUFFIX = ".safetensors"

DEFAULT_DNA_MODEL = "human-mrna"
DEFAULT_PROTEIN_MODEL = "human-prot"
"""What `predict` takes where no model is named."""


@dataclass(frozen=True)
class ModelEntry:
    """Weights that can be asked for by name."""

    name: str
    path: Path
    origin: str
    """Where the file lies: "bundled" with seqexpr, or "cached" on this machine."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size


def list_models() -> list[ModelEntry]:
    """All weights with a name: the bundled ones, then those in the cache folder that no bundled one hides."""
    entries = [ModelEntry(path.stem, path, "bundled") for path in _bundled()]
    names = {entry.name for entry in entries}
    cached = sorted(cache_folder("weights").glob(f"*{SUFFIX}"))
    return entries + [ModelEntry(path.stem, path, "cached") for path in cached if path.stem not in names]


def resolve_models(names: Sequence[str], *, allow_partial: bool = True) -> list[Path]:
    """Weights files for names as a user gives them: a listed name, a weights file, a run folder or that of a fold.

    A run of `cv` stands for the models of all its folds.

    Args:
        names: as a user gives them.
        allow_partial: take a run of `cv` of which some folds are not trained yet for those that are.

    Raises:
        MissingDataError: nothing of that name, or a run of `cv` without all its folds.
        InputError: a run folder that holds no weights yet.
    """
    return [path for name in names for path in _resolve(name, allow_partial)]


def _resolve(name: str, allow_partial: bool) -> list[Path]:
    listed = {entry.name: entry.path for entry in list_models()}
    if name in listed:
        return [listed[name]]
    # os.path takes any text, and "" as no file; Path would refuse a long name and read "" as the current folder.
    if os.path.isdir(name):
        return _of_run(Path(name), allow_partial)
    if os.path.isfile(name):
        return [Path(name)]
    close = difflib.get_close_matches(name, listed, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise MissingDataError(
        f"no model, weights file or run folder {name!r}; {hint}`seqexpr models list` shows the models there are"
    )


def _of_run(folder: Path, allow_partial: bool) -> list[Path]:
    alone = folder / f"weights{SUFFIX}"
    if alone.is_file() and folder.resolve().parent.name == "folds" and not (folder / "manifest.json").exists():
        return [alone]  # a fold, whose manifest is that of its run
    manifest = read_manifest(folder)
    kind = manifest.get("kind")
    pattern = f"folds/*/weights{SUFFIX}" if kind == "cv" else f"weights{SUFFIX}"
    found = sorted(folder.glob(pattern))
    if kind == "cv" and not allow_partial:
        _check_whole(folder, manifest, [path for path in found if is_done(path.parent)])
    if not found:
        raise InputError(folder, found=f"no {pattern}", expected="a finished run of `seqexpr train` or `seqexpr cv`")
    return found


def _check_whole(folder: Path, manifest: dict[str, Any], done: Sequence[Path]) -> None:
    """Whether a run of `cv` has the weights of all its folds."""
    options = manifest.get("options")
    folds = options.get("folds") if isinstance(options, dict) else None
    if not isinstance(folds, int) or len(done) >= folds:
        return
    raise MissingDataError(
        f"{folder} has {len(done)} of its {folds} folds; run: {command_to_end(folder, manifest)} "
        "(or predict with the folds that are there: --allow-partial)"
    )


def _bundled() -> list[Path]:
    folder = Path(str(resources.files(__package__).joinpath("weights")))
    return sorted(folder.glob(f"*{SUFFIX}"))
