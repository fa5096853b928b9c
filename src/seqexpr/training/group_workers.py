"""Compute the groups of a training step at once, one thread each, or on many processes; how many changes no bit.

torch divides each operation among its threads, which then wait for one another by spinning. Where another program uses
a core, every operation waits for the thread that lost it. Groups wait for one another only once in a step. What a group
adds, its gradients and the running statistics of batch normalisation, is added in the order of the groups, and its
dropout masks are drawn from a seed of its own. So it may be computed by another process too (`training.distributed`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seqexpr.models.channel_norm import ChannelNorm, grouped
from seqexpr.models.dropout import drawing_from
from seqexpr.models.perceiver import Perceiver
from seqexpr.training.distributed import Ranks

Item = TypeVar("Item")
Result = TypeVar("Result")
Joined = TypeVar("Joined")


@contextmanager
def single_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of `workers` threads, on each of which torch computes without dividing its operations further."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # of this thread; each other one has a number of its own
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def in_order(pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Do `work` for all items at once, in the context of the calling thread; the results come in the items' order."""
    waiting = [pool.submit(copy_context().run, work, item) for item in items]
    return [future.result() for future in waiting]


def add_gradients(
    network: Perceiver,
    workers: GroupWorkers | None,
    groups: Sequence[Item],
    loss: Callable[[Perceiver, Item], Tensor],
    total_groups: int | None = None,
) -> Tensor:
    """Add the gradients of all groups to those of the network; arguments and result as for `GroupWorkers.step`.

    Args:
        network: what is trained.
        workers: compute groups at once; None: one group after the other.
        groups: what passes through the network together.
        loss: of a group.
        total_groups: with the groups of other processes; None: there are no others.
    """
    if workers is not None:
        return workers.step(groups, loss, total_groups)
    total = torch.zeros((), device=network.device)
    for group in groups:
        value = loss(network, group)
        value.backward()
        total += value.detach()
    return total


AT_ONCE = 128
"""Sequences that pass through a network together on a GPU, where each keeps its activations until the way back."""


def in_passes(groups: Sequence[Item], size: Callable[[Item], int]) -> list[list[Item]]:
    """Neighbouring groups that a GPU passes through the network together, `AT_ONCE` sequences at most."""
    found: list[list[Item]] = []
    room = 0
    for group in groups:
        if size(group) > room:
            found.append([])
            room = AT_ONCE
        found[-1].append(group)
        room -= size(group)
    return found


def add_gradients_at_once(
    network: Perceiver,
    groups: Sequence[Item],
    size: Callable[[Item], int],
    together: Callable[[Sequence[Item]], Joined | None],
    loss: Callable[[Perceiver, Joined], Tensor],
) -> Tensor:
    """As `add_gradients`, several groups in one pass where that is the same function; for a GPU.

    Args:
        network: what is trained.
        groups: what is normalised together.
        size: sequences of a group.
        together: several groups as one; None where they cannot pass together.
        loss: of groups as one, a sum over their sequences.
    """
    total = torch.zeros((), device=network.device)
    for some in in_passes(groups, size):
        as_one = together(some)
        if as_one is None:
            each = [one for group in some if (one := together([group])) is not None]
            total += add_gradients(network, None, each, loss)
            continue
        with grouped(network, [size(group) for group in some]):
            total += add_gradients(network, None, [as_one], loss)
    return total


@dataclass(frozen=True)
class _Contribution:
    """What one group adds to its step."""

    loss: Tensor
    gradients: list[Tensor | None]
    """In the order of the network's parameters."""
    statistics: list[Tensor]
    """Running mean and variance of each batch normalisation, as they would be after this group alone."""


class GroupWorkers:
    """Computes steps of a network whose batches pass through it in groups.

    Args:
        pool: threads that compute, of `single_threads`.
        network: what is trained; its gradients and running statistics are what a step leaves.
        workers: groups at once.
        ranks: the processes that share the groups of each step; None: this one computes all.
    """

    def __init__(self, pool: ThreadPoolExecutor, network: Perceiver, workers: int, ranks: Ranks | None = None) -> None:
        self._pool, self._network, self._ranks = pool, network, ranks
        self._parameters = list(network.parameters())
        self._norms = _norms(network)
        self._replicas: SimpleQueue[Perceiver] = SimpleQueue()
        for _ in range(workers):
            self._replicas.put(_replica(network))

    def step(
        self, groups: Sequence[Item], loss: Callable[[Perceiver, Item], Tensor], total_groups: int | None = None
    ) -> Tensor:
        """Add the gradients of all groups to those of the network.

        Args:
            groups: what passes through the network together; of many processes each gives its share (`Ranks.share`).
            loss: of a group, by a network that holds the weights; it is called on several threads at once.
            total_groups: of all processes; None: those that are given.

        Returns:
            the sum of the losses of all processes' groups, without gradient.
        """
        total = len(groups) if total_groups is None else total_groups
        seeds: Sequence[int] = torch.randint(2**62, (total,)).tolist()
        if self._ranks is not None:
            seeds = self._ranks.share(seeds)

        def contribute(numbered: tuple[int, Item]) -> _Contribution:
            replica = self._replicas.get()
            try:
                return self._contribution(replica, loss, *numbered)
            finally:
                self._replicas.put(replica)

        found = in_order(self._pool, contribute, list(zip(seeds, groups, strict=True)))
        if self._ranks is not None:
            return self._add_of_all(self._ranks, found, total)
        self._add_gradients(found)
        self._add_statistics([one.statistics for one in found])
        return torch.stack([one.loss for one in found]).sum()

    def _contribution(
        self, replica: Perceiver, loss: Callable[[Perceiver, Item], Tensor], seed: int, group: Item
    ) -> _Contribution:
        replica.zero_grad(set_to_none=True)
        for module, original in zip(replica.modules(), self._network.modules(), strict=True):
            module.training = original.training
        own = _norms(replica)
        for norm, original_norm in zip(own, self._norms, strict=True):
            for statistic, before in zip(_statistics(norm), _statistics(original_norm), strict=True):
                statistic.copy_(before)
        if replica.device.type == "cuda":  # where masks are drawn from the device's own generator
            torch.cuda.manual_seed(seed)
        with drawing_from(torch.Generator().manual_seed(seed)):
            value = loss(replica, group)
            value.backward()
        gradients = [parameter.grad for parameter in replica.parameters()]
        statistics = [statistic.clone() for norm in own for statistic in _statistics(norm)]
        return _Contribution(value.detach(), gradients, statistics)

    @torch.no_grad()
    def _add_gradients(self, found: list[_Contribution]) -> None:
        for place, parameter in enumerate(self._parameters):
            for gradient in (one.gradients[place] for one in found):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)

    @torch.no_grad()
    def _add_of_all(self, ranks: Ranks, found: list[_Contribution], total: int) -> Tensor:
        """Add what the groups of all processes contribute; returns the sum of their losses."""
        sizes = [parameter.numel() for parameter in self._parameters]
        norms = [statistic for norm in self._norms for statistic in _statistics(norm)]
        gradients = torch.zeros(len(found), sum(sizes), device=self._network.device)
        others = torch.zeros(len(found), 1 + len(sizes) + sum(map(torch.numel, norms)), device=self._network.device)
        for row, one in enumerate(found):
            for part, gradient in zip(gradients[row].split(sizes), one.gradients, strict=True):
                if gradient is not None:
                    part.copy_(gradient.reshape(-1))
            has_gradient = [gradient is not None for gradient in one.gradients]
            statistics = [statistic.reshape(-1) for statistic in one.statistics]
            others[row] = torch.cat([one.loss.reshape(1), others.new_tensor(has_gradient), *statistics])
        added, others = ranks.add_up(gradients, total), ranks.gather(others, total)
        losses, has_gradient, statistics = others.split([1, len(sizes), others.shape[1] - 1 - len(sizes)], dim=1)
        for parameter, gradient, there in zip(
            self._parameters, added.split(sizes), has_gradient.any(dim=0).tolist(), strict=True
        ):
            if there:  # a parameter without a gradient is left alone by the optimiser
                of_all = gradient.view_as(parameter)
                parameter.grad = of_all if parameter.grad is None else parameter.grad.add_(of_all)
        self._add_statistics([row.split([norm.numel() for norm in norms]) for row in statistics])
        return losses.reshape(-1).sum()

    @torch.no_grad()
    def _add_statistics(self, found: Sequence[Sequence[Tensor]]) -> None:
        """Let the running statistics follow each group in turn, as if the groups had passed one after the other."""
        for place, norm in enumerate(self._norms):
            assert norm.momentum is not None and norm.num_batches_tracked is not None
            if not norm.training:
                continue
            kept = 1 - norm.momentum
            for kind, statistic in enumerate(_statistics(norm)):
                before = statistic.clone()
                for one in found:
                    statistic.mul_(kept).add_(one[2 * place + kind] - kept * before)
            norm.num_batches_tracked += len(found)


def _norms(network: nn.Module) -> list[ChannelNorm]:
    return [module for module in network.modules() if isinstance(module, ChannelNorm)]


def _statistics(norm: ChannelNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


def _replica(network: Perceiver) -> Perceiver:
    """A network with the same weights in memory, and gradients and running statistics of its own."""
    own = {id(tensor) for norm in _norms(network) for tensor in norm.buffers()}
    shared: dict[int, Any] = {id(buffer): buffer for buffer in network.buffers() if id(buffer) not in own}
    replica: Perceiver = copy.deepcopy(network, shared)
    for mine, original in zip(replica.parameters(), network.parameters(), strict=True):
        mine.data = original.data
    return replica
