"""Single genes and the training: predictions, errors, the worst predicted genes, calibration, learning curves."""

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
    return Figure(drawing, alt, f"{output}: {len(table):,} genes{part}; dashed line: predicted = measured")


def predictions(run: Run) -> Section | None:
    """Errors by chromosome and the worst predicted genes of every output; the first scatter heads the page."""
    parts = []
    for place, (output, table) in enumerate(by_output(run)):
        drawings = (*([scatter(run, output, table)] if place else []), *_errors(table))
        if drawings:
            parts.append(Part(run.titled(output), figures=drawings))
        heading = f"{run.titled(output)}: the genes with the largest errors"
        parts.append(Part(heading, table=_worst(run, table)))
    note = "Error: predicted − measured. A large error may be the model's, or the label's, or the annotation's."
    return Section(f"Predictions{_said_most(run)[1]}", tuple(parts), note) if parts else None


def _errors(table: pd.DataFrame) -> tuple[Figure, ...]:
    located = table[table["chrom"] != ""] if "chrom" in table else table[:0]
    if not len(located) or located["chrom"].nunique() < 2:
        return ()
    errors = (located["prediction"] - located["label"]).to_numpy(float)
    boxes = figures.errors_by_chromosome(located["chrom"].tolist(), errors)
    alt = "Predicted minus measured by chromosome, a box each"
    caption = f"Errors of {len(located):,} genes: median, quartiles and the middle 90 % of predicted − measured"
    return (Figure(boxes, alt, caption),)


def _worst(run: Run, table: pd.DataFrame) -> Table:
    errors = table["prediction"] - table["label"]
    rows = table.assign(error=errors).loc[errors.abs().sort_values(ascending=False, kind="stable").index[:WORST]]
    records = [dict(row) for _, row in rows.iterrows()]
    columns = {
        "gene": [str(record["id"]) for record in records],
        "symbol": [run.symbol(record) for record in records],
        "chromosome": [str(record.get("chrom", "")) for record in records],
        "fold": [str(record.get("fold", "")) for record in records],
    }
    named = {name: texts for name, texts in columns.items() if any(texts)}
    lines = []
    for place, record in enumerate(records):
        names = [texts[place] or "–" for texts in named.values()]
        values = (number(record["label"]), number(record["prediction"]), number(record["error"], "+"))
        lines.append(Row(cells(*names, *values)))
    return Table((*named, "measured", "predicted", "error"), tuple(lines))


def calibration(run: Run) -> Section | None:
    """Whether the errors are as large as the predictions' sd says; None where the run has no sd."""
    parts, without = [], []
    for output, table in by_output(run):
        known = table[table["sd"] > 0] if "sd" in table else table[:0]
        if len(known):
            error = (known["prediction"] - known["label"]).to_numpy(float)
            drawing = figures.calibration(error, known["sd"].to_numpy(float))
            alt = f"Share of genes whose {output} lies in the interval, over the share that should"
            left_out = f"; {len(table) - len(known):,} without a positive sd are left out"
            caption = f"{len(known):,} genes{left_out if len(known) < len(table) else ''}; dashed line: as they should"
            parts.append(Part(run.titled(output), figures=(Figure(drawing, alt, caption),)))
        else:
            without.append(output)
    note = (
        "For each probability p, the share of genes whose measured value lies in the central interval of a normal "
        "distribution around the prediction with the predicted sd. Below the line the sd is too small, above it too "
        "large."
    )
    if without:
        note += f" Without an sd, and so not shown: {', '.join(without)}."
    return Section("Calibration of the predicted sd", tuple(parts), note) if parts else None


def learning_curves(run: Run) -> Section | None:
    """Losses and validation r² by epoch."""
    measures = [name for name in ("valid_loss", "valid_r2") if name in run.history and "epoch" in run.history]
    if not measures:
        return None
    caption = "The dot marks the best epoch"
    if "fold" in run.history:
        caption = f"{run.history['fold'].nunique()} folds, a line each; the dot marks its best epoch"
    alts = {"valid_loss": "Losses by epoch", "valid_r2": "Validation r² by epoch"}
    drawings = (Figure(figures.learning_curve(run.history, name), alts[name], caption) for name in measures)
    return Section("Learning curves", (Part(figures=tuple(drawings)),))
