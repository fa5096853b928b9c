"""Figures of single genes and of the training: predictions, residuals, learning curves."""

from __future__ import annotations

from html import escape

import pandas as pd

from seqexpr.evaluation import figures
from seqexpr.evaluation.report.markup import drawn, section
from seqexpr.evaluation.report.run import Run


def predictions(run: Run) -> str:
    """Predicted against actual, and residuals by chromosome, of every output."""
    chosen, heading = run.predictions, "Predictions"
    if "split" in chosen:  # of `train`: the test part says more than the validation part, where there is one
        scope = "test" if (chosen["split"] == "test").any() else "valid"
        chosen, heading = chosen[chosen["split"] == scope], f"Predictions of the {scope} part"
    parts = [
        f'<h3>{escape(str(output))}</h3><div class="figures">{_drawings(table, str(output))}</div>'
        for output, table in (chosen.groupby("output", sort=False) if len(chosen) else ())
    ]
    return section(heading, "".join(parts)) if parts else ""


def _drawings(table: pd.DataFrame, output: str) -> str:
    actual, predicted = table["label"].to_numpy(float), table["prediction"].to_numpy(float)
    scatter = figures.predicted_against_actual(actual, predicted, output)
    drawings = drawn(scatter, f"{len(table):,} genes; dashed line: predicted = actual")
    located = table[table["chrom"] != ""] if "chrom" in table else table[:0]
    if len(located) and located["chrom"].nunique() > 1:
        residuals = (located["label"] - located["prediction"]).to_numpy(float)
        boxes = figures.residuals_by_chromosome(located["chrom"].tolist(), residuals)
        spread = "median, quartiles and the middle 90 % of actual − predicted"
        drawings += drawn(boxes, f"Residuals of {len(located):,} genes: {spread}")
    return drawings


def learning_curves(run: Run) -> str:
    """Losses and validation r² by epoch."""
    if "epoch" not in run.history or not {"valid_loss", "valid_r2"} & set(run.history):
        return ""
    caption = "The dot marks the best epoch"
    if "fold" in run.history:
        caption = f"{run.history['fold'].nunique()} folds, a line each; the dot marks its best epoch"
    return section("Learning curves", drawn(figures.learning_curves(run.history), caption))
