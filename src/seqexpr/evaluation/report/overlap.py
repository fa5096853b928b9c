"""The overlap audit: how many tested genes have a like among those trained on, and what that does to the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seqexpr.evaluation.report.run import Run
from seqexpr.evaluation.report.view import (
    HEADINGS,
    Item,
    Part,
    Row,
    Section,
    Table,
    cells,
    estimate_cell,
    phrase,
    share,
)

_METRICS = ("pearson_r2", "r2")
_PARTS = {"overlapping": "with", "others": "without"}

_NOTE = (
    "A gene whose protein or window was all but seen in training may be predicted from memory. What the model can do "
    "for new genes is nearer to the numbers of the genes without an overlap. The training genes of a fold include its "
    "validation part."
)


def overlap(run: Run) -> Section | None:
    """Counts, shares by fold and metrics of the genes with and without each overlap; None without an audit."""
    if not run.audit:
        return None
    counted = [entry for entry in run.audit if "skipped" not in entry]
    items = tuple(Item(entry["overlap"], _explained(entry)) for entry in run.audit)
    parts = [Part(table=_table_of_counts(counted) if counted else None, items=items)]
    for output in dict.fromkeys(output for entry in counted for output in entry["metrics"]):
        if lines := [line for entry in counted for line in _metric_lines(entry, output)]:
            head = ("tested genes", "n", *(HEADINGS[name] for name in _METRICS))
            heading = f"{run.titled(output)}: the model's metrics with and without overlaps"
            parts.append(Part(heading, table=Table(head, tuple(lines))))
    return Section("Overlap of test and training genes", tuple(parts), _NOTE)


def _table_of_counts(entries: Sequence[dict[str, Any]]) -> Table:
    folds = [part["fold"] for part in entries[0]["by_fold"]]
    shown = folds if len(folds) > 1 else []  # of `train`: one test part, which the totals are of
    lines = []
    for entry in entries:
        by_fold = {part["fold"]: part for part in entry["by_fold"]}
        counts = [f"{entry['tested']:,}", f"{entry['overlapping']:,}", share(entry["overlapping"], entry["tested"])]
        counts += [share(by_fold[fold]["overlapping"], by_fold[fold]["tested"]) for fold in shown]
        lines.append(Row(cells(entry["overlap"], *counts)))
    head = ("overlap with training", "tested", "with overlap", "share", *(f"fold {fold}" for fold in shown))
    return Table(head, tuple(lines))


def _explained(entry: dict[str, Any]) -> str:
    """What the overlap is, and what its numbers mean."""
    if "skipped" in entry:
        return f"not counted. {entry['skipped']}"
    sentences = [_counted(entry), *(_meaning(entry, output) for output in entry["metrics"])]
    return f"{entry['definition'].rstrip('.')}. {' '.join(filter(None, sentences))}"


def _counted(entry: dict[str, Any]) -> str:
    tested, overlapping = entry["tested"], entry["overlapping"]
    if not overlapping:
        return f"None of the {tested:,} tested genes has one in training."
    return f"{overlapping:,} of {tested:,} tested genes ({share(overlapping, tested)}) have one in training."


def _meaning(entry: dict[str, Any], output: str) -> str:
    """Whether the metrics of the genes with an overlap are higher than those of the others."""
    sides = [entry["metrics"][output].get(part) for part in _PARTS]
    if not all(sides):
        return ""
    seen, others = (side["pearson_r2"] for side in sides)
    text = f"For {output}, Pearson r² is {phrase(seen)} among them and {phrase(others)} among the others"
    ends = seen.get("low"), seen.get("high"), others.get("low"), others.get("high")
    if None in ends:
        return f"{text}."
    if ends[0] > ends[3]:
        return f"{text}: higher among them, so the score over all genes may flatter what to expect of new ones."
    if ends[1] < ends[2]:
        return f"{text}: lower among them: other genes too, so this shows no effect of the overlap."
    return f"{text}: the intervals overlap, so no effect is shown."


def _metric_lines(entry: dict[str, Any], output: str) -> list[Row]:
    sides = entry["metrics"].get(output, {})
    lines = []
    for part, word in _PARTS.items():
        if side := sides.get(part):
            name = f"{word} {'an' if entry['overlap'][0] in 'aeiou' else 'a'} {entry['overlap']}"
            lines.append(
                Row((*cells(name, f"{side['n']:,}"), *(estimate_cell(side.get(metric)) for metric in _METRICS)))
            )
    return lines
