"""How a training or a cross-validation shows itself: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from seqexpr.cli.console import StatusHandler, logger, status

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PLAIN_LINE_SECONDS = 10.0

_HEARTBEAT_SECONDS = 30.0
"""Between two lines of a stage that takes long, where there is no terminal."""

_METRICS = ("r2", "pearson_r2", "spearman", "rmse", "high_expressed_found")

_SHORT = (
    *("model", "label", "scope", "n", "r2", "pearson_r2", "pearson_r2_low", "pearson_r2_high"),
    *("lead", "lead_low", "lead_high"),
)
"""The columns of the short table; `lead` is the network's squared Pearson correlation minus the row's."""


class RunDisplay:
    """Shows folds, epochs and steps on standard error, with the rate and the time left at most.

    An observer of `cv` (whose folds have a line each) and of `train`.
    """

    def __init__(self) -> None:
        self._max_epochs = 0
        self._live: Progress | None = None
        self._single = _TrainingLine("", 0, None)
        self._folds: dict[int, _TrainingLine] = {}
        self._stage: _Stage | None = None

    def __enter__(self) -> RunDisplay:
        if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO):
            self._live = _live_progress()
            StatusHandler.live = self._live.console
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._end_stage()
        if self._live:
            self._live.stop()
            StatusHandler.live = None

    def on_begin(self, max_epochs: int) -> None:
        """A run begins, each of whose trainings has at most so many epochs."""
        self._max_epochs = max_epochs
        self._single = _TrainingLine("", max_epochs, self._live)

    def on_fold(self, fold: int, folds: int) -> _TrainingLine:
        """A fold begins, and gets a line."""
        self._folds[fold] = _TrainingLine(f"fold {fold} of {folds}, ", self._max_epochs, self._live)
        return self._folds[fold]

    def on_fold_done(self, fold: int) -> None:
        """A fold is whole."""
        self._folds.pop(fold).close()

    def on_stage(self, stage: str) -> None:
        """Something other than training begins."""
        self._single.close()
        self._end_stage()
        status(stage)
        self._stage = _Stage(stage, self._live)

    def on_part(self, part: str, done: int, total: int) -> None:
        """A part of the stage begins."""
        if self._stage is not None:
            self._stage.on_part(part, done, total)

    def _end_stage(self) -> None:
        if self._stage is not None:
            self._stage.close()
        self._stage = None

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """A step of the only training is done."""
        self._single.on_step(epoch, step, steps)

    def on_epoch(self, row: dict[str, Any]) -> None:
        """An epoch of the only training is done."""
        self._single.on_epoch(row)


class _Stage:
    """Something that may take minutes: a line of the live display, or a plain line every half minute."""

    def __init__(self, name: str, live: Progress | None) -> None:
        self._name, self._live, self._begin = name, live, time.monotonic()
        self._part = ""
        self._ended = threading.Event()
        self._task: TaskID | None = None
        if live:
            self._task = live.add_task(name, total=None, count="", left="")
        else:
            threading.Thread(target=self._beat, daemon=True).start()

    def on_part(self, part: str, done: int, total: int) -> None:
        """A part begins."""
        self._part = f": {part} ({done + 1} of {total})"
        if self._live and self._task is not None:
            self._live.update(self._task, description=f"{self._name}: {part}", completed=done, total=total)
            self._live.update(self._task, count=f"{done + 1} of {total}")

    def _beat(self) -> None:
        while not self._ended.wait(_HEARTBEAT_SECONDS):
            status(f"{self._name}{self._part}, {_duration(time.monotonic() - self._begin)} so far")

    def close(self) -> None:
        """The stage is over."""
        self._ended.set()
        if self._live and self._task is not None:
            self._live.remove_task(self._task)


class _TrainingLine:
    """One training: a line of the live display, or a plain line now and then."""

    def __init__(self, name: str, max_epochs: int, live: Progress | None) -> None:
        self._name, self._max_epochs, self._live = name, max_epochs, live
        self._epoch = "starting"
        self._last_line = 0.0
        self._task: TaskID | None = None

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """A step is done; a resumed training starts in the middle."""
        if not self._live:
            return
        done = (epoch - 1) * steps + step
        if self._task is None:
            self._task = self._live.add_task(
                "", total=self._max_epochs * steps, completed=done - 1, count="", left="left at most"
            )
        self._live.update(self._task, completed=done, description=f"{self._name}epoch {epoch}: {self._epoch}")
        self._live.update(self._task, count=f"{done} of {self._max_epochs * steps} steps")

    def on_epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done; epoch 0 is the composition flow, trained alone before the rest."""
        self._epoch = f"loss {row['train_loss']:.4g}, validation r2 {row['valid_r2']:.3f}"
        if row["epoch"] == 0:
            if not self._live:
                status(f"{self._name}composition alone: {self._epoch}, {row['seconds']:.1f} s")
            return
        now = time.monotonic()
        if not self._live and now - self._last_line >= _PLAIN_LINE_SECONDS:
            self._last_line = now
            left = (self._max_epochs - row["epoch"]) * row["seconds"]
            status(
                f"{self._name}epoch {row['epoch']} of at most {self._max_epochs}: {self._epoch}, "
                f"{row['seconds']:.1f} s an epoch, at most {_duration(left)} left"
            )

    def close(self) -> None:
        """The training is over: its line goes."""
        if self._live and self._task is not None:
            self._live.remove_task(self._task)
        self._task = None


def show_results(folder: Path, *, all_metrics: bool = False) -> None:
    """Print the scores over all held-out genes on standard output: short tables on a terminal, else TSV.

    Standard error gets what they mean, whether the labels were permuted, and what failed after the training.

    Args:
        folder: of the run.
        all_metrics: all five metrics with their intervals, not r2 and the squared Pearson correlation alone.

    Raises:
        typer.Exit: with exit code 1, where something failed after the training.
    """
    from seqexpr.evaluation.tables import metrics_table, read_metrics
    from seqexpr.evaluation.verdict import verdicts
    from seqexpr.manifest import read_manifest
    from seqexpr.runs.folder import read_failures

    rows = read_metrics(folder / "metrics.json")
    control = read_manifest(folder)["options"]["permute_labels"]
    scopes = {row["scope"] for row in rows}
    shown = [row for row in rows if row["scope"] in (("all",) if "all" in scopes else ("valid", "test"))]
    table = metrics_table(shown)
    if not all_metrics:
        table = table[list(_SHORT)]
    if sys.stdout.isatty():
        _print_rich(shown, "labels permuted, " if control else "", _METRICS if all_metrics else ("r2", "pearson_r2"))
    else:
        print(table.to_csv(sep="\t", index=False, float_format="%.4f", lineterminator="\n"), end="")  # noqa: T201
    if control:
        status("negative control: the labels were permuted among the genes, so r2 above 0 is chance or a fault")
    for line in verdicts(shown):
        status(line)
    failed = read_failures(folder)
    report = "it has no report" if "the report" in failed else f"its report is {folder / 'report.html'}"
    status(f"the run is in {folder}; {report}")
    if failed:
        logger.error(
            f"failed after the training: {', '.join(failed)}; everything else is there, {folder / 'failed.json'} says "
            "more, and --resume (or cv --merge) computes what is missing"
        )
        raise typer.Exit(1)


def _print_rich(rows: list[dict[str, Any]], remark: str, metrics: tuple[str, ...]) -> None:
    """One table for each output and scope: narrow enough for 100 letters."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from seqexpr.evaluation.verdict import spoken

    console = Console()
    for output, scope in dict.fromkeys((row["output"], row["scope"]) for row in rows):
        shown = [row for row in rows if (row["output"], row["scope"]) == (output, scope)]
        title = f"{output}: {shown[0]['n']:,} held-out genes ({scope}), {remark}95 % bootstrap intervals"
        table = Table("model", title=title, box=box.SIMPLE_HEAD)
        for name in ("n", *metrics, "seqexpr's lead, pearson_r2"):
            table.add_column(name.replace("_", "\n").replace(", ", "\n"), justify="right", no_wrap=True)
        for row in shown:
            cells = [_cell(row["metrics"][name]) for name in metrics]
            lead = row.get("difference", {}).get("pearson_r2")
            style = "bold" if row["model"] == "seqexpr" else None
            last = "" if lead is None else _cell(lead, "+")
            table.add_row(spoken(row["model"]), f"{row['n']:,}", *cells, last, style=style)
        console.print(table)


def _cell(estimate: dict[str, float | None], sign: str = "") -> str:
    """The value, and its interval on a line of its own."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return "-"
    shown = f"{value:{sign}.3f}"
    return shown if low is None else f"{shown}\n{low:{sign}.3f} to {high:{sign}.3f}"


def _live_progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
