from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.models.composition.codons import (
    COUNTED,
    CodonUse,
    adaptation_index,
    adaptation_weights,
    codon_composition,
    codon_counts,
    is_known,
)
from seqexpr.sequences.alphabet import CODING

SYNONYMS = slice(64, 64 + 59)
LENGTH, GC3 = 64 + 59, 64 + 59 + 1
FIRST, LAST = slice(GC3 + 1, GC3 + 13), slice(GC3 + 13, GC3 + 25)


def coding(*sequences: str) -> torch.Tensor:
    """Tokens padded to the longest."""
    tokens = [CODING.encode(sequence) for sequence in sequences]
    width = max(map(len, tokens))
    return torch.tensor(np.stack([np.pad(one, (0, width - len(one))) for one in tokens]))


def test_there_are_as_many_features_as_it_says():
    assert codon_composition(coding("ATGAAA")).shape == (1, COUNTED) == (1, 149)
    assert CodonUse(3)(coding("ATGAAA", "ATG")).shape == (2, 152)


def test_shares_of_codons():
    features = codon_composition(coding("AAA" * 3 + "AAC"))[0]
    assert features[0].item() == pytest.approx(math.sqrt((3 + 1 / 64) / 5))
    assert features[1].item() == pytest.approx(math.sqrt((1 + 1 / 64) / 5))
    assert (features[:64].square().sum()).item() == pytest.approx(1)


def test_shares_of_synonyms_do_not_tell_the_amino_acids():
    few, many = codon_composition(coding("GCA" * 10 + "GCC" * 10, "GCA" * 10 + "GCC" * 10 + "TGG" * 50))
    assert torch.equal(few[SYNONYMS], many[SYNONYMS])
    assert not torch.equal(few[:64], many[:64])
    # 18 families of several codons: with one pseudo-count in each, their shares add up to one.
    assert few[SYNONYMS].sum().item() == pytest.approx(18)


def test_length_and_gc_of_third_positions():
    features = codon_composition(coding("AAC" * 99, "AAG" * 9 + "AAT" * 9))
    assert features[:, LENGTH].tolist() == pytest.approx([2, math.log10(19)])
    assert features[:, GC3].tolist() == pytest.approx([99.5 / 100, 0.5])


def test_ends_are_counted_by_themselves():
    features = codon_composition(coding("AAA" * 16 + "CGT" * 40 + "TTC" * 16))[0]
    assert features[FIRST].view(3, 4).argmax(dim=1).tolist() == [0, 0, 0]
    assert features[LAST].view(3, 4).argmax(dim=1).tolist() == [3, 3, 1]


@given(st.lists(st.integers(0, 64), max_size=40), st.integers(0, 30))
def test_padding_changes_nothing_and_all_is_finite(tokens, padding):
    while tokens and not tokens[-1]:
        tokens.pop()
    plain = torch.tensor([tokens], dtype=torch.uint8).reshape(1, -1)
    padded = torch.nn.functional.pad(plain, (0, padding))
    use = CodonUse(2)
    use.adaptation.copy_(torch.randn(2, 64).abs().neg())
    assert use(plain).isfinite().all()
    assert torch.equal(use(plain), use(padded))


def test_a_gene_without_a_codon_is_not_known():
    assert is_known(coding("ATG", "NNN", "")).tolist() == [[True], [False], [False]]
    assert is_known(torch.zeros(2, 0, dtype=torch.uint8)).tolist() == [[False], [False]]


def test_the_adaptation_index_is_that_of_sharp_and_li():
    # The most expressed genes use GCC three times as often as GCA, and AAG alone of the two of lysine.
    reference = ["GCC" * 30 + "GCA" * 10 + "AAG" * 8] * 10
    others = ["GCT" * 10] * 90
    counts = codon_counts(coding(*reference, *others))
    labels = torch.tensor([[9.0]] * 10 + [[1.0]] * 90)
    weights = adaptation_weights(counts, labels)
    at = CODING.codons.index
    assert weights[0, [at("GCC"), at("AAG"), at("ATG"), at("TAA")]].tolist() == [0, 0, 0, 0]
    assert weights[0, at("GCA")].exp().item() == pytest.approx(1 / 3)
    assert weights[0, at("GCT")].exp().item() == pytest.approx(0.5 / 300)  # never used: half an occurrence
    assert weights[0, at("AAA")].exp().item() == pytest.approx(0.5 / 80)
    genes = codon_counts(coding("GCC" * 4, "GCA" * 2 + "GCC" * 2 + "ATGTGG", "ATGTGG", ""))
    assert adaptation_index(genes, weights)[:, 0].tolist() == pytest.approx([1, 3**-0.5, 1, 1])


def test_each_label_has_an_index_of_its_own_and_missing_ones_have_no_part():
    counts = codon_counts(coding(*["GCA"] * 40, *["GCC"] * 40))
    labels = torch.full((80, 3), math.nan)
    labels[:, 0] = torch.arange(80)
    labels[:40, 1] = torch.arange(40)
    weights = adaptation_weights(counts, labels)
    gca, gcc = CODING.codons.index("GCA"), CODING.codons.index("GCC")
    assert weights[0, gcc] == 0 > weights[0, gca]
    assert weights[1, gca] == 0 > weights[1, gcc]  # the higher genes have no label there
    assert not weights[2].any()


def test_genes_without_a_coding_sequence_set_no_weights():
    counts = codon_counts(coding(*["GCA"] * 20, *[""] * 20))
    labels = torch.arange(40.0)[:, None]
    assert torch.equal(adaptation_weights(counts, labels), adaptation_weights(counts[:20], labels[:20]))
