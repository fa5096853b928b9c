"""Compare two sets of predictions for the same genes by paired bootstrap: two runs, or a run and its baselines.

The predictions of held-out genes are read back from a run folder, or from a table that anybody made.
"""

from __future__ import annotations

import logging
import math
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.evaluation.metrics import METRICS, PairedMetric, paired_metrics
from seqexpr.evaluation.tables import current_name
from seqexpr.finished import check_result
from seqexpr.inputs.tables import TextTable, read_table
from seqexpr.manifest import read_manifest
from seqexpr.next_command import command_to_end

logger = logging.getLogger(__name__)

COLUMNS = ("run", "label", "n", "metric", "first", "other", "difference", "low", "high", "first_better")
"""Of a table of comparisons; `run` is the one that the first is compared with."""


@dataclass(frozen=True)
class HeldOut:
    """What one model predicted for genes that it was tested on and that have a label."""

    name: str
    """Of the run, the table or the baseline, as the user knows it."""
    file: str
    """Where the predictions were read."""
    table: pd.DataFrame
    """Columns output ("" where the file has no such column), id, label, prediction; a gene once for each output."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Of the run; empty for a table."""
    part: str = ""
    """Of a `train` run: "test", or "valid" where there is no test part."""

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs, in the file's order."""
        return list(dict.fromkeys(self.table["output"]))

    @property
    def names_outputs(self) -> bool:
        """Whether the file says which output its predictions are for."""
        return self.outputs != [""]

    @property
    def permuted(self) -> bool:
        """Whether the run is a negative control, with permuted labels."""
        return bool(self.manifest.get("options", {}).get("permute_labels"))

    def of(self, output: str) -> pd.DataFrame:
        """Columns id, label, prediction of one output, or of the only one that has no name."""
        table = self.table[self.table["output"] == output] if self.names_outputs else self.table
        return table[["id", "label", "prediction"]]


def read_held_out(path: str | os.PathLike[str]) -> HeldOut:
    """Predictions of a run of `cv` or `train`, or of a table.

    Args:
        path: a run folder, of whose `train` the test part is taken where there is one; or a table (TSV; CSV by suffix;
            gzipped or not; "-" is standard input) whose first column is the gene id, with the columns label and
            prediction, and output where it holds several.

    Raises:
        InputError: not a run, or a table that is not as it should be, or not as the run wrote it.
        MissingDataError: a run that has not ended.
    """
    folder = Path(path)
    if not folder.is_dir():
        (predicted,) = _models(path).values()
        return HeldOut(str(path), str(path), predicted)
    manifest = _run_manifest(folder)
    file = folder / "predictions.tsv"
    if not file.exists():
        command = command_to_end(folder, manifest)
        raise MissingDataError(f"{folder} has no predictions.tsv: the run has not ended; run: {command}")
    (predicted,) = _models(file).values()
    check_result(file)
    part = ""
    if "split" in predicted:
        part = "test" if (predicted["split"] == "test").any() else "valid"
        predicted = predicted[predicted["split"] == part]
    return HeldOut(str(path), str(file), predicted, manifest, part)


def read_baselines(folder: str | os.PathLike[str]) -> list[HeldOut]:
    """Predictions of a run's baselines, each under its own name.

    Raises:
        UsageError: a table and no run, or a `train` run without test genes, which has no baselines.
        InputError: not a run, or a table that is not as it should be.
        MissingDataError: a `cv` run without baselines.tsv.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no run folder and so has no baselines; name a second run or table")
    manifest = _run_manifest(folder)
    file = folder / "baselines.tsv"
    if not file.exists():
        if manifest["kind"] == "train":
            raise UsageError(f"{folder} has no baselines, for it has no test genes; name a second run to compare with")
        command = shlex.join(["seqexpr", "cv", "--merge", str(folder)])
        raise MissingDataError(f"{folder} has no baselines.tsv; run: {command}")
    models = _models(file)
    check_result(file)
    return [HeldOut(current_name(name), str(file), table, manifest) for name, table in models.items()]


def _run_manifest(folder: Path) -> dict[str, Any]:
    manifest = read_manifest(folder)
    if manifest.get("kind") not in ("cv", "train"):
        found = f"a folder of kind {manifest.get('kind')!r}"
        raise InputError(folder, found=found, expected="the run folder of cv or train")
    return manifest


def _models(path: str | os.PathLike[str]) -> dict[str, pd.DataFrame]:
    """The table's labelled genes by model ("" where it has no such column)."""
    text = read_table(os.fspath(path))
    if absent := [name for name in ("label", "prediction") if name not in text.columns[1:]]:
        found = f"no column {' and no column '.join(absent)}"
        raise InputError(path, record="header", found=found, expected="an id column, [output,] label and prediction")
    table = pd.DataFrame({"id": [row[0] for row in text.rows]}, dtype=object)
    for name in ("model", "output", "split"):
        if name in text.columns[1:]:
            table[name] = np.array(text.column(name), dtype=object)
    table[["label", "prediction"]] = text.numbers(("label", "prediction"))
    table = table.assign(**{name: "" for name in ("model", "output") if name not in table})
    _check(text, table)
    kept = table.dropna(subset=["label"])
    if not len(kept):
        raise InputError(path, found="no gene with a label", expected="labels to judge the predictions by")
    return {str(model): part.drop(columns="model") for model, part in kept.groupby("model", sort=False)}


def _check(text: TextTable, table: pd.DataFrame) -> None:
    """Each gene once, and with a prediction."""
    repeated = table.duplicated(["model", "output", "id"]).to_numpy()
    unnamed = (table["id"] == "").to_numpy()
    unpredicted = (table["prediction"].isna() & table["label"].notna()).to_numpy()
    for bad, found, expected in (
        (unnamed, "an empty id", "a gene id in the first column"),
        (repeated, "this gene again", "one row per gene and output"),
        (unpredicted, "a label and no prediction", "a prediction of every gene that has a label"),
    ):
        if bad.any():
            row = int(bad.argmax())
            record = f"line {text.lines[row]}, id {table['id'].iloc[row]!r}"
            raise InputError(text.file, record=record, found=found, expected=expected)


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


def compare_runs(
    first: str | os.PathLike[str],
    others: Sequence[str | os.PathLike[str]] = (),
    *,
    names: Sequence[str] = METRICS,
    output: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    advance: Callable[[int], None] = lambda models: None,
) -> list[Comparison]:
    """Compare the first run or table with each of the others, or a run with its baselines where there are none.

    What a reader must know of a run, and which genes are left out, is logged.

    Args:
        first, others: run folders, or tables as `read_held_out` takes them.
        names, output, resamples, seed: as for `compare`.
        advance: gets the number of the others that were compared since the last call.

    Raises:
        UsageError, InputError, MissingDataError: as `read_held_out`, `read_baselines` and `compare`.
    """
    one = read_held_out(first)
    tested = [read_held_out(other) for other in others] or read_baselines(first)
    for run in [one, *tested] if others else [one]:
        _log_what(run)
    comparisons = []
    for other in tested:
        made = compare(one, other, names=names, output=output, resamples=resamples, seed=seed)
        _log_about(one, other, made, output)
        comparisons += made
        advance(1)
    return comparisons


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row of `COLUMNS` for each metric; None where a number is not defined."""
    rows = []
    for name, paired in comparison.metrics.items():
        numbers = (paired.first, paired.other, *paired.difference.to_dict().values(), paired.first_better)
        known = [None if number is None or math.isnan(number) else number for number in numbers]
        cells = (comparison.other, comparison.output, comparison.n, name, *known)
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def _log_what(tested: HeldOut) -> None:
    """What a reader must know of one run before believing its numbers."""
    if tested.part == "valid":
        logger.warning("%s has no test genes: its validation genes chose the epoch, and flatter it", tested.name)
    if tested.permuted:
        logger.warning("%s is a negative control: its labels were permuted among the genes", tested.name)


def _log_about(first: HeldOut, other: HeldOut, made: Iterable[Comparison], output: str | None) -> None:
    """What is compared and what is left out."""
    if difference := split_difference(first, other):
        logger.warning(
            "%s and %s used different splits (%s): they learnt from different genes, so the comparison is not one of "
            "models alone",
            *(first.name, other.name, difference),
        )
    for comparison in made:
        of = f"{comparison.output}: " if comparison.output else ""
        sides = [(comparison.only_first, first.name), (comparison.only_other, other.name)]
        if alone := ", ".join(f"{count:,} only in {name}" for count, name in sides if count):
            genes = "1 gene" if comparison.n == 1 else f"{comparison.n:,} genes"
            logger.info("%s%s in both, %s (left out)", of, genes, alone)
    if output is None and first.names_outputs and other.names_outputs:
        for one, two in ((first, other), (other, first)):
            if absent := [name for name in one.outputs if name not in two.outputs]:
                logger.info("only in %s (left out): %s", one.name, ", ".join(absent))


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
            raise UsageError(f"{unnamed.name} does not say which of {several} it holds; choose with --label")
        chosen = [name for name in named[0].outputs if name in named[-1].outputs] if named else [""]
        if not chosen:
            sides = " and ".join(f"{tested.name} has {', '.join(tested.outputs)}" for tested in named)
            raise UsageError(f"no label in common: {sides}")
    else:
        chosen = [output]
        for tested in (first, other):
            if tested.names_outputs and output not in tested.outputs:
                raise UsageError(f"{tested.name} has no label {output!r}; it has {', '.join(tested.outputs)}")
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
