from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqexpr.errors import UsageError
from seqexpr.models.composition.codons import CODONS, codon_composition, codon_counts
from seqexpr.models.composition.kernel import KernelFlow, landmarks_of, scores_of
from seqexpr.models.composition.profile import dna_profile
from seqexpr.models.composition.words import dna_composition
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver

GENES, LANDMARKS, MEMBERS, OUTPUTS = 64, 40, 4, 2
KERNELS = [  # numbers of columns, and their weights in the squared distance
    [(340, 0.5), (340, 0.5), (4 * 2, 0.5), (4 * 8, 0.5)],
    [(22, 0.6), (484, 0.4), (44, 0.15), (294, 0.2), (343, 0.1), (20, 0.4)],
    [(64, 1.0)],
]
COVARIATES = [8, 2 + OUTPUTS]
FLAGS = 8 + 1


def config_of(preset: str = "dna-protein-perceiver", **changes) -> PerceiverConfig:
    windows = {} if preset == "protein-perceiver" else {"upstream": 240, "downstream": 120}
    proteins = {} if preset == "dna-perceiver" else {"protein_length": 432}
    small = {"stem_pool": 6, "tower_pool": 3, "latents": 8, "latent_dim": 16, "kernel_genes": LANDMARKS}
    return PerceiverConfig.from_preset(preset, **windows, **proteins, **{**small, **changes})


@pytest.fixture
def genes(tokens):
    """Inputs of 64 genes: windows, proteins of unlike lengths, half-life features, codons; each missing somewhere."""
    proteins, coding = tokens(GENES, 200, letters=20, seed=2), tokens(GENES, 70, letters=64, seed=3)
    lengths = torch.arange(GENES) * 2 + 20
    proteins[torch.arange(200) >= lengths[:, None]] = 0
    coding[torch.arange(70) >= lengths[:, None]] = 0
    coding[5::7] = 0
    half_life = torch.randn(GENES, 8, generator=torch.Generator().manual_seed(4))
    half_life[3], half_life[4, 2] = math.nan, math.nan
    return tokens(GENES, 360), proteins, half_life, coding


@pytest.fixture
def flow(genes) -> KernelFlow:
    """A flow that reads all there is but the sequence flows, in which every tensor says something."""
    flow = KernelFlow(config_of(outputs=OUTPUTS, kernel_members=MEMBERS, coding_length=70)).eval()
    fill(flow, *genes)
    return flow


def fill(flow: KernelFlow, windows, proteins, half_life, coding, sequence=None) -> None:
    generator = torch.Generator().manual_seed(5)
    if flow.codons is not None:
        flow.codons.fit(codon_counts(coding), torch.randn(GENES, flow.config.outputs, generator=generator))
    features = flow.features(windows, proteins, half_life, coding, sequence)
    flow.standardise(features)
    flow.landmarks.copy_(landmarks_of(flow.scale(features[:LANDMARKS])))
    flow.amplitudes.copy_(torch.tensor([1.0, 0.3, 0.7, 0.5])[: len(flow.kernels)])
    flow.reach.fill_(0.5)
    flow.covariate_weight.fill_(0.6)
    flow.weights.copy_(torch.randn(flow.weights.shape, generator=generator))
    flow.offset.copy_(torch.randn(flow.offset.shape, generator=generator))


def formula(flow: KernelFlow, scaled: np.ndarray) -> np.ndarray:
    """What the flow says by its definition, gene by gene: (n, all) -> (n, members, outputs)."""
    landmarks = flow.landmarks.numpy().astype(float) * 4 / 127
    weights, found = flow.weights.double().numpy(), []
    for gene in scaled.astype(float):
        said = flow.offset.double().numpy() + np.zeros(weights.shape[1:])
        for landmark, weight in zip(landmarks, weights, strict=True):
            parts = (gene - landmark) ** 2
            distances, place = [], 0
            for groups in KERNELS:
                distances.append(0.0)
                for size, share in groups:
                    distances[-1] += share * parts[place : place + size].mean()
                    place += size
            shared = 0.0
            for size in COVARIATES:
                shared += float(flow.covariate_weight) * parts[place : place + size].mean()
                place += size
            shared += 0.1 * parts[place:].mean()
            for amplitude, distance in zip(flow.amplitudes.tolist(), distances, strict=True):
                far = float(flow.reach) * (distance + shared)
                said = said + amplitude * np.mean([math.exp(-g / 2 * far) for g in (0.25, 1.0, 2.0)]) * weight
        found.append(said)
    return np.array(found)


def test_answers_are_those_of_the_formula(flow, genes):
    scaled = flow.scale(flow.features(*genes))
    assert flow.kernels == ("dna", "protein", "codons")
    assert scaled.shape == (GENES, sum(size for groups in KERNELS for size, _ in groups) + sum(COVARIATES) + FLAGS)
    said = flow(*genes)
    assert said.shape == (GENES, MEMBERS, OUTPUTS) and said.std(dim=0).min() > 0.1
    np.testing.assert_allclose(said.numpy(), formula(flow, scaled.numpy()), rtol=1e-4, atol=2e-4)


def test_columns_are_words_a_profile_codons_and_what_says_most_of_them(flow, genes):
    windows, _, half_life, coding = genes
    features = flow.features(*genes)
    torch.testing.assert_close(features[:, :680], dna_composition(windows, 240))
    torch.testing.assert_close(features[:, 680:720], dna_profile(windows, 240))
    known = (coding > 0).any(dim=1)
    codons = codon_composition(coding)
    torch.testing.assert_close(features[known, flow.own - CODONS : flow.own], codons[known, :CODONS])
    torch.testing.assert_close(features[:, flow.own : flow.own + 8], half_life, equal_nan=True)
    lengths = (coding[known] > 0).sum(dim=1).float().log10()
    torch.testing.assert_close(features[known, flow.own + 8], lengths, rtol=0.05, atol=0.05)
    absent = features[~known]
    assert absent[:, flow.own - CODONS : flow.own].isnan().all() and absent[:, flow.own + 8 :].isnan().all()


def test_scores_are_standardised_over_the_genes_that_have_the_feature(flow, genes):
    features = flow.features(*genes)
    known = ~features.isnan()
    for column in (0, flow.own - 1, flow.own + 2, flow.own + 9):
        values = features[known[:, column], column]
        assert float(flow.mean[column]) == pytest.approx(float(values.mean()), abs=1e-5)
        assert float(flow.sd[column]) == pytest.approx(float(values.std(correction=0)), rel=1e-3)
    assert flow.scale(features * 1e6).abs().max() == 4
    constant = KernelFlow(config_of("dna-perceiver"))
    constant.standardise(torch.ones(5, len(constant.mean)))
    assert (constant.sd == 1).all()


ORDERS = (*([gene] for gene in (0, 3, 5, 63)), range(8), range(7, -1, -1), range(30, 38), range(63, -1, -1))


def test_a_genes_answer_is_the_same_bits_in_every_batch(genes):
    """Padding and what stands beside it do not matter."""
    flow = KernelFlow(config_of(outputs=OUTPUTS, coding_length=100, kernel_features=True)).eval()
    genes = (*genes, torch.randn(GENES, 2 * flow.config.query_dim))
    fill(flow, *genes)
    together = flow(*genes)
    assert flow.kernels == ("sequence", "dna", "protein", "codons") and together.shape == (GENES, 8, OUTPUTS)
    for rows in map(list, ORDERS):
        assert torch.equal(flow(*(part[rows] for part in genes)), together[rows])
    windows, proteins, half_life, coding, features = genes
    padded = [torch.nn.functional.pad(part, (0, 40)) for part in (proteins, coding)]
    assert torch.equal(flow(windows, padded[0], half_life, padded[1], features), together)
    short = flow(windows[:1], proteins[:1, :20], half_life[:1], coding[:1, :20], features[:1])
    assert torch.equal(short, together[:1])


def test_the_networks_answer_does_not_depend_on_the_batch(genes):
    """As far as what the sequence flows make of a gene does not, which the flow reads here."""
    torch.manual_seed(6)
    windows, proteins, half_life, coding = genes
    network = Perceiver(config_of(outputs=OUTPUTS, coding_length=100, kernel_words=False, kernel_features=True)).eval()
    with torch.inference_mode():
        fill(network.kernel, *genes, network.features(windows, proteins, half_life))
        together = network.members(windows, proteins, half_life, coding=coding)
        for rows in map(list, ORDERS):
            alone = network.members(windows[rows], proteins[rows], half_life[rows], coding=coding[rows])
            torch.testing.assert_close(alone, together[rows], rtol=0, atol=1e-4)
    assert together.std(dim=0).min() > 0.1


def test_unknown_inputs_are_those_of_a_mean_gene_and_flags_say_so(flow, genes):
    windows, proteins, half_life, coding = genes
    scaled = flow.scale(flow.features(windows, proteins, None, None))
    codons = scaled[:, flow.own - CODONS : flow.own]
    assert not codons.any() and not scaled[:, flow.own :].any()
    some = flow.scale(flow.features(windows, proteins, half_life, coding))
    flags = some[:, -FLAGS:]
    assert torch.equal(flags[:, :8] == 1, ~half_life.isnan()) and torch.equal(flags[:, 8] == 1, (coding > 0).any(dim=1))
    assert set(flags.unique().tolist()) == {0.0, 1.0}
    unknown = torch.full_like(half_life, math.nan), torch.zeros_like(coding)
    assert torch.equal(flow(windows, proteins, *unknown), flow(windows, proteins, None, None))
    mean = flow.mean[flow.own : flow.own + 8].expand(GENES, -1)
    assert (flow(windows, proteins, mean, None) != flow(windows, proteins, None, None)).all()  # the flags differ


def test_hidden_inputs_are_as_absent_ones(flow, genes):
    windows, proteins, half_life, coding = genes
    features = flow.features(*genes)
    no_half_life, no_coding = torch.arange(GENES) % 2 == 0, torch.arange(GENES) % 3 == 0
    absent = half_life.masked_fill(no_half_life[:, None], math.nan), coding.masked_fill(no_coding[:, None], 0)
    hidden = flow.hide(features, no_half_life, no_coding)
    torch.testing.assert_close(hidden, flow.features(windows, proteins, *absent), rtol=0, atol=0, equal_nan=True)
    everything = torch.ones(GENES, dtype=torch.bool)
    none = flow.features(windows, proteins, None, None)
    hidden = flow.hide(features, everything, everything)
    torch.testing.assert_close(hidden, none, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(features, flow.features(*genes), rtol=0, atol=0, equal_nan=True)  # left as they were


def test_ignored_half_life_features_are_as_unknown_ones(flow, genes):
    windows, proteins, half_life, coding = genes
    unknown, given = flow(windows, proteins, None, coding), flow(*genes)
    flow.ignore_half_life()
    assert torch.equal(flow(windows, proteins, half_life, coding), unknown)
    assert not torch.isclose(given, unknown).all()
    assert all(bool(tensor.isfinite().all()) for tensor in flow.state_dict().values())  # as files of weights must be


def test_landmarks_come_back_within_half_a_step():
    scores = torch.linspace(-4, 4, 1001)[:, None]
    stored = landmarks_of(scores)
    assert stored.dtype == torch.int8 and (stored[0], stored[-1]) == (-127, 127)
    assert (scores_of(stored) - scores).abs().max() <= 4 / 127 / 2 + 1e-6
    assert torch.equal(landmarks_of(scores_of(stored)), stored)
    flags = torch.tensor([[0.0, 1.0]])
    assert scores_of(landmarks_of(flags))[0].tolist() == pytest.approx([0, 1], abs=4 / 127 / 2)


def test_what_training_genes_are_told_is_the_answer(flow, genes):
    windows, proteins, half_life, coding = genes
    told = torch.randn(GENES, OUTPUTS)
    assert torch.equal(flow(windows, proteins, half_life, coding, told=told), told[:, None])
    network = Perceiver(config_of(outputs=OUTPUTS, coding_length=70, kernel_members=MEMBERS)).eval()
    network.kernel.load_state_dict(flow.state_dict())
    with torch.inference_mode():
        asked, given = (network(windows, proteins, half_life, said, coding) for said in (None, told))
        own = flow(*genes).mean(dim=1)
    torch.testing.assert_close(given - told, asked - own, rtol=1e-4, atol=1e-4)


def test_rescaled_it_says_as_many_times_as_much(flow, genes):
    before, factor = flow(*genes), torch.tensor([2.0, 0.25])
    flow.rescale(factor)
    torch.testing.assert_close(flow(*genes), before * factor)


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("dna-perceiver", {"kernel_genes": 8, "kernel_members": 3}, "kernel_members must be an even number, not 3"),
        ("dna-perceiver", {"kernel_members": 0}, "kernel_members must be"),
        ("dna-perceiver", {"kernel_genes": 8, "kernel_words": False}, "neither words nor features nor codons"),
        ("dna-perceiver", {"kernel_genes": -1}, "kernel_genes must be a whole number from 0"),
        ("dna-perceiver", {"kernel_features": True}, "kernel_features need kernel_genes"),
        ("dna-perceiver", {"kernel_genes": 8, "tanh": True}, "kernel_genes and tanh"),
        ("dna-perceiver", {"coding_length": 9}, "coding_length needs kernel_genes"),
        (
            "dna-perceiver",
            {"kernel_genes": 8, "kernel_features": True, "sequence_flows": False},
            "kernel_features need kernel_genes and sequence_flows",
        ),
    ],
)
def test_settings_that_make_no_kernel_flow(preset, changes, message):
    with pytest.raises(UsageError, match=message):
        PerceiverConfig.from_preset(preset, **changes)


@pytest.mark.parametrize(
    ("preset", "changes", "kernels", "covariates"),
    [
        ("dna-perceiver", {}, ("dna",), [8]),
        ("protein-perceiver", {}, ("protein",), []),
        ("protein-dna-perceiver", {"coding_length": 9, "outputs": 3}, ("dna", "protein", "codons"), [8, 5]),
        ("protein-perceiver", {"coding_length": 9, "kernel_words": False}, ("codons",), [3]),
        ("dna-perceiver", {"kernel_features": True, "kernel_words": False}, ("sequence",), [8]),
    ],
)
def test_there_is_a_kernel_for_each_thing_that_is_read(preset, changes, kernels, covariates):
    flow = KernelFlow(config_of(preset, **changes))
    assert (flow.kernels, flow.covariates) == (kernels, covariates)
    assert not list(flow.parameters())  # no step trains it


@pytest.fixture
def reduced(genes) -> KernelFlow:
    """A flow that compares components, as many as its smallest kernel has columns."""
    flow = KernelFlow(config_of(outputs=OUTPUTS, kernel_members=MEMBERS, coding_length=70, kernel_dims=64)).eval()
    fill(flow, *genes)
    return flow


def test_as_many_components_as_there_are_genes_keep_all_distances(flow, reduced, genes):
    """64 genes span 64 directions at most, so nothing is lost but what is cut off at the largest score."""
    whole, components = (one.scale(one.features(*genes)) for one in (flow, reduced))
    assert components.shape[1] == 3 * 64 + sum(COVARIATES) + FLAGS < whole.shape[1]
    for wide, short in zip(
        flow.distances(whole, whole, 0.6), reduced.distances(components, components, 0.6), strict=True
    ):
        far = wide > 0.05
        assert float((short / wide)[far].median()) == pytest.approx(1, abs=2e-3)
        assert float((short - wide).abs().max()) < 0.1 * float(wide.max())


def test_components_are_ordered_and_the_first_has_a_spread_of_one(reduced, genes):
    own = reduced.scale(reduced.features(*genes))[:, : 3 * 64].unflatten(1, (3, 64))
    spread = own.square().mean(dim=0).sqrt()
    torch.testing.assert_close(spread[:, 0], torch.ones(3), atol=0.05, rtol=0)
    assert bool((spread[:, :-1] >= spread[:, 1:] - 1e-3).all())


def test_a_genes_answer_from_components_is_the_same_bits_in_every_batch(reduced, genes):
    windows, proteins, half_life, coding = genes
    with torch.inference_mode():
        together = reduced(windows, proteins, half_life, coding)
        alone = torch.cat(
            [reduced(*(part[i : i + 1] for part in (windows, proteins, half_life, coding))) for i in range(GENES)]
        )
    assert torch.equal(alone, together)
    assert float(together.std()) > 0.1


def test_components_need_a_kernel_flow():
    with pytest.raises(UsageError, match="kernel_dims need kernel_genes"):
        config_of(kernel_genes=0, kernel_dims=8)
