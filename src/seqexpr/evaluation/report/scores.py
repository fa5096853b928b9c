"""How good each model is: over all tested genes, and fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import product
from typing import Any

from seqexpr.evaluation import figures
from seqexpr.evaluation.metrics import LOWER_IS_BETTER, METRICS
from seqexpr.evaluation.report.markup import HEADINGS, drawn, estimate_cell, note, section, spoken, table, value_of
from seqexpr.evaluation.report.run import HEADLINES, MODEL, Run

_FOLD_METRICS = ("r2", "pearson_r2")

_NOTE = (
    "95 % bootstrap intervals over genes; the best value of a column is bold. r² is 1 − SSR/SST and also asks for the "
    "right scale; Pearson r² is what most publications call r². “High expressed found” is the share of the top-decile "
    "genes whose prediction is above the median prediction. A dash: not defined, as for constant predictions."
)
_POOLED = " Folds are pooled; each has a training mean of its own, so the pooled mean is not constant."


def summary(run: Run) -> str:
    """Every model's metrics over all tested genes, as a table and a figure."""
    parts = []
    for output, scope in product(run.outputs, HEADLINES):
        if rows := run.select(output, scope):
            n = max(int(row["n"]) for row in rows)
            heading = f"<h3>{escape(output)}: {n:,} genes, {HEADLINES[scope]}</h3>"
            parts.append(f"{heading}{_summary_table(rows)}{_summary_figure(rows)}")
    if not parts:
        return ""
    pooled = _POOLED if run.manifest["kind"] == "cv" else ""
    return section("Summary", "".join(parts) + note(_NOTE + pooled))


def _summary_table(rows: Sequence[dict[str, Any]]) -> str:
    present = [name for name in METRICS if any(name in row["metrics"] for row in rows)]
    best = {name: _best(rows, name) for name in present}
    lines = []
    for row in rows:
        cells = "".join(_cell(row, name, row is best[name]) for name in present)
        kind = ' class="model"' if row["model"] == MODEL else ""
        lines.append(f"<tr{kind}><td>{escape(spoken(row['model']))}</td>{cells}</tr>")
    return table(["model", *(HEADINGS[name] for name in present)], lines)


def _best(rows: Sequence[dict[str, Any]], metric: str) -> dict[str, Any] | None:
    known = [(value, row) for row in rows if (value := value_of(row, metric)) is not None]
    if not known:
        return None
    return (min if metric in LOWER_IS_BETTER else max)(known, key=lambda pair: pair[0])[1]


def _cell(row: dict[str, Any], metric: str, best: bool) -> str:
    return estimate_cell(row["metrics"].get(metric), "best" if best else "")


def _summary_figure(rows: Sequence[dict[str, Any]]) -> str:
    estimates = [
        (spoken(row["model"]), *figures.with_interval(row["metrics"]["r2"]))
        for row in rows
        if value_of(row, "r2") is not None
    ]
    caption = f"r² of {max(int(row['n']) for row in rows):,} genes with its 95 % interval"
    return drawn(figures.forest(estimates, MODEL, "r²"), caption) if len(estimates) > 1 else ""


def folds(run: Run) -> str:
    """Every model's metrics in each fold."""
    parts = []
    for output in run.outputs:
        scopes = list(dict.fromkeys(str(row["scope"]) for row in run.rows if str(row["output"]) == output))
        scopes = [scope for scope in scopes if scope not in HEADLINES]
        for metric in _FOLD_METRICS if scopes else ():
            models = list(dict.fromkeys(row["model"] for row in run.rows if str(row["output"]) == output))
            head = ["genes tested", "n", *map(spoken, models)]
            lines = [_fold_line(scope, run.select(output, scope), models, metric) for scope in scopes]
            parts.append(f"<h3>{escape(output)}, {HEADINGS[metric]}</h3>{table(head, lines)}")
    if not parts:
        return ""
    return section("Folds", "".join(parts) + note("The best value of a fold is bold; 95 % bootstrap intervals."))


def _fold_line(scope: str, rows: Sequence[dict[str, Any]], models: Sequence[str], metric: str) -> str:
    by_model = {row["model"]: row for row in rows}
    best = _best(rows, metric)
    cells = "".join(
        _cell(by_model[name], metric, by_model[name] is best) if name in by_model else "<td></td>" for name in models
    )
    return f"<tr><td>{escape(scope)}</td><td>{max(int(row['n']) for row in rows):,}</td>{cells}</tr>"
