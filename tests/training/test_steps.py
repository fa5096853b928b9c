from __future__ import annotations

import numpy as np
import pytest
import torch

from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.training.batches import BatchLoader
from seqexpr.training.recipe import Recipe
from seqexpr.training.steps import StepDrawer

from ..small_dataset import tiny_config

GENES = np.arange(3, 33)


@pytest.fixture
def make_drawer(dataset):
    """A drawer of steps whose labels are the rows of the dataset, so that a step tells its genes."""

    def make(preset: str = "dna-perceiver", **settings) -> StepDrawer:
        rows = np.arange(len(dataset), dtype=np.float32)[:, None]
        schema = HalfLifeSchema.fit(dataset.half_life(), dataset.half_life_names, dataset.half_life_transforms)
        loader = BatchLoader(dataset, tiny_config(preset), rows, schema, torch.device("cpu"))
        return StepDrawer(loader, Recipe("test", batch_size=8, **settings))

    return make


def _genes(step) -> list[list[int]]:
    return [group.labels[:, 0].int().tolist() for group in step.groups]


def test_an_epoch_has_every_gene_once_in_a_random_order(make_drawer):
    steps = list(make_drawer().draw(GENES, np.random.default_rng(0)))
    drawn = [gene for step in steps for group in _genes(step) for gene in group]
    assert sorted(drawn) == GENES.tolist()
    assert drawn != GENES.tolist()
    assert [step.labels for step in steps] == [8, 8, 8, 6]


def test_the_same_generator_draws_the_same_steps(make_drawer):
    drawer = make_drawer(tss_jitter=8, half_life_dropout=0.5)
    first, again, other = (list(drawer.draw(GENES, np.random.default_rng(seed))) for seed in (1, 1, 2))
    for step, same in zip(first, again, strict=True):
        for group, twin in zip(step.groups, same.groups, strict=True):
            assert torch.equal(group.latent_tokens, twin.latent_tokens)
            torch.testing.assert_close(group.half_life, twin.half_life, rtol=0, atol=0, equal_nan=True)
            assert torch.equal(group.labels, twin.labels)
    assert [_genes(step) for step in first] != [_genes(step) for step in other]


def test_a_batch_is_divided_into_groups(make_drawer):
    steps = list(make_drawer(group_size=3).draw(GENES, np.random.default_rng(0)))
    assert [[len(group) for group in _genes(step)] for step in steps] == [[3, 3, 2]] * 3 + [[3, 3]]
    assert [step.labels for step in steps] == [8, 8, 8, 6]  # of all groups: the loss is divided by it


def test_no_group_size_is_one_group(make_drawer):
    step = next(make_drawer(group_size=0).draw(GENES, np.random.default_rng(0)))
    assert [len(group) for group in _genes(step)] == [8]


def test_groups_are_of_alike_protein_lengths(make_drawer, dataset):
    drawer = make_drawer("protein-perceiver", group_size=3)
    for step in drawer.draw(GENES, np.random.default_rng(0)):
        lengths = [dataset.protein_lengths[gene] for group in _genes(step) for gene in group]
        assert lengths == sorted(lengths)


def test_labels_that_are_present_are_counted(make_drawer):
    drawer = make_drawer(group_size=2)
    drawer.loader.labels[[4, 6]] = np.nan
    assert drawer.load(np.array([3, 4, 5, 6]), 0, np.zeros(4, bool)).labels == 2


def test_jitter_moves_all_windows_of_a_step_alike(make_drawer, dataset):
    drawer = make_drawer(tss_jitter=8)
    shifts = set()
    for step in drawer.draw(GENES, np.random.default_rng(0)):
        genes = np.array(_genes(step)[0])
        found = [
            shift
            for shift in range(-8, 9)
            if np.array_equal(dataset.dna(genes, 240 - shift, 120 + shift), step.groups[0].latent_tokens.numpy())
        ]
        assert len(found) == 1
        shifts.update(found)
    assert len(shifts) > 1


def test_half_life_features_are_hidden_for_the_recipes_share_of_genes(make_drawer):
    drawer = make_drawer(half_life_dropout=0.25)
    hidden = total = 0
    for epoch in range(40):
        for step in drawer.draw(GENES, np.random.default_rng(epoch)):
            rows = step.groups[0].half_life
            hidden += int(rows.isnan().all(dim=1).sum())
            total += len(rows)
    assert total == 1_200
    assert 0.2 < hidden / total < 0.3  # 0.25 +- 4 standard deviations of 0.0125


def test_no_half_life_features_are_hidden_unless_the_recipe_says_so(make_drawer):
    for step in make_drawer(half_life_dropout=0).draw(GENES, np.random.default_rng(0)):
        assert not step.groups[0].half_life.isnan().all(dim=1).any()


def test_hidden_features_follow_their_genes_into_the_groups(make_drawer, dataset):
    drawer = make_drawer("protein-dna-perceiver", group_size=2)
    genes, hidden = np.array([7, 20, 11, 29]), np.array([True, False, False, True])
    step = drawer.load(genes, 0, hidden)
    seen = {}
    for group, names in zip(step.groups, _genes(step), strict=True):
        seen.update(zip(names, group.half_life.isnan().all(dim=1).tolist(), strict=True))
    assert seen == dict(zip(genes.tolist(), hidden.tolist(), strict=True))


def test_half_life_and_coding_sequences_are_hidden_each_by_itself(coding_dataset):
    rows = np.arange(len(coding_dataset), dtype=np.float32)[:, None]
    dataset = coding_dataset
    schema = HalfLifeSchema.fit(dataset.half_life(), dataset.half_life_names, dataset.half_life_transforms)
    config = tiny_config(kernel_genes=4, coding_length=20, half_life_latent=True)
    recipe = Recipe("test", batch_size=8, half_life_dropout=0.5, coding_dropout=0.5)
    genes = np.array([row for row in range(len(dataset)) if row % 4])
    drawer = StepDrawer(BatchLoader(dataset, config, rows, schema, torch.device("cpu")), recipe)
    steps = list(drawer.draw(genes, np.random.default_rng(0)))
    groups = [group for step in steps for group in step.groups]
    without_half_life = torch.cat([group.half_life.isnan().all(dim=1) for group in groups])
    without_coding = torch.cat([(group.coding == 0).all(dim=1) for group in groups])
    for half_life in (False, True):
        for coding in (False, True):
            assert ((without_half_life == half_life) & (without_coding == coding)).any()


def test_a_network_without_codons_draws_the_same_whatever_the_recipe_hides(make_drawer):
    drawn = [
        [_genes(step) for step in make_drawer(coding_dropout=rate, tss_jitter=9).draw(GENES, np.random.default_rng(0))]
        for rate in (0.0, 0.5)
    ]
    assert drawn[0] == drawn[1]
