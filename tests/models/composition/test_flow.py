from __future__ import annotations

import math

import pytest
import torch

from seqexpr.errors import UsageError
from seqexpr.models.composition.codons import codon_counts
from seqexpr.models.composition.flow import CompositionFlow
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver


def flow_of(config, **changes) -> CompositionFlow:
    return CompositionFlow(PerceiverConfig.from_dict({**config.to_dict(), "composition_dim": 16, **changes})).eval()


def test_fit_standardises_the_training_genes(small_config, tokens):
    flow = CompositionFlow(PerceiverConfig.from_dict({**small_config.to_dict(), "composition_dim": 4}))
    windows = tokens(40, 360)
    flow.fit([(part, part, None) for part in (windows[:25], windows[25:])])
    features = flow.features(windows, windows)
    torch.testing.assert_close(flow.mean, features.mean(dim=0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(flow.sd, features.std(dim=0, correction=0), rtol=1e-2, atol=1e-5)


def test_a_constant_feature_says_nothing(small_config):
    flow = CompositionFlow(PerceiverConfig.from_dict({**small_config.to_dict(), "composition_dim": 4}))
    window = torch.ones(1, 360, dtype=torch.uint8).expand(5, -1)
    flow.fit([(window, window, None)])
    assert (flow.sd == 1).all()
    assert flow(window, window, torch.zeros(5, 8)).isfinite().all()


@pytest.mark.parametrize(
    ("preset", "features", "covariates"),
    [
        # Composition, and the 8 half-life features with 8 flags that say which are known, where the preset reads them.
        ("dna-perceiver", 680, 16),
        ("protein-perceiver", 845 + 517, 0),
        ("protein-dna-perceiver", 680 + 845 + 517, 16),
        ("dna-protein-perceiver", 680 + 845 + 517, 16),
    ],
)
def test_parameters_that_the_flow_adds(preset, features, covariates):
    plain = Perceiver(PerceiverConfig.from_preset(preset)).count_parameters()
    with_flow = Perceiver(PerceiverConfig.from_preset(preset, composition_dim=64)).count_parameters()
    hidden, output = (features + 1 + covariates + 1) * 64, 64 + 1 + covariates + 1
    assert with_flow - plain == hidden + output
    three = Perceiver(PerceiverConfig.from_preset(preset, composition_dim=64, composition_members=3)).count_parameters()
    assert three - plain == 3 * (hidden + output)


def test_the_networks_answer_does_not_depend_on_the_batch(small_config, tokens):
    network = Perceiver(PerceiverConfig.from_dict({**small_config.to_dict(), "composition_dim": 16})).eval()
    windows, half_life = tokens(6, 360), torch.randn(6, 8)
    with torch.inference_mode():
        together = network(windows, windows, half_life)
        alone = torch.cat([network(windows[i : i + 1], windows[i : i + 1], half_life[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_flow_is_added_to_what_the_network_says(small_config, tokens):
    network = Perceiver(PerceiverConfig.from_dict({**small_config.to_dict(), "composition_dim": 16})).eval()
    windows, half_life = tokens(3, 360), torch.randn(3, 8)
    with torch.inference_mode():
        whole = network(windows, windows, half_life)
        flow = network.composition(windows, windows, half_life)
        network.composition = None
        torch.testing.assert_close(whole, network(windows, windows, half_life) + flow.mean(dim=1))
    assert flow.abs().max() > 1e-3


def test_an_unknown_feature_is_not_an_average_one(small_config, tokens):
    flow, windows = flow_of(small_config), tokens(4, 360)
    torch.nn.init.normal_(flow.direct.weight)
    average, unknown = torch.zeros(4, 8), torch.full((4, 8), math.nan)
    with torch.inference_mode():
        told, hidden, absent = (flow(windows, windows, half_life) for half_life in (average, unknown, None))
    torch.testing.assert_close(hidden, absent, rtol=0, atol=0)
    assert (told - hidden).abs().min() > 1e-4


def test_the_trunk_takes_unknown_for_average(small_config, tokens):
    network, windows = Perceiver(small_config).eval(), tokens(4, 360)
    with torch.inference_mode():
        average = network(windows, windows, torch.zeros(4, 8))
        torch.testing.assert_close(network(windows, windows, torch.full((4, 8), math.nan)), average, rtol=0, atol=0)


def test_each_member_is_a_flow_of_its_own(small_config, tokens):
    """What three members say together, each says alone."""
    flow, windows, half_life = flow_of(small_config, composition_members=3), tokens(5, 360), torch.randn(5, 8)
    with torch.inference_mode():
        together = flow(windows, windows, half_life)
        assert together.shape == (5, 3, 1)
        for member in range(3):
            alone = flow_of(small_config)
            state = flow.state_dict()
            alone.load_state_dict({k: v[member : member + 1] if v.ndim == 3 else v for k, v in state.items()})
            torch.testing.assert_close(alone(windows, windows, half_life)[:, 0], together[:, member], rtol=0, atol=1e-6)
    assert together.std(dim=1).min() > 1e-3


def test_members_drop_different_values(small_config, tokens):
    """Equal weights, and still different answers in training."""
    flow, windows = flow_of(small_config, composition_members=2).train(), tokens(5, 360)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter[1] = parameter[0]
        first, second = flow(windows, windows, None).unbind(1)
    assert (first - second).abs().min() > 1e-6


def test_the_network_predicts_the_mean_of_its_members(small_config, tokens):
    config = PerceiverConfig.from_dict({**small_config.to_dict(), "composition_dim": 16, "composition_members": 4})
    network, windows = Perceiver(config).eval(), tokens(3, 360)
    with torch.inference_mode():
        members = network.members(windows, windows)
        assert members.shape == (3, 4, 1)
        torch.testing.assert_close(network(windows, windows), members.mean(dim=1), rtol=0, atol=0)


def test_gain_scales_the_composition_alone(small_config, tokens):
    flow, windows = flow_of(small_config), tokens(3, 360)
    slow = flow_of(small_config, composition_gain=0.25)
    state = flow.state_dict()
    slow.load_state_dict({**state, "hidden.weight": 4 * state["hidden.weight"]})
    with torch.inference_mode():
        half_life = torch.randn(3, 8)
        torch.testing.assert_close(slow(windows, windows, half_life), flow(windows, windows, half_life))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"composition_members": 0}, "composition_members must be a whole number from 1"),
        ({"composition_gain": 0.0}, "composition_gain must be above 0"),
        ({"composition_members": 2}, "composition_members need a composition_dim"),
        ({"promoter_towers": -1, "composition_dim": 4}, "promoter_towers must be a whole number from 0"),
        ({"promoter_towers": 2}, "promoter_towers need a composition_dim"),
        ({"promoter_towers": 2, "composition_dim": 4, "upstream": 6000}, "a window of 7,000 bp"),
    ],
)
def test_settings_that_make_no_flow(changes, message):
    with pytest.raises(UsageError, match=message):
        PerceiverConfig.from_preset("dna-perceiver", **changes)


def test_told_answers_replace_those_of_the_table(tokens):
    config = PerceiverConfig.from_preset("protein-perceiver", outputs=2, composition_dim=8, word_buckets=64)
    flow, proteins = CompositionFlow(config).eval(), tokens(4, 50, letters=20)
    for part in (flow.words.table, flow.words.weights, flow.direct.weight):
        torch.nn.init.normal_(part)
    answers = flow.words(proteins)
    told = answers + 0.5
    told[1] = math.nan
    with torch.inference_mode():
        asked, given = flow.scores(proteins, proteins), flow.scores(proteins, proteins, told)
        torch.testing.assert_close(asked[:, -2:], answers.clamp(-4, 4))
        torch.testing.assert_close(given[:, -2:], told.where(~told.isnan(), answers).clamp(-4, 4))
        assert torch.equal(given[:, :-2], asked[:, :-2]) and flow.covariates == 0
        changed = (flow(proteins, proteins, None, told) - flow(proteins, proteins, None)).abs().amax(dim=(1, 2))
    assert changed[1] == 0 and (changed[[0, 2, 3]] > 1e-3).all()


@pytest.fixture
def with_codons(small_config, tokens):
    """A flow that reads codons, fitted on 40 genes of which the last ten have no coding sequence."""
    flow = flow_of(small_config, coding_length=50, outputs=2, composition_members=2)
    windows, coding = tokens(40, 360), tokens(40, 50, letters=64, seed=1)
    coding[30:] = 0
    flow.codons.fit(codon_counts(coding), torch.randn(40, 2))
    flow.fit([(windows[:25], windows[:25], coding[:25]), (windows[25:], windows[25:], coding[25:])])
    torch.nn.init.normal_(flow.direct.weight)
    return flow, windows, coding


def test_codon_features_are_standardised_on_the_genes_that_have_them(with_codons):
    flow, windows, coding = with_codons
    scores = flow.scores(windows, windows, coding=coding)
    known = scores[:30, -1 - flow.codons.width : -1]
    assert known.mean(dim=0).abs().max() < 0.2  # but for what is cut off
    assert not scores[30:, -1 - flow.codons.width :].any()
    assert (scores[:30, -1] == 1).all()


def test_a_gene_without_a_coding_sequence_is_as_without_any(with_codons):
    flow, windows, coding = with_codons
    plain = flow(windows, windows, None)
    given = flow(windows, windows, None, coding=coding)
    assert torch.equal(given[30:], plain[30:])
    assert not torch.isclose(given[:30], plain[:30]).any()
    unknown = torch.zeros_like(coding)
    assert torch.equal(flow(windows, windows, None, coding=unknown), plain)


def test_hidden_coding_sequences_are_as_absent_ones(with_codons):
    flow, windows, coding = with_codons
    hidden = torch.arange(40)[:, None] % 2 == 0
    absent = coding.masked_fill(hidden, 0)
    scores = flow.without_coding(flow.scores(windows, windows, coding=coding), hidden)
    assert torch.equal(scores, flow.scores(windows, windows, coding=absent))


def test_codons_stand_before_towers_and_words(small_config, tokens):
    config = PerceiverConfig.from_preset(
        "protein-perceiver", protein_length=432, composition_dim=4, word_buckets=32, coding_length=50
    )
    flow, proteins, coding = CompositionFlow(config).eval(), tokens(4, 50, letters=20), tokens(4, 50, letters=64)
    flow.fit([(proteins, proteins, coding)])
    torch.nn.init.normal_(flow.words.table)
    torch.nn.init.ones_(flow.words.weights)
    without, given = flow.scores(proteins, proteins), flow.scores(proteins, proteins, coding=coding)
    same = (without == given).all(dim=0)
    counted = len(flow.mean) - flow.codons.width
    assert same[:counted].all() and same[-2] and not same[-1]
    assert given[:, -2].any()  # what the words answer
