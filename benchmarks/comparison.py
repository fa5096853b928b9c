"""The shipped form against the plain one, on one device: who takes turns, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.options import Options
from benchmarks.tables import tell
from benchmarks.variants import Turn, Variant, interleave, peak_memory, rates

ALLOCATORS = ("default", "tuned")
"""glibc's as it is, and as `keep_freed_memory` sets it; a GPU's process has the default one."""

MATMUL = "matmul"


def allocators(device: str) -> tuple[str, ...]:
    """Those that make a difference on the device."""
    return ALLOCATORS if device == "cpu" else ALLOCATORS[:1]


def matmul_variant(options: Options, device: str, dtype: str) -> Variant:
    """The measurement of the machine's peak."""
    largest = options.pick(10_500 if device == "cpu" else 100_000, 600)
    settings = {"device": device, "dtype": dtype, "threads": options.threads, "largest": largest}
    return Variant(MATMUL, "matmul", {**settings, "seconds": options.pick(0.6, 0.02)})


def measure(options: Options, title: str, variants: Sequence[Variant]) -> dict[str, list[Turn]]:
    """Turns of all variants, told on standard error."""
    tell(f"{title}: {len(variants)} variants")
    return interleave(variants, options.turns, start=options.start, tell=lambda text: tell(f"  {text}"))


def measure_memory(options: Options, title: str, variants: Sequence[Variant]) -> dict[str, dict[str, float | None]]:
    """Peak memory of a short run of each variant alone, one after the other."""
    found = {}
    for variant in variants:
        tell(f"{title}: peak memory of {variant.name}")
        short = Variant(variant.name, variant.work, {**variant.settings, "seconds": 0})
        found[variant.name] = peak_memory(short, start=options.start).to_dict()
    return found


def compare(turns: Mapping[str, Sequence[Turn]], shipped: Sequence[str], plain: Mapping[str, Sequence[str]]) -> dict:
    """Rates by variant, the plain form's best by allocator, and how often each shipped variant is faster.

    Args:
        turns: by variant.
        shipped: names of the shipped form's variants.
        plain: names of the plain form's, by allocator.
    """
    found = {name: rates(turns[name]) for name in (*shipped, *(name for names in plain.values() for name in names))}
    best = {
        allocator: max(names, key=lambda name: found[name]["median"]) for allocator, names in plain.items() if names
    }
    ratios = {
        name: {allocator: found[name]["median"] / found[winner]["median"] for allocator, winner in best.items()}
        for name in shipped
    }
    return {"items_a_second": found, "best_plain": best, "ratios": ratios}


def peak_flops(turns: Sequence[Turn]) -> dict[str, Any]:
    """The machine's peak: the median over rounds for each size of matrix, and the best of them."""
    sizes = {
        size: rates([{"items": turn["flops"][size], "seconds": 1.0} for turn in turns])["median"]
        for size in turns[0]["flops"]
    }
    best = max(sizes, key=lambda size: sizes[size])
    return {"flops_a_second": sizes[best], "best_size": best, "sizes": sizes}


def against_floor(items_a_second: float, flops_an_item: float, peak: float) -> dict[str, float]:
    """How near a rate comes to what the reduced operations allow on this machine."""
    floor = peak / flops_an_item
    return {"flops_an_item": flops_an_item, "most_items_a_second": floor, "fraction": items_a_second / floor}
