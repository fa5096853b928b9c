"""What a training is about: genes, network, recipe, and the scalings that the training genes alone decide."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import UsageError
from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.models.config import PerceiverConfig
from seqexpr.training.recipe import Recipe


@dataclass(frozen=True)
class TrainingJob:
    """What is trained on which genes; the same job gives the same weights on a CPU with as many threads."""

    dataset: PreparedDataset
    label_names: tuple[str, ...]
    train: np.ndarray
    """Rows of the dataset whose labels set the weights and the scalings."""
    valid: np.ndarray
    """Rows whose labels choose the epoch."""
    config: PerceiverConfig
    recipe: Recipe
    seed: int

    def __post_init__(self) -> None:
        if self.config.outputs != len(self.label_names):
            raise UsageError(f"{self.config.outputs} outputs for {len(self.label_names)} labels")
        if len(self.train) < 2 or len(self.valid) < 2:
            raise UsageError(
                f"{len(self.train)} genes to train on and {len(self.valid)} to validate on are too few; 2 each at least"
            )
        if set(self.train.tolist()) & set(self.valid.tolist()):
            raise UsageError("training and validation share genes")

    def fingerprint(self) -> str:
        """SHA-256 of everything that decides the weights."""
        described = json.dumps(
            [self.config.to_dict(), self.recipe.to_dict(), list(self.label_names), self.seed, self.dataset.ids]
        ).encode()
        parts = (described, self.train.astype("<i8").tobytes(), self.valid.astype("<i8").tobytes())
        labels = self.dataset.labels(self.label_names).tobytes()
        return hashlib.sha256(b"".join((*parts, labels))).hexdigest()


def label_scaling(job: TrainingJob) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of each label over the training genes, (outputs,) each; 0 and 1 without scaling.

    Raises:
        UsageError: a label that is constant or missing there.
    """
    labels = job.dataset.labels(job.label_names)[job.train]
    for column, name in enumerate(job.label_names):
        present = labels[~np.isnan(labels[:, column]), column]
        if len(present) < 2 or present.std() == 0:
            raise UsageError(
                f"label {name!r} has {len(present)} values, {len(np.unique(present))} of them distinct, "
                "among the training genes; there is nothing to learn"
            )
    if job.recipe.label_scaling == "none":
        return np.zeros(labels.shape[1]), np.ones(labels.shape[1])
    return np.nanmean(labels, axis=0), np.nanstd(labels, axis=0)


def half_life_schema(job: TrainingJob) -> HalfLifeSchema | None:
    """Scaling of the half-life features over the training genes; None when not read or not in the dataset."""
    raw = job.dataset.half_life() if job.config.reads_half_life else None
    if raw is None:
        return None
    return HalfLifeSchema.fit(raw[job.train], job.dataset.half_life_names, job.dataset.half_life_transforms)
