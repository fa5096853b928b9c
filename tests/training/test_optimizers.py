from __future__ import annotations

import sys

import pytest
import torch

from seqexpr.errors import UsageError
from seqexpr.training.optimizers import make_optimizer
from seqexpr.training.recipe import Recipe


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("lamb", "Lamb")])
def test_the_librarys_optimisers_with_the_recipes_settings(name, kind):
    recipe = Recipe("r", optimizer=name, betas=(0.9, 0.98), weight_decay=0.2)
    optimizer = make_optimizer(recipe, [torch.nn.Parameter(torch.ones(2))])
    assert type(optimizer).__name__ == kind
    assert optimizer.defaults["betas"] == (0.9, 0.98)
    assert optimizer.defaults["weight_decay"] == 0.2


def test_absent_lamb_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(UsageError, match=r"pip install 'seqexpr\[train\]'"):
        make_optimizer(Recipe("r", optimizer="lamb"), [torch.nn.Parameter(torch.ones(2))])
