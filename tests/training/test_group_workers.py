"""Groups computed at once give what they give one after the other, on any number of threads."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from seqexpr.models import kernels
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.training.group_workers import GroupWorkers, in_order, in_passes, single_threads

GROUPS, GENES, LENGTH = 5, 3, 360


def network(dropout: float) -> Perceiver:
    torch.manual_seed(0)
    config = PerceiverConfig.from_preset(
        "dna-perceiver", upstream=240, downstream=120, stem_pool=6, tower_pool=3, latents=16, latent_dim=16
    )
    return Perceiver(PerceiverConfig.from_dict({**config.to_dict(), "dropout": dropout})).train()


def groups() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(5, (GENES, LENGTH), dtype=torch.uint8, generator=generator) for _ in range(GROUPS)]


def loss(model: Perceiver, tokens: Tensor) -> Tensor:
    return (model(tokens, tokens, None) - 1).square().sum()


def step(model: Perceiver, workers: int) -> Tensor:
    torch.manual_seed(7)
    with single_threads(workers) as pool:
        return GroupWorkers(pool, model, workers).step(groups(), loss)


def test_gradients_and_statistics_are_those_of_groups_one_after_the_other() -> None:
    at_once, in_turn = network(dropout=0.0), network(dropout=0.0)
    total = step(at_once, 2)
    one_by_one = torch.zeros(())
    for group in groups():
        value = loss(in_turn, group)
        value.backward()
        one_by_one += value.detach()
    torch.testing.assert_close(total, one_by_one)
    for (name, mine), own in zip(at_once.named_parameters(), in_turn.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, own.grad, rtol=1e-4, atol=1e-5, msg=name)
    for (name, mine), own in zip(at_once.named_buffers(), in_turn.buffers(), strict=True):
        torch.testing.assert_close(mine, own, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("compiled", [True, False])
def test_workers_change_no_bit(compiled: bool) -> None:
    found = []
    for workers in (1, 2, 4):
        model = network(dropout=0.3)
        if compiled:
            total = step(model, workers)
        else:
            with kernels.disabled():
                total = step(model, workers)
        gradients = [parameter.grad for parameter in model.parameters()]
        found.append([total, *gradients, *model.buffers()])
    for other in found[1:]:
        for mine, own in zip(found[0], other, strict=True):
            assert torch.equal(mine, own)


def test_what_is_fixed_stays_as_it_is_and_every_step_draws_other_masks() -> None:
    model = network(dropout=0.3)
    model.tower.requires_grad_(False)
    model.tower.eval()
    before = copy.deepcopy(model.tower.state_dict())
    with single_threads(2) as pool:
        workers = GroupWorkers(pool, model, 2)
        first, second = workers.step(groups(), loss), workers.step(groups(), loss)
    assert not torch.equal(first, second)
    assert all(parameter.grad is None for parameter in model.tower.parameters())
    for name, value in model.tower.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_replicas_see_the_weights_that_the_optimiser_left() -> None:
    model = network(dropout=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with single_threads(2) as pool:
        workers = GroupWorkers(pool, model, 2)
        first = workers.step(groups(), loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        second = workers.step(groups(), loss)
    assert second < first


def test_an_error_in_a_group_reaches_the_caller_and_threads_are_restored() -> None:
    def fails(_: Perceiver, tokens: Tensor) -> Tensor:
        raise MemoryError(len(tokens))

    before = torch.get_num_threads()
    model = network(dropout=0.0)
    with pytest.raises(MemoryError), single_threads(2) as pool:
        GroupWorkers(pool, model, 2).step(groups(), fails)
    assert torch.get_num_threads() == before


def test_results_come_in_the_order_of_the_items() -> None:
    with single_threads(3) as pool:
        assert in_order(pool, lambda item: item * item, range(50)) == [item * item for item in range(50)]


def test_passes_hold_neighbours_up_to_their_room() -> None:
    sizes = [4] * 40 + [3, 200, 4]
    found = in_passes(sizes, lambda size: size)
    assert [size for one in found for size in one] == sizes
    assert [sum(one) for one in found] == [128, 35, 200, 4]
