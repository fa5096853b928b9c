from __future__ import annotations

import numpy as np
import pytest

from seqexpr.inputs.half_life import FEATURES
from seqexpr.sequences.alphabet import DNA, PROTEIN
from seqexpr.tasks.synthetic import (
    ACTIVATOR,
    SHORTEST_PROTEIN,
    dna_score,
    half_life_score,
    protein_score,
    random_half_life,
    random_promoter,
    random_protein,
)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


def test_scores_of_dna_by_hand() -> None:
    window = DNA.encode(b"TTTTGGGCGGTTTTTTATTTAATT")
    # the activator starts at 4, the boundary: 1; the repressor at 16, 12 of 20 bases away: 1 - 0.5 * 0.6
    assert dna_score(window, 4, "motifs") == pytest.approx(1 - 0.7)
    assert dna_score(window, 4, "gc") == 6 / 24
    assert dna_score(window[:5], 4, "motifs") == 0


def test_scores_of_proteins_by_hand() -> None:
    assert protein_score(PROTEIN.encode(b"LLKMM")) == pytest.approx(2 / 5 - 1 / 5)


def test_scores_of_half_life_features_by_hand() -> None:
    raw = np.ones((3, 8))
    raw[:, FEATURES.index("orf_exon_density")] = [1, np.nan, 3]
    raw[:, FEATURES.index("utr3_len")] = [5, 5, 5]
    scores = half_life_score(raw)
    # the same 3'UTR everywhere says nothing; a missing density is the mean, and the other two lie alike far from it
    assert scores[0] == pytest.approx(-scores[2])
    assert scores[0] < scores[1] == 0


def test_a_promoter_has_its_own_gc_content_in_the_margins_too(random: np.random.Generator) -> None:
    windows = np.array([random_promoter(random, 160, 80, "gc") for _ in range(300)])
    content = np.isin(windows, DNA.encode(b"GC"))
    inner, outer = content[:, 80:-80].mean(axis=1), content[:, np.r_[:80, -80:0]].mean(axis=1)
    # of the variance of 160 letters, 0.08^2 is the gene's and 0.25 / 160 chance: a correlation of 0.8
    assert np.corrcoef(inner, outer)[0, 1] == pytest.approx(0.8, abs=0.1)


def test_motifs_lie_within_the_margins(random: np.random.Generator) -> None:
    inner = outer = 0
    for _ in range(300):
        text, motif = DNA.decode(random_promoter(random, 160, 80, "motifs")), ACTIVATOR.decode()
        inner += text[80:-80].count(motif)
        outer += text[:80].count(motif) + text[-80:].count(motif)
    # by chance one word in 4^6, so about 11 in the margins of 300 genes; of the planted 8 a gene many are overwritten
    assert outer < 30
    assert inner > 800


def test_proteins_differ_in_length_and_mix(random: np.random.Generator) -> None:
    proteins = [random_protein(random, 200) for _ in range(200)]
    lengths = [len(protein) for protein in proteins]
    assert (min(lengths), max(lengths)) == (pytest.approx(SHORTEST_PROTEIN, abs=5), pytest.approx(200, abs=5))
    assert {letter for protein in proteins for letter in protein.tolist()} == set(range(1, 21))
    # with equal shares, 150 residues give a standard deviation of 0.05
    assert np.std([protein_score(protein) for protein in proteins]) > 0.08


def test_some_half_life_values_are_missing(random: np.random.Generator) -> None:
    raw = random_half_life(random, 400, 0.1)
    assert raw.shape == (400, 8)
    assert np.isnan(raw).mean() == pytest.approx(0.1, abs=0.02)
    assert np.nanmin(raw) >= 0
    assert np.nanmax(raw[:, FEATURES.index("cds_gc")]) <= 1
