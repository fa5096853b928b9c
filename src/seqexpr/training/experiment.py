"""The two records that a training and its evaluation are about: what is learnt, and from which genes.

An `Experiment` is the same for all folds of a cross-validation; a `Split` is one of them, or the only one of `train`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import UsageError
from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.input_range import InputRange, coding_features, dna_features, protein_features
from seqexpr.training.recipe import Recipe
from seqexpr.training.start import Start
from seqexpr.training.teacher import Teaching

_CHUNK = 512
"""Windows that are summarised at once."""


@dataclass(frozen=True)
class Experiment:
    """What is learnt: labels of a dataset's genes, by a network and a recipe.

    Raises:
        UsageError: the network has another number of outputs than there are labels.
    """

    dataset: PreparedDataset
    """Its labels are those that are learnt: permuted among the genes in a negative control."""
    labels: tuple[str, ...]
    """Names of the labels, one for each output of the network."""
    config: PerceiverConfig
    recipe: Recipe
    seed: int
    """Of weights, batches and the division of the genes."""
    task: str = ""
    """As the user named it: a task or a folder."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further settings for the manifest of a run: how the genes are divided, digests of the data."""
    start: Start | None = None
    """Weights that every training starts from; None: random ones."""
    teaching: Teaching | None = None
    """Models that the network learns from before it sees a label; None: there are none."""

    def __post_init__(self) -> None:
        if self.config.outputs != len(self.labels):
            raise UsageError(f"{self.config.outputs} outputs for {len(self.labels)} labels")

    def values(self) -> np.ndarray:
        """The labels of all genes, float64 (genes, outputs), NaN where missing."""
        return self.dataset.labels(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """The resolved settings for a run's manifest."""
        return {
            "task": self.task,
            "labels": list(self.labels),
            "seed": self.seed,
            "model": self.config.to_dict(),
            "recipe": self.recipe.to_dict(),
            "dataset": {
                # The whole path: runs are merged from other working folders too.
                "folder": str(self.dataset.folder.resolve()),
                "genes": len(self.dataset),
                "sources": self.dataset.manifest.get("sources", {}),
            },
            **({} if self.start is None else {"start": self.start.to_dict()}),
            **({} if self.teaching is None else {"teaching": self.teaching.to_dict()}),
            **self.options,
        }


@dataclass(frozen=True, eq=False)
class Split:
    """Which genes teach, which choose the epoch and which are tested: one fold, or the only division of `train`.

    All are rows of the dataset, int64. No gene has two parts.

    Raises:
        UsageError: a gene has two parts.
    """

    number: int
    """Of the fold, from 0."""
    train: np.ndarray
    """Genes with a label, which decide the weights and the scalings (n,)."""
    valid: np.ndarray
    """Genes with a label, which choose the epoch (m,)."""
    test: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """Genes that are tested, with a label or without (k,); none where nothing is held out."""

    def __post_init__(self) -> None:
        parts = {"training": self.train, "validation": self.valid, "test": self.test}
        taken: dict[int, str] = {}
        for name, rows in parts.items():
            for row in set(rows.tolist()):
                if row in taken:
                    raise UsageError(f"the {taken[row]} and the {name} part share genes")
                taken[row] = name

    @property
    def seen(self) -> np.ndarray:
        """All genes that a network of this split has learnt from or was chosen by, ascending (n + m,)."""
        return np.sort(np.concatenate([self.train, self.valid]))


def labelled(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Those of the rows that have at least one label; `values` is (genes, outputs), NaN where missing."""
    return rows[~np.isnan(values[rows]).all(axis=1)]


def fingerprint(experiment: Experiment, split: Split) -> str:
    """SHA-256 of everything that decides the weights; the test genes are no part of it."""
    recipe = experiment.recipe.to_dict()
    recipe.pop("teacher", None)  # the weights that a stage left are what the training starts from
    described = json.dumps(
        [
            experiment.config.to_dict(),
            recipe,
            list(experiment.labels),
            experiment.seed,
            experiment.dataset.ids,
            *([] if experiment.start is None else [experiment.start.digests]),
        ]
    ).encode()
    parts = (described, split.train.astype("<i8").tobytes(), split.valid.astype("<i8").tobytes())
    return hashlib.sha256(b"".join((*parts, experiment.values().tobytes()))).hexdigest()


def check_trainable(split: Split) -> None:
    """Whether a network can be trained on a split at all.

    Raises:
        UsageError: fewer than two genes to train on or to validate on.
    """
    if len(split.train) < 2 or len(split.valid) < 2:
        raise UsageError(
            f"{len(split.train)} genes to train on and {len(split.valid)} to validate on are too few; "
            "2 each at least are needed"
        )


def input_range(experiment: Experiment, rows: np.ndarray) -> InputRange:
    """What the inputs of some genes are like, as far as the network reads them."""
    dataset, config = experiment.dataset, experiment.config
    parts: list[tuple[Sequence[str], np.ndarray]] = []
    if config.reads_dna:
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        found = [
            dna_features(dataset.dna(chunk, config.upstream, config.downstream), config.upstream) for chunk in chunks
        ]
        parts.append((found[0][0], np.concatenate([values for _, values in found])))
    if config.reads_protein:
        proteins = (dataset.proteins(rows[at : at + 1], config.protein_length)[0] for at in range(len(rows)))
        parts.append(protein_features(proteins))
    raw = dataset.half_life() if config.reads_half_life else None
    if raw is not None:
        parts.append((dataset.half_life_names, raw[rows]))
    if config.reads_coding and dataset.has_coding:
        parts.append(coding_features(dataset.coding([row], config.coding_length)[0] for row in rows))
    return InputRange.of(parts)


def label_scaling(experiment: Experiment, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of each label over the training genes, (outputs,) each; 0 and 1 without scaling.

    Raises:
        UsageError: a label that is constant or missing there.
    """
    values = experiment.values()[split.train]
    for column, name in enumerate(experiment.labels):
        present = values[~np.isnan(values[:, column]), column]
        if len(present) < 2 or present.std() == 0:
            raise UsageError(
                f"label {name!r} has {len(present)} values, {len(np.unique(present))} of them distinct, "
                "among the training genes; there is nothing to learn"
            )
    if experiment.recipe.label_scaling == "none":
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    return np.nanmean(values, axis=0), np.nanstd(values, axis=0)


def half_life_schema(experiment: Experiment, split: Split) -> HalfLifeSchema | None:
    """Scaling of the half-life features; None when not read or not in the dataset.

    That of the weights that the training starts from, where they have one for such features, else over the training
    genes.
    """
    dataset = experiment.dataset
    raw = dataset.half_life() if experiment.config.reads_half_life else None
    if raw is None:
        return None
    start = experiment.start
    if start is not None and start.half_life is not None and start.half_life.transforms == dataset.half_life_transforms:
        return start.half_life
    return HalfLifeSchema.fit(raw[split.train], dataset.half_life_names, dataset.half_life_transforms)
