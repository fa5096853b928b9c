"""The table of residue words is made before anything else learns: ridge regression of the labels on hashed words.

What the table says of the proteins that it was made from is better than what it says of others. So the composition flow
is told, for each training gene, what a table of the other genes says: five tables, each without a fifth of the genes
(stacking, Wolpert 1992). It thus learns how far to trust the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqexpr.models.composition.residue_words import ResidueWords, word_buckets
from seqexpr.training.batches import BatchLoader

PARTS = 5
"""Tables that are made to tell each gene what it did not teach."""

FEWEST_LABELS = 20
"""With fewer labels than this an output has no scores."""

_BATCH = 64
_ITERATIONS, _TOLERANCE = 50, 1e-3


def make_words(words: ResidueWords, loader: BatchLoader, train: np.ndarray, penalty: float, seed: int) -> np.ndarray:
    """Fill the table from the training genes, on the CPU: it takes seconds, and is the same for every device.

    Args:
        words: filled in place.
        loader: knows proteins and scaled labels.
        train: rows of the dataset.
        penalty: of the ridge regression.
        seed: of the fifths.

    Returns:
        `Batch.told` of all genes: float32 (genes, outputs), NaN for the genes that do not train.
    """
    shares = _Shares.of(words, loader, train)
    labels = torch.from_numpy(loader.labels[train])
    part = torch.from_numpy(np.random.default_rng([seed, 2]).permutation(len(train)) % PARTS)
    answers = torch.zeros_like(labels)
    for number in range(PARTS):
        held_out = part == number
        table = _ridge(shares, labels.masked_fill(held_out[:, None], math.nan), penalty)
        answers[held_out] = (shares.matrix @ table)[held_out]
    sd = answers.std(dim=0, correction=0)
    unit = torch.where(sd > 0, sd, torch.ones_like(sd))
    words.table.copy_(_ridge(shares, labels, penalty) / unit)
    told = np.full((len(loader.labels), labels.shape[1]), np.nan, dtype=np.float32)
    told[train] = (answers / unit).numpy()
    return told


@dataclass(frozen=True)
class _Sparse:
    """A sparse matrix by rows, for products with dense ones of a few columns."""

    columns: Tensor
    """int64 (entries,), row after row"""
    values: Tensor
    """float32 (entries,)"""
    starts: Tensor
    """int64 (rows,): where each row's entries begin"""

    @classmethod
    def of(cls, row: Tensor, column: Tensor, values: Tensor, rows: int) -> _Sparse:
        """From (entries,) of each, in any order."""
        order = row.argsort(stable=True)
        sizes = torch.bincount(row, minlength=rows)
        return cls(column[order], values[order], sizes.cumsum(0) - sizes)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """float32 (all columns, n) -> (rows, n)"""
        return functional.embedding_bag(
            self.columns, dense.contiguous(), self.starts, per_sample_weights=self.values, mode="sum"
        )


@dataclass(frozen=True)
class _Shares:
    """Each gene's words as a sparse matrix, and its transpose."""

    matrix: _Sparse
    """(genes, buckets); rows of length 1"""
    transposed: _Sparse

    @classmethod
    def of(cls, words: ResidueWords, loader: BatchLoader, train: np.ndarray) -> _Shares:
        """Weigh the buckets, rare ones higher, and collect the genes' words."""
        buckets = len(words.table)
        rows, columns = [], []
        for start in range(0, len(train), _BATCH):
            genes = train[start : start + _BATCH]
            proteins = loader.dataset.proteins(genes, loader.config.protein_length)
            found, first = word_buckets(torch.from_numpy(proteins), buckets)
            row, place = first.nonzero(as_tuple=True)
            rows.append(row + start)
            columns.append(found[row, place])
        row, column = torch.cat(rows), torch.cat(columns)
        genes_with = torch.bincount(column, minlength=buckets)
        rarity = ((len(train) + 1) / (genes_with + 1.0)).log()
        words.weights.copy_(rarity[:, None])
        weight = rarity[column]
        norm = torch.zeros(len(train)).index_add(0, row, weight.square()).sqrt().clamp(min=1e-6)
        values = weight / norm[row]
        return cls(_Sparse.of(row, column, values, len(train)), _Sparse.of(column, row, values, buckets))


def _ridge(shares: _Shares, labels: Tensor, penalty: float) -> Tensor:
    """Scores that minimise squared errors + penalty x squared scores, of centred labels, by conjugate gradients.

    Args:
        labels: float32 (genes, outputs), NaN where missing; each output is a regression of its own.

    Returns:
        float32 (buckets, outputs); zeros for an output with fewer than `FEWEST_LABELS` labels.
    """
    known = ~labels.isnan()
    count = known.sum(dim=0)
    known = known & (count >= FEWEST_LABELS)
    mean = labels.nan_to_num().sum(dim=0) / count.clamp(min=1)
    centred = torch.where(known, labels - mean, torch.zeros_like(labels))
    residual = shares.transposed @ centred
    table, direction = torch.zeros_like(residual), residual
    squared = first = residual.square().sum(dim=0)
    for _ in range(_ITERATIONS):
        if bool((squared <= _TOLERANCE**2 * first).all()):
            break
        image = shares.transposed @ ((shares.matrix @ direction) * known) + penalty * direction
        step = squared / (direction * image).sum(dim=0).clamp(min=1e-30)
        table, residual = table + step * direction, residual - step * image
        before, squared = squared, residual.square().sum(dim=0)
        direction = residual + squared / before.clamp(min=1e-30) * direction
    return table
