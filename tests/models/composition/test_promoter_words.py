from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqexpr.errors import UsageError
from seqexpr.models.composition.promoter_words import READ, PromoterWords
from seqexpr.models.config import PROMOTER, PROMOTER_WORD, PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.sequences.alphabet import DNA, reverse_complement

UP, DOWN = READ


def promoters(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(1, 5, (count, UP + DOWN), np.uint8))


def planted(count: int = 400, word: str = "CCCGCCCC", every: int = 2) -> torch.Tensor:
    """Random promoters; every second one has a word near its TSS."""
    windows = promoters(count)
    windows[::every, UP - 60 : UP - 60 + len(word)] = torch.from_numpy(DNA.encode(word))
    return windows


def fitted(windows: torch.Tensor, weight: float = 1.0, outputs: int = 1) -> PromoterWords:
    words = PromoterWords(UP, weight, outputs)
    words.fit(windows, UP)
    return words


def score(words: PromoterWords, word: str) -> float:
    number = 0
    for token in DNA.encode(word):
        number = number * 4 + int(token) - 1
    return float(words.scores[number])


def test_a_word_that_promoters_are_rich_in_has_the_highest_score_on_both_strands():
    words = fitted(planted())
    assert score(words, "CCCGCCCC") == score(words, "GGGGCGGG") == float(words.scores.max()) > 1
    assert score(words, "ACGTGACT") < 0.3


def plain(windows: np.ndarray) -> dict[str, float]:
    """The scores by counting letters, for windows as short as `PROMOTER`."""
    texts = ["".join("NACGT"[token] for token in row) for row in windows]
    texts += ["".join("NACGT"[token] for token in reverse_complement(row)) for row in windows]

    def count(length: int) -> dict[str, float]:
        found = dict.fromkeys(map("".join, itertools.product("ACGT", repeat=length)), 0.0)
        for text in texts:
            for place in range(len(text) - length + 1):
                if "N" not in (word := text[place : place + length]):
                    found[word] += 1
        return found

    triples = {word: number + 1 for word, number in count(3).items()}
    total = sum(triples.values())
    pairs = {a + b: sum(triples[a + b + c] for c in "ACGT") for a in "ACGT" for b in "ACGT"}
    chosen = ("CCCGCCCC", "ACGTACGT", "TTTTTTTT", "CATTGGCC")
    observed = count(8)
    every = sum(observed.values())

    def chance(word: str) -> float:
        found = triples[word[:3]] / total
        for place in range(1, 6):
            found *= triples[word[place : place + 3]] / pairs[word[place : place + 2]]
        return found

    def both(word: str) -> float:
        return (chance(word) + chance(word[::-1].translate(str.maketrans("ACGT", "TGCA")))) / 2

    return {word: math.log((observed[word] + 32) / (both(word) * every + 32)) for word in chosen}


def test_scores_are_what_counting_by_hand_gives():
    windows = planted(60, every=1)
    windows[3, UP - 40 : UP + 5] = 0
    words = fitted(windows)
    for word, expected in plain(windows[:, UP - PROMOTER[0] : UP + PROMOTER[1]].numpy()).items():
        assert score(words, word) == pytest.approx(expected, abs=1e-5)


def test_training_genes_have_sums_of_mean_0_and_spread_1_and_each_output_its_weight():
    windows = planted()
    words = fitted(windows, 0.3, 2)
    added = words(windows)
    assert added.shape == (len(windows), 2)
    torch.testing.assert_close(added.mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(added.std(dim=0, correction=0), torch.full((2,), 0.3))
    words.weight.copy_(torch.tensor([1.0, 0.0]))
    assert float(words(windows)[:, 1].abs().max()) == 0


def test_breaking_the_word_costs_and_letters_far_away_count_nothing():
    words = PromoterWords(1_000, 1.0, 1)
    words.fit(planted(), UP)
    window = torch.from_numpy(np.random.default_rng(5).integers(1, 5, (1, 2_000), np.uint8))
    window[0, 940:948] = torch.from_numpy(DNA.encode("CCCGCCCC"))
    broken, far = window.clone(), window.clone()
    broken[0, 943] = 1
    far[0, : 1_000 - UP] = 1
    far[0, 1_000 + DOWN :] = 2
    assert float(words(broken)) < float(words(window))
    assert torch.equal(words(far), words(window))


def test_before_it_is_fitted_it_adds_nothing():
    words = PromoterWords(UP, 0.5, 1)
    assert not words.is_fitted
    assert not words(promoters(3)).any()
    assert fitted(planted()).is_fitted


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 4), min_size=PROMOTER_WORD, max_size=60), st.integers(0, 60))
def test_any_window_has_a_finite_addend_that_does_not_depend_on_the_genes_beside_it(letters, upstream):
    upstream = min(upstream, len(letters))
    words = PromoterWords(upstream, 0.5, 1)
    words.scores.normal_(generator=torch.Generator().manual_seed(1))
    window = torch.tensor([letters], dtype=torch.uint8)
    beside = torch.cat([window, torch.ones_like(window), window])
    alone, together = words(window), words(beside)
    assert bool(alone.isfinite().all())
    assert torch.equal(alone[0], together[0]) and torch.equal(alone[0], together[2])


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("dna-perceiver", {"upstream": 4, "downstream": 3, "stem_pool": 1, "tower_pool": 1}),
        ("protein-perceiver", {}),
    ],
)
def test_words_need_a_window_with_a_word_near_the_tss(preset, changes):
    with pytest.raises(UsageError, match="promoter_words need an input of DNA, 8 bases near the TSS at least"):
        PerceiverConfig.from_preset(preset, promoter_words=0.1, **changes)


def test_a_network_adds_the_words_to_every_member_of_every_output():
    config = PerceiverConfig.from_preset(
        "dna-perceiver", upstream=UP, downstream=DOWN, promoter_words=0.2, outputs=2, kernel_genes=8
    )
    torch.manual_seed(0)
    network, windows = Perceiver(config).eval(), planted(40)[:4]
    with torch.no_grad():
        before = network.members(windows, windows)
        network.words.fit(planted(), UP)
        after = network.members(windows, windows)
    expected = network.words(windows)[:, None].expand(-1, config.members, -1)
    torch.testing.assert_close(after - before, expected)
    assert expected.abs().max() > 0.01
