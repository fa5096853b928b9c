from __future__ import annotations

from typing import Any

import pytest

from seqexpr.cli.compare import _verdict
from seqexpr.evaluation.metrics import METRICS
from seqexpr.evaluation.verdict import DECIDING, lead, strongest, verdicts


def row(model: str, scores: dict[str, float | None], leads: dict[str, float | None] | None = None) -> dict[str, Any]:
    """A row of metrics.json; intervals are 0.01 wide to both sides."""

    def estimates(values: dict[str, float | None]) -> dict[str, Any]:
        bounds = {
            name: (v, None if v is None else v - 0.01, None if v is None else v + 0.01) for name, v in values.items()
        }
        return {name: dict(zip(("value", "low", "high"), three, strict=True)) for name, three in bounds.items()}

    more = {} if leads is None else {"difference": estimates(leads)}
    return {"model": model, "output": "a", "scope": "test", "n": 50, "metrics": estimates(scores), **more}


OWN = row("seqexpr", {"r2": 0.3, "pearson_r2": 0.5})
RIDGE = row("half_life_ridge", {"r2": 0.4, "pearson_r2": 0.42}, {"r2": -0.1, "pearson_r2": 0.08})
TREES = row("composition_boosted_trees", {"r2": 0.2, "pearson_r2": 0.45}, {"r2": 0.1, "pearson_r2": 0.05})
MEAN = row("training_mean", {"r2": 0.0, "pearson_r2": None}, {"r2": 0.3, "pearson_r2": None})


def test_the_squared_correlation_decides_which_baseline_is_the_strongest_and_who_is_better() -> None:
    assert DECIDING == ("pearson_r2", "r2")
    assert strongest([OWN, MEAN, RIDGE, TREES]) == (TREES, "pearson_r2")
    assert lead([OWN, MEAN, RIDGE, TREES]) == (
        "seqexpr minus composition boosted trees: pearson_r2 +0.050 [+0.040, +0.060], better"
    )


def test_where_it_is_not_defined_r2_decides() -> None:
    assert strongest([OWN, MEAN]) == (MEAN, "r2")
    assert lead([OWN, MEAN]) == "seqexpr minus training mean: r2 +0.300 [+0.290, +0.310], better"
    assert strongest([OWN]) is None and lead([OWN]) == ""
    assert verdicts([OWN])[0].startswith("r2 0.300")


def test_predictions_that_run_against_the_labels_do_not_win_by_a_square() -> None:
    """Means of training genes are low where a fold's test genes are high: their correlation is negative."""
    mean = row("training_mean", {"pearson_r2": 0.6, "spearman": -0.2}, {"r2": 0.3, "pearson_r2": -0.1})
    assert strongest([OWN, mean, RIDGE]) == (RIDGE, "pearson_r2")
    inverse = row("seqexpr", {"r2": -3.0, "pearson_r2": 0.9, "spearman": -0.99})
    ridge = row("half_life_ridge", {"r2": 0.4, "pearson_r2": 0.5}, {"r2": -3.4, "pearson_r2": 0.4})
    assert lead([inverse, ridge]) == "seqexpr minus half-life ridge: r2 -3.400 [-3.410, -3.390], worse"
    table: list[dict[str, Any]] = [
        {"metric": "pearson_r2", "n": 50, "first": 0.9, "other": 0.5, "difference": 0.4, "low": 0.3, "high": 0.5},
        {"metric": "spearman", "n": 50, "first": -0.9, "other": 0.7, "difference": -1.6, "low": -1.7, "high": -1.5},
        {"metric": "r2", "n": 50, "first": -3.0, "other": 0.4, "difference": -3.4, "low": -3.5, "high": -3.3},
    ]
    assert _verdict("run", "other", "", table).startswith("run is worse than other (r2 -3.400")


@pytest.mark.parametrize("baseline", [RIDGE, TREES, MEAN])
def test_compare_judges_by_the_same_metric(baseline: dict[str, Any]) -> None:
    """Also where r2 and the squared correlation say different things, as for the ridge."""
    metrics = [name for name in METRICS if name in baseline["difference"]]
    table = []
    for name in metrics:
        value, low, high = baseline["difference"][name].values()
        table.append({"metric": name, "n": 50, "difference": value, "low": low, "high": high})
    said, (_, metric) = _verdict("run", baseline["model"], "a", table), strongest([OWN, baseline]) or (None, "")
    assert f"({metric} +" in said and "run is better than" in said
    first, *others = lead([OWN, baseline]).split("; ")
    assert f": {metric} +" in first and first.endswith(", better")
    assert all(other.startswith("r2 ") and other.endswith(", worse") for other in others)  # and compare says so too
    assert bool(others) == ("; r2 -" in said and said.endswith(": worse"))
