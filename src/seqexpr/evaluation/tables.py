"""Write and read the tables of predictions and scores that a run holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqexpr.evaluation.metrics import METRICS
from seqexpr.files import atomic_path
from seqexpr.manifest import SCORE
from seqexpr.own_files import list_of, read_json, read_own_table

LARGEST = 1e30
"""No prediction is larger: the square of a difference still is a number."""


def prediction_rows(
    genes: pd.DataFrame,
    indices: np.ndarray,
    predicted: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    *,
    sd: np.ndarray | None = None,
    **columns: Any,
) -> pd.DataFrame:
    """Predictions as a long table: id, chrom, the given columns, output, label, prediction and sd, where it is known.

    Args:
        genes: the dataset's genes.
        indices: rows that were predicted (n,).
        predicted: (n, outputs).
        labels: of all genes, (genes, outputs); missing ones stay empty in the table.
        names: of the outputs.
        sd: errors to expect (n, outputs), NaN where they are not known.
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
                **({} if sd is None or np.isnan(sd).all() else {"sd": sd[:, column]}),
            }
        )
        for column, name in enumerate(names)
    ]
    return pd.concat(tables, ignore_index=True)


def table_text(table: pd.DataFrame) -> str:
    """The table as tab-separated text; missing numbers are empty. Numbers keep all their digits."""
    return table.to_csv(sep="\t", index=False, lineterminator="\n")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write `table_text`, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(table_text(table).encode())


def read_table(path: Path) -> pd.DataFrame:
    """The predictions that `write_table` wrote, to the last digit.

    Raises:
        InputError: the file is damaged; the line and the column are named.
    """
    # float() reads back exactly what was written, which not every version of pandas does by default.
    columns = {"id": "text", "output": "text", "label": "number", "prediction": "number"}
    optional = {"chrom": "text", "fold": "whole", "split": "text", "sd": "number"}
    table = read_own_table(path, columns, "the predictions of a run", optional=optional)
    return table.assign(model=table["model"].map(current_name)) if "model" in table else table


def current_name(model: str) -> str:
    """A model's name in files; those of version 0.1 wrote one of them with a space."""
    return "untrained_model" if model == "untrained model" else model


def places_of(table: pd.DataFrame, ids: Sequence[str], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Row of the dataset and number of the output for each row of a table of predictions, (rows,) each.

    Raises:
        KeyError: a gene or an output that is not the dataset's.
        ValueError: a gene twice for one output.
    """
    place = pd.Series(np.arange(len(ids)), index=list(ids))
    output = pd.Series(np.arange(len(names)), index=list(names))
    rows, columns = place[table["id"]].to_numpy(), output[table["output"]].to_numpy()
    if len(np.unique(rows * len(names) + columns)) != len(table):
        raise ValueError("a gene has two predictions of one output")
    return rows, columns


def values_of(table: pd.DataFrame, ids: Sequence[str], names: Sequence[str], tested: np.ndarray) -> np.ndarray:
    """The predictions of a table as an array (genes, outputs), NaN for genes that are not tested.

    Args:
        table: one model's, with the columns id, output and prediction.
        ids: of the dataset's genes.
        names: of the outputs.
        tested: rows of the dataset that the table must hold (n,).

    Raises:
        KeyError, ValueError: other genes or outputs than these, or predictions that are no finite numbers.
    """
    rows, columns = places_of(table, ids, names)
    values = np.full((len(ids), len(names)), np.nan)
    values[rows, columns] = table["prediction"]
    if len(table) != len(tested) * len(names) or not (np.abs(values[tested]) <= LARGEST).all():
        raise ValueError("predictions of other genes, or some that are not finite")
    return values


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.json`; none where there is no such file.

    Raises:
        InputError: the file is damaged; what is wrong is named.
    """
    rows: list[dict[str, Any]] = read_json(path, "the metrics of a run", list_of(SCORE)) if path.exists() else []
    return [{**row, "model": current_name(row["model"])} for row in rows]


_BOUNDS = ("value", "low", "high")


def metrics_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of `metrics.json` as a table: model, label, scope, n, five metrics with their 95 % intervals, leads.

    A metric has the columns `r2`, `r2_low` and `r2_high`. `lead` is the trained network's squared Pearson correlation
    minus that of the row's model, with `lead_low` and `lead_high`; it is empty for the network itself and within folds.
    """
    cells = []
    for row in rows:
        line: dict[str, Any] = {"model": row["model"], "label": row["output"], "scope": row["scope"], "n": row["n"]}
        leads = (row.get("difference") or {}).get("pearson_r2", {})
        for name, estimate in [*((name, row["metrics"][name]) for name in METRICS), ("lead", leads)]:
            for bound in _BOUNDS:
                line[name if bound == "value" else f"{name}_{bound}"] = estimate.get(bound)
        cells.append(line)
    columns = [name if bound == "value" else f"{name}_{bound}" for name in (*METRICS, "lead") for bound in _BOUNDS]
    return pd.DataFrame(cells, columns=["model", "label", "scope", "n", *columns])
