from __future__ import annotations

from dataclasses import replace

import pytest

from seqexpr.errors import UsageError
from seqexpr.models.composition.kernel import KernelFlow
from seqexpr.models.config import PRESETS, PerceiverConfig
from seqexpr.models.perceiver import Perceiver


@pytest.mark.parametrize(
    ("preset", "latent_length", "query_length", "half_life", "positions", "query_features"),
    [
        # positions by hand: 10,500 / 12 = 875; 875 // 6 = 145; 145 // 6 = 24. 24 x 32 + 8 = 776
        ("dna-perceiver", 10_500, 10_500, (True, True), 24, 776),
        # 6,000 / 10 = 600; / 5 = 120; / 5 = 24. 24 x 32 = 768
        ("protein-perceiver", 6_000, 6_000, (False, False), 24, 768),
        # 8,000 // 12 = 666; // 6 = 111; // 6 = 18. 18 x 32 + 8 = 584
        ("protein-dna-perceiver", 6_000, 8_000, (False, True), 18, 584),
        ("dna-protein-perceiver", 8_000, 6_000, (True, False), 24, 768),
    ],
)
def test_presets_are_the_systems_of_the_paper(
    preset, latent_length, query_length, half_life, positions, query_features
):
    config = PerceiverConfig.from_preset(preset)
    assert config.latent_length == latent_length
    assert config.query_length == query_length
    assert (config.half_life_latent, config.half_life_query) == half_life
    assert config.query_positions == positions
    assert config.query_features == query_features
    assert config.latent_width == (136 if half_life[0] else 128)


def test_windows_of_the_presets():
    dna = PerceiverConfig.from_preset("dna-perceiver")
    both = PerceiverConfig.from_preset("protein-dna-perceiver")
    assert (dna.upstream, dna.downstream) == (7_000, 3_500)
    assert (both.upstream, both.downstream) == (5_000, 3_000)


@pytest.mark.parametrize("preset", PRESETS)
def test_round_trip_through_json_values(preset):
    import json

    config = PerceiverConfig.from_preset(preset, outputs=2, tanh=True)
    assert PerceiverConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"upstream": 0, "downstream": 0}, "DNA window"),
        ({"protein_length": 10}, "protein length"),
        ({"stem_kernel": 14}, "odd"),
        ({"dropout": 1.0}, "dropout"),
        ({"outputs": 0}, "from 1 to"),
        ({"upstream": 100, "downstream": 100}, "too few"),
        ({"sequence_flows": False}, "sequence_flows false needs kernel_genes, or there is no network"),
        ({"sequence_flows": 0}, "sequence_flows must be true or false"),
        ({"latnets": 3}, "unknown model settings: latnets"),
        ({"latent_input": "rna"}, "inputs must be among"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        PerceiverConfig.from_preset("dna-perceiver", **changes)


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("dna-perceiver", {"kernel_features": True, "coding_length": 300, "coding_outputs": 2}),
        ("protein-perceiver", {"sequence_flows": False}),
        ("protein-dna-perceiver", {"kernel_words": True}),
    ],
)
def test_without_the_kernel_flow_the_paper_s_network_is_left(preset, changes):
    config = PerceiverConfig.from_preset(preset, kernel_genes=8, **changes)
    plain = config.without_kernel()
    assert plain == PerceiverConfig.from_preset(preset) != config
    assert Perceiver(plain).kernel is None
    assert (config.members, plain.members) == (8, 1)


RETIRED = {
    "composition_dim": 0,
    "composition_dropout": 0.5,
    "composition_gain": 1.0,
    "composition_members": 1,
    "promoter_towers": 0,
    "word_buckets": 0,
    "word_outputs": 0,
}


@pytest.mark.parametrize("flow", [{}, {"kernel_genes": 8, "kernel_members": 4, "coding_length": 300}])
def test_settings_of_an_earlier_version_are_those_of_the_same_network(flow):
    config = PerceiverConfig.from_preset("dna-perceiver", **flow)
    stored = config.to_dict() | RETIRED
    del stored["sequence_flows"]  # which earlier versions did not have
    assert PerceiverConfig.from_dict(stored) == config
    assert not RETIRED.keys() & config.to_dict().keys()
    assert stored.keys() >= RETIRED.keys()  # left as they were


@pytest.mark.parametrize("changes", [{}, {"promoter_towers": 2}, {"word_buckets": 64, "word_outputs": 3}])
def test_the_flow_of_an_earlier_version_is_refused(changes):
    stored = PerceiverConfig.from_preset("dna-perceiver").to_dict() | RETIRED | changes | {"composition_dim": 16}
    with pytest.raises(UsageError, match=r"^a network with the composition flow of an earlier version,"):
        PerceiverConfig.from_dict(stored)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(UsageError, match="dna-perceiver, protein-perceiver"):
        PerceiverConfig.from_preset("dna")


def test_coding_sequences_need_a_kernel_flow():
    read = PerceiverConfig.from_preset("dna-perceiver", kernel_genes=4, coding_length=300, outputs=2)
    assert (read.reads_coding, read.coding_indices) == (True, 2)
    assert not read.without_kernel().reads_coding
    with pytest.raises(UsageError, match="coding_length needs kernel_genes"):
        PerceiverConfig.from_preset("dna-perceiver", coding_length=300)
    with pytest.raises(UsageError, match="coding_outputs need a coding_length"):
        PerceiverConfig.from_preset("dna-perceiver", kernel_genes=4, coding_outputs=2)


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("dna-perceiver", {"outputs": 3}),
        ("protein-perceiver", {"kernel_members": 2}),
        ("protein-dna-perceiver", {"kernel_features": True, "coding_length": 300}),
        ("dna-perceiver", {"kernel_features": True, "kernel_words": False}),
    ],
)
def test_the_numbers_of_a_kernel_flow_count(preset, changes):
    """Never more than there are, and so many that a small file cannot describe a huge flow."""
    for genes in (100, 2000):
        config = PerceiverConfig.from_preset(preset, kernel_genes=genes, **changes)
        flow = sum(buffer.numel() for buffer in KernelFlow(config).buffers())
        assert 0.3 * flow < config.fewest_numbers - config.without_kernel().fewest_numbers <= flow
        if not config.kernel_features:  # without sequence flows there is nothing but the flow
            assert 0.3 * flow < replace(config, sequence_flows=False).fewest_numbers <= flow
    with pytest.raises(UsageError, match="these settings ask for more than"):
        PerceiverConfig.from_preset(preset, **{**changes, "kernel_genes": 2**16, "outputs": 2**16})
