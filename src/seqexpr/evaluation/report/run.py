"""What a report is made of: the files of a run folder, as far as they are there."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from seqexpr.errors import InputError
from seqexpr.evaluation.tables import read_metrics, read_table
from seqexpr.manifest import EPOCH, ESTIMATE, read_manifest
from seqexpr.models.trained import ModelMetadata, read_metadata
from seqexpr.own_files import (
    Shape,
    is_printable,
    list_of,
    mapping,
    maybe,
    name,
    read_json,
    read_json_lines,
    read_own_table,
    record,
    text,
    whole,
)

logger = logging.getLogger(__name__)

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
    failures: list[dict[str, Any]] = field(default_factory=list)  # of failed.json
    units: Mapping[str, str] = field(default_factory=dict)  # of the labels; those that are not known are not there
    symbols: Mapping[str, str] = field(default_factory=dict)  # of genes, by id
    training: Mapping[str, Any] = field(default_factory=dict)  # what the weights say of how they came about

    @property
    def options(self) -> dict[str, Any]:
        """The resolved options of the manifest."""
        options = self.manifest.get("options", {})
        return options if isinstance(options, dict) else {}

    @property
    def outputs(self) -> list[str]:
        """The labels that were evaluated, in the order of metrics.json."""
        return list(dict.fromkeys(str(row["output"]) for row in self.rows))

    def titled(self, output: str) -> str:
        """A label with its unit, where that is known."""
        unit = self.units.get(output, "")
        return f"{output} ({unit})" if unit else output

    def symbol(self, row: Mapping[str, Any]) -> str:
        """The symbol of a gene in a row of predictions.tsv; "" where it is not known."""
        return str(row.get("symbol") or self.symbols.get(str(row["id"]), ""))

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
    rows = read_metrics(folder / "metrics.json")
    audit = read_audit(folder / "audit.json")
    history, predictions = _read_history(folder), _read_predictions(folder)
    failures = _read_list(folder / "failed.json", "what failed in a run", _FAILURE)
    dataset = _dataset_folder(manifest)
    weights = _read_weights(folder)
    units = {output.name: output.unit for output in weights.outputs if output.unit} if weights else _units_of(dataset)
    return Run(
        folder,
        manifest,
        _complete(rows),
        audit,
        history,
        predictions,
        failures,
        units=units,
        symbols=_read_symbols(dataset),
        training=weights.training if weights else {},
    )


def _complete(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in which r2, low and high may be missing, as those of older runs, with None there."""
    blank = {"value": None, "low": None, "high": None}

    def filled(estimates: Mapping[str, Any]) -> dict[str, Any]:
        return {name: {**blank, **estimate} for name, estimate in estimates.items()}

    complete = []
    for row in rows:
        row = {**row, "metrics": {"r2": blank, **filled(row["metrics"])}}
        if row.get("difference"):
            row["difference"] = filled(row["difference"])
        complete.append(row)
    return complete


def _dataset_folder(manifest: dict[str, Any]) -> Path | None:
    """Where the dataset of a run lies, if it still is there."""
    options = manifest.get("options")
    dataset = options.get("dataset") if isinstance(options, dict) else None
    folder = dataset.get("folder") if isinstance(dataset, dict) else dataset
    if not isinstance(folder, str) or not folder or not is_printable(folder):
        return None
    return Path(folder) if os.path.isabs(folder) and os.path.isdir(folder) else None


def _read_weights(folder: Path) -> ModelMetadata | None:
    """What the run's weights, or those of its first fold, say of themselves; None where they cannot be read."""
    for path in [*folder.glob("weights.safetensors"), *sorted(folder.glob("folds/*/weights.safetensors"))][:1]:
        try:
            return read_metadata(path)
        except InputError as problem:
            logger.warning("the report has nothing from the weights, such as units of the labels: %s", problem)
    return None


def _units_of(dataset: Path | None) -> dict[str, str]:
    """The units of a dataset's labels; none where it cannot be read."""
    if dataset is None:
        return {}
    try:
        units = read_manifest(dataset).get("label_units", {})
    except InputError as problem:
        logger.warning("the report has no units of the labels: %s", problem)
        return {}
    return {str(label): str(unit) for label, unit in units.items() if unit} if isinstance(units, dict) else {}


def _read_symbols(dataset: Path | None) -> dict[str, str]:
    """Symbols of genes by id; none where the dataset has none or cannot be read."""
    path = dataset / "genes.tsv" if dataset else None
    if path is None or not path.exists():
        return {}
    try:
        table = read_own_table(path, {"id": "text"}, "the genes of a dataset", quoted=False)
    except InputError as problem:
        logger.warning("the report has no symbols of the genes: %s", problem)
        return {}
    return dict(zip(table["id"], table["symbol"], strict=True)) if "symbol" in table else {}


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


_FAILURE = record({"what": text, "error": text})
"""An entry of failed.json."""

_SIDE = maybe(record({"n": whole(0), "pearson_r2": ESTIMATE}, {"r2": ESTIMATE}))
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


def read_audit(path: Path) -> list[dict[str, Any]]:
    """The entries of audit.json; none where there is no such file.

    Raises:
        InputError: the file is damaged; the key is named.
    """
    expected = "the overlap audit of a run"
    entries = _read_list(path, expected, _overlap)
    folds = [[part["fold"] for part in entry["by_fold"]] for entry in entries if "skipped" not in entry]
    if any(others != folds[0] for others in folds):
        raise InputError(path, found="overlaps counted over different folds", expected=expected)
    return entries
