"""The trained model against each baseline: paired differences over the same genes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from seqexpr.evaluation import figures
from seqexpr.evaluation.metrics import LOWER_IS_BETTER, METRICS
from seqexpr.evaluation.report.run import HEADLINES, Run
from seqexpr.evaluation.report.view import (
    DRAWN,
    HEADINGS,
    Cell,
    Figure,
    Numbers,
    Part,
    Row,
    Section,
    Table,
    estimate_cell,
    phrase,
)
from seqexpr.evaluation.verdict import MODEL, Standing, spoken, standing, strongest

_NOTE = (
    f"{MODEL} minus the baseline, with 95 % intervals by paired bootstrap: both are judged on the same resampled "
    f"genes. ▲: {MODEL} is better and the interval excludes 0; ▼: it is worse, likewise. For RMSE lower is better, "
    "and so a negative difference. A dash: not defined, as for constant predictions. " + figures.ARROWS
)


def against_baselines(run: Run) -> Section | None:
    """Tables and figures of the differences; None for runs that have none."""
    parts = []
    for output, scope in product(run.outputs, HEADLINES):
        if rows := [row for row in run.select(output, scope) if row.get("difference")]:
            n = max(int(row["n"]) for row in rows)
            heading = f"{run.titled(output)}: {n:,} genes, {HEADLINES[scope]}"
            parts.append(Part(heading, _strongest(rows), _table(rows), figures=tuple(_figures(rows, n))))
    return Section("Against the baselines", tuple(parts), _NOTE) if parts else None


def _strongest(rows: Sequence[dict[str, Any]]) -> str:
    """In a sentence, how the model stands beside the baseline that must be beaten."""
    found = strongest(rows)
    if found is None:
        return ""
    row, metric = found
    difference, by = row["difference"][metric], HEADINGS[metric]
    outcome = {
        "ahead": f"{MODEL} is better, and the interval excludes 0.",
        "behind": f"{MODEL} is worse, and the interval excludes 0.",
        "": "the interval includes 0, so these genes do not show which is better.",
    }[_standing(difference, metric)]
    return (
        f"{by} decides. The strongest baseline by it is {spoken(row['model'])}. {MODEL} minus it: "
        f"{phrase(difference, '+')}; {outcome}"
    )


def _standing(difference: Numbers, metric: str) -> Standing:
    return standing(difference, lower_is_better=metric in LOWER_IS_BETTER)


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    present = [name for name in METRICS if any(name in row["difference"] for row in rows)]
    lines = []
    for row in rows:
        differences = [(name, row["difference"].get(name, {})) for name in present]
        estimates = (estimate_cell(numbers, _standing(numbers, name), "+") for name, numbers in differences)
        lines.append(Row((Cell(spoken(row["model"])), *estimates)))
    return Table((f"{MODEL} minus", *(HEADINGS[name] for name in present)), tuple(lines))


def _figures(rows: Sequence[dict[str, Any]], n: int) -> list[Figure]:
    drawings = []
    for metric in DRAWN:
        estimates = [
            (spoken(row["model"]), *figures.with_interval(numbers), _standing(numbers, metric))
            for row in rows
            if (numbers := row["difference"].get(metric, {})).get("value") is not None
        ]
        if estimates:
            name = f"{MODEL} minus baseline, {HEADINGS[metric]}"
            caption = f"{HEADINGS[metric]} over {n:,} genes; right of the line {MODEL} is better"
            drawings.append(Figure(figures.differences(estimates, name), f"{name}; the table has the numbers", caption))
    return drawings
