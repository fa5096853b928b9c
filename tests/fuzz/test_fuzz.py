"""Damaged files of every kind end in an error of seqexpr's own, or in a result.

`SEQEXPR_FUZZ_SECONDS` sets how long to try (20 seconds for all kinds together; 0: the seeds that are kept alone).
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from .mutator import damage
from .targets import TARGETS, kept_seeds, try_damaged

SECONDS = float(os.environ.get("SEQEXPR_FUZZ_SECONDS", "20")) / len(TARGETS)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound files of every kind, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("sound")
    for name, target in TARGETS.items():
        (folder / name).mkdir()
        target.make(folder / name)
    return folder


@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_read(name: str, sound: Path) -> None:
    TARGETS[name].read(sound / name)


@pytest.mark.parametrize(("name", "seed"), kept_seeds(Path(__file__).parent / "seeds"))
def test_what_once_was_a_bug(name: str, seed: int, sound: Path, tmp_path: Path) -> None:
    try_damaged(TARGETS[name], sound / name, tmp_path / "work", seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_damage_is_named(name: str, sound: Path, tmp_path: Path) -> None:
    """Always the same seeds, as many as there is time for."""
    end, seed = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        try_damaged(TARGETS[name], sound / name, tmp_path / "work", seed)
        seed += 1


def test_the_same_seed_makes_the_same_damage() -> None:
    content = b'{"a": [1, 2, {"b": "c"}]}'
    assert damage(content, random.Random(3), "x.json") == damage(content, random.Random(3), "x.json")
    assert len({damage(content, random.Random(seed), "x.json") for seed in range(50)}) > 25
