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
class Operands:
    """What is multiplied."""

    dtype: torch.dtype
    input_precision: str
    """How `tl.dot` multiplies float32: "tf32x3" is three products on tensor cores, exact to the last digits."""

    def constants(self) -> dict[str, Any]:
        """Of a kernel's launch."""
        import triton.language as tl

        return {"OPERAND": getattr(tl, str(self.dtype).split(".")[1]), "INPUT_PRECISION": self.input_precision}


@dataclass(frozen=True)
class Tile:
    """How a kernel's work is cut; chosen so that nothing spills on any card, see `python -m benchmarks registers`."""

    rows: int
    """Worked on at once by one program, a power of 2."""
    warps: int
    """Of 32 threads, in one program."""

    def options(self) -> dict[str, Any]:
        """Of a kernel's launch: multiplications and additions are fused, in versions of Triton that would not, too."""
        return {"num_warps": self.warps, "enable_fp_fusion": True}


def operands(precision: Precision) -> Operands:
    """What kernels multiply in this precision."""
    return Operands(torch.float16, "tf32") if precision == "fp16" else Operands(torch.float32, "tf32x3")
