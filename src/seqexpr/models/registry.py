"""Which weights there are, and what a name on the command line stands for."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from seqexpr.errors import InputError, MissingDataError
from seqexpr.manifest import read_manifest
from seqexpr.paths import cache_folder

SUFFIX = ".safetensors"


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


def resolve_models(names: Sequence[str]) -> list[Path]:
    """Weights files for names as a user gives them: a listed name, a weights file, or a run folder.

    A run of `cv` stands for the models of all its folds.

    Raises:
        MissingDataError: nothing of that name.
        InputError: a run folder that holds no weights yet.
    """
    return [path for name in names for path in _resolve(name)]


def _resolve(name: str) -> list[Path]:
    listed = {entry.name: entry.path for entry in list_models()}
    if name in listed:
        return [listed[name]]
    # os.path takes any text, and "" as no file; Path would refuse a long name and read "" as the current folder.
    if os.path.isdir(name):
        return _of_run(Path(name))
    if os.path.isfile(name):
        return [Path(name)]
    close = difflib.get_close_matches(name, listed, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise MissingDataError(
        f"no model, weights file or run folder {name!r}; {hint}`seqexpr models list` shows the models there are"
    )


def _of_run(folder: Path) -> list[Path]:
    kind = read_manifest(folder).get("kind")
    pattern = f"folds/*/weights{SUFFIX}" if kind == "cv" else f"weights{SUFFIX}"
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(folder, found=f"no {pattern}", expected="a finished run of `seqexpr train` or `seqexpr cv`")
    return found


def _bundled() -> list[Path]:
    folder = Path(str(resources.files(__package__).joinpath("weights")))
    return sorted(folder.glob(f"*{SUFFIX}"))
