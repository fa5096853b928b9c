from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from seqexpr.errors import DeviceError, UsageError
from seqexpr.prediction import device
from seqexpr.prediction.device import (
    choose_device,
    choose_precision,
    computing_threads,
    describe_device,
    is_out_of_memory,
    use_threads,
)


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_prefers_cuda_then_mps(cuda: bool, mps: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == chosen


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_absent_is_an_error_and_no_fall_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=f"device '{name}' is not available"):
        choose_device(name)


def test_an_unknown_device_is_an_error() -> None:
    with pytest.raises(DeviceError, match="choose among auto, cpu, cuda, mps"):
        choose_device("tpu")


def test_the_cpu_is_described_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.kernels, "instruction_set", lambda: "avx2")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert describe_device(torch.device("cpu")) == "cpu (1 thread)"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert describe_device(torch.device("cpu")) == "cpu (8 threads)"
    monkeypatch.setattr(device.kernels, "instruction_set", lambda: None)
    assert describe_device(torch.device("cpu")) == "cpu (8 threads, without the compiled kernels)"


@pytest.mark.parametrize(("triton", "words"), [(True, ""), (False, ", without the Triton kernels")])
def test_cuda_is_described_by_its_name(triton: bool, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(device.kernels, "computes_on", lambda device: triton)
    assert describe_device(torch.device("cuda")) == f"cuda (NVIDIA H200{words})"


def test_fp16_is_for_devices_whose_kernels_compute_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(device.kernels, "computes_on", lambda device: device.type == "cuda")
    assert [choose_precision(name, cuda) for name in ("auto", "fp16", "fp32")] == ["fp16", "fp16", "fp32"]
    assert [choose_precision(name, cpu) for name in ("auto", "fp32")] == ["fp32", "fp32"]
    assert describe_device(cuda, 2, "fp16") == "cuda (NVIDIA H200, fp16)"
    with pytest.raises(DeviceError, match=r"^precision 'fp16' needs a CUDA device with Triton; cpu \(.*\) computes in"):
        choose_precision("fp16", cpu)
    with pytest.raises(UsageError, match=r"^no precision 'bf16'; choose among auto, fp16, fp32$"):
        choose_precision("bf16", cuda)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 TB"), True),
        (RuntimeError("MPS backend out of memory (allocated 9 GB)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_exhausted_memory_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@pytest.fixture
def restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("restored")
def test_threads_of_a_cpu_are_workers_of_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: 5)
    for _ in range(2):  # what an earlier call set does not count
        assert use_threads(torch.device("cpu"), 3) == 3
        assert torch.get_num_threads() == 1
        assert describe_device(torch.device("cpu"), 3).startswith("cpu (3 threads")
        assert use_threads(torch.device("cpu"), None) == 5


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(("kind", "workers"), [("cuda", 2), ("mps", 1)])
def test_threads_of_a_gpu_are_torchs_own(kind: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: 5)
    assert use_threads(torch.device(kind), 2) == workers
    assert torch.get_num_threads() == 2
    assert use_threads(torch.device(kind), None) == workers
    assert torch.get_num_threads() == 5


def test_threads_outside_the_predictor_compute_on_one_of_torchs_each() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with computing_threads(torch.device("cpu"), 2) as pool:
            assert [pool.submit(torch.get_num_threads).result() for _ in range(4)] == [1, 1, 1, 1]
        assert torch.get_num_threads() == 3
        with computing_threads(torch.device("cuda"), 2) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)
