"""Single genes and the training: predictions, residuals, the worst predicted genes, calibration, learning curves."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from seqexpr.evaluation import figures
from seqexpr.evaluation.report.run import Run
from seqexpr.evaluation.report.view import Figure, Part, Row, Section, Table, cells, number

WORST = 10
"""Genes that are shown by name for each label."""


def by_output(run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    """The label and the predictions of each output, of the genes that say most."""
    chosen, _ = _said_most(run)
    for output, table in chosen.groupby("output", sort=False) if len(chosen) else ():
        yield str(output), table


def _said_most(run: Run) -> tuple[pd.DataFrame, str]:
    """Of `train`: the test part, which says more than the validation part, where there is one; of `cv` all genes."""
    if "split" not in run.predictions:
        return run.predictions, ""
    scope = "test" if (run.predictions["split"] == "test").any() else "valid"
    return run.predictions[run.predictions["split"] == scope], f" of the {scope} part"


def scatter(run: Run, output: str, table: pd.DataFrame) -> Figure:
    """Predicted over measured values."""
    measured, predicted = table["label"].to_numpy(float), table["prediction"].to_numpy(float)
    drawing = figures.predicted_against_measured(measured, predicted, run.titled(output))
    part = _said_most(run)[1]
    alt = f"Predicted over measured {output} of {len(table):,} genes"
    return Figure(drawing, alt, f"{output}: {len(table):,} genes{part}; dashed line: predicted = measured", wide=False)


def predictions(run: Run) -> Section | None:
    """Residuals by chromosome and the worst predicted genes of every output; the first scatter heads the page."""
    parts = []
    for place, (output, table) in enumerate(by_output(run)):
        drawings = [] if place == 0 else [scatter(run, output, table)]
        parts.append(Part(run.titled(output), figures=(*drawings, *_residuals(table))))
        heading = f"{run.titled(output)}: the genes with the largest errors"
        parts.append(Part(heading, table=_worst(run, table)))
    note = "Error: predicted − measured. A large error may be the model's, or the label's, or the annotation's."
    return Section(f"Predictions{_said_most(run)[1]}", tuple(parts), note) if parts else None


def _residuals(table: pd.DataFrame) -> tuple[Figure, ...]:
    located = table[table["chrom"] != ""] if "chrom" in table else table[:0]
    if not len(located) or located["chrom"].nunique() < 2:
        return ()
    residuals = (located["label"] - located["prediction"]).to_numpy(float)
    boxes = figures.residuals_by_chromosome(located["chrom"].tolist(), residuals)
    spread = "median, quartiles and the middle 90 % of measured − predicted"
    alt = "Measured minus predicted by chromosome, a box each"
    return (Figure(boxes, alt, f"Residuals of {len(located):,} genes: {spread}"),)


def _worst(run: Run, table: pd.DataFrame) -> Table:
    errors = table["prediction"] - table["label"]
    rows = table.assign(error=errors).loc[errors.abs().sort_values(ascending=False, kind="stable").index[:WORST]]
    records = [dict(row) for _, row in rows.iterrows()]
    symbols = [run.symbol(record) for record in records]
    lines = []
    for symbol, row in zip(symbols, records, strict=True):
        name = [str(row["id"]), *([symbol or "–"] if any(symbols) else [])]
        name += [str(row["chrom"])] if "chrom" in table else []
        name += [str(row["fold"])] if "fold" in table else []
        values = (number(row["label"]), number(row["prediction"]), number(row["error"], "+"))
        lines.append(Row(cells(*name, *values)))
    optional = {"symbol": any(symbols), "chromosome": "chrom" in table, "fold": "fold" in table}
    head = ("gene", *(name for name, there in optional.items() if there), "measured", "predicted", "error")
    return Table(head, tuple(lines))


def calibration(run: Run) -> Section | None:
    """Whether the errors are as large as the predictions' sd says; None where the run has no sd."""
    parts = []
    for output, table in by_output(run):
        known = table[table["sd"] > 0] if "sd" in table else table[:0]
        if len(known):
            error = (known["prediction"] - known["label"]).to_numpy(float)
            drawing = figures.calibration(error, known["sd"].to_numpy(float))
            alt = f"Share of genes whose {output} lies in the interval, over the share that should"
            left_out = f"; {len(table) - len(known):,} without a positive sd are left out"
            caption = f"{len(known):,} genes{left_out if len(known) < len(table) else ''}; dashed line: as they should"
            parts.append(Part(run.titled(output), figures=(Figure(drawing, alt, caption, wide=False),)))
    note = (
        "For each probability p, the share of genes whose measured value lies in the central interval of a normal "
        "distribution around the prediction with the predicted sd. Below the line the sd is too small, above it too "
        "large."
    )
    return Section("Calibration of the predicted sd", tuple(parts), note) if parts else None


def learning_curves(run: Run) -> Section | None:
    """Losses and validation r² by epoch."""
    if "epoch" not in run.history or not {"valid_loss", "valid_r2"} & set(run.history):
        return None
    caption = "The dot marks the best epoch"
    if "fold" in run.history:
        caption = f"{run.history['fold'].nunique()} folds, a line each; the dot marks its best epoch"
    drawing = Figure(figures.learning_curves(run.history), "Losses and validation r² by epoch", caption)
    return Section("Learning curves", (Part(figures=(drawing,)),))
