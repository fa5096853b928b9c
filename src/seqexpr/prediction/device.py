"""Which device computes, what it is called, and when its memory ran out."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import torch

from seqexpr.errors import DeviceError, UsageError
from seqexpr.models import kernels
from seqexpr.threads import usable_cores

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp16", "fp32")


def choose_device(name: str = "auto") -> torch.device:
    """The device to compute on.

    Args:
        name: "auto" (CUDA when there is one, else Apple's MPS, else the CPU), "cpu", "cuda" or "mps".

    Raises:
        DeviceError: the device asked for is absent; there is no silent change to another.
    """
    if name not in DEVICES:
        raise DeviceError(f"no device {name!r}; choose among {', '.join(DEVICES)}")
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if _is_present(kind)))
    if not _is_present(name):
        built = "" if name != "cuda" or torch.version.cuda else " (this torch is built without CUDA)"
        raise DeviceError(f"device {name!r} is not available to torch {torch.__version__}{built}; see --device")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> kernels.Precision:
    """With which numbers the kernels of a CUDA device multiply.

    Args:
        name: "auto" (fp16 where these kernels compute, else fp32), "fp16" or "fp32".
        device: what computes.

    Raises:
        UsageError: no such precision.
        DeviceError: fp16 on a device without these kernels.
    """
    if name not in PRECISIONS:
        raise UsageError(f"no precision {name!r}; choose among {', '.join(PRECISIONS)}")
    if name == "fp32" or (name == "auto" and not kernels.computes_on(device)):
        return "fp32"
    if not kernels.computes_on(device):
        raise DeviceError(
            f"precision 'fp16' needs a CUDA device with Triton; {describe_device(device)} computes in fp32"
        )
    return "fp16"


def describe_device(device: torch.device, workers: int = 1, precision: kernels.Precision = "fp32") -> str:
    """The device in words: "cpu (2 threads)", "cuda (NVIDIA H100 80GB HBM3, fp16)", "mps (Apple GPU)".

    A CPU or CUDA device on which `seqexpr.models.kernels` are off says so: it takes twice the time or more.

    Args:
        device: what computes.
        workers: threads that torch's own are multiplied by, see `use_threads`.
        precision: of its kernels, as `choose_precision` gives it; fp16 is said.
    """
    if device.type == "cuda":
        numbers = ", fp16" if precision == "fp16" else ""
        without = "" if kernels.computes_on(device) else ", without the Triton kernels"
        return f"cuda ({torch.cuda.get_device_name(device)}{numbers}{without})"
    if device.type == "mps":
        return "mps (Apple GPU)"
    threads = torch.get_num_threads() * workers
    without = "" if kernels.instruction_set() else ", without the compiled kernels"
    return f"{device.type} ({threads} thread{'s' if threads != 1 else ''}{without})"


def use_threads(device: torch.device, threads: int | None) -> int:
    """Divide the CPU's threads for `Predictor`, and return the number of its workers.

    On a CPU each worker computes on one thread, so `threads` workers are used. On a GPU `threads` bounds what torch
    does on the CPU; on CUDA two workers take turns: one makes its batch while the device computes the other's.

    Args:
        device: what computes.
        threads: None for as many as this process may use cores, see `usable_cores`.
    """
    count = threads or usable_cores()
    if device.type != "cpu":
        torch.set_num_threads(count)
        return 2 if device.type == "cuda" else 1
    torch.set_num_threads(1)
    keep_freed_memory()
    return count


@contextmanager
def computing_threads(device: torch.device, workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for work outside `Predictor`, each with one of torch's own on a CPU, however many torch has elsewhere.

    What waits is dropped when the block is left.

    Args:
        device: what computes.
        workers: how many threads.
    """
    own = 1 if device.type == "cpu" else torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(own,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def begin_training(name: str = "auto", threads: int | None = None) -> torch.device:
    """Set torch's threads and the use of memory for a training, and choose its device.

    Args:
        name: as for `choose_device`.
        threads: None for as many as this process may use cores, see `usable_cores`.

    Raises:
        DeviceError: the device asked for is absent.
    """
    torch.set_num_threads(threads or usable_cores())
    device = choose_device(name)
    keep_freed_memory()
    return device


def keep_freed_memory() -> None:
    """Ask glibc to reuse big buffers instead of returning them to the system after every operation.

    Else each forward pass faults its pages in anew: about a third of the time of `predict` on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return
    most_mmaps, trim_threshold = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
    with suppress(OSError, AttributeError):  # a Linux without glibc allocates as it does
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(most_mmaps, 0)
        libc.mallopt(trim_threshold, 1 << 30)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that a device's memory, or the machine's, is exhausted."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    # Outside CUDA torch has no class for it: its allocators raise a RuntimeError with these words.
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


@contextmanager
def named_shortage(device: torch.device, workers: int) -> Iterator[None]:
    """Tell a user what to do when a device's memory runs out.

    Args:
        device: what computes.
        workers: passes at the same time.

    Raises:
        DeviceError: instead of the error that says so.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        fewer = "fewer --threads, or " if workers > 1 else ""
        raise DeviceError(f"out of memory on {device.type}; try {fewer}another --device") from None


def release_memory(device: torch.device) -> None:
    """Give the blocks that torch keeps for itself back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _is_present(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_available()
    if kind == "mps":
        return torch.backends.mps.is_available()
    return True
