"""Two sets of predictions for the same genes, compared by paired bootstrap: two runs, or a run and its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seqexpr.errors import InputError, UsageError
from seqexpr.evaluation.held_out import HeldOut
from seqexpr.evaluation.metrics import METRICS
from seqexpr.evaluation.paired import PairedMetric, paired_metrics

_ROUNDING = 1e-3
"""Labels of a gene may differ by this share of the labels' standard deviation: a table may have rounded them."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the genes that both were tested on, for one output."""

    first: str
    other: str
    output: str
    """"" where neither names it."""
    n: int
    only_first: int
    """Genes that only the first was tested on, which are left out."""
    only_other: int
    metrics: dict[str, PairedMetric]


def compare(
    first: HeldOut,
    other: HeldOut,
    *,
    names: Sequence[str] = METRICS,
    output: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare two models over the genes that both were tested on.

    Args:
        first: predictions of the one model.
        other: predictions of the model to compare it with.
        names: metrics, of `METRICS`.
        output: the one to compare; None: all that both have. A table that does not name its output goes with
            this one, or with the only one of the other.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        a comparison for each output, in the order of the first.

    Raises:
        UsageError: no output in common, or none such.
        InputError: fewer than two genes in common, or a gene with different labels.
    """
    comparisons = []
    for name, left, right in _paired_outputs(first, other, output):
        both = left.merge(right, on="id", suffixes=("_first", "_other"))
        if len(both) < 2:
            found = f"{len(both)} of the {len(left):,} genes of {first.name}" + (f" for {name!r}" if name else "")
            raise InputError(other.file, found=found, expected="at least two genes that both were tested on")
        _check_labels(both, name, first, other)
        actual, a, b = (both[column].to_numpy() for column in ("label_first", "prediction_first", "prediction_other"))
        paired = paired_metrics(actual, a, b, names, resamples=resamples, seed=seed)
        alone = len(left) - len(both), len(right) - len(both)
        comparisons.append(Comparison(first.name, other.name, name, len(both), *alone, paired))
    return comparisons


def split_difference(first: HeldOut, other: HeldOut) -> str:
    """How the division into test and training genes differs between two runs, in words; "" where it does not.

    By their manifests: the stored digest of the folds decides where both have one, and the options else. Of a table
    without a manifest nothing is known.
    """
    one, two = (_division(tested) for tested in (first, other))
    if not one or not two or (one[_DIGEST] and one[_DIGEST] == two[_DIGEST]):
        return ""
    known = [name for name in one if None not in (one[name], two[name])]
    differing = [name for name in known if one[name] != two[name]]
    shown = [f"{name} {one[name]} and {two[name]}" for name in differing if name != _DIGEST]
    return ", ".join(shown) or ("the genes are divided otherwise" if differing else "")


_DIGEST = "digest of the folds"


def _division(tested: HeldOut) -> dict[str, object]:
    """What a run's manifest says of how its genes are divided; None for what it does not say."""
    if not tested.manifest:
        return {}
    options = tested.manifest.get("options", {})
    named = {name: options.get(name) for name in ("split", "folds", "test_fraction", "seed")}
    genes, digest = options.get("dataset", {}).get("genes"), options.get("digests", {}).get("folds")
    return {"command": tested.manifest.get("kind"), **named, "genes in the dataset": genes, _DIGEST: digest}


def _paired_outputs(first: HeldOut, other: HeldOut, output: str | None) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """The outputs to compare: name, and the tables of both."""
    if output is None:
        named = [tested for tested in (first, other) if tested.names_outputs]
        if len(named) == 1 and len(named[0].outputs) > 1:
            unnamed = other if named[0] is first else first
            several = ", ".join(named[0].outputs)
            raise UsageError(f"{unnamed.name} does not say which of {several} it holds; choose with --output")
        chosen = [name for name in named[0].outputs if name in named[-1].outputs] if named else [""]
        if not chosen:
            sides = " and ".join(f"{tested.name} has {', '.join(tested.outputs)}" for tested in named)
            raise UsageError(f"no output in common: {sides}")
    else:
        chosen = [output]
        for tested in (first, other):
            if tested.names_outputs and output not in tested.outputs:
                raise UsageError(f"{tested.name} has no output {output!r}; it has {', '.join(tested.outputs)}")
    return [(name, first.of(name), other.of(name)) for name in chosen]


def _check_labels(both: pd.DataFrame, output: str, first: HeldOut, other: HeldOut) -> None:
    """Both must have been judged against the same numbers."""
    one, two = both["label_first"].to_numpy(), both["label_other"].to_numpy()
    apart = np.abs(one - two) > _ROUNDING * one.std() + 1e-6 * np.abs(one)
    if not apart.any():
        return
    row = int(apart.argmax())
    label = f" {output!r}" if output else ""
    control = [tested.name for tested in (first, other) if tested.permuted]
    remark = f" (labels were permuted in {control[0]})" if len(control) == 1 else ""
    raise InputError(
        other.file,
        record=repr(both["id"].iloc[row]),
        found=f"label{label} {two[row]:g}, and other labels than there for {int(apart.sum()):,} of {len(both):,} genes",
        expected=f"{one[row]:g} as in {first.name}{remark}",
    )
