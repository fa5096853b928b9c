"""What is left of a run that was stopped, and the command that goes on with it."""

from __future__ import annotations

from pathlib import Path

from seqexpr.errors import InputError
from seqexpr.manifest import command_to_end, read_manifest


def kept_of(folder: Path) -> str:
    """What a stopped run keeps and how to go on, in one line.

    Args:
        folder: of the run.
    """
    if not (folder / "manifest.json").exists():
        return f"stopped before anything was computed: {folder} does not exist yet; run the same command again"
    manifest = read_manifest(folder)
    kept = _of_folds(folder, manifest["options"]["folds"]) if manifest["kind"] == "cv" else _of_training(folder)
    return f"stopped; {folder} keeps {kept or 'its settings'}; to go on, run: {command_to_end(folder, manifest)}"


def _of_folds(folder: Path, folds: int) -> str:
    from seqexpr.runs.folder import fold_folder
    from seqexpr.runs.merging import done_folds

    done = done_folds(folder, folds)
    parts = [f"{len(done)} of {folds} folds"] if done else []
    for fold in sorted(set(range(folds)) - set(done)):
        if part := _of_training(fold_folder(folder, fold)):
            parts.append(f"{part} of fold {fold}")
    return " and ".join(parts)


def _of_training(folder: Path) -> str:
    """How far a training has come; "" where it has not ended an epoch."""
    if (folder / "weights.safetensors").exists():
        return "the trained weights"
    from seqexpr.runs.folder import read_lines

    try:
        rows = read_lines(folder / "metrics.jsonl")
    except InputError:  # not there yet, or damaged, which the resumption will say
        return ""
    last = max((row["epoch"] for row in rows), default=-1)
    return "" if last < 0 else f"the epochs up to {last}" if last else "the composition alone"
