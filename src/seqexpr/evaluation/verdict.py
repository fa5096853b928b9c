"""Say in plain sentences what the scores of a run mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MODEL = "seqexpr"
"""The trained network in the rows of `metrics.json`."""


def verdicts(rows: Sequence[dict[str, Any]], *, control: bool = False) -> list[str]:
    """What the rows of `metrics.json` mean: for each output a sentence on r2, and one on the strongest baseline.

    Args:
        rows: of all models.
        control: the labels were permuted, so that there was nothing to learn.
    """
    outputs = list(dict.fromkeys(row["output"] for row in rows))
    lines = []
    for output in outputs:
        here = [row for row in rows if row["output"] == output and not row["scope"].startswith("fold ")]
        name = f"{output}: " if len(outputs) > 1 else ""
        lines += [name + line for line in (_explained(here, control), lead(here)) if line]
    return lines


def _explained(rows: Sequence[dict[str, Any]], control: bool) -> str:
    """What the network's r2 says, of its test genes where there are some."""
    own = [row for row in rows if row["model"] == MODEL]
    own = [row for row in own if row["scope"] != "valid"] or own
    if not own or own[0]["metrics"]["r2"]["value"] is None:
        return ""
    r2, scope = own[0]["metrics"]["r2"], own[0]["scope"]
    value, low, high = r2["value"], r2["low"], r2["high"]
    interval = "" if low is None else f" (95 % interval {low:.3f} to {high:.3f})"
    genes = "validation genes, which chose the epoch and flatter it" if scope == "valid" else "held-out genes"
    if control:
        above = low is not None and low > 0
        meaning = "more than permuted labels can give: a fault of the protocol" if above else "nothing, as it should be"
    elif value > 0 and (low is None or low > 0):
        meaning = f"the predictions explain {value:.0%} of the variance between {genes}"
    elif high is not None and high < 0:
        order = own[0]["metrics"].get("spearman", {})
        meaning = f"the predictions are worse than the genes' mean for {genes}: "
        if (order.get("low") or 0) > 0:  # then "nothing" would be wrong
            meaning += f"their order carries over (Spearman {order['value']:.3f}), their scale or offset does not"
        else:
            meaning += "nothing was learnt that carries over"
    else:
        meaning = f"no better than the genes' mean for {genes}, as far as these {own[0]['n']:,} genes can tell"
    return f"r2 {value:.3f}{interval}: {meaning}"


def lead(rows: Sequence[dict[str, Any]]) -> str:
    """What the network's r2 is ahead of the highest one of a baseline, and whether the genes can tell them apart.

    Where the squared Pearson correlation judges otherwise, the line says so: it ignores scale and offset.
    """
    compared = [row for row in rows if row.get("difference", {}).get("r2", {}).get("value") is not None]
    compared = [row for row in compared if row["metrics"]["r2"]["value"] is not None]
    if not compared:
        return ""
    strongest = max(compared, key=lambda row: row["metrics"]["r2"]["value"])
    r2, squared = strongest["difference"]["r2"], strongest["difference"].get("pearson_r2", {})
    line = f"seqexpr minus {spoken(strongest['model'])}: {_judged('r2', r2)}"
    if squared.get("value") is None or judgement(squared) == judgement(r2):
        return line
    return f"{line}; {_judged('squared Pearson', squared)}"


def _judged(metric: str, difference: dict[str, float | None]) -> str:
    low, high = difference["low"], difference["high"]
    interval = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
    return f"{metric} {difference['value']:+.3f}{interval}, {judgement(difference)}"


def judgement(difference: dict[str, float | None], *, lower_is_better: bool = False) -> str:
    """Which of two models is better by the interval of their difference, in a few words."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None:
        return "without an interval"
    if low <= 0 <= high:
        return "the data cannot tell which is better"
    return "better" if (low > 0) != lower_is_better else "worse"


def spoken(model: str) -> str:
    """A model's name as it is read."""
    return model.replace("half_life", "half-life").replace("_", " ")
