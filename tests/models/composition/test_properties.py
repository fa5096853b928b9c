from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqexpr.models.composition.properties import protein_properties
from seqexpr.sequences.alphabet import PROTEIN

ENDS, TRIADS = 7 * 22, 343
HYDROPATHY, CHARGE = ENDS + TRIADS, ENDS + TRIADS + 9
COMPLEXITY, SIGNALS = CHARGE + 5, CHARGE + 8
COUNT = SIGNALS + 3


def protein(*texts: str) -> torch.Tensor:
    rows = [PROTEIN.encode(text.encode()) for text in texts]
    longest = max(map(len, rows))
    return torch.from_numpy(np.stack([np.pad(row, (0, longest - len(row))) for row in rows]))


def place(letter: str) -> int:
    return int(PROTEIN.encode(letter.encode())[0]) - 1


def test_stretches_near_the_ends():
    features = protein_properties(protein("M" * 5 + "K" * 10 + "A" * 60 + "W" * 10 + "L" * 5))[0]
    assert features.shape == (COUNT,) == (517,)
    assert features[place("M")].item() == pytest.approx(math.sqrt((5 + 1 / 22) / 6))  # residues 1 to 5
    assert features[22 + place("K")].item() == pytest.approx(math.sqrt((10 + 1 / 22) / 11))  # 6 to 15
    assert features[5 * 22 + place("W")].item() == pytest.approx(math.sqrt((10 + 1 / 22) / 11))  # the 15th to 6th last
    assert features[6 * 22 + place("L")].item() == pytest.approx(math.sqrt((5 + 1 / 22) / 6))  # the last five


def test_triads_of_residue_classes():
    features = protein_properties(protein("MKD"))[0]  # classes 3, 5 and 6 of 7
    assert features[ENDS + 2 * 49 + 4 * 7 + 5].item() == pytest.approx(math.sqrt((1 + 1 / 343) / 2))


def test_hydropathy_by_hand():
    # 40 K (-3.9), 19 I (4.5), 40 K: one stretch of 19 is all I; each I less is 8.4 / 19 lower.
    features = protein_properties(protein("K" * 40 + "I" * 19 + "K" * 40))[0, HYDROPATHY:CHARGE]
    most, least, spread, low, high, spans, share, anchor, first = features.tolist()
    means = np.array([np.mean(([-3.9] * 40 + [4.5] * 19 + [-3.9] * 40)[i : i + 19]) for i in range(81)])
    assert (most, least) == (pytest.approx(4.5, abs=1e-5), pytest.approx(-3.9, abs=1e-5))
    assert spread == pytest.approx(means.std(), abs=1e-5)
    assert low == pytest.approx(np.sort(means)[8], abs=1e-5) and high == pytest.approx(np.sort(means)[72], abs=1e-5)
    assert spans == pytest.approx(math.log(2))  # one membrane span
    assert share == pytest.approx((means > 1.6).mean())
    assert anchor == 1 and first == pytest.approx(means[:40].max(), abs=1e-5)


def test_two_spans_are_two():
    spans = protein_properties(protein("K" * 40 + "I" * 20 + "K" * 40 + "L" * 20 + "K" * 40))[0, HYDROPATHY + 5]
    assert spans.item() == pytest.approx(math.log(3))


def test_charge_by_hand():
    features = protein_properties(protein("M" + "K" * 7 + "G" * 30 + "D" * 8))[0, CHARGE:COMPLEXITY].tolist()
    assert features[0] == pytest.approx(7 / 19) and features[1] == pytest.approx(-8 / 19)
    assert features[3:] == [7, -8]  # residues 2 to 8; the last 8


def test_complexity_by_hand():
    least, mean, low = protein_properties(protein("Q" * 60))[0, COMPLEXITY:SIGNALS].tolist()
    assert (least, mean, low) == (0, 0, 1)
    least, mean, low = protein_properties(protein("ACDEFGHIKLMNPQRSTVWYACDEFGHIKL"))[0, COMPLEXITY:SIGNALS].tolist()
    entropy = -(10 * 2 / 30 * math.log(2 / 30) + 10 * 1 / 30 * math.log(1 / 30))
    assert least == pytest.approx(entropy, abs=1e-5) and mean == pytest.approx(entropy, abs=1e-5) and low == 0


@pytest.mark.parametrize(
    ("end", "expected"),
    [("KDEL", [1, 0, 0]), ("HDEL", [1, 0, 0]), ("ASKL", [0, 1, 0]), ("CVIM", [0, 0, 1]), ("KDEA", [0, 0, 0])],
)
def test_sorting_signals(end, expected):
    assert protein_properties(protein("M" * 30 + end))[0, SIGNALS:].tolist() == expected


def test_a_short_protein_is_one_stretch():
    features = protein_properties(protein("II"))[0, HYDROPATHY:].tolist()
    assert features[:5] == pytest.approx([4.5, 4.5, 0, 4.5, 4.5])


@given(st.lists(st.text("ACDEFGHIKLMNPQRSTVWYX", min_size=1, max_size=80), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_a_proteins_properties_are_its_own(texts):
    """Finite, and the same beside others, however long."""
    together = protein_properties(protein(*texts, "AL" * 60))
    assert together.isfinite().all()
    for row, text in zip(together, texts, strict=False):
        torch.testing.assert_close(protein_properties(protein(text))[0], row, rtol=0, atol=1e-5)


def test_no_protein_at_all_gives_numbers():
    assert protein_properties(torch.zeros(2, 0, dtype=torch.uint8)).isfinite().all()
    assert protein_properties(torch.zeros(2, 50, dtype=torch.uint8)).isfinite().all()
