"""The first line on stderr of whatever computes on a CPU."""

from __future__ import annotations

from seqexpr.models import kernels


def cpu_line(threads: int) -> str:
    without = "" if kernels.instruction_set() else ", without the compiled kernels"
    return f"device: cpu ({threads} thread{'s' if threads > 1 else ''}{without})"
