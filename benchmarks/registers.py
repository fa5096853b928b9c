"""Registers and spills of the CUDA kernels: they are compiled for cards that need not be there.

    python -m benchmarks registers

It needs Triton (Linux; it comes with torch's CUDA builds), whose assembler says what each kernel takes.
"""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.tables import table, tell
from seqexpr.models.kernels.cuda import attention, stem
from seqexpr.models.kernels.cuda.precision import Precision

ARCHITECTURES = (80, 90)
"""Compute capabilities, times 10: A100 and H100 or H200."""

_USUAL_WARPS = 4
"""Triton's default."""

PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32")

_ARGUMENTS = {
    **dict.fromkeys(("tokens", "attended", "whole"), "*u8"),
    **dict.fromkeys(("letters", "vocabulary", "groups", "total_groups", "parts"), "i32"),
    "log2_scale": "fp32",
}
"""Triton's types of the kernels' arguments; all others are arrays of float32, or of what is multiplied."""
_MULTIPLIED = ("table", "stem", "residual", "logits")


def run(options: Options) -> dict[str, Any]:
    """Each kernel, precision and architecture; no rows where Triton is absent."""
    if find_spec("triton") is None:
        return {"rows": []}
    return {"rows": [row for architecture in ARCHITECTURES for row in _compiled(architecture)]}


def render(result: dict[str, Any]) -> str:
    """The table."""
    if not result["rows"]:
        return "registers: Triton is not installed here"
    headers = ["", "for", "warps", "registers a thread", "spilled bytes", "shared memory, kB"]
    lines = [
        [f"{row['kernel']}, {row['precision']}", f"sm_{row['architecture']}", row["warps"], row["registers"],
         row["spilled_bytes"], row["shared_bytes"] / 1000]
        for row in result["rows"]
    ]  # fmt: skip
    return table("kernels as compiled", headers, lines)


def _compiled(architecture: int) -> Iterator[dict[str, Any]]:
    for precision in PRECISIONS:
        for name, kernel, constants, options in _kernels(precision):
            tell(f"registers: {name}, {precision}, sm_{architecture}")
            yield {
                "kernel": name,
                "precision": precision,
                "architecture": architecture,
                "warps": options.get("num_warps", _USUAL_WARPS),
                **_compile(kernel, constants, precision, architecture, options),
            }


def _kernels(precision: Precision) -> Iterator[tuple[str, Any, dict[str, Any], dict[str, Any]]]:
    """Name, kernel, its constants as the presets have them, and the options of its launch."""
    from seqexpr.models.kernels.cuda import attention_kernels, stem_kernels

    shape = {"LATENTS": 128, "WIDTH": 32}
    launch = attention.LAUNCHES[precision]
    part = {"HAS_MASK": True, "PART": attention.PART, "BLOCK": launch.rows, **shape, **launch.constants()}
    yield "attend_part", attention_kernels.attend_part, part, launch.options()
    launch = stem.LAUNCHES[precision]
    for kinds, pool in ((4, 12), (22, 10)):  # DNA, proteins
        chunks = math.ceil(15 * kinds / stem.COLUMNS)
        groups = {"KINDS": kinds, "KERNEL": 15, "POOL": pool, "CHUNKS": chunks, "COLUMNS": stem.COLUMNS}
        groups |= {"GROUPS": launch.rows, "CHANNELS": 64, **launch.constants()}
        yield f"stem_groups, {kinds} letters", stem_kernels.stem_groups, groups, launch.options()
    if precision == "fp16":  # the same in both
        yield "join", attention_kernels.join, {"PARTS": 4, **shape}, {}


def _compile(
    kernel: Any, constants: dict[str, Any], precision: Precision, architecture: int, options: dict[str, Any]
) -> dict[str, int]:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    operand = {"fp16": "*fp16", "fp32": "*fp32"}[precision]
    types = {**dict.fromkeys(kernel.arg_names, "*fp32"), **dict.fromkeys(_MULTIPLIED, operand), **_ARGUMENTS}
    signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
    arrays = [place for place, kind in enumerate(signature.values()) if kind.startswith("*")]
    aligned = {(place,): [["tt.divisibility", 16]] for place in arrays}  # as Triton finds torch's arrays at a launch
    compiled = triton.compile(
        ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget("cuda", architecture, 32),
        options=options,
    )
    return {**_assembled(compiled.asm["ptx"], architecture), "shared_bytes": compiled.metadata.shared}


def _assembled(ptx: str, architecture: int) -> dict[str, int]:
    """What the assembler says of a kernel."""
    from triton.backends.nvidia.compiler import get_ptxas

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)
        assert target is not None
        command = [get_ptxas(architecture).path, "-v", f"--gpu-name={target[1]}", str(source), "-o", f"{source}.cubin"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spilled = re.findall(r"(\d+) bytes spill", said)
    used = re.search(r"Used (\d+) registers", said)
    assert used is not None and spilled, said
    return {"registers": int(used[1]), "spilled_bytes": sum(map(int, spilled))}
