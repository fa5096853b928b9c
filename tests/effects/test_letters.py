from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.effects.letters import BASES, LETTERS, RESIDUES, Letters
from seqexpr.sequences.alphabet import ALPHABETS


@given(st.sampled_from([BASES, RESIDUES]), st.data())
def test_each_known_letter_is_replaced_by_each_other_one_once(letters: Letters, data: st.DataObject) -> None:
    spelled = letters.alphabet.letters + letters.alphabet.pad_letter
    text = data.draw(st.text(spelled, min_size=1, max_size=12))
    tokens = np.array([(letters.alphabet.letters.find(one) + 1) for one in text], np.uint8)
    known = letters.known(tokens)
    unknown = {"dna": "N", "protein": "X-"}[letters.input]
    assert known.tolist() == [one not in unknown for one in text]
    places, new = letters.substitutions(tokens, np.flatnonzero(known))
    wanted = [
        (place, letters.letters.index(other) + 1)
        for place, one in enumerate(text)
        if known[place]
        for other in letters.letters
        if other != one
    ]
    assert list(zip(places.tolist(), new.tolist(), strict=True)) == wanted
    assert letters.count(tokens)[known].tolist() == np.bincount(places, minlength=len(text))[known].tolist()


def test_they_are_those_of_the_models_inputs() -> None:
    assert set(LETTERS) == set(ALPHABETS)
    assert (BASES.letters, RESIDUES.letters) == ("ACGT", "ACDEFGHIKLMNPQRSTVWY")
    for letters in LETTERS.values():
        assert letters.alphabet.letters.startswith(letters.letters)
