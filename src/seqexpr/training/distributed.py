"""One training on many processes, as torchrun starts them: which process this is, and what processes tell one another.

Whole groups of a batch go to processes. What groups leave behind, gradients and running statistics, is added in the
order of the groups, wherever they were computed: so on CPUs of one kind the number of processes changes no bit of the
weights. The first process alone (rank 0) writes files and says anything.

Without `WORLD_SIZE` above 1 in the environment nothing here is used, and torch's part of it is not imported.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from seqexpr.errors import INTERRUPTED, TERMINATED, DeviceError, SeqexprError, UsageError
from seqexpr.threads import Courier

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.distributed import TCPStore

Item = TypeVar("Item")

PATIENCE = timedelta(hours=1)
"""How long a process waits for another: longer than the first one needs alone, to divide the genes and to fit a kernel
flow. A process that ends is noticed at once; only a machine that falls silent is waited for so long."""

_ARRIVAL = timedelta(seconds=60)
"""How long a process tries to reach the place where all of them meet."""

_NEWS_SECONDS = 3.0
"""How long a process whose connections broke waits to hear why: from another process, or by torchrun's SIGTERM."""

_joined = False
"""Whether this process has met the others, at a place that one of them may keep."""


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that train one network."""

    rank: int
    """0 for the first."""
    world_size: int
    """Number of processes."""
    local_rank: int
    """Among the processes on this machine: the number of its GPU."""
    address: str
    """Machine at which all meet."""
    port: int

    @staticmethod
    def of_environment() -> Place | None:
        """That of this process, as torchrun's environment says it; None for a process on its own.

        Raises:
            UsageError: there are other processes, but not all that torchrun says about them.
        """
        size = os.environ.get("WORLD_SIZE", "")
        if not size.isdecimal() or int(size) < 2:
            return None
        numbers = {}
        for name in ("RANK", "LOCAL_RANK", "MASTER_PORT"):
            value = os.environ.get(name, "")
            if not value.isdecimal():
                raise UsageError(
                    f"WORLD_SIZE is {size}, but {name} is {value or 'not set'}: start one training on many processes "
                    "with torchrun, and one on this process with WORLD_SIZE unset"
                )
            numbers[name] = int(value)
        if numbers["RANK"] >= int(size):
            raise UsageError(f"RANK is {numbers['RANK']}, but WORLD_SIZE is {size}")
        address = os.environ.get("MASTER_ADDR", "127.0.0.1")
        return Place(numbers["RANK"], int(size), numbers["LOCAL_RANK"], address, numbers["MASTER_PORT"])

    def store(self, timeout: timedelta, *, serves: bool = False) -> TCPStore:
        """A connection to the store at which all meet; torchrun keeps it, or else the first process does."""
        import torch.distributed as dist

        serves = serves and self.rank == 0 and not _torchrun_keeps_store()
        return dist.TCPStore(self.address, self.port, self.world_size, serves, timeout=timeout, wait_for_workers=False)


def is_follower() -> bool:
    """Whether this process is one of many, and not the first: it says nothing and writes nothing."""
    place = Place.of_environment()
    return place is not None and place.rank > 0


def refuse_many_processes(command: str, instead: str) -> None:
    """For commands that torchrun does not speed up.

    Raises:
        UsageError: this process is one of many.
    """
    if (place := Place.of_environment()) is not None:
        raise UsageError(f"{command} was started by torchrun as {place.world_size} processes; {instead}")


def own_device(device: torch.device) -> torch.device:
    """The device of this process where every process has one: the GPU with the number of its local rank.

    Raises:
        DeviceError: there are fewer GPUs than processes, or the device cannot be shared.
    """
    place = Place.of_environment()
    if place is None or device.type == "cpu":
        return device
    import torch

    if device.type != "cuda":
        raise DeviceError(f"many processes cannot train one network on {device.type}; try --device cpu")
    if place.local_rank >= torch.cuda.device_count():
        raise DeviceError(
            f"process {place.local_rank} of this machine has no GPU of its own: there are {torch.cuda.device_count()}; "
            "give torchrun as many --nproc-per-node, or --device cpu"
        )
    torch.cuda.set_device(place.local_rank)
    return torch.device("cuda", place.local_rank)


def join(device: torch.device) -> Ranks | None:
    """Meet the processes that train with this one; None for a process on its own.

    Args:
        device: what this process computes on. Processes exchange gradients by gloo on CPUs, by NCCL on GPUs.

    Raises:
        DeviceError, EndedElsewhere: as the methods of `Ranks` do.
    """
    place = Place.of_environment()
    return None if place is None else Ranks(place, device)


class EndedElsewhere(SeqexprError):
    """Another process of the training ended by an error, so this one ends too, with the same exit code."""

    def __init__(self, code: int) -> None:
        self.exit_code = code
        super().__init__(f"another process of this training has ended with exit code {code}")


class Ranks:
    """All processes that train one network: what each gets, and how what they found comes together.

    Every method but `share` is called by all processes, in the same order. A signal interrupts the waiting.

    Args:
        place: of this process.
        device: on which tensors with gradients lie.

    Raises:
        DeviceError: in every method: another process has gone.
        EndedElsewhere: in every method: another process has ended by an error, which it said.
    """

    def __init__(self, place: Place, device: torch.device) -> None:
        global _joined
        import torch.distributed as dist

        self._place, self._courier = place, Courier()
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"

        def meet() -> None:
            store = dist.PrefixStore(f"seqexpr/{_attempt()}", place.store(_ARRIVAL, serves=True))
            dist.init_process_group(
                backend, store=store, rank=place.rank, world_size=place.world_size, timeout=PATIENCE
            )

        self._wait_for(meet)
        _joined = True

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self._place.rank == 0

    @property
    def count(self) -> int:
        """Number of processes."""
        return self._place.world_size

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of some items: those at rank, rank + count, rank + 2 count ..."""
        return items[self._place.rank :: self.count]

    def agree(self, value: Any) -> Any:
        """What the first process says, on all: anything that JSON can hold. The others' value has no effect."""
        import torch

        said = json.dumps(value if self.is_first else None).encode()
        size = torch.tensor([len(said)])
        self._broadcast([size])
        text = torch.frombuffer(bytearray(said.ljust(int(size))), dtype=torch.uint8)[: int(size)].clone()
        self._broadcast([text])
        return json.loads(text.numpy().tobytes())

    def check_same(self, what: str, value: Any) -> None:
        """Whether all processes have the same `value`, as JSON can hold it.

        Raises:
            UsageError: this process has another one than the first.
        """
        if self.agree(value) != value:
            raise UsageError(
                f"process {self._place.rank} of this training has {what} other than process 0: all must be started "
                "with the same options, see the same dataset and run folder, and have the same version of seqexpr"
            )

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Set these tensors, in place, to those of the first process."""
        self._broadcast(tensors)

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """All rows, on every process, in the order of the items that were shared.

        Args:
            rows: (own items, columns), one for each item of this process.
            total: number of items.

        Returns:
            (total, columns).
        """
        import torch
        import torch.distributed as dist

        own = self._padded(rows, total, rows.shape[1])
        found = [torch.empty_like(own) for _ in range(self.count)]
        self._wait_for(lambda: dist.all_gather(found, own))
        return _in_order(torch.stack(found), total)

    def add_up(self, rows: Tensor, total: int) -> Tensor:
        """The sum of all rows, each added in its turn, so that it has the same bits on any number of processes.

        Every process adds a stretch of the columns and passes it on to all.

        Args:
            rows: (own items, columns), one for each item of this process; no process need have any.
            total: number of items.

        Returns:
            (columns,).
        """
        import torch
        import torch.distributed as dist

        columns = rows.shape[1]
        width = math.ceil(columns / self.count)
        padded = self._padded(rows, total, width * self.count)
        sent = padded.view(len(padded), self.count, width).transpose(0, 1).contiguous()
        received = torch.empty_like(sent)
        self._wait_for(lambda: dist.all_to_all_single(received, sent))
        first, *others = _in_order(received, total)
        for row in others:
            first += row
        parts = [torch.empty_like(first) for _ in range(self.count)]
        self._wait_for(lambda: dist.all_gather(parts, first))
        return torch.cat(parts)[:columns]

    def leave(self) -> None:
        """Part from the others: from here on this process is on its own."""
        import torch.distributed as dist

        def part() -> None:
            dist.barrier()
            dist.destroy_process_group()

        self._wait_for(part)
        self._courier.close()

    def _padded(self, rows: Tensor, total: int, width: int) -> Tensor:
        """The rows with zeros below and to the right: on all processes the same shape."""
        padded = rows.new_zeros(math.ceil(total / self.count), width)
        padded[: len(rows), : rows.shape[1]] = rows
        return padded

    def _broadcast(self, tensors: Sequence[Tensor]) -> None:
        import torch.distributed as dist

        def send() -> None:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

        self._wait_for(send)

    def _wait_for(self, exchange: Callable[[], object]) -> None:
        try:
            self._courier.do(exchange)
        except RuntimeError as error:  # so torch says that it cannot reach a process any more
            self._tell_why(error)

    def _tell_why(self, error: RuntimeError) -> None:
        end = time.monotonic() + _NEWS_SECONDS
        while (code := ended_before(self._place)) is None and time.monotonic() < end:
            time.sleep(0.1)
        if code == INTERRUPTED:
            raise KeyboardInterrupt from None
        if code == TERMINATED:
            raise SystemExit(code) from None
        if code is not None:
            raise EndedElsewhere(code) from None
        reason = (str(error).splitlines() or [""])[0].strip()
        raise DeviceError(
            "another process of this training has gone (killed, or its memory ran out), or was silent for "
            f"{PATIENCE.total_seconds() / 3600:g} h; --resume goes on after the last whole epoch ({reason})"
        ) from None


def _in_order(found: Tensor, total: int) -> Tensor:
    """(processes, items of each, columns) -> (total, columns): item by item, as they were shared."""
    return found.transpose(0, 1).reshape(-1, found.shape[2])[:total]


def ended_before(place: Place, own: int | None = None) -> int | None:
    """The exit code of the process that ended first of all by an error, and said why.

    Args:
        place: of this process.
        own: exit code of this process if it ends now; where it is the first, the others will hear of it.

    Returns:
        None where no other process ended before, or none is known to have.
    """
    if not (_joined or _torchrun_keeps_store()):
        return None
    key, name = f"seqexpr/ended/{_attempt()}", str(place.rank)
    try:
        store = place.store(timedelta(seconds=10))
        if own is None:
            found = store.get(key).decode() if store.check([key]) else ""
        else:
            found = store.compare_set(key, "", f"{name} {own}").decode()
    except (RuntimeError, ValueError, OSError):  # whoever keeps the store has gone too
        return None
    rank, _, code = found.partition(" ")
    return int(code) if code and not (own is not None and rank == name) else None


def _torchrun_keeps_store() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _attempt() -> str:
    """How often torchrun has started all processes again."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
