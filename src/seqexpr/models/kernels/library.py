"""The compiled library: where it lies, which of its instruction sets this processor has, and the switch."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqexpr.errors import UsageError

SWITCH = "SEQEXPR_KERNELS"
"""Environment variable: "off" computes everything with torch, a name takes that instruction set; else the best."""

PANEL = 64
"""Latents, and channels, must be a multiple of it: so many lie side by side in the kernels."""

FILE = Path(__file__).parent / "libkernels.so"
"""What the build leaves here; the name is the same on every system."""

INTERFACE_VERSION = 3
"""That of dispatch.c."""

_turned_off = ContextVar("turned off", default=False)


class AttentionContext(ctypes.Structure):
    """`attention_context` of kernels.h."""

    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("tokens", ctypes.c_void_p),
        ("mask", ctypes.c_void_p),
        ("window_stride", ctypes.c_size_t),
        ("row_stride", ctypes.c_size_t),
        ("letters", ctypes.c_size_t),
        ("width", ctypes.c_size_t),
    )


class AttentionDropout(ctypes.Structure):
    """`attention_dropout` of kernels.h."""

    _fields_ = (("key", ctypes.c_uint32 * 2), ("threshold", ctypes.c_uint32), ("first_window", ctypes.c_size_t))


class StemShape(ctypes.Structure):
    """`stem_shape` of kernels.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t) for name in ("windows", "letters", "vocabulary", "kernel", "channels", "pool")
    )


class StemWeights(ctypes.Structure):
    """`stem_weights` of kernels.h."""

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in (
            "stem",
            "stem_bias",
            "scale",
            "shift",
            "unit_scale",
            "unit_shift",
            "residual",
            "residual_transposed",
            "residual_bias",
            "logits",
            "logits_transposed",
        )
    )


class StemGradients(ctypes.Structure):
    """`stem_gradients` of kernels.h."""

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in (
            "stem",
            "stem_standard",
            "stem_counts",
            "norm_sums",
            "norm_products",
            "residual_transposed",
            "residual_bias",
            "logits_transposed",
        )
    )


class Library:
    """The functions of one instruction set."""

    def __init__(self, library: ctypes.CDLL, instruction_set: str) -> None:
        self.instruction_set = instruction_set
        self._library = library

    def call(self, function: str, *arguments: Any) -> None:
        """Run a function; Python's other threads go on meanwhile.

        Raises:
            MemoryError: the machine's memory is exhausted.
        """
        if getattr(self._library, f"{function}_{self.instruction_set}")(*arguments):
            raise MemoryError


def library() -> Library | None:
    """The library, or None where it is absent, of no use to this processor, or turned off.

    Raises:
        UsageError: the switch names an instruction set that is not there.
    """
    if turned_off():
        return None
    wish = os.environ.get(SWITCH, "").lower()
    offered = _load(FILE)
    if wish and wish not in offered:
        raise UsageError(f"{SWITCH}={wish!r}: choose off{''.join(f' or {name}' for name in offered)}, or unset it")
    return offered[wish] if wish else next(iter(offered.values()), None)


def turned_off() -> bool:
    """Whether torch is to compute everything, on whatever device."""
    return _turned_off.get() or os.environ.get(SWITCH, "").lower() == "off"


def instruction_set() -> str | None:
    """Which instructions the kernels use here ("avx512", "avx2", "neon"), or None when torch computes everything."""
    loaded = library()
    return loaded.instruction_set if loaded else None


@contextmanager
def disabled() -> Iterator[None]:
    """Within it, torch computes everything that this thread begins."""
    token = _turned_off.set(True)
    try:
        yield
    finally:
        _turned_off.reset(token)


@lru_cache(maxsize=1)
def _load(file: Path) -> dict[str, Library]:
    """By instruction set that this processor has, the best first."""
    try:
        loaded = ctypes.CDLL(str(file))
        if loaded.interface_version() != INTERFACE_VERSION:
            return {}
    except (OSError, AttributeError):  # absent, or another library
        return {}
    loaded.instruction_sets.restype = ctypes.c_char_p
    return {name: Library(loaded, name) for name in loaded.instruction_sets().decode().split()}


def in_threads(work: Callable[[slice], Any], windows: int) -> Sequence[Any]:
    """Do `work` for all windows, in as many slices at once as torch may use threads."""
    slices = min(torch.get_num_threads(), windows)
    if slices <= 1:
        return [work(slice(0, windows))]
    ends = [windows * part // slices for part in range(slices + 1)]
    with ThreadPoolExecutor(slices) as pool:
        return list(pool.map(work, map(slice, ends, ends[1:])))


def address(tensor: Tensor | None) -> ctypes.c_void_p:
    """Where a contiguous tensor's numbers lie; NULL for None."""
    if tensor is None:
        return ctypes.c_void_p()
    assert tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr())


def check_letters(tokens: Tensor, vocabulary: int) -> None:
    """A table of `vocabulary` rows is read at these numbers, without further questions.

    Raises:
        IndexError: one of them is too large.
    """
    if tokens.numel() and int(tokens.max()) >= vocabulary:
        raise IndexError(f"letter {int(tokens.max())} in an alphabet of {vocabulary}")


def computes_here(*tensors: Tensor) -> bool:
    """Whether the tensors are as the kernels want them: float32, on the CPU, and not under autocast."""
    return not torch.is_autocast_enabled("cpu") and all(
        tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors
    )
