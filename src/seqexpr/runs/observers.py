"""What a run reports while it goes. The command line shows it, tests note it; both may do with it what they like."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from seqexpr.training.trainer import Observer


class StageObserver(Protocol):
    """Hears what is done besides training."""

    def on_begin(self, folder: Path, max_epochs: int) -> None:
        """A run begins in a folder; each of its trainings has at most so many epochs."""

    def on_stage(self, stage: str) -> None:
        """What is done from now on, in a few words."""

    def on_part(self, part: str, done: int, total: int) -> None:
        """Which part of the stage is done now; `done` of `total` parts are finished."""


class RunObserver(Observer, StageObserver, Protocol):
    """Hears how a single training goes and what is done after it."""


class FoldObserver(StageObserver, Protocol):
    """Hears how a cross-validation goes, of which several folds may be running at once."""

    def on_fold(self, fold: int, folds: int) -> Observer:
        """Fold `fold` (from 0) of `folds` begins; the returned observer hears of its training alone."""

    def on_fold_done(self, fold: int) -> None:
        """Fold `fold` is whole."""


class SilentObserver:
    """An observer that shows nothing; logging says what matters."""

    def on_begin(self, folder: Path, max_epochs: int) -> None:
        """Nothing."""

    def on_stage(self, stage: str) -> None:
        """Nothing."""

    def on_part(self, part: str, done: int, total: int) -> None:
        """Nothing."""

    def on_fold(self, fold: int, folds: int) -> SilentObserver:
        """Each fold is observed by this one too."""
        return self

    def on_fold_done(self, fold: int) -> None:
        """Nothing."""

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Nothing."""

    def on_epoch(self, row: dict[str, Any]) -> None:
        """Nothing."""
