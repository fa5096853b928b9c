"""Predictions of held-out genes, read back from a run folder or from a table of anybody's."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqexpr.datasets.tables import TextTable, read_table
from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.manifest import read_manifest


@dataclass(frozen=True)
class HeldOut:
    """What one model predicted for genes that it was tested on and that have a label."""

    name: str
    """Of the run, the table or the baseline, as the user knows it."""
    file: str
    """Where the predictions were read."""
    table: pd.DataFrame
    """Columns output ("" where the file has no such column), id, label, prediction; a gene once for each output."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Of the run; empty for a table."""
    part: str = ""
    """Of a `train` run: "test", or "valid" where there is no test part."""

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs, in the file's order."""
        return list(dict.fromkeys(self.table["output"]))

    @property
    def names_outputs(self) -> bool:
        """Whether the file says which output its predictions are for."""
        return self.outputs != [""]

    @property
    def permuted(self) -> bool:
        """Whether the run is a negative control, with permuted labels."""
        return bool(self.manifest.get("options", {}).get("permute_labels"))

    def of(self, output: str) -> pd.DataFrame:
        """Columns id, label, prediction of one output, or of the only one that has no name."""
        table = self.table[self.table["output"] == output] if self.names_outputs else self.table
        return table[["id", "label", "prediction"]]


def read_held_out(path: str | Path) -> HeldOut:
    """Predictions of a run of `cv` or `train`, or of a table.

    Args:
        path: a run folder, of whose `train` the test part is taken where there is one; or a table (TSV; CSV by suffix;
            gzipped or not; "-" is standard input) whose first column is the gene id, with the columns label and
            prediction, and output where it holds several.

    Raises:
        InputError: not a run, or a table that is not as it should be.
        MissingDataError: a run that has not ended.
    """
    folder = Path(path)
    if not folder.is_dir():
        (predicted,) = _models(path).values()
        return HeldOut(str(path), str(path), predicted)
    manifest = _run_manifest(folder)
    file = folder / "predictions.tsv"
    if not file.exists():
        command = _rest(folder, manifest)
        raise MissingDataError(f"{folder} has no predictions.tsv: the run has not ended; run: {command}")
    (predicted,) = _models(file).values()
    part = ""
    if "split" in predicted:
        part = "test" if (predicted["split"] == "test").any() else "valid"
        predicted = predicted[predicted["split"] == part]
    return HeldOut(str(path), str(file), predicted, manifest, part)


def read_baselines(folder: str | Path) -> list[HeldOut]:
    """Predictions of a run's baselines, each under its own name.

    Raises:
        UsageError: a table and no run, or a `train` run without test genes, which has no baselines.
        InputError: not a run, or a table that is not as it should be.
        MissingDataError: a `cv` run without baselines.tsv.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no run folder and so has no baselines; name a second run or table")
    manifest = _run_manifest(folder)
    file = folder / "baselines.tsv"
    if not file.exists():
        if manifest["kind"] == "train":
            raise UsageError(f"{folder} has no baselines, for it has no test genes; name a second run to compare with")
        command = shlex.join(["seqexpr", "cv", "--merge", str(folder)])
        raise MissingDataError(f"{folder} has no baselines.tsv; run: {command}")
    return [HeldOut(name, str(file), table, manifest) for name, table in _models(file).items()]


def _run_manifest(folder: Path) -> dict[str, Any]:
    manifest = read_manifest(folder)
    if manifest.get("kind") not in ("cv", "train"):
        found = f"a folder of kind {manifest.get('kind')!r}"
        raise InputError(folder, found=found, expected="the run folder of cv or train")
    return manifest


def _rest(folder: Path, manifest: dict[str, Any]) -> str:
    """The command that ends a run."""
    command = [str(word) for word in manifest.get("command", [])]
    if "merged" in manifest or any(word.split("=")[0] in ("--only-fold", "--merge") for word in command):
        return shlex.join(["seqexpr", "cv", "--merge", str(folder)])
    return shlex.join(command if "--resume" in command else [*command, "--resume"])


def _models(path: str | Path) -> dict[str, pd.DataFrame]:
    """The table's labelled genes by model ("" where it has no such column)."""
    text = read_table(path)
    if absent := [name for name in ("label", "prediction") if name not in text.columns[1:]]:
        found = f"no column {' and no column '.join(absent)}"
        raise InputError(path, record="header", found=found, expected="an id column, [output,] label and prediction")
    table = pd.DataFrame({"id": [row[0] for row in text.rows]}, dtype=object)
    for name in ("model", "output", "split"):
        if name in text.columns[1:]:
            table[name] = np.array(text.column(name), dtype=object)
    table[["label", "prediction"]] = text.numbers(("label", "prediction"))
    table = table.assign(**{name: "" for name in ("model", "output") if name not in table})
    _check(text, table)
    kept = table.dropna(subset=["label"])
    if not len(kept):
        raise InputError(path, found="no gene with a label", expected="labels to judge the predictions by")
    return {str(model): part.drop(columns="model") for model, part in kept.groupby("model", sort=False)}


def _check(text: TextTable, table: pd.DataFrame) -> None:
    """Each gene once, and with a prediction."""
    repeated = table.duplicated(["model", "output", "id"]).to_numpy()
    unnamed = (table["id"] == "").to_numpy()
    unpredicted = (table["prediction"].isna() & table["label"].notna()).to_numpy()
    for bad, found, expected in (
        (unnamed, "an empty id", "a gene id in the first column"),
        (repeated, "this gene again", "one row per gene and output"),
        (unpredicted, "a label and no prediction", "a prediction of every gene that has a label"),
    ):
        if bad.any():
            row = int(bad.argmax())
            record = f"line {text.lines[row]}, id {table['id'].iloc[row]!r}"
            raise InputError(text.file, record=record, found=found, expected=expected)
