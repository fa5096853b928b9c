"""Letters and their tokens: one byte per base or residue, by look-up table.

Token 0 is PAD or unknown, token i + 1 is `letters[i]`. Upper and lower case are the same letter (lower case
is soft masking). The letters are those of IUPAC-IUB 1984 (nucleotides) and IUPAC-IUBMB 1983 (amino acids).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from os import PathLike
from typing import Any

import numpy as np

from seqexpr.errors import InputError, UsageError

PAD = 0
"""The token of padding and, for DNA, of every base that is not known."""

_FOREIGN = 255
_SHORTEST_TELLING = 30  # letters; a shorter peptide may by chance consist of A, C, G, T and N
_NUCLEOTIDES = b"ACGTUNacgtun"


@dataclass(frozen=True)
class Alphabet:
    """A vocabulary of sequence letters; stored with the weights that were trained on it."""

    name: str
    """"dna" or "protein"."""
    letters: str
    """The letters with tokens of their own: token i + 1 is `letters[i]`."""
    ambiguous: str
    """Letters that are accepted without a token of their own."""
    ambiguous_token: int
    """The token that ambiguous letters get: PAD for DNA, X for proteins."""
    pad_letter: str
    """What `decode` writes for PAD."""
    never_only: str = ""
    """A sequence of 30 or more letters that are all among these is refused: it is of another kind."""

    @property
    def size(self) -> int:
        """The number of tokens, PAD included."""
        return len(self.letters) + 1

    def encode(
        self, sequence: bytes | str, *, file: str | PathLike[str] = "sequence", record: str | None = None
    ) -> np.ndarray:
        """Tokens of a sequence.

        >>> DNA.encode("ACGTN").tolist()
        [1, 2, 3, 4, 0]

        Args:
            sequence: n letters without white space, as bytes or text.
            file, record: where the sequence came from, for the error.

        Returns:
            Tokens, uint8 (n,), writeable.

        Raises:
            InputError: a letter is foreign to the alphabet, or the sequence is plainly of another kind.
            UsageError: it is neither bytes nor text.
        """
        if isinstance(sequence, str):
            sequence = sequence.encode("latin-1", "replace")  # a byte a letter, so that positions are right
        elif not isinstance(sequence, bytes):
            found = type(sequence).__name__
            raise UsageError(
                f"a {self._title} sequence is a {found}; expected text or bytes, such as {self.letters[:4]!r}"
            )
        tokens = np.frombuffer(bytearray(sequence.translate(self.table)), dtype=np.uint8)
        if tokens.size and tokens.max() == _FOREIGN:
            raise self._foreign(sequence, int(np.argmax(tokens == _FOREIGN)), file, record)
        if self.never_only and len(sequence) >= _SHORTEST_TELLING:
            # The first letters settle it for nearly every sequence, without a pass over all of them.
            head = sequence[:_SHORTEST_TELLING].translate(None, self._never_only)
            if not head and not sequence.translate(None, self._never_only):
                raise InputError(
                    file,
                    record=record,
                    found=f"only the letters {self._distinct(sequence)} (it looks like DNA)",
                    expected=f"a {self.name} sequence",
                )
        return tokens

    def decode(self, tokens: np.ndarray) -> str:
        """Letters of tokens (n,); PAD is "N" in DNA and "-" in proteins, whose trailing PAD is dropped."""
        text = (self.pad_letter + self.letters).encode()
        letters = bytes(np.frombuffer(text, dtype=np.uint8)[np.asarray(tokens)]).decode("ascii")
        return letters if self.pad_letter in self.ambiguous else letters.rstrip(self.pad_letter)

    def to_dict(self) -> dict[str, Any]:
        """The alphabet as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Alphabet:
        """The alphabet that `to_dict` described."""
        return cls(**value)

    @cached_property
    def table(self) -> bytes:
        """256 bytes for `bytes.translate`: the token of each letter, 255 for foreign ones."""
        table = bytearray([_FOREIGN]) * 256
        for letter in self.ambiguous:
            table[ord(letter)] = table[ord(letter.lower())] = self.ambiguous_token
        for token, letter in enumerate(self.letters, start=1):
            table[ord(letter)] = table[ord(letter.lower())] = token
        if self.name == "dna":  # RNA spells T as U
            table[ord("U")], table[ord("u")] = table[ord("T")], table[ord("T")]
        return bytes(table)

    @cached_property
    def _never_only(self) -> bytes:
        return (self.never_only + self.never_only.lower()).encode()

    def _foreign(self, sequence: bytes, at: int, file: str | PathLike[str], record: str | None) -> InputError:
        letter = sequence[at : at + 1]
        shown = repr(letter.decode("ascii")) if 32 < letter[0] < 127 else f"byte 0x{letter[0]:02x}"
        hint = ", which looks like a protein" if self.name == "dna" and looks_like_protein(sequence) else ""
        return InputError(
            file,
            record=record,
            found=f"{shown} at position {at + 1:,} of {len(sequence):,}{hint}",
            expected=f"a {self._title} sequence (letters {self.letters}, others accepted: {self.ambiguous})",
        )

    @property
    def _title(self) -> str:
        return "DNA" if self.name == "dna" else self.name

    @staticmethod
    def _distinct(sequence: bytes) -> str:
        return "".join(sorted(set(sequence.decode("ascii").upper())))


DNA = Alphabet(
    name="dna",
    letters="ACGT",
    ambiguous="NURYSWKMBDHV-.",
    ambiguous_token=PAD,
    pad_letter="N",
)
"""A C G T are tokens 1 to 4, U is T; every other IUPAC letter, a gap included, is unknown: 0."""

PROTEIN = Alphabet(
    name="protein",
    letters="ACDEFGHIKLMNPQRSTVWYUX",
    ambiguous="BZJO*",
    ambiguous_token=22,
    pad_letter="-",
    never_only="ACGTUN",
)
"""The 20 amino acids, selenocysteine U and X are tokens 1 to 22; B, Z, J, O and the stop * are read as X."""

ALPHABETS = {alphabet.name: alphabet for alphabet in (DNA, PROTEIN)}
"""The alphabets of the sequences that a network's flows read."""


@dataclass(frozen=True)
class CodonAlphabet:
    """The 64 codons as tokens: three letters of DNA each, in frame."""

    name: str = "coding"
    codons: tuple[str, ...] = tuple(map("".join, product(DNA.letters, repeat=3)))
    """Token i + 1 is `codons[i]`; token 0 is padding, or a codon with a letter other than A, C, G and T."""

    @property
    def size(self) -> int:
        """The number of tokens, padding included."""
        return len(self.codons) + 1

    @property
    def letters(self) -> str:
        """The codons in their order, in one text."""
        return "".join(self.codons)

    def encode(
        self, sequence: bytes | str, *, file: str | PathLike[str] = "sequence", record: str | None = None
    ) -> np.ndarray:
        """Tokens of a coding sequence.

        >>> CODING.encode("AAAAACNNN").tolist()
        [1, 2, 0]

        Args:
            sequence: 3 n letters of DNA or RNA, from the first base of a codon on.
            file, record: where the sequence came from, for the error.

        Returns:
            Tokens, uint8 (n,), writeable.

        Raises:
            InputError: the length is no multiple of three, or a letter is foreign to DNA.
        """
        bases = DNA.encode(sequence, file=file, record=record)
        if len(bases) % 3:
            raise InputError(
                file, record=record, found=f"{len(bases):,} letters", expected="whole codons, a multiple of three"
            )
        first, second, third = bases.reshape(-1, 3).T
        tokens = 16 * first + 4 * second + third - 20  # A is 1, so that AAA would be 21
        tokens[(first == PAD) | (second == PAD) | (third == PAD)] = PAD
        return tokens

    def decode(self, tokens: np.ndarray) -> str:
        """Letters of tokens (n,); token 0 is NNN."""
        return "".join(("NNN", *self.codons)[token] for token in np.asarray(tokens).tolist())

    def to_dict(self) -> dict[str, Any]:
        """The alphabet as JSON can hold it."""
        return {"name": self.name, "letters": self.letters}


CODING = CodonAlphabet()
"""AAA, AAC, AAG, AAT, ACA ... TTT are the tokens 1 to 64: the order of DNA's tokens, A C G T."""

COMPLEMENT_TOKENS = bytes([0, 4, 3, 2, 1, *range(5, 256)])
"""256 bytes for `bytes.translate`: the token of the complementary base."""


_COMPLEMENT_LETTERS = bytes.maketrans(b"ACGTURYSWKMBDHVN", b"TGCAAYRSWMKVHDBN")


def reverse_complement_letters(letters: bytes) -> bytes:
    """The other strand of upper-case IUPAC letters of DNA or RNA, written as DNA; gaps stay gaps."""
    return letters.translate(_COMPLEMENT_LETTERS)[::-1]


def reverse_complement(tokens: np.ndarray) -> np.ndarray:
    """The other strand of DNA tokens, uint8 (..., n) -> uint8 (..., n); PAD stays PAD."""
    reversed_tokens = np.asarray(tokens, dtype=np.uint8)[..., ::-1]
    complement = bytearray(reversed_tokens.tobytes().translate(COMPLEMENT_TOKENS))
    return np.frombuffer(complement, dtype=np.uint8).reshape(reversed_tokens.shape)


def looks_like_protein(sequence: bytes) -> bool:
    """All letters are amino acids, and too few of them are nucleotides for a DNA with odd letters."""
    if sequence.translate(PROTEIN.table).find(_FOREIGN) >= 0:
        return False
    return len(sequence.translate(None, _NUCLEOTIDES)) > len(sequence) / 4
