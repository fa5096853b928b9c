"""Write and read the tables of predictions and scores that a run holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqexpr.files import atomic_path
from seqexpr.own_files import read_own_table


def prediction_rows(
    genes: pd.DataFrame,
    indices: np.ndarray,
    predicted: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    **columns: Any,
) -> pd.DataFrame:
    """Predictions as a long table: id, chrom, the given columns, output, label, prediction.

    Args:
        genes: the dataset's genes.
        indices: rows that were predicted (n,).
        predicted: (n, outputs).
        labels: of all genes, (genes, outputs); missing ones stay empty in the table.
        names: of the outputs.
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
            }
        )
        for column, name in enumerate(names)
    ]
    return pd.concat(tables, ignore_index=True)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A tab-separated file; missing numbers are empty. Numbers keep all their digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """The predictions that `write_table` wrote, to the last digit.

    Raises:
        InputError: the file is damaged; the line and the column are named.
    """
    # float() reads back exactly what was written, which not every version of pandas does by default.
    columns = {"id": "text", "output": "text", "label": "number", "prediction": "number"}
    optional = {"chrom": "text", "fold": "whole", "split": "text"}
    return read_own_table(path, columns, "the predictions of a run", optional=optional)
