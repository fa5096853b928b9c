from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seqexpr.models.composition.residue_words import ResidueWords
from seqexpr.training.word_stage import FEWEST_LABELS, make_words

FAMILIES, RELATIVES, LENGTH = 30, 6, 60


def families(seed: int = 0):
    """Proteins of thirty families, one residue in ten changed, and a level for each family with some noise."""
    generator = np.random.default_rng(seed)
    ancestors = generator.integers(1, 21, (FAMILIES, LENGTH))
    proteins = np.repeat(ancestors, RELATIVES, axis=0)
    changed = generator.random(proteins.shape) < 0.1
    proteins = np.where(changed, generator.integers(1, 21, proteins.shape), proteins).astype(np.uint8)
    levels = np.repeat(generator.normal(size=FAMILIES), RELATIVES) + 0.3 * generator.normal(size=len(proteins))
    return proteins, levels.astype(np.float32)


def loader_of(proteins, labels):
    """What `make_words` asks a `BatchLoader` for."""
    return SimpleNamespace(
        labels=labels,
        config=SimpleNamespace(protein_length=LENGTH),
        dataset=SimpleNamespace(proteins=lambda rows, length: proteins[rows, :length]),
    )


def made(labels, train, *, penalty=0.5, seed=0, buckets=2048):
    proteins, _ = families()
    words = ResidueWords(buckets, labels.shape[1])
    told = make_words(words, loader_of(proteins, labels), train, penalty, seed)
    return words, told, words(torch.from_numpy(proteins)).numpy()


def test_it_is_ridge_regression():
    """Against the closed form on the same words."""
    proteins, levels = families()
    train = np.arange(len(levels))
    words, _, answers = made(levels[:, None], train)
    buckets, shares = words.shares(torch.from_numpy(proteins))
    matrix = torch.zeros(len(levels), 2048).scatter_add_(1, buckets, shares).double().numpy()
    np.testing.assert_allclose((matrix**2).sum(axis=1), 1, rtol=1e-5)
    centred = levels - levels.mean()
    expected = np.linalg.solve(matrix.T @ matrix + 0.5 * np.eye(2048), matrix.T @ centred)
    expected = matrix @ expected
    np.testing.assert_allclose(answers[:, 0] / answers.std(), expected / expected.std(), atol=5e-3)


def test_relatives_tell_of_proteins_that_are_not_in_the_table():
    _, levels = families()
    train = np.arange(len(levels)) % 3 > 0
    _, told, answers = made(levels[:, None], np.flatnonzero(train))
    assert np.corrcoef(answers[~train, 0], levels[~train])[0, 1] > 0.8
    assert np.corrcoef(told[train, 0], levels[train])[0, 1] > 0.7  # of tables with fewer relatives
    assert told[train].std() == pytest.approx(1, abs=1e-5)
    assert 0.8 < answers[~train].std() < 1.6  # nearly the same unit, from a table with more relatives


def test_no_gene_is_told_its_own_label():
    _, levels = families()
    train = np.arange(len(levels))
    changed = levels[:, None].copy()
    changed[17] += 50
    _, before, answers = made(levels[:, None], train)
    _, after, changed_answers = made(changed, train)
    # A change moves the unit of all answers, so they are compared with those of the same fifth of the genes.
    fifth = np.random.default_rng([0, 2]).permutation(len(levels)) % 5
    alike, relatives = fifth == fifth[17], (train // RELATIVES == 17 // RELATIVES) & (fifth != fifth[17])
    unit = before[17] / after[17]
    np.testing.assert_allclose(after[alike] * unit, before[alike], rtol=1e-3, atol=1e-3)
    assert not np.isclose(after[relatives] * unit, before[relatives], atol=0.1).any()
    assert changed_answers[17, 0] > 2 * abs(answers[17, 0])  # the table itself knows it


def test_genes_that_do_not_train_have_no_part():
    _, levels = families()
    train = np.arange(0, 120)
    labels = levels[:, None].copy()
    words, told, _ = made(labels, train)
    assert np.isnan(told[120:]).all() and not np.isnan(told[:120]).any()
    labels[120:] = 1e6
    other, _, _ = made(labels, train)
    assert torch.equal(words.table, other.table) and torch.equal(words.weights, other.weights)


def test_missing_labels_and_outputs_of_too_few():
    _, levels = families()
    train, missing = np.arange(len(levels)), np.arange(len(levels)) % 4 == 0
    labels = np.stack([np.where(missing, np.nan, levels), np.full(len(levels), np.nan)], axis=1).astype(np.float32)
    labels[: FEWEST_LABELS - 1, 1] = levels[: FEWEST_LABELS - 1]
    words, told, answers = made(labels, train)
    assert (words.table[:, 1] == 0).all() and (told[:, 1] == 0).all()
    assert np.corrcoef(told[missing, 0], levels[missing])[0, 1] > 0.8  # a gene without a label is told too
    expected = made(np.where(missing, np.nan, levels)[:, None].astype(np.float32), train)[2]
    np.testing.assert_allclose(answers[:, 0], expected[:, 0], atol=1e-2)


def test_proteins_without_a_word():
    labels = np.arange(30, dtype=np.float32)[:, None]
    words = ResidueWords(16, 1)
    told = make_words(words, loader_of(np.zeros((30, LENGTH), np.uint8), labels), np.arange(30), 1.0, 0)
    assert (told == 0).all() and (words.table == 0).all()
