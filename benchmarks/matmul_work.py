"""A work: the most floating-point operations a second that torch's matrix product reaches here."""

from __future__ import annotations

import time
from typing import Any, NoReturn

import torch

from benchmarks.serving import Turns

SIZES = {
    "512 x 512 x 512": (512, 512, 512),
    "1024 x 1024 x 1024": (1024, 1024, 1024),
    "2048 x 2048 x 2048": (2048, 2048, 2048),
    "4096 x 4096 x 4096": (4096, 4096, 4096),
    "10500 x 64 x 64": (10_500, 64, 64),  # the tower's maps of channels
    "128 x 32 x 10500": (128, 32, 10_500),  # logits of the folded cross-attention
    "128 x 10500 x 32": (128, 10_500, 32),  # what it attends to
    "84000 x 64 x 64": (84_000, 64, 64),  # the first of these for eight windows
}
"""Rows, inner size and columns: squares, where libraries are best, and the network's own skinny shapes."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def matmul(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """In each turn, products of each size for a while.

    Settings: threads, device, dtype ("fp32", "bf16"), seconds (for all sizes together), largest (rows, inner size and
    columns at most). A turn says `flops`: operations a second by size, and as items those of the best size.

    Raises:
        Finished: at the end.
    """
    torch.set_num_threads(settings["threads"])
    device = torch.device(settings["device"])
    sizes = {name: size for name, size in SIZES.items() if max(size) <= settings["largest"]}
    operands = {}
    for name, (rows, inner, columns) in sizes.items():
        left = torch.randn(rows, inner, device=device, dtype=DTYPES[settings["dtype"]])
        operands[name] = left, torch.randn(inner, columns, device=device, dtype=left.dtype)
    turns.give()
    while True:
        begun, flops = time.perf_counter(), {}
        for name, (rows, inner, columns) in sizes.items():
            seconds = _seconds_of_one(*operands[name], settings["seconds"] / len(sizes))
            flops[name] = 2.0 * rows * inner * columns / seconds
        turns.give(items=max(flops.values()), seconds=1.0, flops=flops, took=time.perf_counter() - begun)


def _seconds_of_one(left: torch.Tensor, right: torch.Tensor, seconds: float) -> float:
    """The time of a product, from as many as fill `seconds`, the result's memory being there already."""
    result = left @ right
    _synchronise(left)
    products, begun, elapsed = 0, time.perf_counter(), 0.0
    while elapsed < seconds or not products:
        torch.mm(left, right, out=result)
        _synchronise(left)
        products += 1
        elapsed = time.perf_counter() - begun
    return elapsed / products


def _synchronise(tensor: torch.Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()
