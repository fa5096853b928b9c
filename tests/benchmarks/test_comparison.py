from __future__ import annotations

import pytest
from benchmarks.comparison import against_floor, allocators, compare, peak_flops


def turns_at(*items: float) -> list[dict]:
    return [{"items": rate, "seconds": 1.0} for rate in items]


def test_the_plain_form_counts_at_its_best() -> None:
    turns = {
        "ours": turns_at(90, 100, 300),
        "plain 1": turns_at(10, 11, 90),
        "plain 8": turns_at(20, 21, 19),
        "tuned 1": turns_at(40, 50, 60),
    }
    found = compare(turns, ["ours"], {"default": ["plain 1", "plain 8"], "tuned": ["tuned 1"]})
    assert found["best_plain"] == {"default": "plain 8", "tuned": "tuned 1"}
    assert found["ratios"] == {"ours": {"default": 5.0, "tuned": 2.0}}
    assert found["items_a_second"]["plain 1"] == {"median": 11.0, "rates": [10.0, 11.0, 90.0]}


def test_the_machines_peak_is_that_of_the_best_size() -> None:
    turns = [{"flops": {"square": square, "skinny": skinny}} for square, skinny in ((1e9, 5e9), (3e9, 2e9), (4e9, 1e9))]
    assert peak_flops(turns) == {
        "flops_a_second": 3e9,
        "best_size": "square",
        "sizes": {"square": 3e9, "skinny": 2e9},
    }


def test_the_floor() -> None:
    found = against_floor(120.0, flops_an_item=5e8, peak=1e11)
    assert found == {"flops_an_item": 5e8, "most_items_a_second": 200.0, "fraction": pytest.approx(0.6)}


def test_a_gpu_has_one_allocator() -> None:
    assert allocators("cpu") == ("default", "tuned")
    assert allocators("cuda") == ("default",)
