"""Simple predictors that a model must beat: the training mean, half-life features, sequence composition.

Each baseline is a function `fit_predict(features, values, train, test, seed)` that learns from the rows
`train` alone: scalers, imputed means and the strength of the penalty are all chosen there, and the labels
of the rows `test` are never read. The composition of the sequences is counted once per dataset
(`BaselineFeatures`) and shared by all folds; the codon adaptation index, which labels decide, is fitted in each.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from seqexpr.errors import UsageError
from seqexpr.models.composition.codons import (
    adaptation_index,
    adaptation_weights,
    codon_composition,
    codon_counts,
    is_known,
)
from seqexpr.models.composition.profile import dna_words_and_profile
from seqexpr.models.composition.words import protein_composition

_BLOCK_TOKENS = 1 << 22
"""Tokens that are counted at once: about 150 MB of intermediate arrays."""

_RIDGE_PENALTIES = np.logspace(-1, 6, 15)


class SequenceDataset(Protocol):
    """What the baselines read of a `PreparedDataset`."""

    @property
    def has_dna(self) -> bool:
        """Whether there are windows."""

    @property
    def has_protein(self) -> bool:
        """Whether there are proteins."""

    @property
    def has_coding(self) -> bool:
        """Whether there are coding sequences, of some genes at least."""

    @property
    def half_life_names(self) -> tuple[str, ...]:
        """Names of the half-life features; () when there are none."""

    @property
    def half_life_transforms(self) -> tuple[str, ...]:
        """Their transforms, as `HalfLifeSchema` names them."""

    def __len__(self) -> int:
        """Number of genes."""

    def half_life(self) -> np.ndarray | None:
        """Raw half-life features (n, 8), NaN where missing; None when the dataset has none."""

    def dna(self, indices: np.ndarray, upstream: int, downstream: int) -> np.ndarray:
        """Windows as uint8 tokens (n, upstream + downstream)."""

    def proteins(self, indices: np.ndarray, max_length: int) -> np.ndarray:
        """Proteins as uint8 tokens (n, longest of these), padded with 0 on the right."""

    def coding(self, indices: np.ndarray, max_length: int) -> np.ndarray:
        """Coding sequences as uint8 tokens (n, longest of these), padded with 0 on the right; 0 alone where unknown."""


class BaselineFeatures:
    """The features of all genes of a dataset, each computed at its first use and then kept.

    Args:
        dataset: the prepared genes (n rows).
        upstream: bases of the window before the TSS that the composition covers.
        downstream: bases after it; the composition leaves DNA out when both are 0.
        max_protein: residues of each protein that the composition covers; 0 leaves proteins out.
        max_coding: codons of each coding sequence that the composition covers; 0 leaves them out.
    """

    def __init__(
        self, dataset: SequenceDataset, upstream: int, downstream: int, max_protein: int, max_coding: int = 0
    ) -> None:
        self.dataset = dataset
        self.upstream = upstream
        self.downstream = downstream
        self.max_protein = max_protein
        self.max_coding = max_coding
        self._lock = threading.Lock()

    @property
    def reads_dna(self) -> bool:
        """Whether the composition covers DNA."""
        return self.dataset.has_dna and self.upstream + self.downstream > 0

    @property
    def reads_protein(self) -> bool:
        """Whether the composition covers proteins."""
        return self.dataset.has_protein and self.max_protein > 0

    @property
    def reads_coding(self) -> bool:
        """Whether the composition covers coding sequences."""
        return self.dataset.has_coding and self.max_coding > 0

    @property
    def half_life(self) -> np.ndarray | None:
        """Raw half-life features, float64 (n, 8), NaN where missing; None when the dataset has none."""
        with self._lock:
            return self._half_life

    @cached_property
    def _half_life(self) -> np.ndarray | None:
        return self.dataset.half_life()

    @property
    def composition(self) -> np.ndarray:
        """What the network's kernel flow reads too, float32 (n, columns): `models.composition` defines it.

        DNA: shares of 1- to 4-mers of the window, and of the 500 bases on either side of the TSS; composition in bins
        along the window. Protein: shares of residues, of pairs of them, of residues at either end, and the length.
        Coding sequences: `codon_composition`, NaN for a gene without one, and whether there is one.
        """
        with self._lock:  # threads that fit at once share it
            return self._composition

    @cached_property
    def _composition(self) -> np.ndarray:
        blocks = [self._dna_composition()] if self.reads_dna else []
        if self.reads_protein:
            blocks.append(self._protein_composition())
        if not blocks:
            raise UsageError("composition baselines need DNA windows or proteins, and the dataset has neither in use")
        if self.reads_coding:
            blocks.append(self._codon_composition())
        return np.concatenate(blocks, axis=1)

    def with_adaptation(self, values: np.ndarray, train: np.ndarray) -> np.ndarray:
        """The composition, and the codon adaptation index where coding sequences are covered.

        Args:
            values: labels (n,), of which those of `train` alone are read.
            train: rows whose codons and labels set the index's weights.

        Returns:
            float32 (n, columns), NaN in all that is codons of a gene without a coding sequence.
        """
        composition = self.composition
        if not self.reads_coding:
            return composition
        with self._lock:
            counts = torch.from_numpy(self._codon_counts)
        lacking = counts.sum(dim=1) == 0
        labels = torch.from_numpy(_training_labels(values, train))[:, None]
        weights = adaptation_weights(counts[torch.from_numpy(train)], labels)
        index = adaptation_index(counts, weights).masked_fill(lacking[:, None], torch.nan)
        return np.concatenate([composition, index.numpy()], axis=1)

    @cached_property
    def _codon_counts(self) -> np.ndarray:
        """float32 (n, 64)"""
        return np.concatenate([codon_counts(torch.from_numpy(block)).numpy() for block in self._coding_blocks()])

    def _codon_composition(self) -> np.ndarray:
        blocks = []
        for block in self._coding_blocks():
            tokens = torch.from_numpy(block)
            known = is_known(tokens)
            blocks.append(torch.cat([codon_composition(tokens).masked_fill(~known, torch.nan), known.float()], dim=1))
        return torch.cat(blocks).numpy()

    def _coding_blocks(self) -> Iterator[np.ndarray]:
        return (self.dataset.coding(rows, self.max_coding) for rows in self._blocks(self.max_coding))

    def _dna_composition(self) -> np.ndarray:
        read = self.dataset.dna
        windows = (read(rows, self.upstream, self.downstream) for rows in self._blocks(self.upstream + self.downstream))
        return np.concatenate(
            [dna_words_and_profile(torch.from_numpy(block), self.upstream).numpy() for block in windows]
        )

    def _protein_composition(self) -> np.ndarray:
        proteins = (self.dataset.proteins(rows, self.max_protein) for rows in self._blocks(self.max_protein))
        return np.concatenate([protein_composition(torch.from_numpy(block)).numpy() for block in proteins])

    def _blocks(self, width: int) -> Iterator[np.ndarray]:
        """Row numbers of all genes, so many at a time that `width` tokens of each fit a block."""
        size = max(1, _BLOCK_TOKENS // width)
        for start in range(0, len(self.dataset), size):
            yield np.arange(start, min(start + size, len(self.dataset)))


FitPredict = Callable[[BaselineFeatures, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""(features, values (n,), train rows, test rows, seed) -> predictions (len(test),)"""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline by name, as it stands in `metrics.json`, with one line that explains it."""

    name: str
    title: str
    fit_predict: FitPredict


def applicable_baselines(features: BaselineFeatures) -> list[Baseline]:
    """The baselines that the inputs in `features` allow, the simplest first."""
    composition = features.reads_dna or features.reads_protein
    half_life = features.half_life is not None
    inputs = (("DNA", features.reads_dna), ("protein", features.reads_protein), ("codon", features.reads_coding))
    *firsts, last = [name for name, read in inputs if read] or [""]
    words = f"{', '.join(firsts)} and {last} composition" if firsts else f"{last} composition"
    available = [
        (True, Baseline("training_mean", "the mean of the training genes", training_mean)),
        (half_life, Baseline("half_life_ridge", "ridge on half-life features", half_life_ridge)),
        (composition, Baseline("composition_ridge", f"ridge on {words}", composition_ridge)),
        (
            composition and half_life,
            Baseline(
                "composition_half_life_ridge",
                f"ridge on {words} and half-life features",
                composition_half_life_ridge,
            ),
        ),
        (
            composition,
            Baseline("composition_boosted_trees", f"boosted trees on {words}", composition_boosted_trees),
        ),
        (
            composition and half_life,
            Baseline(
                "composition_half_life_boosted_trees",
                f"boosted trees on {words} and half-life features",
                composition_half_life_boosted_trees,
            ),
        ),
    ]
    return [baseline for applicable, baseline in available if applicable]


def training_mean(
    features: BaselineFeatures, values: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    """The mean label of the training genes for every test gene: float64 (len(test),)."""
    return np.full(len(test), _training_labels(values, train).mean())


def half_life_ridge(
    features: BaselineFeatures, values: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    """Ridge regression on the standardised half-life features and their missingness: float64 (len(test),)."""
    return _ridge(_half_life_columns(features, train), values, train, test)


def composition_ridge(
    features: BaselineFeatures, values: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    """Ridge regression on sequence composition: float64 (len(test),)."""
    return _ridge(features.with_adaptation(values, train), values, train, test)


def composition_half_life_ridge(
    features: BaselineFeatures, values: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    """Ridge regression on sequence composition and half-life features: float64 (len(test),)."""
    composition = features.with_adaptation(values, train)
    columns = np.concatenate([composition, _half_life_columns(features, train)], axis=1)
    return _ridge(columns, values, train, test)


def composition_boosted_trees(
    features: BaselineFeatures, values: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    """Gradient-boosted trees on sequence composition: float64 (len(test),)."""
    return _boosted_trees(features.with_adaptation(values, train), values, train, test, seed)


def composition_half_life_boosted_trees(
    features: BaselineFeatures, values: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    """Gradient-boosted trees on sequence composition and raw half-life features: float64 (len(test),)."""
    half_life = _required_half_life(features).astype(np.float32)  # trees take missing values and any scale as they are
    composition = features.with_adaptation(values, train)
    return _boosted_trees(np.concatenate([composition, half_life], axis=1), values, train, test, seed)


def _required_half_life(features: BaselineFeatures) -> np.ndarray:
    if features.half_life is None:
        raise UsageError("half-life baselines need a dataset with half-life features")
    return features.half_life


def _half_life_columns(features: BaselineFeatures, train: np.ndarray) -> np.ndarray:
    """Half-life features standardised on the training rows (missing = mean), and 1 where one is missing."""
    from seqexpr.inputs.half_life import HalfLifeSchema

    raw = _required_half_life(features)
    dataset = features.dataset
    schema = HalfLifeSchema.fit(raw[train], dataset.half_life_names, dataset.half_life_transforms)
    return np.concatenate([np.nan_to_num(schema.standardise(raw)), np.isnan(raw).astype(np.float32)], axis=1)


def _training_labels(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    labels = np.asarray(values, np.float64)[train]
    if not len(labels) or not np.isfinite(labels).all():
        raise ValueError(f"{len(labels)} training labels, {int((~np.isfinite(labels)).sum())} of them not finite")
    return labels


def _ridge(columns: np.ndarray, values: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Ridge on standardised columns, its penalty chosen by leave-one-out on the training rows.

    What a gene lacks is the mean of the training rows.
    """
    if (missing := np.isnan(columns)).any():
        known = np.where(missing, 0.0, columns)[train].sum(axis=0, dtype=np.float64)
        mean = known / np.maximum((~missing[train]).sum(axis=0), 1)
        columns = np.where(missing, mean, columns)
    model = _scikit_learn("pipeline").make_pipeline(
        _scikit_learn("preprocessing").StandardScaler(),
        _scikit_learn("linear_model").RidgeCV(alphas=_RIDGE_PENALTIES),
    )
    model.fit(columns[train].astype(np.float64), _training_labels(values, train))
    return model.predict(columns[test].astype(np.float64))


def _boosted_trees(
    columns: np.ndarray, values: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    # A feature that no training gene has cannot be binned, and teaches nothing.
    known = ~np.isnan(columns[train]).all(axis=0)
    columns = columns[:, known]
    # A fixed number of small, column-sampled trees: hundreds of correlated columns, few thousand noisy genes.
    model = _scikit_learn("ensemble").HistGradientBoostingRegressor(
        learning_rate=0.05,
        max_iter=250,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        l2_regularization=1.0,
        max_features=0.2,
        early_stopping=False,
        random_state=seed,
    )
    model.fit(columns[train], _training_labels(values, train))
    return model.predict(columns[test])


def check_available() -> None:
    """Whether the baselines can run: to be asked before a network trains for hours.

    Raises:
        UsageError: scikit-learn, of the extra `train`, is not installed.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise UsageError("the baselines need scikit-learn, which is not installed; run: pip install scikit-learn")


def _scikit_learn(module: str) -> Any:
    """A module of scikit-learn, imported only when a baseline runs: it belongs to the extra `train`."""
    check_available()
    return importlib.import_module(f"sklearn.{module}")
