"""What a report is made of: the files of a run folder, as far as they are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from seqexpr.errors import InputError
from seqexpr.evaluation.tables import read_table
from seqexpr.manifest import EPOCH, read_manifest
from seqexpr.own_files import (
    Shape,
    list_of,
    mapping,
    maybe,
    name,
    number,
    read_json,
    read_json_lines,
    record,
    text,
    whole,
)

MODEL = "seqexpr"
"""The name of the trained model in `metrics.json`; every other name there is a baseline."""

KINDS = {"cv": "Cross-validation", "train": "Training"}

HEADLINES = {
    "all": "each tested in the fold that did not train on it",
    "test": "held out as the test part",
    "valid": "the validation part, which chose the epoch: optimistic",
}
"""What the scopes over many genes mean; every other scope is a fold."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds; empty where a part is missing."""

    folder: Path
    manifest: dict[str, Any]
    rows: list[dict[str, Any]]  # of metrics.json
    audit: list[dict[str, Any]]  # of audit.json
    history: pd.DataFrame  # of metrics.jsonl
    predictions: pd.DataFrame  # of predictions.tsv, genes with a label

    @property
    def options(self) -> dict[str, Any]:
        """The resolved options of the manifest."""
        options = self.manifest.get("options", {})
        return options if isinstance(options, dict) else {}

    @property
    def outputs(self) -> list[str]:
        """The labels that were evaluated, in the order of metrics.json."""
        return list(dict.fromkeys(str(row["output"]) for row in self.rows))

    def select(self, output: str, scope: str) -> list[dict[str, Any]]:
        """The rows of all models for one label and one set of genes."""
        return [row for row in self.rows if str(row["output"]) == output and str(row["scope"]) == scope]


def read_run(folder: Path) -> Run:
    """Read a run folder of `train` or `cv`.

    Raises:
        InputError: not a run folder, or a file in it that cannot be read.
    """
    manifest = read_manifest(folder)
    if manifest.get("kind") not in KINDS:
        found = f"a folder of kind {manifest.get('kind')!r}"
        raise InputError(folder, found=found, expected="the run folder of train or cv")
    rows = _read_list(folder / "metrics.json", "the metrics of a run", _SCORE)
    audit = _read_audit(folder / "audit.json")
    return Run(folder, manifest, rows, audit, _read_history(folder), _read_predictions(folder))


def _read_list(path: Path, expected: str, shape: Shape) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = read_json(path, expected, list_of(shape)) if path.exists() else []
    return entries


def _read_history(folder: Path) -> pd.DataFrame:
    path = folder / "metrics.jsonl"
    # A run that was cut off may leave half of its last line.
    epochs = read_json_lines(path, "one JSON object a line", EPOCH, cut=True) if path.exists() else []
    history = pd.DataFrame(epochs)
    numbers = [name for name in ("epoch", "train_loss", "valid_loss", "valid_r2") if name in history]
    history[numbers] = history[numbers].astype(float)
    return history.dropna(axis="columns", how="all")


def _read_predictions(folder: Path) -> pd.DataFrame:
    path = folder / "predictions.tsv"
    if not path.exists():
        return pd.DataFrame()
    table = read_table(path)
    if "fold" in table:
        table["fold"] = table["fold"].astype(str)
    return table.dropna(subset=["label", "prediction"])


_ESTIMATE = record({"value": maybe(number)}, {"low": maybe(number), "high": maybe(number)})
_SCORE = record({"model": text, "output": text, "scope": text, "n": whole(0), "metrics": mapping(_ESTIMATE)})
"""A row of metrics.json."""

_SIDE = maybe(record({"n": whole(0), "pearson_r2": _ESTIMATE}, {"r2": _ESTIMATE}))
_COUNTED = record(
    {
        "overlap": name,
        "definition": text,
        "tested": whole(0),
        "overlapping": whole(0),
        "by_fold": list_of(record({"fold": whole(0), "tested": whole(0), "overlapping": whole(0)})),
        "metrics": mapping(record({}, {"overlapping": _SIDE, "others": _SIDE})),
    }
)
_SKIPPED = record({"overlap": name, "skipped": text})


def _overlap(value: Any, where: str) -> None:
    """An entry of audit.json."""
    (_SKIPPED if isinstance(value, dict) and "skipped" in value else _COUNTED)(value, where)


def _read_audit(path: Path) -> list[dict[str, Any]]:
    expected = "the overlap audit of a run"
    entries = _read_list(path, expected, _overlap)
    folds = [[part["fold"] for part in entry["by_fold"]] for entry in entries if "skipped" not in entry]
    if any(others != folds[0] for others in folds):
        raise InputError(path, found="overlaps counted over different folds", expected=expected)
    return entries
