"""With which numbers the kernels multiply."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import torch

Precision = Literal["fp16", "fp32"]

_chosen: ContextVar[Precision] = ContextVar("precision of the CUDA kernels", default="fp32")


def precision() -> Precision:
    """ "fp16": matrices are multiplied in fp16 and summed in float32, an error of about 6e-4 of an output's standard
    deviation; "fp32", where nobody has chosen: products are as exact as those of float32, and take longer."""
    return _chosen.get()


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Within it, kernels that this thread launches multiply with these numbers."""
    token = _chosen.set(precision)
    try:
        yield
    finally:
        _chosen.reset(token)


@dataclass(frozen=True)
class Launch:
    """How a kernel is launched in a precision; chosen so that nothing spills and that 99 kB of shared memory, which the
    smaller cards have, suffice: see `python -m benchmarks registers`."""

    operand: torch.dtype
    """Of what is multiplied."""
    rows: int
    """Worked on at once by one program, a power of 2."""
    warps: int
    """Of 32 threads, in one program."""
    products: str = "ieee"
    """Of float32: "ieee", or "tf32x3", three products on tensor cores, which are faster and exact but for the last
    digit."""

    def constants(self) -> dict[str, Any]:
        """The kernel's."""
        import triton.language as tl

        return {"OPERAND": getattr(tl, str(self.operand).split(".")[1]), "INPUT_PRECISION": self.products}

    def options(self) -> dict[str, Any]:
        """Triton's: multiplications and additions are fused, in versions of it that would not, too."""
        return {"num_warps": self.warps, "enable_fp_fusion": True}
