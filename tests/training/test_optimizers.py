from __future__ import annotations

import sys

import pytest
import pytorch_optimizer
import torch

from seqexpr.errors import UsageError
from seqexpr.own_files import record, whole
from seqexpr.training.optimizers import make_optimizer
from seqexpr.training.recipe import Recipe
from seqexpr.training.recipe_files import load_recipe
from seqexpr.training.state import load_state, save_state

KINDS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "lamb": pytorch_optimizer.Lamb}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_the_librarys_optimisers_with_the_recipes_settings(name, kind):
    recipe = Recipe("r", optimizer=name, learning_rate=2e-3, betas=(0.8, 0.98), weight_decay=0.2)
    optimizer = make_optimizer(recipe, [torch.nn.Parameter(torch.ones(2))])
    assert type(optimizer) is kind
    settings = optimizer.param_groups[0]
    assert (settings["lr"], settings["betas"], settings["weight_decay"]) == (2e-3, (0.8, 0.98), 0.2)


def test_the_papers_protein_recipe_trains_with_the_librarys_lamb():
    optimizer = make_optimizer(load_recipe("paper", "protein"), [torch.nn.Parameter(torch.ones(2))])
    assert type(optimizer) is pytorch_optimizer.Lamb
    settings = optimizer.param_groups[0]
    assert (settings["lr"], settings["betas"], settings["weight_decay"]) == (5e-4, (0.9, 0.999), 0.0)


def test_the_papers_dna_recipe_trains_with_adam():
    optimizer = make_optimizer(load_recipe("paper", "dna"), [torch.nn.Parameter(torch.ones(2))])
    assert type(optimizer) is torch.optim.Adam
    assert (optimizer.defaults["betas"], optimizer.defaults["weight_decay"]) == ((0.9, 0.98), 0.2)


@pytest.mark.parametrize(("name", "moved"), [("adam", 0.1), ("adamw", 0.1 * 0.5)])
def test_weight_decay_is_in_the_optimisers_own_sense(name, moved):
    """One step without a gradient: adam's L2 is a gradient (a step of lr), adamw's shrinks the weight by lr x decay."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = make_optimizer(Recipe("r", optimizer=name, learning_rate=0.1, weight_decay=0.5), [weight])
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert 1 - weight.item() == pytest.approx(moved, rel=1e-4)


def test_absent_lamb_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(UsageError, match=r"run: pip install pytorch-optimizer$"):
        make_optimizer(Recipe("r", optimizer="lamb"), [torch.nn.Parameter(torch.ones(2))])


@pytest.mark.parametrize("name", KINDS)
def test_a_network_without_parameters_has_an_optimiser_too(name, tmp_path):
    """Its state is written and read as that of any other."""
    optimizer = make_optimizer(Recipe("r", optimizer=name), [])
    assert optimizer.param_groups[0]["params"] == []
    optimizer.step()
    save_state(tmp_path, {"network": {"one": torch.ones(1)}}, optimizer, {"rows": 3})
    again = make_optimizer(Recipe("r", optimizer=name), iter(()))
    groups, progress = load_state(tmp_path, again, record({"rows": whole(0)}))
    assert (groups["network"]["one"], progress, again.state_dict()["state"]) == (1, {"rows": 3}, {})
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == 1e-3
