"""The overlap audit: how many tested genes have a like among those trained on, and what that does to the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from seqexpr.evaluation.report.markup import HEADINGS, estimate_cell, note, phrase, section, share, table
from seqexpr.evaluation.report.run import Run

_METRICS = ("pearson_r2", "r2")
_PARTS = {"overlapping": "with", "others": "without"}

_NOTE = (
    "A gene whose protein or window was all but seen in training may be predicted from memory. What the model can do "
    "for new genes is nearer to the numbers of the genes without an overlap. The training genes of a fold include its "
    "validation part."
)


def overlap(run: Run) -> str:
    """Counts, shares by fold and metrics of the genes with and without each overlap; "" without an audit."""
    if not run.audit:
        return ""
    counted = [entry for entry in run.audit if "skipped" not in entry]
    parts = [_table_of_counts(counted) if counted else ""]
    parts += ["<ul>", *(f"<li>{_explained(entry)}</li>" for entry in run.audit), "</ul>"]
    outputs = list(dict.fromkeys(output for entry in counted for output in entry["metrics"]))
    for output in outputs:
        lines = [line for entry in counted for line in _metric_lines(entry, output)]
        if lines:
            head = ["tested genes", "n", *(HEADINGS[name] for name in _METRICS)]
            parts.append(
                f"<h3>{escape(output)}: the model's metrics with and without overlaps</h3>{table(head, lines)}"
            )
    return section("Overlap of test and training genes", "".join(parts) + note(_NOTE))


def _table_of_counts(entries: Sequence[dict[str, Any]]) -> str:
    folds = [part["fold"] for part in entries[0]["by_fold"]]
    shown = folds if len(folds) > 1 else []  # of `train`: one test part, which the totals are of
    lines = []
    for entry in entries:
        by_fold = {part["fold"]: part for part in entry["by_fold"]}
        cells = [f"{entry['tested']:,}", f"{entry['overlapping']:,}", share(entry["overlapping"], entry["tested"])]
        cells += [share(by_fold[fold]["overlapping"], by_fold[fold]["tested"]) for fold in shown]
        lines.append(f"<tr><td>{escape(entry['overlap'])}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return table(["overlap with training", "tested", "with overlap", "share", *(f"fold {k}" for k in shown)], lines)


def _explained(entry: dict[str, Any]) -> str:
    """What the overlap is, and what its numbers mean."""
    name = f"<strong>{escape(entry['overlap'])}</strong>"
    if "skipped" in entry:
        return f"{name}: not counted. {escape(entry['skipped'])}"
    sentences = [_counted(entry), *(_meaning(entry, output) for output in entry["metrics"])]
    return f"{name}: {escape(entry['definition'].rstrip('.'))}. {escape(' '.join(filter(None, sentences)))}"


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


def _metric_lines(entry: dict[str, Any], output: str) -> list[str]:
    sides = entry["metrics"].get(output, {})
    lines = []
    for part, word in _PARTS.items():
        if side := sides.get(part):
            cells = "".join(estimate_cell(side.get(name)) for name in _METRICS)
            name = f"{word} {'an' if entry['overlap'][0] in 'aeiou' else 'a'} {entry['overlap']}"
            lines.append(f"<tr><td>{escape(name)}</td><td>{side['n']:,}</td>{cells}</tr>")
    return lines
