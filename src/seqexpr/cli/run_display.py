"""How a training or a cross-validation shows itself: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from seqexpr.cli.console import StatusHandler, status

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PLAIN_LINE_SECONDS = 10.0

_SHOWN = ("r2", "pearson_r2", "spearman", "rmse", "high_expressed_found")


class RunDisplay:
    """Shows folds, epochs and steps on standard error, with the rate and the time left at most.

    An observer of `cv` (whose folds have a line each) and of `train`.

    Args:
        max_epochs: of each training; 0 where there is none.
    """

    def __init__(self, max_epochs: int = 0) -> None:
        self._max_epochs = max_epochs
        self._live: Progress | None = None
        self._single = _TrainingLine("", max_epochs, None)
        self._folds: dict[int, _TrainingLine] = {}

    def __enter__(self) -> RunDisplay:
        if sys.stderr.isatty():
            self._live = _live_progress()
            self._single = _TrainingLine("", self._max_epochs, self._live)
            StatusHandler.live = self._live.console
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self._live:
            self._live.stop()
            StatusHandler.live = None

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
        status(stage)

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """A step of the only training is done."""
        self._single.on_step(epoch, step, steps)

    def on_epoch(self, row: dict[str, Any]) -> None:
        """An epoch of the only training is done."""
        self._single.on_epoch(row)


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
            self._task = self._live.add_task("", total=self._max_epochs * steps, completed=done - 1)
        self._live.update(self._task, completed=done, description=f"{self._name}epoch {epoch}: {self._epoch}")

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


def show_results(rows: list[dict[str, Any]], folder: Path) -> None:
    """The metrics over all held-out genes as a table on standard output: rich on a terminal, else TSV.

    Standard error gets the network's difference from the strongest baseline, and whether the labels were permuted.
    """
    from seqexpr.manifest import read_manifest

    control = read_manifest(folder)["options"]["permute_labels"]
    scopes = {row["scope"] for row in rows}
    shown = [row for row in rows if row["scope"] in (("all",) if "all" in scopes else ("valid", "test"))]
    if sys.stdout.isatty():
        _print_rich(shown, "labels permuted, " if control else "")
    else:
        print("\t".join(["model", "output", "scope", "n", *(f"{m}\t{m}_low\t{m}_high" for m in _SHOWN)]))  # noqa: T201
        for row in shown:
            numbers = [row["metrics"][name][part] for name in _SHOWN for part in ("value", "low", "high")]
            cells = ["" if number is None else f"{number:.4f}" for number in numbers]
            print("\t".join([row["model"], row["output"], row["scope"], str(row["n"]), *cells]))  # noqa: T201
    if control:
        status("negative control: the labels were permuted among the genes, so r2 above 0 is chance or a fault")
    for line in differences(rows):
        status(line)
    status(f"the run is in {folder}; its report is {folder / 'report.html'}")


def differences(rows: list[dict[str, Any]]) -> list[str]:
    """For each output one line: the network's r2 minus that of the baseline with the highest r2, with its interval."""
    lines = []
    outputs = list(dict.fromkeys(row["output"] for row in rows))
    for output in outputs:
        compared = [row for row in rows if row["output"] == output and _known(row)]
        if compared:
            strongest = max(compared, key=lambda row: row["metrics"]["r2"]["value"])
            r2 = strongest["difference"]["r2"]
            interval = "" if r2["low"] is None else f" [{r2['low']:+.3f}, {r2['high']:+.3f}]"
            name = f"{output}: " if len(outputs) > 1 else ""
            lines.append(f"{name}seqexpr minus {_spoken(strongest['model'])}: r2 {r2['value']:+.3f}{interval}")
    return lines


def _known(row: dict[str, Any]) -> bool:
    return None not in (row["metrics"]["r2"]["value"], row.get("difference", {}).get("r2", {}).get("value"))


def _spoken(model: str) -> str:
    return model.replace("half_life", "half-life").replace("_", " ")


def _print_rich(rows: list[dict[str, Any]], remark: str) -> None:
    """One table for each output and scope: narrow enough for 100 letters."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for output, scope in dict.fromkeys((row["output"], row["scope"]) for row in rows):
        shown = [row for row in rows if (row["output"], row["scope"]) == (output, scope)]
        title = f"{output}: {shown[0]['n']:,} held-out genes ({scope}), {remark}95 % bootstrap intervals"
        table = Table("model", title=title, box=box.SIMPLE_HEAD)
        for name in _SHOWN:
            table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
        for row in shown:
            cells = [_cell(row["metrics"][name]) for name in _SHOWN]
            style = "bold" if row["model"] == "seqexpr" else None
            table.add_row(_spoken(row["model"]), *cells, style=style)
        console.print(table)


def _cell(estimate: dict[str, float | None]) -> str:
    """The value, and its interval on a line of its own."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None else f"{value:.3f}\n{low:.3f} to {high:.3f}"


def _live_progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f} of {task.total:.0f} steps"),
        TimeElapsedColumn(),
        TextColumn("left at most"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
