"""The letters that stand for one another in a sequence that is explained: four bases, or twenty amino acids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seqexpr.models.config import Sequence
from seqexpr.sequences.alphabet import DNA, PAD, PROTEIN, Alphabet

_AMINO_ACIDS = 20


@dataclass(frozen=True)
class Letters:
    """What a kind of sequence is written in, and which of it substitutions put in."""

    input: Sequence
    """Which of a model's inputs is written so."""
    alphabet: Alphabet
    letters: str
    """Those that substitutions put in: the first of the alphabet, so that token i + 1 is `letters[i]`."""
    one: str
    """What one letter is called."""
    unknown: tuple[int, ...]
    """Tokens of letters that are not known, which nothing is put in for."""

    def known(self, tokens: np.ndarray) -> np.ndarray:
        """Which letters are known: uint8 (length,) -> bool (length,)."""
        return ~np.isin(tokens, self.unknown)

    def substitutions(self, tokens: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every other letter at places of a sequence, place by place in the order of `letters`.

        Args:
            tokens: uint8 (length,) of the sequence.
            places: int (m,) of known letters in it.

        Returns:
            int (n,) places and uint8 (n,) the tokens that are put in there: n = m x 3 for DNA; for proteins m x 19,
            and one more for each selenocysteine, which is none of the twenty.
        """
        which, rows = np.nonzero(self._tokens != tokens[places, None])
        return places[which], self._tokens[rows]

    def count(self, tokens: np.ndarray) -> np.ndarray:
        """How many substitutions there are of each letter, were it known: uint8 (length,) -> int (length,)."""
        return len(self.letters) - np.isin(tokens, self._tokens).astype(int)

    @cached_property
    def _tokens(self) -> np.ndarray:
        return np.arange(1, len(self.letters) + 1, dtype=np.uint8)


BASES = Letters("dna", DNA, DNA.letters, "base", (PAD,))

RESIDUES = Letters("protein", PROTEIN, PROTEIN.letters[:_AMINO_ACIDS], "residue", (PAD, PROTEIN.ambiguous_token))

LETTERS: dict[Sequence, Letters] = {kind.input: kind for kind in (BASES, RESIDUES)}
"""By the input of a model."""
