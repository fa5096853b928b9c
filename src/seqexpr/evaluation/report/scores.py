"""How good each model is: over all tested genes, and fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from seqexpr.evaluation import figures
from seqexpr.evaluation.figures import natural_order
from seqexpr.evaluation.metrics import LOWER_IS_BETTER, METRICS
from seqexpr.evaluation.report.run import HEADLINES, Run
from seqexpr.evaluation.report.view import (
    DRAWN,
    HEADINGS,
    Cell,
    Figure,
    Part,
    Row,
    Section,
    Table,
    cells,
    estimate_cell,
    listed,
    value_of,
)
from seqexpr.evaluation.verdict import MODEL, spoken

_MOST_CHROMOSOMES = 40
"""A draft assembly may have thousands of scaffolds."""

_NOTE = (
    "95 % bootstrap intervals over genes; the best value of a column is bold. r² is 1 − SSR/SST and also asks for the "
    "right scale; Pearson r² is what most publications call r². RMSE has the label's unit. “High expressed found” is "
    "the share of the top-decile genes whose prediction is above the median prediction. A dash: not defined, as for "
    "constant predictions. " + figures.ARROWS
)
_POOLED = " Folds are pooled; each has a training mean of its own, so the pooled mean is not constant."


def summary(run: Run) -> Section | None:
    """Every model's metrics over all tested genes, as a table and a figure."""
    parts = []
    for output, scope in product(run.outputs, HEADLINES):
        if rows := run.select(output, scope):
            n = max(int(row["n"]) for row in rows)
            heading = f"{run.titled(output)}: {n:,} genes, {HEADLINES[scope]}"
            parts.append(Part(heading, table=_summary_table(rows), figures=_summary_figures(rows, n)))
    pooled = _POOLED if run.manifest["kind"] == "cv" else ""
    return Section("Summary", tuple(parts), _NOTE + pooled) if parts else None


def _summary_table(rows: Sequence[dict[str, Any]]) -> Table:
    present = [name for name in METRICS if any(name in row["metrics"] for row in rows)]
    best = {name: _best(rows, name) for name in present}
    lines = []
    for row in rows:
        estimates = (_cell(row, name, row is best[name]) for name in present)
        lines.append(Row((Cell(spoken(row["model"])), *estimates), own=row["model"] == MODEL))
    return Table(("model", *(HEADINGS[name] for name in present)), tuple(lines))


def _best(rows: Sequence[dict[str, Any]], metric: str) -> dict[str, Any] | None:
    known = [(value, row) for row in rows if (value := value_of(row, metric)) is not None]
    if not known:
        return None
    return (min if metric in LOWER_IS_BETTER else max)(known, key=lambda pair: pair[0])[1]


def _cell(row: dict[str, Any], metric: str, best: bool, ends: int = 3) -> Cell:
    return estimate_cell(row["metrics"].get(metric), "best" if best else "", ends=ends)


def _summary_figures(rows: Sequence[dict[str, Any]], n: int) -> tuple[Figure, ...]:
    drawings = []
    for metric in DRAWN:
        estimates = [
            (spoken(row["model"]), *figures.with_interval(row["metrics"][metric]))
            for row in rows
            if value_of(row, metric) is not None
        ]
        if len(estimates) > 1:
            name = HEADINGS[metric]
            alt = f"{name} of each model with its 95 % interval; the table has the numbers"
            caption = f"{name} of {n:,} genes with its 95 % interval"
            drawings.append(Figure(figures.forest(estimates, MODEL, name), alt, caption))
    return tuple(drawings)


def folds(run: Run) -> Section | None:
    """Every model's metrics in each fold, and which chromosomes a fold tests."""
    parts = []
    for output in run.outputs:
        scopes = list(dict.fromkeys(str(row["scope"]) for row in run.rows if str(row["output"]) == output))
        scopes = [scope for scope in scopes if scope not in HEADLINES]
        for metric in DRAWN if scopes else ():
            models = list(dict.fromkeys(row["model"] for row in run.rows if str(row["output"]) == output))
            head = ("tested in", "n", *map(spoken, models))
            lines = [_fold_line(scope, run.select(output, scope), models, metric) for scope in scopes]
            parts.append(Part(f"{run.titled(output)}, {HEADINGS[metric]}", table=Table(head, tuple(lines))))
    if not parts:
        return None
    note = "The best value of a fold is bold; 95 % bootstrap intervals, to two decimals."
    return Section("Folds", tuple(parts), note)


def _fold_line(scope: str, rows: Sequence[dict[str, Any]], models: Sequence[str], metric: str) -> Row:
    by_model = {row["model"]: row for row in rows}
    best = _best(rows, metric)
    estimates = (
        _cell(by_model[name], metric, by_model[name] is best, ends=2) if name in by_model else Cell("")
        for name in models
    )
    return Row((*cells(scope, f"{max(int(row['n']) for row in rows):,}"), *estimates))


def chromosomes(run: Run) -> Section | None:
    """Which chromosomes the genes of each fold, or of each part of `train`, lie on, with numbers of genes."""
    table = run.predictions
    column = next((name for name in ("fold", "split") if name in table), None)
    if column is None or "chrom" not in table:
        return None
    located = table[table["chrom"] != ""].drop_duplicates(["id", column])
    if not len(located):
        return None
    lines = []
    for part, genes in located.groupby(column, sort=column == "fold"):
        counts = genes["chrom"].value_counts()
        names = sorted(map(str, counts.index), key=natural_order)
        where = listed([f"{name} ({counts[name]:,})" for name in names], _MOST_CHROMOSOMES)
        lines.append(Row(cells(f"fold {part}" if column == "fold" else f"{part} part", f"{len(genes):,}", where)))
    head = ("tested in" if column == "fold" else "part", "genes", "chromosomes (genes)")
    parts = (Part(table=Table(head, tuple(lines))),)
    return Section("Chromosomes", parts, "Genes with a label that were predicted.", text=True)
