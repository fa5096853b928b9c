"""`seqexpr compare`: runs against each other, or a run against its baselines, over the same genes."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from seqexpr.cli.console import progress, set_up_logging, status
from seqexpr.cli.help import Quiet, whole_number
from seqexpr.errors import UsageError, printable


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
            metavar="RUN",
            help="Run folders of cv or train, or tables with the columns id, [output,] label and prediction "
            "(TSV, CSV by suffix, .gz; - is standard input).",
            show_default=False,
        ),
    ],
    metric: Annotated[
        list[Metric] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Metric to compare (repeatable): r2, pearson_r2, spearman, rmse or high_expressed_found. "
            "Default: all five.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="COLUMN", help="Compare this label alone. Default: all in common."),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", hidden=True)] = None,
    resamples: Annotated[
        int,
        typer.Option(
            "--resamples", metavar="N", parser=whole_number(100), help="Number of bootstrap resamples, at least 100."
        ),
    ] = 1000,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", parser=whole_number(0), help="Seed of the resampling.")
    ] = 0,
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
    from seqexpr import api

    with progress("compare", "models", len(runs) - 1 or None) as advance:
        table = api.compare(
            *runs,
            label=label,
            metric=[chosen.value for chosen in metric or ()],
            resamples=resamples,
            seed=seed,
            advance=advance,
        )
    # JSON and the tables know no NaN.
    cells = table.astype(object).where(table.notna(), None)
    rows = [dict(zip(table.columns, row, strict=True)) for row in cells.itertuples(index=False, name=None)]
    if as_json:
        settings = {"first": runs[0], "resamples": resamples, "seed": seed}
        print(json.dumps({**settings, "comparisons": rows}, indent=2, ensure_ascii=False))  # noqa: T201
    elif sys.stdout.isatty():
        _print_rich(runs[0], rows)
    else:
        print("\t".join(table.columns))  # noqa: T201
        for row in rows:
            print("\t".join(map(_tsv_cell, row.values())))  # noqa: T201
    for (label, run), of_run in _grouped(rows, "label", "run"):
        status(_verdict(runs[0], run, label, of_run))


def _grouped(rows: list[dict[str, Any]], *columns: str) -> list[tuple[tuple[Any, ...], list[dict[str, Any]]]]:
    """The rows by their values in some columns, in the order in which these appear."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in columns), []).append(row)
    return list(groups.items())


def _verdict(first: str, other: str, label: str, rows: list[dict[str, Any]]) -> str:
    """Which of two models is better, in a sentence: by the squared Pearson correlation, else by another metric."""
    from seqexpr.evaluation.metrics import LOWER_IS_BETTER
    from seqexpr.evaluation.verdict import deciding, judgement

    of, other, n = f"{label}: " if label else "", _read_name(other), rows[0]["n"]
    of_metric = {row["metric"]: row for row in rows if row["difference"] is not None}
    if not of_metric:
        return f"{of}{first} and {other} cannot be compared: no metric is defined for both"

    def judged(name: str) -> tuple[str, str]:
        row = of_metric[name]
        found = judgement({side: row[side] for side in ("low", "high")}, lower_is_better=name in LOWER_IS_BETTER)
        interval = "" if row["low"] is None else f", 95 % interval {row['low']:+.3f} to {row['high']:+.3f}"
        return found, f"{name} {row['difference']:+.3f}{interval}"

    ranks = of_metric.get("spearman", {})
    inverse = any((ranks.get(side) or 0) < 0 for side in ("first", "other"))  # the squared correlation knows no sign
    name = next(name for name in (*deciding(inverse=inverse), *of_metric) if name in of_metric)
    found, by = judged(name)
    if found in ("better", "worse"):
        line = f"{of}{first} is {found} than {other} ({by}; {n:,} genes)"
    else:
        line = f"{of}these {n:,} genes cannot tell whether {first} or {other} is better ({by})"
    if name == "pearson_r2" and "r2" in of_metric and judged("r2")[0] != found:  # which counts scale and offset too
        line += "; {1}: {0}".format(*judged("r2"))
    return line


def _tsv_cell(cell: Any) -> str:
    return "" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def _print_rich(first: str, rows: list[dict[str, Any]]) -> None:
    """One table for each label and number of genes, a block for each other run: narrow enough for 80 letters."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for (label, n), shown in _grouped(rows, "label", "n"):
        of = f"{label}: " if label else ""
        title = f"{printable(of)}{printable(first)} (first) over {n:,} genes\npaired bootstrap, 95 % intervals"
        table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column("other", min_width=12, overflow="fold")  # a long path is folded, never cut
        table.add_column("metric")
        for heading in ("first", "other", "first\n- other", "95 % interval", "first\nbetter"):
            table.add_column(heading, justify="right", no_wrap=True)
        for (run,), of_run in _grouped(shown, "run"):
            for place, row in enumerate(of_run):
                name = _read_name(run) if place == 0 else ""
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
