from __future__ import annotations

import pytest
import torch

from seqexpr.errors import InputError
from seqexpr.training.optimizers import make_optimizer
from seqexpr.training.recipe import Recipe
from seqexpr.training.state import FILE, load_state, save_state


def stepped(name: str, steps: int) -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = make_optimizer(Recipe("r", optimizer=name, weight_decay=0.1), layer.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
    return layer, optimizer


@pytest.mark.parametrize("name", ["adam", "adamw", "lamb"])
def test_a_restored_optimiser_takes_the_same_next_step(tmp_path, name):
    layer, optimizer = stepped(name, 3)
    save_state(tmp_path, {"network": layer.state_dict()}, optimizer, {"rows": [1, None, "x"], "best": -0.1})
    other = torch.nn.Linear(3, 2)
    restored = make_optimizer(Recipe("r", optimizer=name, weight_decay=0.1), other.parameters())
    groups, progress = load_state(tmp_path, restored)
    other.load_state_dict(groups["network"])
    assert progress == {"rows": [1, None, "x"], "best": -0.1}
    for one, its in ((layer, optimizer), (other, restored)):
        its.zero_grad()
        one(torch.ones(1, 3)).square().sum().backward()
        its.step()
    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.bias, other.bias)


def test_without_a_file_there_is_no_state(tmp_path):
    assert load_state(tmp_path, stepped("adam", 0)[1]) is None


def test_a_damaged_file_is_refused(tmp_path):
    layer, optimizer = stepped("adam", 1)
    save_state(tmp_path, {"network": layer.state_dict()}, optimizer, {})
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:50])
    with pytest.raises(InputError, match="damaged"):
        load_state(tmp_path, optimizer)


@pytest.mark.parametrize(("key", "value"), [("eps", "x"), ("betas", [0.9]), ("weight_decay", None), ("lr", "x")])
def test_settings_of_another_optimiser_are_refused(tmp_path, key, value):
    layer, optimizer = stepped("adam", 1)
    before = optimizer.param_groups[0][key]
    optimizer.param_groups[0][key] = value
    save_state(tmp_path, {"network": layer.state_dict()}, optimizer, {})
    optimizer.param_groups[0][key] = before
    with pytest.raises(InputError, match=key):
        load_state(tmp_path, optimizer)
