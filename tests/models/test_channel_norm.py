"""A batch normalised group by group is its groups, one after the other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seqexpr.models.channel_norm import ChannelNorm, grouped

CHANNELS, POSITIONS = 5, 7


def norm() -> ChannelNorm:
    made = ChannelNorm(CHANNELS).double()
    with torch.no_grad():
        for part in made.parameters():
            part.normal_(generator=torch.Generator().manual_seed(1))
    return made


def batch(sequences: int) -> Tensor:
    return torch.randn(sequences, POSITIONS, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_it_is_the_same_function_with_the_same_gradients_and_statistics(sizes: list[int]) -> None:
    together, in_turn = norm(), norm()
    x, y = (batch(sum(sizes)).requires_grad_() for _ in range(2))
    with grouped(together, sizes):
        found = together(x)
    wanted = torch.cat([in_turn(part) for part in y.split(sizes)])
    torch.testing.assert_close(found, wanted)
    for values in (found, wanted):
        values.sin().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    for mine, own in zip(together.parameters(), in_turn.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, own.grad)
    for name, mine in together.named_buffers():
        torch.testing.assert_close(mine, dict(in_turn.named_buffers())[name], msg=name)


def test_evaluation_knows_no_groups_and_they_end_with_the_block() -> None:
    own = norm()
    own(batch(6))
    before = own.running_mean.clone()
    evaluated = own.eval()(batch(4))
    with grouped(nn.Sequential(own), [2, 2]):
        torch.testing.assert_close(own(batch(4)), evaluated)
    with pytest.raises(RuntimeError), grouped(own, [3]):
        raise RuntimeError
    assert own.groups is None and torch.equal(own.running_mean, before)


def test_half_precision_is_summed_in_full() -> None:
    own = norm().float()
    x = (batch(4) * 0.01 + 200).bfloat16()
    with grouped(own, [2, 2]):
        found = own(x)
    assert found.dtype == torch.bfloat16
    wanted = torch.cat([norm().float()(part) for part in x.float().split(2)])
    torch.testing.assert_close(found.float(), wanted, atol=0.02, rtol=0.02)
