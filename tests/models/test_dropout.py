from __future__ import annotations

import pytest
import torch

from seqexpr.models.dropout import Dropout, drop


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.3, 0.5])
def test_share_and_mean_are_right(probability):
    torch.manual_seed(0)
    x = drop(torch.ones(1_000_000), probability)
    share = float((x == 0).float().mean())
    assert share == pytest.approx(round(256 * probability) / 256, abs=0.002)  # five standard errors
    assert float(x.mean()) == pytest.approx(1.0, abs=0.005)
    assert x.unique().tolist() == pytest.approx([0.0, 256 / (256 - round(256 * probability))])


def test_shapes_that_are_no_multiple_of_eight():
    for shape in ((0,), (1,), (3, 5), (2, 3, 7)):
        assert drop(torch.ones(shape), 0.5).shape == shape


def test_elements_are_dropped_independently():
    torch.manual_seed(1)
    kept = drop(torch.ones(200_000), 0.5).reshape(-1, 8) > 0  # the eight that share a draw
    joint = (kept[:, 0] & kept[:, 1]).float().mean()
    assert float(joint) == pytest.approx(0.25, abs=0.01)


def test_the_seed_decides():
    torch.manual_seed(2)
    one = drop(torch.ones(100), 0.5)
    torch.manual_seed(2)
    torch.testing.assert_close(drop(torch.ones(100), 0.5), one)
    assert not torch.equal(drop(torch.ones(100), 0.5), one)


def test_gradient_passes_what_was_kept():
    x = torch.ones(1_000, requires_grad=True)
    y = drop(x, 0.25)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_nothing_is_dropped_in_evaluation_or_at_zero():
    x = torch.randn(50)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(drop(x, 0.0), x)


def test_a_probability_next_to_one_keeps_a_256th():
    """Rounded to 256ths it would be 1, and the scale of what is kept would have no value."""
    torch.manual_seed(0)
    dropped = drop(torch.ones(200_000), 0.9999)
    assert dropped.isfinite().all()
    assert set(dropped.unique().tolist()) == {0.0, 256.0}
    assert 0.8 < dropped.mean() < 1.2
