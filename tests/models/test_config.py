from __future__ import annotations

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
        ({"word_buckets": 64, "composition_dim": 4}, "word_buckets need a composition_dim, and an input of proteins"),
        ({"latnets": 3}, "unknown model settings: latnets"),
        ({"latent_input": "rna"}, "inputs must be among"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        PerceiverConfig.from_preset("dna-perceiver", **changes)


@pytest.mark.parametrize("buckets", [-1, 2**24 + 1])
def test_a_table_of_words_has_its_limits(buckets):
    with pytest.raises(UsageError, match=f"word_buckets must be a whole number from 0 to 16,777,216, not .{buckets}"):
        PerceiverConfig.from_preset("protein-perceiver", composition_dim=4, word_buckets=buckets)
    with pytest.raises(UsageError, match="word_outputs need word_buckets"):
        PerceiverConfig.from_preset("protein-perceiver", composition_dim=4, word_outputs=3)


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("dna-perceiver", {"promoter_towers": 2}),
        ("protein-perceiver", {"word_buckets": 64, "word_outputs": 3}),
        ("protein-dna-perceiver", {"word_buckets": 64}),
    ],
)
def test_without_composition_the_paper_s_network_is_left(preset, changes):
    config = PerceiverConfig.from_preset(preset, composition_dim=8, composition_members=2, **changes)
    plain = config.without_composition()
    assert plain == PerceiverConfig.from_preset(preset)
    assert Perceiver(plain).composition is None


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(UsageError, match="dna-perceiver, protein-perceiver"):
        PerceiverConfig.from_preset("dna")


def test_coding_sequences_need_a_composition_flow():
    read = PerceiverConfig.from_preset("dna-perceiver", composition_dim=4, coding_length=300, outputs=2)
    assert (read.reads_coding, read.coding_indices) == (True, 2)
    assert not read.without_composition().reads_coding
    with pytest.raises(UsageError, match="coding_length needs a composition_dim"):
        PerceiverConfig.from_preset("dna-perceiver", coding_length=300)
    with pytest.raises(UsageError, match="coding_outputs need a coding_length"):
        PerceiverConfig.from_preset("dna-perceiver", composition_dim=4, coding_outputs=2)


def test_without_composition_there_is_no_kernel_flow_either():
    config = PerceiverConfig.from_preset("dna-perceiver", kernel_genes=8, kernel_features=True, coding_length=300)
    assert config.without_composition() == PerceiverConfig.from_preset("dna-perceiver")
    assert (config.members, PerceiverConfig.from_preset("dna-perceiver").members) == (8, 1)


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
        assert 0.3 * flow < config.fewest_numbers - config.without_composition().fewest_numbers <= flow
    with pytest.raises(UsageError, match="these settings ask for more than"):
        PerceiverConfig.from_preset(preset, **{**changes, "kernel_genes": 2**16, "outputs": 2**16})
