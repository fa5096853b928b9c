from __future__ import annotations

from pathlib import Path

import pytest

from seqexpr.datasets.dataset import PreparedDataset

from ..small_dataset import make_small_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> PreparedDataset:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="session")
def coding_dataset(tmp_path_factory) -> PreparedDataset:
    """The small dataset with coding sequences."""
    return make_small_dataset(tmp_path_factory.mktemp("data") / "coding", with_coding=True)


class SilentObserver:
    """Notes what it hears; stops a run at (fold, epoch, step) when asked."""

    def __init__(self, stop_at: tuple[int, int, int] | None = None) -> None:
        self.stop_at = stop_at
        self.folds: list[int] = []
        self.done: list[int] = []
        self.stages: list[str] = []
        self.parts: list[tuple[str, str]] = []
        self.epochs: list[tuple[int, dict]] = []

    def on_fold(self, fold: int, folds: int) -> TrainingNotes:
        self.folds.append(fold)
        return TrainingNotes(self, fold)

    def on_fold_done(self, fold: int) -> None:
        self.done.append(fold)

    def on_begin(self, folder: Path, max_epochs: int) -> None:
        self.max_epochs = max_epochs

    def on_stage(self, stage: str) -> None:
        self.stages.append(stage)

    def on_part(self, part: str, done: int, total: int) -> None:
        self.parts.append((self.stages[-1], part))
        assert 0 <= done < total

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        TrainingNotes(self, 0).on_step(epoch, step, steps)

    def on_epoch(self, row: dict) -> None:
        TrainingNotes(self, 0).on_epoch(row)


class TrainingNotes:
    """Notes for the observer what happens in one fold."""

    def __init__(self, notes: SilentObserver, fold: int) -> None:
        self.notes, self.fold = notes, fold

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        if self.notes.stop_at == (self.fold, epoch, step):
            raise KeyboardInterrupt

    def on_epoch(self, row: dict) -> None:
        self.notes.epochs.append((self.fold, row))


@pytest.fixture
def observer() -> SilentObserver:
    return SilentObserver()


@pytest.fixture
def no_audit(monkeypatch) -> None:
    """Leave the search for alike proteins out of tests that are about something else."""
    monkeypatch.setattr("seqexpr.runs.finish.audit_overlap", lambda *_, **__: [])
