"""Percentiles of differences, and the file that holds them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.effects.background import Background, background_file, read_background, write_background
from seqexpr.errors import InputError
from seqexpr.files import sha256_file


def background(quantiles: list[float], digest: str = "") -> Background:
    return Background(digest, 1, 1, 0, {"mrna": quantiles})


@given(st.lists(st.integers(0, 20), min_size=2, max_size=60), st.integers(0, 25))
def test_a_percentile_is_the_share_of_smaller_differences(values, size):
    values = sorted(values)
    steps = np.array(values, float)
    found = background(steps.tolist()).percentile("mrna", -size)
    smaller = 100 * (steps < size).mean()
    assert 0 <= found <= 100
    if size in values:
        assert found == pytest.approx(100 * (steps < size).sum() / (len(steps) - 1)) or found == smaller == 0
    if size > values[-1]:
        assert found == 100.0


def test_ties_and_values_between_steps():
    assert background([0.0, 0.0, 0.0, 1.0]).percentile("mrna", 0.0) == 0.0
    assert background([0.0, 1.0, 2.0]).percentile("mrna", -0.5) == pytest.approx(25.0)
    assert background([0.0, 1.0]).percentile("protein", 0.5) is None


def test_a_file_goes_and_comes_back_and_damage_is_named(tmp_path: Path):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"numbers")
    assert read_background([weights]) is None
    write_background([weights], background([0.0, 1.0], sha256_file(weights)))
    assert read_background([weights]) == background([0.0, 1.0], sha256_file(weights))
    file = background_file([weights])
    whole = file.read_bytes()
    for broken, said in (
        (b"\xff" + whole, "background"),
        (whole[:-5], "background"),
        (whole.replace(b"[0.0, 1.0]", b"[]"), "0 quantiles that do not ascend"),
        (whole.replace(b"[0.0, 1.0]", b"[2.0, 1.0]"), "2 quantiles that do not ascend"),
        (json.dumps({"sha256": "x"}).encode(), "background"),
    ):
        file.write_bytes(broken)
        with pytest.raises(InputError, match=said):
            read_background([weights])
