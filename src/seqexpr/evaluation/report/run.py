"""What a report is made of: the files of a run folder, as far as they are there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from seqexpr.errors import InputError
from seqexpr.manifest import read_manifest

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
    rows = _read_list(folder / "metrics.json", "the metrics of a run")
    audit = _read_list(folder / "audit.json", "the overlap audit of a run")
    return Run(folder, manifest, rows, audit, _read_history(folder), _read_predictions(folder))


def _read_list(path: Path, expected: str) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(path, found="text that is not JSON", expected=expected) from None
    if not isinstance(entries, list):
        raise InputError(path, found=f"JSON that is no list but a {type(entries).__name__}", expected=expected)
    return entries


def _read_history(folder: Path) -> pd.DataFrame:
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    epochs = []
    for number, line in enumerate(lines, start=1):
        try:
            epochs.append(json.loads(line))
        except ValueError:
            if number < len(lines):  # a run that was cut off may leave half of its last line
                raise InputError(
                    path,
                    record=f"line {number}",
                    found="text that is not JSON",
                    expected="one JSON object a line",
                ) from None
    history = pd.DataFrame(epochs)
    numbers = [name for name in ("epoch", "train_loss", "valid_loss", "valid_r2") if name in history]
    history[numbers] = history[numbers].astype(float)
    return history.dropna(axis="columns", how="all")


def _read_predictions(folder: Path) -> pd.DataFrame:
    path = folder / "predictions.tsv"
    if not path.exists():
        return pd.DataFrame()
    texts = {"id": str, "chrom": str, "fold": str, "output": str}
    table = pd.read_csv(path, sep="\t", dtype=texts, keep_default_na=False, na_values={"label": [""]})
    absent = [name for name in ("output", "label", "prediction") if name not in table]
    if absent:
        raise InputError(path, found=f"no column {', '.join(absent)}", expected="the predictions of a run")
    return table.dropna(subset=["label", "prediction"])
