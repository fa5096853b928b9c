"""What is left of a run that was stopped, and the command that goes on with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seqexpr.errors import InputError, SeqexprError
from seqexpr.finished import done_folds, fold_folder, is_done
from seqexpr.manifest import read_manifest
from seqexpr.next_command import command_to_end
from seqexpr.own_files import read_json_lines, record, whole


def kept_of(folder: Path, only_folds: Sequence[int] = ()) -> str:
    """What a stopped run keeps and how to go on, in one line; of a run that cannot be read, why not.

    Args:
        folder: of the run.
        only_folds: the folds that were to be run, where not all were.
    """
    try:
        if not (folder / "manifest.json").exists():
            return f"stopped before anything was written to {folder}; run the same command again"
        manifest = read_manifest(folder)
        folds = manifest.get("options", {}).get("folds", 0)
        kept = _of_folds(folder, folds) if manifest["kind"] == "cv" else _of_training(folder)
        command = command_to_end(folder, manifest, only_folds)
        kept = kept or _of_teaching(folder / "teacher")
    except (SeqexprError, OSError) as problem:  # that the run was stopped is said first, and is the exit code
        return f"stopped; {problem}"
    return f"stopped; {folder} keeps {kept or 'its settings'}; to go on, run: {command}"


def _of_folds(folder: Path, folds: int) -> str:
    done = done_folds(folder, folds)
    parts = [f"{len(done)} of {folds} folds"] if done else []
    for fold in sorted(set(range(folds)) - set(done)):
        if part := _of_training(fold_folder(folder, fold)):
            parts.append(f"{part} of fold {fold}")
    return " and ".join(parts)


def _of_teaching(folder: Path) -> str:
    """How far a teacher stage has come; "" where there is none, or nothing of it is kept yet."""
    if is_done(folder):
        return "what the network learnt from its teachers"
    try:
        rows = read_json_lines(folder / "metrics.jsonl", "the metrics of a teacher stage", record({"step": whole(1)}))
    except InputError:
        return ""
    return f"{rows[-1]['step']:,} steps of learning from teachers" if rows else ""


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
    return "" if last < 0 else f"the epochs up to {last}" if last else "what comes before the first epoch"
