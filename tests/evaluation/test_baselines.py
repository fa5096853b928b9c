from __future__ import annotations

import sys

import numpy as np
import pytest

from seqexpr.errors import UsageError
from seqexpr.evaluation.baselines import (
    BaselineFeatures,
    applicable_baselines,
    composition_boosted_trees,
    composition_half_life_ridge,
    composition_ridge,
    half_life_ridge,
    training_mean,
)
from seqexpr.evaluation.metrics import evaluate
from seqexpr.inputs.half_life import FEATURES, TRANSFORMS

N = 240
TRAIN, TEST = np.arange(0, 180), np.arange(180, N)


class ToyGenes:
    """The part of a prepared dataset that baselines read; windows of 1,500 bp with the TSS at 900."""

    def __init__(self, dna: bool = False, protein: bool = False, half_life: bool = False, coding: bool = False) -> None:
        generator = np.random.default_rng(0)
        self.has_dna, self.has_protein, self.has_coding = dna, protein, coding
        self.half_life_names = FEATURES if half_life else ()
        self.half_life_transforms = TRANSFORMS if half_life else ()
        gc = generator.uniform(0.3, 0.7, (N, 1))
        strong = generator.random((N, 1500)) < gc
        self.windows = np.where(strong, generator.choice([2, 3], (N, 1500)), generator.choice([1, 4], (N, 1500)))
        self.windows = self.windows.astype(np.uint8)
        lengths = generator.integers(20, 120, N)
        self.residues = generator.integers(1, 23, (N, 120)).astype(np.uint8)
        self.residues[np.arange(120) >= lengths[:, None]] = 0
        self.features = np.abs(generator.normal(500, 200, (N, 8))) + 1
        self.features[:, 4:7] = generator.uniform(0.3, 0.7, (N, 3))
        self.features[generator.random((N, 8)) < 0.2] = np.nan
        self.codons = codons_of(np.random.default_rng(2), gc[:, 0])
        self.reads = 0

    def __len__(self) -> int:
        return N

    def half_life(self):
        return self.features if self.half_life_names else None

    def dna(self, indices, upstream, downstream):
        self.reads += 1
        return self.windows[indices, 900 - upstream : 900 + downstream]

    def proteins(self, indices, max_length):
        rows = self.residues[indices, :max_length]
        return rows[:, : max(int(np.count_nonzero(rows, axis=1).max()), 1)]

    def coding(self, indices, max_length):
        return self.codons[indices, :max_length]


def codons_of(generator: np.random.Generator, gc: np.ndarray) -> np.ndarray:
    """80 codons for each gene, whose third positions are C or G as often as `gc` says; none for one gene in six."""
    strong = generator.random((N, 80)) < gc[:, None]
    third = np.where(strong, generator.choice([1, 2], (N, 80)), generator.choice([0, 3], (N, 80)))
    codons = (4 * generator.integers(0, 16, (N, 80)) + third + 1).astype(np.uint8)
    codons[::6] = 0
    return codons


def features_of(
    upstream: int = 900, downstream: int = 600, max_protein: int = 6000, max_coding: int = 6000, **inputs
) -> BaselineFeatures:
    return BaselineFeatures(ToyGenes(**inputs), upstream, downstream, max_protein, max_coding)


def r2_on_test(fit_predict, features, values) -> float:
    predicted = fit_predict(features, values, TRAIN, TEST, 0)
    return evaluate(values[TEST], predicted, resamples=0)["r2"].value


def noise(scale: float) -> np.ndarray:
    return np.random.default_rng(7).normal(scale=scale, size=N)


DNA_COLUMNS = 2 * 340 + 4 * 4 + 16 * 4
"""Words of the window and of its middle; of four bins along it and of sixteen near the TSS four numbers each."""


def test_composition_has_the_columns_that_it_says():
    assert features_of(dna=True).composition.shape == (N, DNA_COLUMNS)
    assert features_of(protein=True).composition.shape == (N, 845)
    assert features_of(dna=True, protein=True).composition.shape == (N, DNA_COLUMNS + 845)
    assert features_of(dna=True, protein=True, max_protein=0).composition.shape == (N, DNA_COLUMNS)
    assert features_of(dna=True, coding=True).composition.shape == (N, DNA_COLUMNS + 149 + 1)
    assert features_of(dna=True, coding=True, max_coding=0).composition.shape == (N, DNA_COLUMNS)
    assert features_of(dna=True, coding=True).with_adaptation(noise(1.0), TRAIN).shape == (N, DNA_COLUMNS + 149 + 2)


def test_composition_near_the_tss_sees_only_that_part():
    features, other = features_of(dna=True), features_of(dna=True)
    other.dataset.windows[:, :400] = 1  # 400 = 900 - 500
    other.dataset.windows[:, 1400:] = 1
    moved = (features.composition != other.composition).any(axis=0)
    assert moved[:340].any() and not moved[340:680].any()
    assert moved[680:696:4].tolist() == [True, False, False, True]  # shares of G and C in bins of 500 bases
    assert not moved[696:].any()  # bins of 50 bases near the TSS


def test_composition_of_a_gene_without_sequence_is_finite():
    features = features_of(dna=True, protein=True)
    features.dataset.windows[3] = 0
    features.dataset.residues[5] = 0
    assert np.isfinite(features.composition).all()


def test_composition_is_counted_once_and_in_bounded_blocks(monkeypatch):
    features = features_of(dna=True)
    whole = features.composition
    assert features.composition is whole and features.dataset.reads == 1
    monkeypatch.setattr("seqexpr.evaluation.baselines._BLOCK_TOKENS", 1500 * 50)
    blocks = features_of(dna=True)
    np.testing.assert_array_equal(blocks.composition, whole)
    assert blocks.dataset.reads == 5


@pytest.mark.parametrize("inputs", [{"dna": True}, {"protein": True}])
def test_ridge_finds_a_planted_composition_signal(inputs):
    features = features_of(**inputs)
    column = features.composition[:, 1].astype(float)  # share of C, or of cysteine
    signal = (column - column.mean()) / column.std()
    assert r2_on_test(composition_ridge, features, signal + noise(0.1)) > 0.5


def test_half_life_ridge_finds_values_and_missingness():
    features = features_of(half_life=True)
    raw = features.half_life
    logged = np.log10(raw[:, 1] + 0.1)
    signal = np.where(np.isnan(logged), 1.0, 5 * (logged - np.nanmean(logged))) + 2 * np.isnan(raw[:, 4])
    assert r2_on_test(half_life_ridge, features, signal + noise(0.1)) > 0.9


def test_half_lives_add_to_composition():
    features = features_of(dna=True, half_life=True)
    column = features.composition[:, 1].astype(float)
    signal = (column - column.mean()) / column.std() + 2.0 * np.isnan(features.half_life[:, 0])
    values = signal + noise(0.1)
    both, one = (r2_on_test(f, features, values) for f in (composition_half_life_ridge, composition_ridge))
    assert both > 0.7 and both > one + 0.1


@pytest.mark.slow
def test_boosted_trees_find_a_step():
    features = features_of(dna=True)
    column = features.composition[:, 1]
    assert r2_on_test(composition_boosted_trees, features, (column > np.median(column)) + noise(0.1)) > 0.6


def test_permuted_labels_teach_nothing():
    features = features_of(dna=True, half_life=True)
    column = features.composition[:, 1].astype(float)
    permuted = np.random.default_rng(3).permutation(column)
    for fit_predict in (training_mean, half_life_ridge, composition_ridge, composition_half_life_ridge):
        assert r2_on_test(fit_predict, features, permuted) < 0.05


@pytest.mark.slow
def test_every_baseline_ignores_the_labels_of_the_test_genes():
    features = features_of(dna=True, half_life=True, coding=True, upstream=300, downstream=200)
    values = noise(1.0)
    shifted = values.copy()
    shifted[TEST] = np.nan
    for baseline in applicable_baselines(features):
        before = baseline.fit_predict(features, values, TRAIN, TEST, 0)
        assert before.shape == TEST.shape and np.isfinite(before).all()
        np.testing.assert_array_equal(before, baseline.fit_predict(features, shifted, TRAIN, TEST, 0))


@pytest.mark.slow
def test_predictions_of_a_gene_do_not_depend_on_the_other_test_genes():
    """Scalers fitted on test rows would show here."""
    small = {"dna": True, "half_life": True, "coding": True, "upstream": 300, "downstream": 200}
    features, other = features_of(**small), features_of(**small)
    other.dataset.features[TEST[1:]] *= 0.5
    other.dataset.windows[TEST[1:]] = 1
    other.dataset.codons[TEST[1:]] = 1
    values = noise(1.0)
    for ours, theirs in zip(applicable_baselines(features), applicable_baselines(other), strict=True):
        one = ours.fit_predict(features, values, TRAIN, TEST, 0)[0]
        assert theirs.fit_predict(other, values, TRAIN, TEST, 0)[0] == one, ours.name


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ({}, ["training_mean"]),
        ({"half_life": True}, ["training_mean", "half_life_ridge"]),
        ({"protein": True}, ["training_mean", "composition_ridge", "composition_boosted_trees"]),
        (
            {"dna": True, "half_life": True},
            [
                "training_mean",
                "half_life_ridge",
                "composition_ridge",
                "composition_half_life_ridge",
                "composition_boosted_trees",
                "composition_half_life_boosted_trees",
            ],
        ),
    ],
)
def test_baselines_are_those_that_the_data_allow(inputs, names):
    assert [baseline.name for baseline in applicable_baselines(features_of(**inputs))] == names


def test_titles_say_what_is_read():
    titles = {baseline.name: baseline.title for baseline in applicable_baselines(features_of(dna=True, protein=True))}
    assert titles["composition_ridge"] == "ridge on DNA and protein composition"


def test_inputs_that_are_absent_are_an_error():
    with pytest.raises(UsageError, match="half-life"):
        half_life_ridge(features_of(dna=True), noise(1.0), TRAIN, TEST, 0)
    with pytest.raises(UsageError, match="DNA windows or proteins"):
        composition_ridge(features_of(half_life=True), noise(1.0), TRAIN, TEST, 0)


def test_missing_training_labels_are_an_error():
    with pytest.raises(ValueError, match="180 training labels, 180 of them not finite"):
        training_mean(features_of(), np.full(N, np.nan), TRAIN, TEST, 0)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UsageError, match=r"run: pip install scikit-learn$"):
        composition_ridge(features_of(protein=True), noise(1.0), TRAIN, TEST, 0)


def test_codons_add_to_composition_where_the_windows_say_nothing():
    features, without = features_of(dna=True, coding=True), features_of(dna=True)
    for one in (features, without):
        one.dataset.windows = np.random.default_rng(4).integers(1, 5, (N, 1500)).astype(np.uint8)
    third = (features.dataset.codons - 1) % 4
    strong = ((third == 1) | (third == 2)).mean(axis=1) * (features.dataset.codons[:, 0] > 0)
    signal = (strong - strong.mean()) / strong.std()
    values = signal + noise(0.1)
    read, unread = (r2_on_test(composition_ridge, one, values) for one in (features, without))
    assert read > 0.3 > 0.05 > unread


def test_the_adaptation_index_is_of_the_training_genes_alone():
    features = features_of(dna=True, coding=True)
    values = noise(1.0)
    index = features.with_adaptation(values, TRAIN)[:, -1]
    assert np.isnan(index[::6]).all() and np.isfinite(np.delete(index, np.arange(0, N, 6))).all()
    shifted = values.copy()
    shifted[TEST] = np.nan
    np.testing.assert_array_equal(features.with_adaptation(shifted, TRAIN)[:, -1], index)
    shifted[TRAIN] = -values[TRAIN]
    assert not np.allclose(features.with_adaptation(shifted, TRAIN)[1:6, -1], index[1:6])


def test_titles_name_codons_where_they_are_read():
    titles = {one.name: one.title for one in applicable_baselines(features_of(dna=True, protein=True, coding=True))}
    assert titles["composition_ridge"] == "ridge on DNA, protein and codon composition"
    assert titles["composition_boosted_trees"] == "boosted trees on DNA, protein and codon composition"
    titles = {one.name: one.title for one in applicable_baselines(features_of(dna=True, coding=True, max_coding=0))}
    assert titles["composition_ridge"] == "ridge on DNA composition"


def test_a_fold_whose_training_genes_have_no_coding_sequence_is_fitted_all_the_same():
    features = features_of(dna=True, coding=True)
    features.dataset.codons[TRAIN] = 0
    assert np.isfinite(composition_ridge(features, noise(1.0), TRAIN, TEST, 0)).all()
    assert np.isfinite(composition_boosted_trees(features, noise(1.0), TRAIN, TEST, 0)).all()
