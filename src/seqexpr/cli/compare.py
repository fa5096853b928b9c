"""`seqexpr compare`: runs against each other, or a run against its baselines, over the same genes."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqexpr.cli.console import logger, plural, progress, set_up_logging, status
from seqexpr.cli.help import Quiet
from seqexpr.errors import UsageError, printable

if TYPE_CHECKING:
    from seqexpr.evaluation.compare import Comparison, HeldOut

_COLUMNS = ("run", "label", "n", "metric", "first", "other", "difference", "low", "high", "first_better")


class Metric(str, Enum):
    """What can be compared; `evaluation.metrics` says what each is."""

    R2 = "r2"
    PEARSON_R2 = "pearson_r2"
    SPEARMAN = "spearman"
    RMSE = "rmse"
    HIGH_EXPRESSED_FOUND = "high_expressed_found"


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN [RUN]...",
            help="Run folders of cv or train, or tables with the columns id, [output,] label and prediction "
            "(TSV, CSV by suffix, .gz; - is standard input).",
            show_default=False,
        ),
    ],
    metric: Annotated[
        list[Metric] | None,
        typer.Option("--metric", help="Metric to compare (repeatable). Default: all five."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="COLUMN", help="Compare this label alone. Default: all in common."),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", hidden=True)] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Number of bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare runs over the genes that both tested, by paired bootstrap.

    Every further run is compared with the first; a single run, with each of its baselines. A difference is the first's
    metric minus the other's, with its 95 % interval over resampled genes, and first_better the share of resamples in
    which the first is better (higher, for rmse lower; ties count half). Of a train run the test part is taken.

    Standard output gets a table: TSV where it is not a terminal.

    seqexpr compare runs/cv-prot-lung

    seqexpr compare runs/new runs/old runs/older --metric r2 --metric spearman

    seqexpr compare runs/cv-mrna-human other-tool.tsv.gz --label mrna --json
    """
    set_up_logging(quiet=quiet)
    if label is not None and output is not None and label != output:
        raise UsageError("--output is the old name of --label: give one of them")
    label = label or output  # the name in version 0.1
    from seqexpr.evaluation.compare import compare as compare_two
    from seqexpr.evaluation.compare import read_baselines, read_held_out
    from seqexpr.evaluation.metrics import METRICS

    first = read_held_out(runs[0])
    others = [read_held_out(run) for run in runs[1:]] or read_baselines(runs[0])
    names = tuple(dict.fromkeys(chosen.value for chosen in metric)) if metric else METRICS
    comparisons = []
    for tested in [first, *others] if len(runs) > 1 else [first]:
        _tell_what(tested)
    with progress("compare", "models", len(others)) as advance:
        for other in others:
            made = compare_two(first, other, names=names, output=label, resamples=resamples, seed=seed)
            _tell_about(first, other, made, label)
            comparisons += made
            advance(1)
    rows = [row for comparison in comparisons for row in _rows(comparison)]
    if as_json:
        settings = {"first": first.name, "resamples": resamples, "seed": seed}
        print(json.dumps({**settings, "comparisons": rows}, indent=2, ensure_ascii=False))  # noqa: T201
    elif sys.stdout.isatty():
        _print_rich(first.name, comparisons)
    else:
        _print_tsv(rows)
    for comparison in comparisons:
        status(_verdict(comparison))


def _verdict(comparison: Comparison) -> str:
    """Which of two models is better, in a sentence: by the squared Pearson correlation, else by another metric."""
    from seqexpr.evaluation.metrics import LOWER_IS_BETTER
    from seqexpr.evaluation.verdict import judgement

    of = f"{comparison.output}: " if comparison.output else ""
    first, other, n = comparison.first, _read_name(comparison.other), comparison.n
    differences = {name: paired.difference.to_dict() for name, paired in comparison.metrics.items()}
    order = [name for name in ("pearson_r2", "r2", *differences) if name in differences]
    defined = [name for name in order if differences[name]["value"] is not None]
    if not defined:
        return f"{of}{first} and {other} cannot be compared: no metric is defined for both"
    name = defined[0]
    difference = differences[name]
    found = judgement(difference, lower_is_better=name in LOWER_IS_BETTER)
    by = f"{name} {difference['value']:+.3f}"
    if difference["low"] is not None:
        by += f", 95 % interval {difference['low']:+.3f} to {difference['high']:+.3f}"
    if found in ("better", "worse"):
        return f"{of}{first} is {found} than {other} ({by}; {n:,} genes)"
    return f"{of}these {n:,} genes cannot tell whether {first} or {other} is better ({by})"


def _tell_what(tested: HeldOut) -> None:
    """What a reader must know of one run before believing its numbers."""
    if tested.part == "valid":
        logger.warning(f"{tested.name} has no test genes: its validation genes chose the epoch, and flatter it")
    if tested.permuted:
        logger.warning(f"{tested.name} is a negative control: its labels were permuted among the genes")


def _tell_about(first: HeldOut, other: HeldOut, made: Iterable[Comparison], output: str | None) -> None:
    """What is compared and what is left out, on standard error."""
    from seqexpr.evaluation.compare import split_difference

    if difference := split_difference(first, other):
        logger.warning(
            f"{first.name} and {other.name} used different splits ({difference}): they learnt from different genes, "
            "so the comparison is not one of models alone"
        )
    for comparison in made:
        of = f"{comparison.output}: " if comparison.output else ""
        sides = [(comparison.only_first, first.name), (comparison.only_other, other.name)]
        alone = ", ".join(f"{count:,} only in {name}" for count, name in sides if count)
        if alone:
            status(f"{of}{plural(comparison.n, 'gene')} in both, {alone} (left out)")
    if output is None and first.names_outputs and other.names_outputs:
        for one, two in ((first, other), (other, first)):
            if absent := [name for name in one.outputs if name not in two.outputs]:
                status(f"only in {one.name} (left out): {', '.join(absent)}")


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row a metric, as JSON can hold it: None where a number is not defined."""
    rows = []
    for name, paired in comparison.metrics.items():
        numbers = (paired.first, paired.other, *paired.difference.to_dict().values(), paired.first_better)
        known = [number if number is not None and math.isfinite(number) else None for number in numbers]
        cells = (comparison.other, comparison.output, comparison.n, name, *known)
        rows.append(dict(zip(_COLUMNS, cells, strict=True)))
    return rows


def _print_tsv(rows: list[dict[str, Any]]) -> None:
    print("\t".join(_COLUMNS))  # noqa: T201
    for row in rows:
        print("\t".join(map(_tsv_cell, row.values())))  # noqa: T201


def _tsv_cell(cell: Any) -> str:
    return "" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def _print_rich(first: str, comparisons: list[Comparison]) -> None:
    """One table for each output and number of genes, a block for each other run: narrow enough for 80 letters."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for output, n in dict.fromkeys((comparison.output, comparison.n) for comparison in comparisons):
        shown = [comparison for comparison in comparisons if (comparison.output, comparison.n) == (output, n)]
        of = f"{output}: " if output else ""
        title = f"{printable(of)}{printable(first)} (first) over {n:,} genes\npaired bootstrap, 95 % intervals"
        table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column("other", min_width=12, overflow="fold")  # a long path is folded, never cut
        table.add_column("metric")
        for heading in ("first", "other", "first\n- other", "95 % interval", "first\nbetter"):
            table.add_column(heading, justify="right", no_wrap=True)
        for comparison in shown:
            for place, row in enumerate(_rows(comparison)):
                name = _read_name(comparison.other) if place == 0 else ""
                table.add_row(Text(printable(name)), row["metric"].replace("_", " "), *_cells(row))
            table.add_section()
        console.print(table)


def _cells(row: dict[str, Any]) -> list[str]:
    value, low, high, better = (row[name] for name in ("difference", "low", "high", "first_better"))
    sides = ["-" if row[name] is None else f"{row[name]:.3f}" for name in ("first", "other")]
    interval = "-" if low is None else f"{low:+.3f} to {high:+.3f}"
    return [*sides, "-" if value is None else f"{value:+.3f}", interval, "-" if better is None else f"{better:.1%}"]


def _read_name(model: str) -> str:
    """A baseline's name as it is read; the names of files and folders stay as they are."""
    from seqexpr.evaluation.verdict import spoken

    return model if Path(model).exists() else spoken(model)
