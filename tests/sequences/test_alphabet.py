from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError, UsageError
from seqexpr.sequences.alphabet import (
    ALPHABETS,
    CODING,
    DNA,
    PROTEIN,
    Alphabet,
    reverse_complement,
    reverse_complement_letters,
)

dna_tokens = st.lists(st.integers(0, 4), max_size=50).map(lambda tokens: np.array(tokens, dtype=np.uint8))


def test_dna_tokens() -> None:
    assert DNA.size == 5
    assert DNA.encode(b"ACGTacgt").tolist() == [1, 2, 3, 4] * 2
    assert DNA.encode(b"NRYSWKMBDHV-.nry").tolist() == [0] * 16
    assert DNA.encode(b"Uu").tolist() == [4, 4]  # RNA


def test_protein_tokens() -> None:
    assert PROTEIN.size == 23
    assert PROTEIN.encode(b"ACDEFGHIKLMNPQRSTVWYUX").tolist() == list(range(1, 23))
    assert PROTEIN.encode(b"BZJO*bzjo").tolist() == [22] * 9
    assert PROTEIN.encode(b"acdefghiklmnpqrstvwyux").tolist() == list(range(1, 23))


def test_tokens_are_uint8_and_writeable() -> None:
    tokens = DNA.encode(b"ACGT")
    assert tokens.dtype == np.uint8
    tokens[0] = 0


def test_empty_sequence_has_no_tokens() -> None:
    assert len(DNA.encode(b"")) == 0
    assert len(PROTEIN.encode(b"")) == 0


def test_foreign_letter_is_named_with_its_position() -> None:
    with pytest.raises(InputError, match=r"a\.fa, record 'g': found '7' at position 5 of 6; expected a DNA seq"):
        DNA.encode(b"ACGT7A", file="a.fa", record="record 'g'")
    with pytest.raises(InputError, match="byte 0xff at position 1"):
        DNA.encode(b"\xffA")
    with pytest.raises(InputError, match="'-' at position 2"):
        PROTEIN.encode(b"M-K")


def test_protein_in_place_of_dna_is_recognised() -> None:
    with pytest.raises(InputError, match="looks like a protein"):
        DNA.encode(b"MASPSRRLQTKPVITCFKSVLLIYTFIFWITGVILLAVG")
    with pytest.raises(InputError) as error:
        DNA.encode(b"ACGT" * 10 + b"E")
    assert "looks like" not in str(error.value)  # one odd letter makes no protein


def test_dna_in_place_of_protein_is_refused() -> None:
    with pytest.raises(InputError, match="looks like DNA"):
        PROTEIN.encode(b"ACGTN" * 6)
    with pytest.raises(InputError, match="looks like DNA"):
        PROTEIN.encode(b"acgu" * 10)
    assert len(PROTEIN.encode(b"ACGTN" * 5 + b"ACGT")) == 29  # too short to tell
    assert len(PROTEIN.encode(b"ACGTN" * 6 + b"E")) == 31


def test_decode() -> None:
    assert DNA.decode(np.array([0, 1, 2, 3, 4, 0], dtype=np.uint8)) == "NACGTN"
    assert PROTEIN.decode(np.array([1, 22, 0, 21, 0, 0], dtype=np.uint8)) == "AX-U"


@given(dna_tokens)
def test_dna_round_trip(tokens: np.ndarray) -> None:
    assert DNA.encode(DNA.decode(tokens).encode()).tolist() == tokens.tolist()


@given(st.text(alphabet=PROTEIN.letters, max_size=29))
def test_protein_round_trip(letters: str) -> None:
    assert PROTEIN.decode(PROTEIN.encode(letters.lower().encode())) == letters


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
def test_alphabet_survives_json(alphabet: Alphabet) -> None:
    assert Alphabet.from_dict(json.loads(json.dumps(alphabet.to_dict()))) == alphabet


def test_reverse_complement_of_known_letters() -> None:
    assert DNA.decode(reverse_complement(DNA.encode(b"AACGTNG"))) == "CNACGTT"
    both = np.stack([DNA.encode(b"AC"), DNA.encode(b"GN")])
    assert reverse_complement(both).tolist() == [[3, 4], [0, 2]]


def test_reverse_complement_of_letters_keeps_what_they_stand_for() -> None:
    assert reverse_complement_letters(b"ACGTU-RYSWKMBDHVN") == b"NBDHVKMWSRY-AACGT"


@given(dna_tokens)
def test_reverse_complement_twice_is_the_same(tokens: np.ndarray) -> None:
    assert reverse_complement(reverse_complement(tokens)).tolist() == tokens.tolist()


def test_text_is_encoded_as_bytes_are() -> None:
    np.testing.assert_array_equal(DNA.encode("acgtN"), DNA.encode(b"acgtN"))
    np.testing.assert_array_equal(PROTEIN.encode("MKV"), PROTEIN.encode(b"MKV"))
    with pytest.raises(InputError, match="byte 0xe9 at position 3 of 3"):
        DNA.encode("ACé")


@pytest.mark.parametrize("sequence", [5, None, ["A"], np.zeros(3)])
def test_what_is_no_sequence_is_said(sequence: Any) -> None:
    with pytest.raises(UsageError, match=r"a DNA sequence is a .*; expected text or bytes, such as 'ACGT'"):
        DNA.encode(sequence)


def test_codons_are_numbered_in_the_order_of_dna_tokens() -> None:
    assert CODING.size == 65
    assert CODING.encode("AAAAACAAGAATACATTT").tolist() == [1, 2, 3, 4, 5, 64]
    assert CODING.encode(b"aaaUUU").tolist() == [1, 64]  # soft-masked, and RNA
    assert CODING.encode("ANACCN---").tolist() == [0, 0, 0]
    assert CODING.decode(np.array([1, 0, 64])) == "AAANNNTTT"


@given(st.lists(st.integers(0, 64), max_size=60))
def test_codons_are_encoded_as_they_were_decoded(tokens: list[int]) -> None:
    assert CODING.encode(CODING.decode(np.array(tokens, dtype=np.uint8))).tolist() == tokens


@given(st.text("ACGTNacgtu", max_size=100))
def test_a_codon_is_known_where_its_letters_are(letters: str) -> None:
    whole = letters[: len(letters) // 3 * 3]
    bases, codons = DNA.encode(whole).reshape(-1, 3), CODING.encode(whole)
    assert codons.dtype == np.uint8 and codons.flags.writeable
    assert np.array_equal(codons > 0, (bases > 0).all(axis=1))
    known = whole.upper().replace("U", "T")
    assert all(CODING.codons[token - 1] == known[3 * at : 3 * at + 3] for at, token in enumerate(codons) if token)
    if len(letters) % 3:
        with pytest.raises(InputError, match=f"a.fa, g: found {len(letters):,} letters; expected whole codons"):
            CODING.encode(letters, file="a.fa", record="g")


def test_a_protein_in_place_of_codons_is_recognised() -> None:
    with pytest.raises(InputError, match="looks like a protein"):
        CODING.encode(b"MASPSRRLQTKPVITCFKSVLLIYTFIFWI")
