from __future__ import annotations

import numpy as np
import pandas as pd

from seqexpr.runs.setup import permute_labels


def rows(dataset):
    values = dataset.labels(("a", "b"))
    return [tuple(row) for row in np.where(np.isnan(values), -1, values).tolist()]


def test_whole_rows_are_dealt_out_anew(dataset):
    before = rows(dataset)
    control = permute_labels(dataset, seed=3)
    after = rows(control)
    assert after != before
    assert sorted(after) == sorted(before)
    assert sum(old == new for old, new in zip(before, after, strict=True)) < 8  # one fixed point is expected
    assert rows(dataset) == before
    others = [name for name in dataset.genes if name not in ("a", "b")]
    pd.testing.assert_frame_equal(control.genes[others], dataset.genes[others])
    np.testing.assert_array_equal(control.dna([4], 240, 120), dataset.dna([4], 240, 120))


def test_the_seed_decides(dataset):
    assert rows(permute_labels(dataset, seed=1)) == rows(permute_labels(dataset, seed=1))
    assert rows(permute_labels(dataset, seed=1)) != rows(permute_labels(dataset, seed=2))
