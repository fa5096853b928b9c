import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seqexpr.inputs.half_life import FEATURES, IDENTITY, LOG10, TRANSFORMS, HalfLifeSchema


def test_schema_golden_numbers() -> None:
    raw = np.array([[0.9, 0.4], [9.9, 0.6], [np.nan, np.nan]])
    schema = HalfLifeSchema.fit(raw, ("length", "gc"), (LOG10, IDENTITY))
    assert schema.mean == pytest.approx((0.5, 0.5))  # log10 of 1 and 10
    assert schema.sd == pytest.approx((0.5, 0.1))
    np.testing.assert_allclose(schema.standardise(raw), [[-1, -1], [1, 1], [np.nan, np.nan]], atol=1e-6)
    assert schema.standardise(raw).dtype == np.float32


def test_a_feature_without_spread_says_nothing() -> None:
    raw = np.array([[0.3, np.nan], [0.3, np.nan], [0.3, np.nan]])
    schema = HalfLifeSchema.fit(raw, ("gc", "never"), (IDENTITY, IDENTITY))
    assert schema.sd == (0.0, 0.0)
    np.testing.assert_array_equal(schema.standardise(np.array([[0.9, 5.0]])), [[np.nan, np.nan]])


def test_schema_survives_json() -> None:
    schema = HalfLifeSchema.fit(np.random.default_rng(0).random((20, 8)))
    assert HalfLifeSchema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    assert schema.names == FEATURES
    assert schema.transforms == TRANSFORMS


@pytest.mark.parametrize(
    "change",
    [{"names": ["a"]}, {"transforms": ["log"] * 8}, {"sd": [-1.0] * 8}, {"mean": [float("nan")] * 8}],
)
def test_a_damaged_schema_is_refused(change: dict[str, list[object]]) -> None:
    good = HalfLifeSchema.fit(np.random.default_rng(0).random((20, 8))).to_dict()
    with pytest.raises(ValueError):
        HalfLifeSchema.from_dict({**good, **change})


def test_values_that_a_transform_cannot_take_are_refused() -> None:
    schema = HalfLifeSchema.fit(np.ones((3, 8)))
    with pytest.raises(ValueError, match="at least 0"):
        schema.standardise(np.full((1, 8), -1.0))
    with pytest.raises(ValueError, match="shape"):
        schema.standardise(np.ones((1, 7)))


@given(arrays(np.float64, (12, 8), elements=st.one_of(st.just(np.nan), st.floats(0, 1e6))))
@settings(max_examples=40, deadline=None)
def test_scores_are_centred_and_missing_stays_missing(raw: np.ndarray) -> None:
    schema = HalfLifeSchema.fit(raw)
    scores = schema.standardise(raw)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(raw) | (np.array(schema.sd) == 0))
    np.testing.assert_allclose(np.nansum(scores, axis=0), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "transforms", "expected"),
    [
        (FEATURES, TRANSFORMS, False),
        (FEATURES, (IDENTITY,) * 8, True),
        (FEATURES, (LOG10,) * 8, False),
        (("utr5_gc",), (IDENTITY,), False),  # a GC content is never transformed, so it tells nothing
        (("utr5_len", "cds_len"), (LOG10, IDENTITY), False),
        ((), (), False),
    ],
)
def test_a_schema_whose_lengths_are_untouched_expects_z_scores(
    names: tuple[str, ...], transforms: tuple[str, ...], expected: bool
) -> None:
    schema = HalfLifeSchema(names, transforms, (0.0,) * len(names), (1.0,) * len(names))
    assert schema.expects_z_scores is expected
