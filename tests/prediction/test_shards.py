"""Records are dealt out to shards so that merging in rounds gives their order back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import UsageError
from seqexpr.prediction.shards import Shard, Share, count_blocks, count_records


def dealt(count: int, total: int, largest: int) -> list[list[int]]:
    """The records of each shard."""
    shares = [Share(Shard(index, count), largest) for index in range(1, count + 1)]
    own: list[list[int]] = [[] for _ in shares]
    for record in range(total):
        for place, share in enumerate(shares):
            if share.takes(str(record)):
                own[place].append(record)
    return own


def in_blocks(records: list[int], largest: int) -> list[list[int]]:
    """Records of one shard, cut into its blocks."""
    blocks, size = [], 1
    while records:
        blocks.append(records[:size])
        records, size = records[size:], min(size + 1, largest)
    return blocks


@given(st.integers(1, 40), st.integers(0, 500), st.integers(1, 30))
def test_rounds_of_blocks_give_the_order_back(count: int, total: int, largest: int) -> None:
    blocks = [in_blocks(records, largest) for records in dealt(count, total, largest)]
    rounds = range(max(map(len, blocks)))
    order = [record for number in rounds for one in blocks if number < len(one) for record in one[number]]
    assert order == list(range(total))


@given(st.integers(1, 40), st.integers(0, 500), st.integers(1, 30))
def test_sizes_are_known_without_going_along(count: int, total: int, largest: int) -> None:
    for index, records in enumerate(dealt(count, total, largest), start=1):
        assert count_records(Shard(index, count), total, largest) == len(records)
        assert count_blocks(len(records), largest) == len(in_blocks(records, largest))


@pytest.mark.parametrize("total", [300, 10_000, 100_000])
def test_shards_are_nearly_even(total: int) -> None:
    sizes = [count_records(Shard(index, 8), total) for index in range(1, 9)]
    mean = total / 8
    assert max(sizes) - min(sizes) <= 1 + (2 * mean) ** 0.5


def test_names_tell_streams_apart() -> None:
    one, same, other = (Share(Shard(index, 2)) for index in (1, 2, 2))
    for name in ("a", "b"):
        one.takes(name)
        same.takes(name)
        other.takes(name.upper())
    assert one.names == same.names != other.names


@pytest.mark.parametrize("text", ["", "3", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "1.0/3", "a/b", "1/100001", "١/٣"])
def test_other_texts_are_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match="give I/N, such as 2/7"):
        Shard.parse(text)
