from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from seqexpr.effects.shared_tower import SharedTower
from seqexpr.models.trained import TrainedModel

from .scan_inputs import make_model

Make = Callable[..., TrainedModel]


@pytest.fixture
def model() -> Make:
    return make_model


@pytest.mark.parametrize("step", [1, 7, 12, 50, 72, 432])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"upstream": 1_600, "downstream": 401},  # pooling drops letters at the right edge
        {"stem_kernel": 27, "tower_kernel": 7},
        {"stem_pool": 4, "tower_pool": 3, "tower_channels": (16,)},
        {"stem_kernel": 1, "tower_kernel": 1},
    ],
)
@torch.inference_mode()
def test_shared_windows_are_as_if_each_were_alone(step: int, changes: dict[str, object], model: Make) -> None:
    tower = model(**changes).network.tower
    length, count = tower.config.query_length, 40
    offsets = [step * number for number in range(count)][::-1]
    stretch = torch.from_numpy(np.random.default_rng(step).integers(0, 5, length + offsets[0] + 3, dtype=np.uint8))
    shared = SharedTower(tower)
    windows = shared.windows(stretch, offsets)
    whole = torch.stack([stretch[offset : offset + length] for offset in offsets])
    for chosen in (slice(0, 16), slice(16, 17), slice(17, 40)):
        assert torch.equal(windows.tokens(chosen), whole[chosen])
        torch.testing.assert_close(windows.tower(chosen), tower(whole[chosen]), atol=1e-6, rtol=1e-6)


@torch.inference_mode()
def test_what_a_window_does_not_hold_does_not_matter(model: Make) -> None:
    """The neighbouring letters are where a window alone has padding."""
    tower = model().network.tower
    stretch = torch.from_numpy(np.random.default_rng(0).integers(1, 5, 1_600, dtype=np.uint8))
    changed = stretch.clone()
    changed[:50] = 0
    changed[50 + 1_440 :] = 0
    found = [SharedTower(tower).windows(one, [50, 55]).tower(slice(0, 1)) for one in (stretch, changed)]
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-6)


def test_windows_that_are_all_ends_share_nothing(model: Make) -> None:
    tower = model(upstream=300, downstream=134, stem_pool=12, tower_kernel=61).network.tower
    assert not SharedTower(tower).pays(500, list(range(50)))


def test_a_few_windows_are_not_worth_it(model: Make) -> None:
    shared = SharedTower(model().network.tower)
    assert not shared.pays(1_441, [0, 1])
    assert shared.pays(1_439 + 40, list(range(40)))
