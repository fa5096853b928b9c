"""Single substitutions, computed from what they change, are those of full passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqexpr.effects import first_order, incremental
from seqexpr.effects.mutagenesis import Mutagenesis
from seqexpr.inputs.half_life import TRANSFORMS, HalfLifeSchema
from seqexpr.models import kernels
from seqexpr.models.channel_norm import ChannelNorm
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.registry import resolve_models
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, load_model
from seqexpr.sequences.transcripts import FEATURES
from tests.small_dataset import fill_kernel

UPSTREAM, DOWNSTREAM = 240, 125  # a rest of letters fills no group of the tower
SMALL = {"stem_pool": 6, "tower_pool": 3, "latents": 8, "latent_dim": 16}
WIDE = {"latents": 64, "embedding_dim": 32, "stem_channels": 64, "stem_pool": 12, "tower_pool": 3}
SCHEMA = HalfLifeSchema(FEATURES, TRANSFORMS, (3.0,) * 8, (0.7,) * 8)
HALF_LIFE = np.array([100.0, 1500.0, 900.0, 20_000.0, 3.0, 0.6, np.nan, 0.4])


def model(
    seed: int = 0, sizes: tuple[int, int] = (UPSTREAM, DOWNSTREAM), preset: str = "dna-perceiver", **changes
) -> TrainedModel:
    """A network of which every part says something."""
    upstream, downstream = sizes
    config = PerceiverConfig.from_preset(preset, **{"upstream": upstream, "downstream": downstream, **changes})
    torch.manual_seed(seed)
    network = Perceiver(config).eval()
    for module in network.modules():
        if isinstance(module, ChannelNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    if network.kernel is not None:
        fill_kernel(network)
    if network.words is not None:
        network.words.scores.normal_()
    outputs = tuple(Output(f"level {number}", "log10", 0.5, 2.0) for number in range(config.outputs))
    return TrainedModel("m", network, ModelMetadata(config, outputs, SCHEMA if config.reads_half_life else None))


def window(letters: int = UPSTREAM + DOWNSTREAM, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 5, letters).astype(np.uint8)


def full_passes(one: TrainedModel, letters: np.ndarray, positions, new, half_life=None) -> np.ndarray:
    windows = np.tile(letters, (len(positions), 1))
    windows[np.arange(len(windows)), positions] = new
    given = None if half_life is None else np.tile(half_life, (len(windows), 1))
    return one.predict_members(windows, None, given)


class OneWindow:
    """Substitutions of a single window."""

    def __init__(
        self,
        models,
        upstream: int,
        letters: np.ndarray,
        half_life=None,
        *,
        beside=None,
        changed="dna",
        saturating=False,
    ) -> None:
        self.mutagenesis = Mutagenesis(models, upstream, changed=changed, saturating=saturating)
        beside = None if beside is None else beside[None]
        (self.known,) = self.mutagenesis.read(letters[None], [half_life], beside=beside)

    def reference(self) -> np.ndarray:
        return self.known.reference

    def substituted(self, positions: np.ndarray, letters: np.ndarray) -> np.ndarray:
        return self.mutagenesis.substituted([self.known] * len(positions), positions, letters)

    def replaced(self, letters: np.ndarray) -> np.ndarray:
        return self.mutagenesis.replaced([self.known] * len(letters), letters)


def all_changes(letters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every position, with the next letter; an unknown one becomes an A."""
    return np.arange(len(letters)), (letters % 4 + 1).astype(np.uint8)


@pytest.mark.parametrize(
    "changes",
    [
        SMALL,
        WIDE,
        {**SMALL, "outputs": 2, "half_life_latent": False},
        {**SMALL, "stem_kernel": 3, "tower_kernel": 3, "tower_channels": (8,)},
        {**SMALL, "stem_pool": 2, "tower_pool": 2, "tower_channels": (8, 6, 5)},
        {**SMALL, "kernel_genes": 20, "kernel_words": False, "kernel_features": True, "kernel_members": 4},
        {**SMALL, "kernel_genes": 20, "kernel_members": 2, "promoter_words": 0.3},
    ],
    ids=["small", "compiled", "two outputs", "short kernels", "many stages", "kernel of features", "kernel of words"],
)
@pytest.mark.parametrize("unknown", [False, True], ids=["known", "gaps"])
def test_substitutions_equal_full_passes(changes, unknown):
    one, letters = model(**changes), window()
    if unknown:
        letters[:30] = letters[100:104] = letters[-1] = 0
    positions, new = all_changes(letters)
    found = OneWindow([one], UPSTREAM, letters, HALF_LIFE)
    expected = full_passes(one, letters, positions, new, HALF_LIFE)
    np.testing.assert_allclose(found.substituted(positions, new), expected, atol=1e-5)
    np.testing.assert_array_equal(found.reference(), one.predict_members(letters[None], None, HALF_LIFE[None])[:, 0])
    assert np.abs(expected - found.reference()[:, None]).max(axis=1).min() > 1e-4  # and they change something


RESIDUES = {"protein_length": 500, "stem_pool": 5, "tower_pool": 3}
TWO = {"upstream": UPSTREAM, "downstream": DOWNSTREAM, **RESIDUES}
PRESETS = [("protein-perceiver", "protein", RESIDUES)]
PRESETS += [(f"{two}-perceiver", one, TWO) for two in ("protein-dna", "dna-protein") for one in ("dna", "protein")]


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("residues", [60, 300, 500])
@pytest.mark.parametrize(("preset", "changed", "sizes"), PRESETS)
def test_each_sequence_of_every_preset_can_be_changed(preset, changed, sizes, residues, saturating):
    one = model(sizes=(0, 0), preset=preset, **{"latents": 8, "latent_dim": 16, **sizes})
    read, rng = one.metadata.config, np.random.default_rng(3)
    dna, protein = window() if read.reads_dna else None, rng.integers(1, 23, residues).astype(np.uint8)
    letters = {"dna": dna, "protein": protein}[changed]
    positions = np.arange(0, len(letters), 3)
    new = (letters[positions] % (4 if changed == "dna" else 20) + 1).astype(np.uint8)
    half_life = HALF_LIFE if read.reads_half_life else None
    beside = None if not read.reads_dna else protein if changed == "dna" else dna
    found = OneWindow([one], UPSTREAM, letters, half_life, beside=beside, changed=changed, saturating=saturating)
    many = np.tile(letters, (len(positions), 1))
    many[np.arange(len(many)), positions] = new
    both = {
        name: None if part is None else np.tile(part, (len(many), 1))
        for name, part in (("dna", dna), ("protein", protein))
    }
    expected = one.predict_members(
        *{**both, changed: many}.values(), None if half_life is None else np.tile(half_life, (len(many), 1))
    )
    np.testing.assert_allclose(found.substituted(positions, new), expected, atol=1e-5)
    np.testing.assert_allclose(found.replaced(many), expected, atol=1e-6)
    assert np.abs(expected - found.reference()[:, None]).max(axis=1).min() > 1e-4


def test_a_model_that_counts_words_of_a_protein_reads_it_again():
    one = model(sizes=(0, 0), preset="protein-perceiver", sequence_flows=False, kernel_genes=20, **RESIDUES)
    protein = np.random.default_rng(3).integers(1, 21, 40).astype(np.uint8)
    found = OneWindow([one], 0, protein, changed="protein")
    positions, new = np.arange(40), (protein % 20 + 1).astype(np.uint8)
    many = np.tile(protein, (40, 1))
    many[positions, positions] = new
    np.testing.assert_allclose(found.substituted(positions, new), one.predict_members(None, many, None), atol=1e-6)
    assert np.ptp(found.substituted(positions, new)) > 1e-4


def test_a_letter_may_become_unknown():
    one, letters = model(**SMALL), window()
    positions, new = np.arange(0, 365, 7), np.zeros(53, np.uint8)
    found = OneWindow([one], UPSTREAM, letters).substituted(positions, new)
    np.testing.assert_allclose(found, full_passes(one, letters, positions, new), atol=1e-5)


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("known", [0, 1, 2])
def test_windows_of_few_known_letters(known, saturating):
    one, letters = model(**SMALL), np.zeros(UPSTREAM + DOWNSTREAM, np.uint8)
    letters[50 : 50 + known] = 2
    positions, new = np.array([0, 49, 50, 51, 200]), np.array([1, 2, 3, 4, 1], np.uint8)
    found = OneWindow([one], UPSTREAM, letters, saturating=saturating).substituted(positions, new)
    np.testing.assert_allclose(found, full_passes(one, letters, positions, new), atol=1e-5)


def test_models_of_an_ensemble_read_their_own_part_of_the_window():
    wide, narrow = model(**SMALL), model(1, (100, 60), **SMALL)
    letters = window()
    positions, new = all_changes(letters)
    found = OneWindow([wide, narrow], UPSTREAM, letters).substituted(positions, new)
    np.testing.assert_allclose(found[:1], full_passes(wide, letters, positions, new), atol=1e-5)
    inside = slice(UPSTREAM - 100, UPSTREAM + 60)
    expected = full_passes(narrow, letters[inside], np.arange(160), new[inside])
    np.testing.assert_allclose(found[1:, inside], expected, atol=1e-5)
    np.testing.assert_array_equal(found[1, :140], np.repeat(found[1, :1], 140, axis=0))


@given(order=st.permutations(range(40)), size=st.integers(1, 40))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("saturating", [False, True])
def test_no_substitution_depends_on_the_others(saturating, order, size):
    one, letters = model(**WIDE), window()
    positions, new = (part[160:200] for part in all_changes(letters))
    found = OneWindow([one], UPSTREAM, letters, saturating=saturating)
    expected = found.substituted(positions, new)
    chosen = np.array(order[:size])
    np.testing.assert_array_equal(found.substituted(positions[chosen], new[chosen]), expected[:, chosen])


@given(order=st.permutations(range(40)), size=st.integers(1, 40))
@settings(max_examples=5, deadline=None)
@pytest.mark.parametrize(
    "changes",
    [
        WIDE,
        {**WIDE, "half_life_latent": False},
        {**WIDE, "depth": 2},
        {**SMALL, "kernel_genes": 20, "kernel_members": 2, "promoter_words": 0.3},
    ],
    ids=["own queries", "one query", "full passes", "words"],
)
def test_neither_other_windows_nor_their_substitutions_change_a_bit(changes, order, size):
    one = model(**changes)
    letters = np.stack([window(seed=seed) for seed in range(18)])
    letters[3] = 0  # a window that is read as a whole, among the others
    halves = [None if seed == 5 else HALF_LIFE * (1 + seed / 20) for seed in range(18)]
    positions, new, genes = np.arange(150, 190), np.full(40, 2, np.uint8), np.arange(40) % 18
    alone = [OneWindow([one], UPSTREAM, *pair) for pair in zip(letters, halves, strict=True)]
    for gene, own in enumerate(alone):
        given_alone = None if halves[gene] is None else halves[gene][None]
        expected = one.predict_members(letters[gene][None], None, given_alone)[:, 0]
        np.testing.assert_array_equal(own.reference(), expected)
    mutagenesis = Mutagenesis([one], UPSTREAM)
    known = mutagenesis.read(letters, halves)
    chosen = np.array(order[:size])
    of = [known[gene] for gene in genes[chosen]]
    np.testing.assert_array_equal([one.reference for one in of], [alone[gene].reference() for gene in genes[chosen]])
    found = mutagenesis.substituted(of, positions[chosen], new[chosen])
    for place, own in zip(chosen, found.swapaxes(0, 1), strict=True):
        expected = alone[genes[place]].substituted(positions[place : place + 1], new[:1])
        np.testing.assert_array_equal(own, expected[:, 0])
    replaced = mutagenesis.replaced(of, letters[(genes[chosen] + 1) % 18])
    for place, own in zip(chosen, replaced.swapaxes(0, 1), strict=True):
        gene = genes[place]
        expected = OneWindow([one], UPSTREAM, letters[(gene + 1) % 18], halves[gene]).reference()
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("name", ["dna-perceiver", "human-mrna"])
def test_to_first_order_thousands_of_letters_give_the_same(name, monkeypatch):
    """At full length, where letters have small weights; and few substitutions need a pass through the latents."""
    one = model(sizes=(7000, 3500)) if name == "dna-perceiver" else load_model(resolve_models([name])[0])
    letters, exact = window(10_500), []
    letters[:200] = 0
    rng = np.random.default_rng(1)
    positions = np.concatenate([np.arange(6990, 7010), rng.integers(0, 10_500, 60), [10_499]])
    new = (letters[positions] % 4 + 1).astype(np.uint8)
    through_block = incremental.Incremental.through_block
    monkeypatch.setattr(
        incremental.Incremental,
        "through_block",
        lambda self, passes, which, *rest: exact.append(len(which)) or through_block(self, passes, which, *rest),
    )
    half_life = HALF_LIFE if one.metadata.half_life else None
    found = OneWindow([one], 7000, letters, half_life, saturating=True).substituted(positions, new)
    np.testing.assert_allclose(found, full_passes(one, letters, positions, new, half_life), atol=1e-5)
    assert sum(exact) < 40


def test_letters_with_much_attention_pass_through_the_latents(monkeypatch):
    one = model(**SMALL)
    with torch.no_grad():
        one.network.blocks[0].cross.to_key.weight.mul_(60)  # some letters have most of the attention
    letters = window()
    positions, new = all_changes(letters)
    expected = full_passes(one, letters, positions, new)
    found = OneWindow([one], UPSTREAM, letters, saturating=True).substituted(positions, new)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    monkeypatch.setattr(first_order, "ATTENTION", 1.0)
    monkeypatch.setattr(first_order, "MOVED", 10.0)
    found = OneWindow([one], UPSTREAM, letters, saturating=True).substituted(positions, new)
    assert np.abs(found - expected).max() > 1e-2


def test_without_the_compiled_kernels_the_same():
    one, letters = model(**WIDE), window()
    positions, new = all_changes(letters)
    expected = OneWindow([one], UPSTREAM, letters).substituted(positions, new)
    with kernels.disabled():
        found = OneWindow([one], UPSTREAM, letters).substituted(positions, new)
    np.testing.assert_allclose(found, expected, atol=1e-5)
