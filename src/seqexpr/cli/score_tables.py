"""Scores of a run as tables for people, narrow enough for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from seqexpr.evaluation.metrics import METRICS
from seqexpr.evaluation.verdict import MODEL, spoken

if TYPE_CHECKING:
    from rich.table import Table

Estimate = dict[str, float | None]
"""A metric's value, with its interval from `low` to `high` where there is one."""

SHORT = ("r2", "pearson_r2")


def genes_in_words(scope: str, n: int) -> str:
    """Which genes a scope of `metrics.json` stands for, and what their scores are worth."""
    if scope == "valid":
        return f"{n:,} validation genes, which chose the epoch and flatter it"
    if scope == "all":
        return f"{n:,} held-out genes of all folds"
    return f"{n:,} test genes" + (f" of {scope}" if scope.startswith("fold ") else "")


def score_tables(rows: Sequence[dict[str, Any]], remark: str = "", *, all_metrics: bool = False) -> Iterable[Table]:
    """One table for each output and scope, of r2 and the squared Pearson correlation or of all metrics.

    Args:
        rows: of `metrics.json`.
        remark: what else the title says.
        all_metrics: a block of five lines for each model.
    """
    for output, scope in dict.fromkeys((row["output"], row["scope"]) for row in rows):
        shown = [row for row in rows if (row["output"], row["scope"]) == (output, scope)]
        title = f"{output}: {genes_in_words(scope, shown[0]['n'])}\n{remark}95 % bootstrap intervals"
        yield _all_metrics(shown, title) if all_metrics else _short(shown, title)


def _short(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """A model a row, intervals below the values."""
    table = titled_table(title, "model", *map(_heading, SHORT), "seqexpr's lead,\npearson r2")
    for row in rows:
        lead = (row.get("difference") or {}).get("pearson_r2")
        cells = [*(_stacked(row["metrics"][name]) for name in SHORT), "" if lead is None else _stacked(lead, "+")]
        table.add_row(spoken(row["model"]), *cells, style="bold" if row["model"] == MODEL else None)
    return table


def _all_metrics(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """A block a model, its name above its metrics."""
    table = titled_table(title, "model and metric", "value", "95 % interval", "seqexpr's\nlead", "95 % interval")
    for row in rows:
        style = "bold" if row["model"] == MODEL else None
        table.add_row(spoken(row["model"]), style=style)
        for name in METRICS:
            lead = (row.get("difference") or {}).get(name)
            cells = [*side_by_side(row["metrics"][name]), *(("", "") if lead is None else side_by_side(lead, "+"))]
            table.add_row(f" {_heading(name)}", *cells, style=style)
        table.add_section()
    return table


def titled_table(title: str, first: str, *columns: str) -> Table:
    """An empty table whose first column folds where the line is short."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(first, min_width=13, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _heading(metric: str) -> str:
    return metric.replace("_", " ")


def side_by_side(estimate: Estimate, sign: str = "") -> tuple[str, str]:
    """The value and its interval, rounded."""
    value, low, high = estimate["value"], estimate.get("low"), estimate.get("high")
    if value is None:
        return "-", ""
    return f"{value:{sign}.3f}", "" if low is None or high is None else f"{low:{sign}.3f} to {high:{sign}.3f}"


def _stacked(estimate: Estimate, sign: str = "") -> str:
    """The value, and its interval on a line of its own."""
    return "\n".join(part for part in side_by_side(estimate, sign) if part)
