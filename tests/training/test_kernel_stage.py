"""The kernel flow's fit against the same in plain numpy, and against fits without single genes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqexpr.models.composition.codons import codon_counts
from seqexpr.models.perceiver import Perceiver
from seqexpr.training import kernel_stage
from seqexpr.training.batches import Batch
from seqexpr.training.kernel_stage import fit_kernel
from seqexpr.training.recipe import Recipe

from ..small_dataset import tiny_config

GENES = 60
PLAIN = Recipe("test", half_life_dropout=0.0, coding_dropout=0.0)


class Genes:
    """What `fit_kernel` asks a `BatchLoader` for: windows whose GC content is the label, and more that says nothing."""

    def __init__(self, genes: int = GENES, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        content = generator.uniform(0.2, 0.8, genes)
        bases = generator.random((genes, 360)) < content[:, None]
        self.dna = torch.from_numpy(np.where(bases, 2 + generator.integers(0, 2, bases.shape), 1).astype(np.uint8))
        self.protein = torch.from_numpy(generator.integers(1, 21, (genes, 80)).astype(np.uint8))
        self.half_life = torch.from_numpy(generator.normal(size=(genes, 8)).astype(np.float32))
        self.coding = torch.from_numpy(generator.integers(1, 65, (genes, 40)).astype(np.uint8))
        self.signal = (content - content.mean()) / content.std()
        self.labels = (self.signal + 0.3 * generator.normal(size=genes)).astype(np.float32)[:, None]

    def batches(self, rows, size):
        for part in torch.from_numpy(rows).split(size):
            coding, half_life = self.coding[part], self.half_life[part]
            yield Batch(self.dna[part], self.protein[part], half_life, torch.from_numpy(self.labels)[part], coding)

    def codon_counts(self, rows):
        return codon_counts(self.coding[torch.from_numpy(rows)])

    def with_labels(self, *columns) -> Genes:
        other = Genes(len(self.dna))
        other.labels = np.stack(columns, axis=1).astype(np.float32)
        return other


def network_of(outputs: int = 1, **changes) -> Perceiver:
    torch.manual_seed(0)
    settings = {"kernel_genes": 100, "kernel_members": 6, "outputs": outputs, **changes}
    return Perceiver(tiny_config("dna-protein-perceiver", **settings))


@pytest.fixture
def chosen(monkeypatch):
    """What the search chose last."""
    found: dict = {}
    search = kernel_stage._choose

    def noting(*given):
        found["kernels"], found["penalties"] = search(*given)
        return found["kernels"], found["penalties"]

    monkeypatch.setattr(kernel_stage, "_choose", noting)
    return found


def fitted(genes, *, recipe=PLAIN, seed=3, train=None, **changes):
    network = network_of(genes.labels.shape[1], **changes)
    rows = np.arange(len(genes.dna)) if train is None else train
    told, _ = fit_kernel(network, genes, rows, recipe, seed)
    return network, told


def answers(network, genes) -> np.ndarray:
    """(genes, members, outputs)"""
    with torch.inference_mode():
        said = [network.kernel(part.latent_tokens, part.query_tokens, part.half_life, part.coding)
                for part in genes.batches(np.arange(len(genes.dna)), 64)]  # fmt: skip
    return torch.cat(said).double().numpy()


def likenesses(network, genes, chosen) -> tuple[np.ndarray, np.ndarray]:
    """Of genes to landmarks, and of landmarks to one another."""
    flow = network.kernel
    used = int(flow.landmarks.any(dim=1).sum())
    landmarks = flow.landmarks[:used].double() * 4 / 127
    (batch,) = genes.batches(np.arange(len(genes.dna)), 1000)
    scaled = flow.scale(flow.features(batch.latent_tokens, batch.query_tokens, batch.half_life, batch.coding)).double()

    def alike(one, other):
        total = np.zeros((len(one), len(other)))
        for amplitude, squares in zip(
            chosen["kernels"].amplitudes, flow.distances(one, other, chosen["kernels"].covariate_weight), strict=True
        ):
            far = chosen["kernels"].reach * squares.numpy()
            total += amplitude * np.mean([np.exp(-g / 2 * far) for g in (0.25, 1, 2)], axis=0)
        return total

    within = alike(landmarks, landmarks)
    return alike(scaled, landmarks), within + 1e-6 * np.mean(np.diag(within)) * np.eye(used)


def regression(across, within, values, penalty) -> np.ndarray:
    return np.linalg.solve(across.T @ across + penalty * within, across.T @ values)


@pytest.mark.parametrize("landmarks", [GENES - 1, 25])
def test_the_mean_of_the_members_is_the_regression_on_the_landmarks(chosen, landmarks):
    genes = Genes()
    network, _ = fitted(genes, kernel_genes=landmarks, coding_length=40)
    across, within = likenesses(network, genes, chosen)
    assert across.shape == (GENES, landmarks)
    centred = genes.labels[:, 0] - genes.labels.mean()
    expected = genes.labels.mean() + across @ regression(across, within, centred, chosen["penalties"][0])
    said = answers(network, genes)
    np.testing.assert_allclose(said.mean(axis=1)[:, 0], expected, atol=1e-3)
    assert np.corrcoef(expected, genes.signal)[0, 1] > 0.9


def in_order(seed: int = 3) -> np.ndarray:
    """Which gene each landmark is, where all are landmarks."""
    drawn = np.random.default_rng([seed, 4])
    for _ in range(2):  # what is hidden is drawn first
        drawn.random(GENES)
    return drawn.permutation(GENES)


@pytest.mark.parametrize("dims", [0, 12])
def test_with_a_landmark_for_each_gene_it_is_kernel_ridge_regression(chosen, dims):
    """(K + penalty)^-1 of the landmarks as they are stored; a gene that asks is not rounded as they are."""
    genes, order = Genes(), in_order()
    network, told = fitted(genes, kernel_dims=dims)
    across, within = likenesses(network, genes, chosen)
    centred = (genes.labels[:, 0] - genes.labels.mean())[order]
    kernel, noise = within - 1e-6 * np.eye(GENES) * np.mean(np.diag(within)), chosen["penalties"][0] * np.eye(GENES)
    expected = genes.labels.mean() + across @ np.linalg.solve(kernel + noise, centred)
    np.testing.assert_allclose(answers(network, genes).mean(axis=1)[:, 0], expected, atol=1e-3)
    for place in range(0, GENES, 7):
        others = np.arange(GENES) != place
        dual = np.linalg.solve((kernel + noise)[others][:, others], centred[others])
        without = genes.labels.mean() + kernel[place, others] @ dual
        assert told[order[place], 0] == pytest.approx(without, abs=1e-4)


def test_with_a_landmark_for_each_gene_members_are_drawn_from_the_posterior(chosen):
    genes = Genes()
    network, told = fitted(genes, kernel_members=3_000)
    across, within = likenesses(network, genes, chosen)
    penalty = chosen["penalties"][0]
    error = np.sqrt(np.mean((told[:, 0] - genes.labels[:, 0]) ** 2))
    alone = np.full(GENES, float(np.mean(np.diag(within))))  # of a gene to itself
    explained = np.einsum("ij,ji->i", across, np.linalg.solve(within + penalty * np.eye(GENES), across.T))
    expected = error / np.sqrt(penalty) * np.sqrt((alone - explained).clip(0))
    found = answers(network, genes)[:, :, 0].std(axis=1)
    assert np.median(found / expected) == pytest.approx(1, abs=0.05)
    assert np.corrcoef(found, expected)[0, 1] > 0.8  # both are near 0 where many genes are alike


@pytest.mark.parametrize("landmarks", [GENES - 1, 25])
def test_told_answers_are_those_of_fits_without_each_gene(chosen, landmarks):
    """The landmarks and the labels' mean stay."""
    genes = Genes()
    network, told = fitted(genes, kernel_genes=landmarks)
    across, within = likenesses(network, genes, chosen)
    centred, expected = genes.labels[:, 0] - genes.labels.mean(), np.empty(GENES)
    for gene in range(GENES):
        others = np.arange(GENES) != gene
        dual = regression(across[others], within, centred[others], chosen["penalties"][0])
        expected[gene] = genes.labels.mean() + across[gene] @ dual
    np.testing.assert_allclose(told[:, 0], expected, atol=1e-4)
    own = answers(network, genes).mean(axis=1)[:, 0]
    errors = [np.mean((one - genes.labels[:, 0]) ** 2) for one in (told[:, 0], own)]
    assert errors[0] > 1.2 * errors[1]  # a regression that knows the gene flatters itself


def test_members_are_pairs_around_the_regression():
    genes = Genes()
    network, _ = fitted(genes)
    said = answers(network, genes)[:, :, 0]
    middle = (said[:, 0::2] + said[:, 1::2]) / 2
    np.testing.assert_allclose(middle, np.repeat(said.mean(axis=1)[:, None], 3, axis=1), atol=1e-4)
    away = np.abs(said[:, 0::2] - middle)
    assert away.mean(axis=0).min() > 0.02
    assert not np.allclose(said[:, 0], said[:, 2], atol=1e-2)


@pytest.mark.parametrize("landmarks", [GENES - 1, GENES])
def test_missing_labels_have_no_part_in_the_fit(chosen, landmarks):
    genes = Genes()
    gaps = np.where(np.arange(GENES) % 3 == 0, np.nan, genes.labels[:, 0] * 2 + 1)
    genes = genes.with_labels(genes.labels[:, 0], gaps)
    network, told = fitted(genes, kernel_genes=landmarks)
    across, within = likenesses(network, genes, chosen)
    said = answers(network, genes).mean(axis=1)
    for output in range(2):
        values = genes.labels[:, output].astype(float)
        known = ~np.isnan(values)
        mean = values[known].mean()
        penalty, among = chosen["penalties"][output], slice(None)
        if landmarks == GENES:  # genes without the label are no landmarks of it
            among = np.flatnonzero(known[in_order()])
            own = within[among][:, among] + penalty * np.eye(len(among))
            dual = np.linalg.solve(own, values[in_order()][among] - mean)
        else:
            dual = regression(across[known], within, values[known] - mean, penalty)
        np.testing.assert_allclose(said[:, output], mean + across[:, among] @ dual, atol=2e-3)
    assert not np.isnan(told).any()
    np.testing.assert_allclose(told[::3, 1], said[::3, 1], atol=5e-2)  # nothing of these genes is known to the fit


@pytest.mark.parametrize("known", [0, 1])
def test_an_output_of_fewer_than_two_labels_says_nothing(known):
    genes = Genes()
    few = np.full(GENES, np.nan)
    few[:known] = 5.0
    network, told = fitted(genes.with_labels(genes.labels[:, 0], few))
    assert not answers(network, genes)[:, :, 1].any() and not told[:, 1].any()
    np.testing.assert_allclose(told[:, 0], fitted(genes)[1][:, 0], atol=1e-5)


@pytest.mark.parametrize("informative", ["dna", "protein"])
def test_the_search_keeps_a_kernel_with_a_signal_and_drops_noise(chosen, informative):
    genes = Genes(200)
    if informative == "protein":
        generator = np.random.default_rng(1)
        share = generator.uniform(0.05, 0.6, 200)
        genes.protein[torch.from_numpy(generator.random((200, 80)) < share[:, None])] = 7
        genes.labels = ((share - share.mean()) / share.std()).astype(np.float32)[:, None]
    network, told = fitted(genes, kernel_genes=200)
    amplitudes = dict(zip(network.kernel.kernels, chosen["kernels"].amplitudes, strict=True))
    assert amplitudes.pop(informative) > 0 and list(amplitudes.values()) == [0.0]
    assert network.kernel.amplitudes.tolist() == pytest.approx(list(chosen["kernels"].amplitudes))
    assert np.corrcoef(told[:, 0], genes.labels[:, 0])[0, 1] > 0.8


def test_the_search_makes_much_of_covariates_that_are_the_label_and_little_of_noise(chosen):
    weights = []
    for label in ("half_life", "words"):
        genes = Genes(200)
        if label == "half_life":
            genes.labels = genes.half_life[:, :2].sum(dim=1, keepdim=True).numpy()
        fitted(genes, kernel_genes=200)
        weights.append(chosen["kernels"].covariate_weight * chosen["kernels"].reach)
    assert weights[0] > weights[1]


@pytest.mark.parametrize("features", [False, True])
def test_the_seed_decides_all(features):
    genes, recipe = Genes(), PLAIN.changed(half_life_dropout=0.3, coding_dropout=0.3)
    settings = {"recipe": recipe, "coding_length": 40, "kernel_genes": 30, "kernel_features": features}
    (one, told), (again, told_again), (other, told_other) = (fitted(genes, seed=seed, **settings) for seed in (3, 3, 4))
    assert np.array_equal(told, told_again) and not np.array_equal(told, told_other)
    state = again.kernel.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in one.kernel.state_dict().items())
    assert not torch.equal(one.kernel.landmarks, other.kernel.landmarks)


def test_threads_do_not_matter():
    genes, before, found = Genes(), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            network, told = fitted(genes, coding_length=40)
            found.append((told, answers(network, genes).mean(axis=1)))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-4)


def test_hidden_inputs_have_a_part_in_training():
    """As many landmarks lack an input as the recipe hides."""
    network, _ = fitted(
        Genes(200), kernel_genes=200, coding_length=40, recipe=PLAIN.changed(half_life_dropout=0.25, coding_dropout=0.5)
    )
    flags = network.kernel.landmarks[:, -9:] > 0
    assert 0.15 < 1 - float(flags[:, :8].float().mean()) < 0.35 and 0.4 < 1 - float(flags[:, 8].float().mean()) < 0.6
    assert (flags[:, :8].all(dim=1) | ~flags[:, :8].any(dim=1)).all()


def test_genes_that_do_not_train_have_no_part():
    genes, train = Genes(), np.arange(0, GENES, 2)
    one, told = fitted(genes, train=train)
    assert np.isnan(told[1::2]).all() and not np.isnan(told[::2]).any()
    genes.labels[1::2], genes.dna[1::2], genes.half_life[1::2] = 1e6, 3, 9.0
    other, told_other = fitted(genes, train=train)
    assert np.array_equal(told, told_other, equal_nan=True)
    state = other.kernel.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in one.kernel.state_dict().items())


def test_of_permuted_labels_left_out_genes_learn_nothing():
    """But for what the search finds by chance, which grows with the settings tried and falls with the genes."""

    def r2(genes):
        _, told = fitted(genes, kernel_genes=300)
        return float(1 - np.mean((told - genes.labels) ** 2) / genes.labels.var())

    found = []
    for seed in range(5):
        genes = Genes(300)
        genes.labels = np.random.default_rng(seed).permutation(genes.labels)
        found.append(r2(genes))
    assert -0.05 < np.mean(found) < 0.03
    assert r2(Genes(300)) > 0.7


def test_constant_features_are_no_fault():
    genes = Genes()
    genes.dna[:], genes.half_life[:] = 1, math.nan
    network, told = fitted(genes)
    assert np.isfinite(told).all() and np.isfinite(answers(network, genes)).all()


def test_kernel_features_are_what_the_sequence_flows_make_of_the_genes():
    genes, network = Genes(), network_of(kernel_features=True, kernel_words=False)
    fit_kernel(network, genes, np.arange(GENES), PLAIN, 0)
    assert network.kernel.kernels == ("sequence",)
    (batch,) = genes.batches(np.arange(GENES), GENES)
    with torch.inference_mode():
        features = network.features(batch.latent_tokens, batch.query_tokens, batch.half_life)
    width = features.shape[1]
    torch.testing.assert_close(network.kernel.mean[:width], features.mean(dim=0), rtol=1e-4, atol=1e-5)


def sequence_features(network, genes) -> torch.Tensor:
    (batch,) = genes.batches(np.arange(len(genes.dna)), 1000)
    with torch.inference_mode():
        return network.eval().features(batch.latent_tokens, batch.query_tokens, batch.half_life).clone()


@pytest.mark.parametrize("words", [False, True])
def test_beside_the_sequence_flows_it_is_fitted_to_what_the_output_layer_leaves_over(words):
    """Together they answer with the labels' signal, though the output layer alone is far off."""
    genes, network = Genes(), network_of(kernel_features=True, kernel_words=words)
    torch.nn.init.normal_(network.output.weight, std=0.5)
    with torch.no_grad():
        said = network.output(sequence_features(network, genes)).numpy()
    assert said.std() > 0.3
    told, fitted_to = fit_kernel(network, genes, np.arange(GENES), PLAIN, 0)
    np.testing.assert_allclose(fitted_to, genes.labels - said, atol=1e-4)
    other, left_over = network_of(kernel_features=True, kernel_words=words), genes.with_labels(fitted_to[:, 0])
    for part in other.output.parameters():
        torch.nn.init.zeros_(part)
    again, _ = fit_kernel(other, left_over, np.arange(GENES), PLAIN, 0)
    np.testing.assert_allclose(told, again, atol=1e-3)
    (batch,) = genes.batches(np.arange(GENES), GENES)
    inputs = (batch.latent_tokens, batch.query_tokens, batch.half_life)
    with torch.inference_mode():
        whole, alone = (one(*inputs, coding=batch.coding).numpy() for one in (network, other))
    np.testing.assert_allclose(whole, said + alone, atol=1e-2)


def test_a_kernel_flow_of_words_is_fitted_to_the_labels_whatever_the_output_layer_says():
    genes, network = Genes(), network_of()
    torch.nn.init.normal_(network.output.weight)
    told, fitted_to = fit_kernel(network, genes, np.arange(GENES), PLAIN, 3)
    assert np.array_equal(fitted_to, genes.labels) and np.array_equal(told, fitted(genes)[1])


def test_without_sequence_flows_it_is_fitted_as_beside_them():
    """To the same tensors: nothing of the fit comes from them."""
    genes = Genes()
    (beside, told), (alone, told_alone) = (fitted(genes, coding_length=40, sequence_flows=f) for f in (True, False))
    assert np.array_equal(told, told_alone) and list(alone.state_dict()) == [
        f"kernel.{key}" for key in beside.kernel.state_dict()
    ]
    assert all(torch.equal(value, alone.kernel.state_dict()[key]) for key, value in beside.kernel.state_dict().items())


def test_genes_that_are_all_alike_are_fitted_too():
    """Their likenesses make no matrix that a plain Cholesky decomposition takes."""
    genes = Genes()
    genes.dna[:] = genes.dna[:1]
    for landmarks in (GENES, 25):
        network, told = fitted(genes, kernel_genes=landmarks)
        said = answers(network, genes)
        assert np.isfinite(said).all() and np.isfinite(told).all()
        assert np.ptp(said.mean(axis=1)[:, 0]) < 2 * np.ptp(genes.labels[:, 0])
