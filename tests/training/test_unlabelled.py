"""What a teacher stage reads: windows of unlabelled DNA and of the dataset's genes, changed at random."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from seqexpr.errors import UsageError
from seqexpr.sequences.alphabet import reverse_complement
from seqexpr.training import unlabelled
from seqexpr.training.unlabelled import DrawSettings, UnlabelledDna, WindowDraw, substitute

AS_THEY_ARE = {"reverse_share": 0.0, "most_substituted": 0.0, "twin_share": 0.0}
C, G = 2, 3


class Genes:
    """Random windows, as a prepared dataset gives them."""

    def __init__(self, count: int, upstream: int, downstream: int) -> None:
        self.upstream, self.downstream = upstream, downstream
        self.tokens = np.random.default_rng(8).integers(1, 5, (count, upstream + downstream)).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.tokens)

    def dna(self, indices: np.ndarray, upstream: int, downstream: int) -> np.ndarray:
        assert upstream <= self.upstream and downstream <= self.downstream and upstream + downstream > 0
        return self.tokens[indices, self.upstream - upstream : self.upstream + downstream]


def contigs(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 5, length).astype(np.uint8) for length in lengths]


def places_of(window: np.ndarray, contig: np.ndarray) -> list[int]:
    return [at for at in range(len(contig) - len(window) + 1) if np.array_equal(contig[at : at + len(window)], window)]


@given(some.lists(some.integers(1, 90), min_size=1, max_size=5), some.integers(0, 20), some.integers(1, 20))
def test_every_window_is_one_of_a_contig_and_every_place_can_be_drawn(lengths, upstream, downstream):
    given_contigs, length = contigs(*lengths), upstream + downstream
    if max(lengths) < length:
        with pytest.raises(UsageError, match="no known stretch of the unlabelled DNA is as long as a window"):
            UnlabelledDna(given_contigs, upstream, downstream, DrawSettings())
        return
    dna = UnlabelledDna(given_contigs, upstream, downstream, DrawSettings())
    windows = dna.draw(40, np.random.default_rng(1))
    assert windows.shape == (40, length)
    all_windows = {
        contig[at : at + length].tobytes() for contig in given_contigs for at in range(len(contig) - length + 1)
    }
    assert {window.tobytes() for window in windows} <= all_windows
    if len(all_windows) <= 8:
        drawn = dna.draw(400, np.random.default_rng(2))
        assert {window.tobytes() for window in drawn} == all_windows


@given(
    some.lists(some.integers(1, 120), min_size=1, max_size=3),
    *(some.integers(0, 12), some.integers(1, 12), some.integers(1, 4), some.integers(1, 30), some.integers(1, 9)),
)
def test_islands_are_the_places_with_enough_pairs(lengths, upstream, downstream, least, span, chunk):
    """Compared with a count letter by letter, whatever the stretches in which contigs are read."""
    generator, length = np.random.default_rng(3), upstream + downstream
    given_contigs = [generator.choice([C, G, 0], size).astype(np.uint8) for size in (*lengths, length)]
    settings = DrawSettings(island_pairs=least, island_span=span)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unlabelled, "_CHUNK", chunk)
        dna = UnlabelledDna(given_contigs, upstream, downstream, settings)
    left, right = max(upstream - span // 2, 0), min(upstream + span - span // 2, length)
    rich = [
        contig[at : at + length].tobytes()
        for contig in given_contigs
        for at in range(len(contig) - length + 1)
        if sum(contig[at + i] == C and contig[at + i + 1] == G for i in range(left, right - 1)) >= least
    ]
    assert dna.islands == len(rich)
    if rich:
        drawn = dna.draw(60, np.random.default_rng(4), islands=True)
        assert {window.tobytes() for window in drawn} <= set(rich)


def test_genes_are_shifted_as_far_as_the_dataset_reaches_on_each_side():
    genes = Genes(3, upstream=30, downstream=90)
    settings = DrawSettings(random_share=0, island_share=0, tss_sd=60, **AS_THEY_ARE)
    windows = WindowDraw(settings, genes, None, 20, 20, seed=1).draw(1, 400).windows
    begins = [at for window in windows for gene in genes.tokens for at in places_of(window, gene)]
    assert len(begins) == 400  # each is a window of one gene
    assert (min(begins), max(begins)) == (0, 80) and len(set(begins)) > 60  # of the places where 40 of 120 letters fit
    still = WindowDraw(DrawSettings(**{**vars(settings), "tss_sd": 0.0}), genes, None, 20, 20, seed=1)
    alike = {gene[10:50].tobytes() for gene in genes.tokens}
    assert {window.tobytes() for window in still.draw(1, 40).windows} == alike


@pytest.mark.parametrize(
    ("random", "island", "count"), [(0.25, 0.25, 16), (0.25, 0.25, 3), (0.5, 0.5, 5), (0.1, 0.0, 2), (0.0, 0.3, 1)]
)
def test_shares_hold_over_the_steps_also_in_small_batches(random, island, count):
    settings = DrawSettings(random_share=random, island_share=island, island_pairs=2, tss_sd=0, **AS_THEY_ARE)
    poor, rich = np.full(50, 1, np.uint8), np.tile(np.array([C, G], np.uint8), 25)
    genes = Genes(1, 5, 5)
    genes.tokens[:] = 4
    steps = range(1, 61)
    draw = WindowDraw(settings, genes, UnlabelledDna([poor, rich], 5, 5, settings), 5, 5, seed=0)
    windows = [draw.draw(step, count).windows for step in steps]
    assert {len(some) for some in windows} == {count}
    of_genes = np.mean([(some == 4).all(axis=1).mean() for some in windows])
    assert of_genes == pytest.approx(1 - random - island, abs=1 / 60)
    if island == 0 or random == 0:
        poor_ones = np.mean([(some == 1).all(axis=1).mean() for some in windows])
        assert (poor_ones > 0) == (random > 0)


def test_a_step_is_drawn_from_seed_and_number_alone():
    genes, settings = Genes(5, 40, 40), DrawSettings(island_pairs=1, tss_sd=5)
    dna = UnlabelledDna(contigs(500, 300), 30, 30, settings)

    def at(step: int, seed: int = 7, before: tuple[int, ...] = ()) -> bytes:
        draw = WindowDraw(settings, genes, dna, 30, 30, seed)
        for other in before:
            draw.draw(other, 16)
        return draw.draw(step, 16).windows.tobytes()

    assert at(5) == at(5, before=(1, 2, 9))
    assert len({at(5), at(6), at(5, seed=8)}) == 3


def test_a_share_of_the_windows_is_reverse_complemented():
    settings = DrawSettings(random_share=0, island_share=0, tss_sd=0, **{**AS_THEY_ARE, "reverse_share": 0.25})
    genes = Genes(1, 20, 20)
    windows = WindowDraw(settings, genes, None, 20, 20, seed=2).draw(1, 2000).windows
    forward, backward = genes.tokens[0], reverse_complement(genes.tokens[0])
    flipped = (windows == backward).all(axis=1)
    assert (flipped | (windows == forward).all(axis=1)).all()
    assert flipped.mean() == pytest.approx(0.25, abs=0.04)


def test_substitutions_reach_the_largest_share_and_no_further():
    settings = DrawSettings(random_share=0, island_share=0, tss_sd=0, **{**AS_THEY_ARE, "most_substituted": 0.2})
    genes = Genes(1, 1000, 1000)
    windows = WindowDraw(settings, genes, None, 1000, 1000, seed=2).draw(1, 300).windows
    shares = (windows != genes.tokens[0]).mean(axis=1)
    assert shares.mean() == pytest.approx(0.1, abs=0.015)
    assert shares.min() < 0.01 and 0.18 < shares.max() < 0.24


@given(some.lists(some.integers(0, 4), min_size=1, max_size=60), some.integers(0, 100))
def test_a_letter_becomes_another_known_one_and_the_unknown_stays(letters, seed):
    before = np.array([letters], np.uint8)
    generator = np.random.default_rng(seed)
    where = generator.random(before.shape) < 0.5
    after = before.copy()
    substitute(after, where, generator)
    assert (after[~where] == before[~where]).all()
    assert (after[before == 0] == 0).all()
    changed = where & (before > 0)
    assert (after[changed] != before[changed]).all()
    assert ((after[changed] >= 1) & (after[changed] <= 4)).all()


def test_all_other_letters_are_as_likely():
    windows = np.ones((1, 30_000), np.uint8)
    substitute(windows, np.ones_like(windows, bool), np.random.default_rng(0))
    assert np.bincount(windows[0], minlength=5)[2:] / 30_000 == pytest.approx([1 / 3] * 3, abs=0.02)


@pytest.mark.parametrize(("share", "count"), [(0.125, 64), (0.5, 7), (0.3, 1), (0.0, 8)])
def test_twins_differ_from_their_windows_near_the_tss_alone(share, count):
    settings = DrawSettings(random_share=0, island_share=0, most_substituted=0.05, twin_share=share)
    draw = WindowDraw(settings, Genes(9, 5000, 3000), None, 5000, 3000, seed=3)
    twins, changed, places = 0, 0, []
    for step in range(1, 17):
        drawn = draw.draw(step, count)
        assert len(drawn.windows) == count and 2 * drawn.twins <= count
        twins += drawn.twins
        differs = drawn.windows[: drawn.twins] != drawn.windows[count - drawn.twins :]
        changed += int(differs.any(axis=1).sum())
        places += np.nonzero(differs)[1].tolist()
        for row in differs:
            at = np.flatnonzero(row)
            assert len(at) == 0 or at[-1] - at[0] <= 200
    expected = min(share, (count // 2) / count) * count * 16
    assert twins == pytest.approx(expected, abs=8 if count == 7 else 1e-9)
    if twins > 50:
        assert changed > 0.9 * twins
        assert np.mean(places) == pytest.approx(5000, abs=60) and np.ptp(places) < 2400


def test_long_stretches_of_unknown_letters_part_contigs():
    known = np.random.default_rng(0).integers(1, 5, 400).astype(np.uint8)
    contig = np.concatenate([known[:200], np.zeros(150, np.uint8), known[200:], np.zeros(20, np.uint8), known[:50]])
    dna = UnlabelledDna([contig], 30, 20, DrawSettings())
    windows = dna.draw(500, np.random.default_rng(1))
    assert (windows == 0).sum(axis=1).max() <= 20  # a short gap may lie within a window
    with pytest.raises(UsageError, match="no known stretch"):
        UnlabelledDna([np.zeros(1_000, np.uint8)], 30, 20, DrawSettings())
