"""Who is told how a run goes. The command line shows it, tests note it, and both may do it as they like."""

from __future__ import annotations

from typing import Protocol

from seqexpr.training.trainer import Observer


class StageObserver(Protocol):
    """Is told what is done besides training."""

    def on_stage(self, stage: str) -> None:
        """What is done now, in a few words."""


class RunObserver(Observer, StageObserver, Protocol):
    """Is told how a single training goes and what is done after it."""


class FoldObserver(StageObserver, Protocol):
    """Is told how a cross-validation goes, of which several folds may be running at once."""

    def on_fold(self, fold: int, folds: int) -> Observer:
        """Fold `fold` (from 0) of `folds` begins; the returned observer is told of its training alone."""

    def on_fold_done(self, fold: int) -> None:
        """Fold `fold` is whole."""
