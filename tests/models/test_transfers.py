from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seqexpr.models import transfers
from seqexpr.models.transfers import to_device, to_host


def test_on_the_cpu_nothing_is_copied() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    tensor = to_device(array, torch.device("cpu"))
    array[0, 0] = 9
    assert tensor.tolist() == [[9, 1, 2], [3, 4, 5]]
    assert to_host(tensor).tolist() == tensor.tolist()


def test_to_cuda_goes_through_page_locked_memory_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that notes what is asked of it stands in for one on a device."""
    asked: list[Any] = []

    class Noted:
        def pin_memory(self) -> Noted:
            asked.append("pinned")
            return self

        def to(self, device: torch.device, *, non_blocking: bool) -> Noted:
            asked.append((device.type, non_blocking))
            return self

    monkeypatch.setattr(torch, "from_numpy", lambda _: Noted())
    to_device(np.zeros(3, np.uint8), torch.device("cuda"))
    assert asked == ["pinned", ("cuda", True)]


def test_from_cuda_waits_for_this_copy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device lie numbers that are there only once the copy's own event has been waited for."""
    done: list[str] = []

    class OnDevice:
        device = torch.device("cuda")
        shape = (2,)
        dtype = torch.float32

    class Host:
        def copy_(self, source: OnDevice, *, non_blocking: bool) -> None:
            done.append(f"copy in the background: {non_blocking}")

        def numpy(self) -> np.ndarray:
            done.append("read")
            return np.ones(2)

    class Event:
        def __init__(self, *, blocking: bool) -> None:
            assert blocking

        def record(self, stream: str) -> None:
            done.append(f"event behind it in the {stream}")

        def synchronize(self) -> None:
            done.append("event waited for")

    def empty(shape: tuple[int, ...], *, dtype: torch.dtype, pin_memory: bool) -> Host:
        assert (shape, dtype, pin_memory) == ((2,), torch.float32, True)
        return Host()

    monkeypatch.setattr(transfers.torch, "empty", empty)
    monkeypatch.setattr(transfers.torch.cuda, "Event", Event)
    monkeypatch.setattr(transfers.torch.cuda, "current_stream", lambda _: "stream")
    assert to_host(OnDevice()).tolist() == [1.0, 1.0]  # type: ignore[arg-type]
    assert done == ["copy in the background: True", "event behind it in the stream", "event waited for", "read"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_there_and_back_on_cuda() -> None:
    array = np.random.default_rng(0).random((64, 1000))
    assert np.array_equal(to_host(to_device(array, torch.device("cuda"))), array)
