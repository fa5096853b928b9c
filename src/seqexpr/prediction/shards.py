"""Which records of a stream are a shard's, when nobody knows how many there will be.

Records are dealt out in rounds: in each, the shards get a block of neighbouring records one after the other. The blocks
of the first round hold one record, those of the second two, and so on up to a limit. So short inputs are dealt nearly
evenly, and in long ones neighbours, such as variants of one gene, stay together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from seqexpr.errors import UsageError

LARGEST_BLOCK = 1_024
"""Records in a block, at most, where nothing else is said."""

_MOST_SHARDS = 100_000
_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """One of several parts of a command's work, of which `merge` makes the file of one run."""

    index: int
    """1 = the first."""
    count: int
    """Of how many."""

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read the value of --shard.

        >>> Shard.parse("2/7")
        Shard(index=2, count=7)

        Raises:
            UsageError: it is not I/N with I from 1 to N.
        """
        found = _SHARD.fullmatch(text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]) <= _MOST_SHARDS:
            raise UsageError(
                f"--shard {text}: give I/N, such as 2/7, with I from 1 to N, and N at most {_MOST_SHARDS:,}"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def contiguous(shard: Shard, total: int) -> range:
    """A shard's part of things whose number is known: neighbours, as many as the others have or one more."""
    return range(total * (shard.index - 1) // shard.count, total * shard.index // shard.count)


def block_sizes(largest: int = LARGEST_BLOCK) -> Iterator[int]:
    """Records in the blocks of each round, without an end."""
    size = 1
    while True:
        yield size
        size = min(size + 1, largest)


def count_records(shard: Shard, total: int, largest: int = LARGEST_BLOCK) -> int:
    """How many of a stream's records are a shard's."""
    own = 0
    for size in block_sizes(largest):
        if total <= 0:
            return own
        own += min(size, max(0, total - (shard.index - 1) * size))
        total -= shard.count * size
    raise AssertionError("block sizes have no end")


def count_blocks(records: int, largest: int = LARGEST_BLOCK) -> int:
    """How many blocks so many records of one shard fill, the last of them perhaps in part."""
    for blocks, size in enumerate(block_sizes(largest)):
        if records <= 0:
            return blocks
        records -= size
    raise AssertionError("block sizes have no end")


@dataclass
class Share:
    """Goes along a stream and says of each record whether it is a shard's."""

    shard: Shard
    largest: int = LARGEST_BLOCK
    total: int = 0
    """Records that have come by."""
    own: int = 0
    """Those that are the shard's."""
    _place: int = 0
    _digest: Any = field(default_factory=sha256)

    def __post_init__(self) -> None:
        self._sizes = block_sizes(self.largest)
        self._size = next(self._sizes)

    def takes(self, name: str) -> bool:
        """Whether the next record, which has this name, is the shard's."""
        self._digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
        mine = self._place // self._size == self.shard.index - 1
        self._place += 1
        if self._place == self.shard.count * self._size:
            self._place, self._size = 0, next(self._sizes)
        self.total += 1
        self.own += mine
        return mine

    def sees(self, letters: bytes) -> None:
        """A record's sequence, whether it is the shard's or not: another one with the same name is another record."""
        self._digest.update(letters)

    @property
    def names(self) -> str:
        """SHA-256 of all records that have come by, their names and letters, by which shards of another stream are
        known."""
        return self._digest.hexdigest()
