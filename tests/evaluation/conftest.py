from __future__ import annotations

import pytest

from seqexpr.datasets.prepared import PreparedDataset

from ..small_dataset import make_small_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> PreparedDataset:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


class SilentObserver:
    """Notes what it is told; stops a run at a step when asked."""

    def __init__(self, stop_at: tuple[int, int, int] | None = None) -> None:
        self.fold, self.stop_at = -1, stop_at
        self.folds: list[int] = []
        self.stages: list[str] = []
        self.epochs: list[dict] = []

    def on_fold(self, fold: int, folds: int) -> None:
        self.fold = fold
        self.folds.append(fold)

    def on_stage(self, stage: str) -> None:
        self.stages.append(stage)

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        if self.stop_at == (self.fold, epoch, step):
            raise KeyboardInterrupt

    def on_epoch(self, row: dict) -> None:
        self.epochs.append(row)


@pytest.fixture
def observer() -> SilentObserver:
    return SilentObserver()
