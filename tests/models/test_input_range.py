from __future__ import annotations

import json

import numpy as np
import pytest

from seqexpr.models.input_range import (
    Composition,
    InputRange,
    RangeCounts,
    coding_features,
    dna_features,
    protein_features,
)
from seqexpr.sequences.alphabet import CODING, DNA, PROTEIN


def windows(genes: int, gc: float, seed: int = 0, length: int = 2000) -> np.ndarray:
    draw = np.random.default_rng(seed)
    shares = draw.normal(gc, 0.03, genes)
    rows = [draw.choice(4, length, p=[(1 - s) / 2, s / 2, s / 2, (1 - s) / 2]) + 1 for s in shares]
    return np.stack(rows).astype(np.uint8)


def counted(learnt: np.ndarray, seen: np.ndarray) -> RangeCounts:
    counts = RangeCounts(InputRange.of([dna_features(learnt, 1000)]))
    names, values = dna_features(seen, 1000)
    for row in values:
        counts.add([(names, row[None])])
    return counts


def test_features_of_a_window_by_hand() -> None:
    window = DNA.encode(b"ACGTCGNNNN")[None]
    names, values = dna_features(window, 5)
    found = dict(zip(names, values[0], strict=True))
    assert found["GC of the window"] == pytest.approx(4 / 6)
    assert found["CpG around the TSS"] == pytest.approx(2 / 6)
    assert found["unknown letters"] == pytest.approx(0.4)
    assert found["share of CG"] == pytest.approx(2 / 5)
    assert sum(found[name] for name in names if name.startswith("share of")) == pytest.approx(1)
    assert np.isnan(dna_features(np.zeros((1, 10), np.uint8), 5)[1][0, 0])


def test_features_of_a_protein_by_hand() -> None:
    names, values = protein_features([np.append(PROTEIN.encode(b"MKKA"), np.zeros(3, np.uint8))])
    found = dict(zip(names, values[0], strict=True))
    assert (found["length of the protein"], found["share of K"], found["share of W"]) == (4, 0.5, 0)


def test_genes_like_those_trained_on_raise_no_warning() -> None:
    counts = counted(windows(400, 0.5), windows(300, 0.5, seed=1))
    assert counts.genes == 300
    assert counts.describe("m") is None


def test_genes_unlike_those_are_counted_with_the_worst_feature() -> None:
    seen = np.concatenate([windows(30, 0.5, seed=1), windows(10, 0.9, seed=2)])
    counts = counted(windows(400, 0.5), seen)
    assert 10 <= counts.outside <= 12
    said = counts.describe("m", "human")
    assert said is not None and "of 40 genes lie outside what m was trained on, genes of human: " in said


def test_genes_that_differ_as_a_whole_are_reported() -> None:
    said = counted(windows(400, 0.5), windows(300, 0.44, seed=1)).describe("m", "human")
    assert (
        said is not None
        and " of 300 genes lie at the edge of what m was trained on, genes of human, or beyond it: GC " in said
    )
    assert "is below 0.4" in said and "as in only a quarter of those" in said


def test_a_few_genes_are_judged_one_by_one() -> None:
    learnt = windows(400, 0.5)
    said = counted(learnt, windows(3, 0.4, seed=1)).describe("m")
    assert said is not None and "3 of 3 genes lie at the edge of what m was trained on, or beyond it: GC" in said
    assert "as in only a twentieth of those" in said
    warned = [counted(learnt, windows(4, 0.5, seed=seed)).describe("m") for seed in range(2, 42)]
    assert sum(one is not None for one in warned) <= 2


def test_one_gene_is_one_gene() -> None:
    said = counted(windows(400, 0.5), np.concatenate([windows(19, 0.5, seed=1), windows(1, 0.9, seed=2)])).describe("m")
    assert said is not None and said.startswith("1 of 20 genes lies outside what m was trained on: ")
    assert said.endswith("in 1 gene")


def test_composition_is_judged_as_a_whole() -> None:
    draw = np.random.default_rng(0)
    shares = draw.dirichlet([50, 50, 50], 500)
    composition = Composition.of(("share of A", "share of B", "share of C"), shares)
    assert composition is not None
    assert np.mean([composition.distance(row) > composition.limit for row in shares]) < 0.01
    assert composition.distance(np.array([0.6, 0.2, 0.2])) > composition.limit
    assert Composition.of(("share of A",), shares[:10, :1]) is None


def test_the_range_is_kept_as_json() -> None:
    learnt = InputRange.of([dna_features(windows(200, 0.5), 1000), (("cds_len",), np.arange(200.0)[:, None])])
    again = InputRange.from_dict(json.loads(json.dumps(learnt.to_dict())))
    assert again == learnt


@pytest.mark.parametrize(
    "value", [None, 3, {}, {"ranges": 1}, {"ranges": {"a": [1]}}, {"ranges": {"a": [1, 2, 3, float("nan")]}}]
)
def test_what_is_no_range(value: object) -> None:
    assert InputRange.from_dict(value) is None


def test_coding_sequences_are_summarised_by_length_and_third_positions():
    sequences = [CODING.encode("AACAAGAATNNN"), np.zeros(4, np.uint8), CODING.encode("")]
    names, values = coding_features(sequences)
    assert names == ("codons of the coding sequence", "GC of third codon positions")
    np.testing.assert_allclose(values, [[3, 2 / 3], [np.nan] * 2, [np.nan] * 2])
