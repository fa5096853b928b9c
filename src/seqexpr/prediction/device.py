"""Which device computes, what it is called, and when its memory ran out."""

from __future__ import annotations

import torch

from seqexpr.errors import DeviceError

DEVICES = ("auto", "cpu", "cuda", "mps")


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
        raise DeviceError(
            f"device {name!r} is not available to torch {torch.__version__}{built}; see --device"
        )
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """The device in words: "cpu (2 threads)", "cuda (NVIDIA H100 80GB HBM3)", "mps (Apple GPU)"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "mps":
        return "mps (Apple GPU)"
    threads = torch.get_num_threads()
    return f"{device.type} ({threads} thread{'s' if threads != 1 else ''})"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that a device's memory, or the machine's, is exhausted."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    # Outside CUDA torch has no class for it: its allocators raise a RuntimeError with these words.
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


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
