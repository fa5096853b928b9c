"""Say in plain sentences what the scores of a run mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

MODEL = "seqexpr"
"""The trained network in `metrics.json`; every other model there is a baseline."""

Standing = Literal["ahead", "behind", ""]
"""How one model stands to another."""

DECIDING = ("pearson_r2", "r2")
"""By which metric one of two models is called better, everywhere: the first that is defined for both.

The squared Pearson correlation is what publications give, and does not depend on the scale of the predictions. It is
not defined for constant predictions, and knows no sign: where predictions run against the labels, r2 decides.
"""


def deciding(*, inverse: bool) -> tuple[str, ...]:
    """The metrics of `DECIDING`, in their order; `inverse` where one of the models ranks genes the other way round."""
    return DECIDING[1:] if inverse else DECIDING


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
    """The network's score minus that of the strongest baseline, and whether the genes can tell them apart.

    Where r2 judges otherwise, which counts scale and offset too, the line says so.
    """
    found = strongest(rows)
    if found is None:
        return ""
    row, metric = found
    difference, other = row["difference"][metric], row["difference"].get("r2")
    line = f"{MODEL} minus {spoken(row['model'])}: {_judged(metric, difference)}"
    if metric == "r2" or _value(other) is None or judgement(other) == judgement(difference):
        return line
    return f"{line}; {_judged('r2', other)}"


def _judged(metric: str, difference: dict[str, float | None]) -> str:
    low, high = difference["low"], difference["high"]
    interval = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
    return f"{metric} {difference['value']:+.3f}{interval}, {judgement(difference)}"


def strongest(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], str] | None:
    """The row of the baseline that must be beaten, and the metric of `DECIDING` by which it is the strongest.

    None where no metric is defined for the network and a baseline.
    """
    inverse = any(_runs_against(row) for row in rows if row["model"] == MODEL)
    for metric in deciding(inverse=inverse):
        compared = [row for row in rows if _value((row.get("difference") or {}).get(metric)) is not None]
        compared = [row for row in compared if _value(row["metrics"].get(metric)) is not None]
        if metric == "pearson_r2":
            # The mean of a fold's training genes is low where its test genes are high.
            compared = [row for row in compared if not _runs_against(row)]
        if compared:
            return max(compared, key=lambda row: row["metrics"][metric]["value"]), metric
    return None


def _runs_against(row: Mapping[str, Any]) -> bool:
    """Whether a model ranks genes the other way round."""
    rank = _value(row["metrics"].get("spearman"))
    return rank is not None and rank < 0


def _value(estimate: Mapping[str, float | None] | None) -> float | None:
    return None if estimate is None else estimate["value"]


def judgement(difference: dict[str, float | None], *, lower_is_better: bool = False) -> str:
    """Which of two models is better by the interval of their difference, in a few words."""
    if difference["low"] is None or difference["high"] is None:
        return "without an interval"
    side = standing(difference, lower_is_better=lower_is_better)
    return {"ahead": "better", "behind": "worse", "": "the data cannot tell which is better"}[side]


def standing(difference: Mapping[str, float | None], *, lower_is_better: bool = False) -> Standing:
    """Which side of 0 the whole interval lies on, for the first of two models; "" for neither, or without interval."""
    low, high = difference.get("low"), difference.get("high")
    if low is None or high is None or low <= 0 <= high:
        return ""
    return "ahead" if (low > 0) != lower_is_better else "behind"


def spoken(model: str) -> str:
    """A model's name as it is read."""
    return model.replace("half_life", "half-life").replace("_", " ")
