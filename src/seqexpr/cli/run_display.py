"""How a training or a cross-validation shows itself: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from seqexpr.cli.console import StatusHandler, logger, status
from seqexpr.cli.stopped import kept_of

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PLAIN_LINE_SECONDS = 10.0

_HEARTBEAT_SECONDS = 30.0
"""Between two lines of a stage that takes long, where there is no terminal."""

_SHORT = (
    *("model", "label", "scope", "n", "r2", "pearson_r2", "pearson_r2_low", "pearson_r2_high"),
    *("lead", "lead_low", "lead_high"),
)
"""The columns of the short table; `lead` is the network's squared Pearson correlation minus the row's."""


class RunDisplay:
    """Shows folds, epochs and steps on standard error, with the rate and the time left at most.

    An observer of `cv` (whose folds have a line each) and of `train`. What is logged before anything long begins is
    held back, so that a mistake that is found until then is said first, and alone. Where the run is stopped, it says
    what is kept and how to go on.

    Args:
        only_folds: the folds that are to be run, where not all are.
    """

    def __init__(self, only_folds: Sequence[int] = ()) -> None:
        self._only_folds = only_folds
        self._max_epochs = 0
        self._folder: Path | None = None
        self._live: Progress | None = None
        self._single = _TrainingLine("", 0, None)
        self._folds: dict[int, _TrainingLine] = {}
        self._stage: _Stage | None = None

    def __enter__(self) -> RunDisplay:
        StatusHandler.hold_back()
        if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO):
            self._live = _live_progress()
            StatusHandler.live = self._live.console
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._end_stage()
        StatusHandler.say_held(none_of_it=kind is not None)
        if self._live:
            self._live.stop()
            StatusHandler.live = None
        if self._folder is not None and kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit):
            logger.warning("%s", kept_of(self._folder, self._only_folds))

    def on_begin(self, folder: Path, max_epochs: int) -> None:
        """A run begins in a folder; each of its trainings has at most so many epochs. Its options are in order."""
        StatusHandler.say_held()
        self._end_stage()
        self._folder, self._max_epochs = folder, max_epochs
        self._single = _TrainingLine("", max_epochs, self._live)

    def on_fold(self, fold: int, folds: int) -> _TrainingLine:
        """A fold begins, and gets a line."""
        self._end_stage()
        self._folds[fold] = _TrainingLine(f"fold {fold} of {folds}, ", self._max_epochs, self._live)
        return self._folds[fold]

    def on_fold_done(self, fold: int) -> None:
        """A fold is whole."""
        self._folds.pop(fold).close()

    def on_stage(self, stage: str) -> None:
        """Something other than training begins."""
        StatusHandler.say_held()
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
        self._end_stage()
        self._single.on_step(epoch, step, steps)

    def on_epoch(self, row: dict[str, Any]) -> None:
        """An epoch of the only training is done."""
        self._end_stage()
        self._single.on_epoch(row)


class _Stage:
    """Something that may take minutes: a line of the live display, or a plain line every half minute."""

    def __init__(self, name: str, live: Progress | None) -> None:
        self._name, self._live, self._begin = name, live, time.monotonic()
        self._part = ""
        self._ended = threading.Event()
        self._task: TaskID | None = None
        if live:
            self._task = live.add_task(name, total=None, count="", bounded=False)
        else:
            threading.Thread(target=self._beat, daemon=True).start()

    def on_part(self, part: str, done: int, total: int) -> None:
        """A part begins."""
        self._part = f": {part} ({done + 1:,} of {total:,})"
        if self._live and self._task is not None:
            self._live.update(self._task, description=f"{self._name}: {part}", completed=done, total=total)
            self._live.update(self._task, count=f"{done + 1:,} of {total:,}")

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
                "", total=self._max_epochs * steps, completed=done - 1, count="", bounded=True
            )
        self._live.update(self._task, completed=done, description=f"{self._name}epoch {epoch}: {self._epoch}")

    def on_epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done; epoch 0 is what comes before the first."""
        self._epoch = f"validation r2 {row['valid_r2']:.3f}, loss {row['train_loss']:.4g}"
        if row["epoch"] == 0:
            if not self._live:
                status(f"{self._name}before the first epoch: {self._epoch}, {row['seconds']:.1f} s")
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
    from seqexpr.next_command import command_to_end
    from seqexpr.runs.folder import read_failures

    rows = read_metrics(folder / "metrics.json")
    manifest = read_manifest(folder)
    control = manifest["options"]["permute_labels"]
    scopes = {row["scope"] for row in rows}
    shown = [row for row in rows if row["scope"] in (("all",) if "all" in scopes else ("valid", "test"))]
    table = metrics_table(shown)
    if not all_metrics:
        table = table[list(_SHORT)]
    if sys.stdout.isatty():
        from rich.console import Console

        from seqexpr.cli.score_tables import score_tables

        remark = "labels permuted, " if control else ""
        Console(markup=False).print(*score_tables(shown, remark, all_metrics=all_metrics))
    else:
        print(table.to_csv(sep="\t", index=False, float_format="%.4f", lineterminator="\n"), end="")  # noqa: T201
    if control:
        status("negative control: the labels were permuted among the genes, so that nothing can be learnt")
    for line in verdicts(shown, control=control):
        status(line)
    failed = read_failures(folder)
    report = "it has no report" if "the report" in failed else f"its report is {folder / 'report.html'}"
    status(f"the run is in {folder}; {report}")
    if failed:
        logger.error(
            f"failed after the training: {', '.join(failed)}; everything else is there, and {folder / 'failed.json'} "
            f"says more; to compute what is missing, run: {command_to_end(folder, manifest)}"
        )
        raise typer.Exit(1)


def _live_progress() -> Progress:
    """The live lines, one line each: the words are cut where a terminal is narrow."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Words(ProgressColumn):
        """What goes on, cut where the line ends."""

        def render(self, task: Task) -> Text:
            return Text(task.description, no_wrap=True, overflow="ellipsis")

    class Time(ProgressColumn):
        """How long a training can take yet, and how long anything else has taken."""

        def render(self, task: Task) -> Text:
            if not task.fields["bounded"]:
                return Text(_duration(task.elapsed or 0))
            left = task.time_remaining
            return Text("" if left is None else f"at most {_duration(left)} left")

    return Progress(
        SpinnerColumn(),
        Words(),
        BarColumn(bar_width=None, table_column=Column(max_width=10)),
        TextColumn("{task.fields[count]}"),
        Time(table_column=Column(no_wrap=True)),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
