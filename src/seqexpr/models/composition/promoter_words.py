"""Words that promoters are rich in: what a change of a few letters near the TSS does.

Networks that learn levels rank genes far better than mutations: between genes, single sites hardly show. But the sites
of general transcription factors are words that stand near TSSs far more often than the composition of promoters lets
expect (FitzGerald et al. 2004), and changing one of them costs expression. So words are counted, without any label, in
the promoters that a network is trained on; each word's score is the logarithm of observed over expected.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqexpr.models.composition.row_sums import exact_sum
from seqexpr.models.composition.words import DNA_LETTERS, word_codes
from seqexpr.models.config import PROMOTER, PROMOTER_WORD

READ = (300, 150)
"""Bases up- and downstream of the TSS whose words are scored: few sites lie further away."""

_CONTEXT = 3
"""Letters whose shares give what is expected of a word: each letter follows from the two before it."""

_PSEUDO = 32.0
"""Added to observed and expected counts: what rare words seem to say is chance."""


class PromoterWords(nn.Module):
    """Scores of the words near the TSS -> an addend for each output, the same share of each label's spread.

    All tensors are set by `fit`; before that the addend is zero.
    """

    scores: Tensor
    """float32 (4**8, 1): of words in lexicographic order of A C G T"""
    mean: Tensor
    """float32 (1,): of the training genes' sums of scores; likewise sd"""
    sd: Tensor
    weight: Tensor
    """float32 (outputs,): what one standard deviation of the sum adds"""

    def __init__(self, upstream: int, weight: float, outputs: int) -> None:
        """Make it without scores.

        Args:
            upstream: where the TSS boundary lies in windows.
            weight: of each output.
            outputs: how many.
        """
        super().__init__()
        self.upstream = upstream
        self.register_buffer("scores", torch.zeros(DNA_LETTERS**PROMOTER_WORD, 1))
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("sd", torch.ones(1))
        self.register_buffer("weight", torch.full((outputs,), weight))

    @property
    def is_fitted(self) -> bool:
        """Whether words have scores."""
        return bool(self.scores.any())

    def forward(self, windows: Tensor) -> Tensor:
        """uint8 (batch, upstream + downstream) -> (batch, outputs); words with unknown letters count nothing."""
        sums = _sums(_near(windows, self.upstream, READ), self.scores)
        return (sums - self.mean) / self.sd * self.weight

    @torch.no_grad()
    def fit(self, windows: Tensor, upstream: int) -> None:
        """Score the words of these promoters, and learn what sums are usual.

        Args:
            windows: uint8 (genes, letters) of the training genes, on the CPU, as wide as `READ` where the network's
                windows are.
            upstream: where the TSS boundary lies in them.
        """
        counted = _near(windows, upstream, PROMOTER)
        observed, expected = _both_strands(counted, PROMOTER_WORD), _expected(counted)
        scores = ((observed + _PSEUDO) / (expected + _PSEUDO)).log().float()[:, None]
        sums = _sums(_near(windows, upstream, READ), scores).double()
        self.scores.copy_(scores)
        self.mean.fill_(float(sums.mean()))
        self.sd.fill_(float(sums.std(correction=0)) or 1.0)


def _near(windows: Tensor, upstream: int, reach: tuple[int, int]) -> Tensor:
    """The bases of windows that are so near the TSS up- and downstream."""
    return windows[:, max(upstream - reach[0], 0) : upstream + reach[1]]


def _sums(near: Tensor, scores: Tensor) -> Tensor:
    """uint8 (batch, letters) -> float32 (batch, 1)"""
    with_unknown = torch.cat([scores[:, 0], scores.new_zeros(1)])
    return exact_sum(with_unknown[word_codes(near, range(PROMOTER_WORD), DNA_LETTERS)]).to(scores.dtype)


def _both_strands(tokens: Tensor, length: int) -> Tensor:
    """How often each word occurs on either strand of all rows: float64 (4**length,)."""
    codes = word_codes(tokens, range(length), DNA_LETTERS)
    counts = torch.bincount(codes.flatten(), minlength=DNA_LETTERS**length + 1)[:-1].double()
    return counts + _reverse_complements(counts, length)


def _reverse_complements(values: Tensor, length: int) -> Tensor:
    """The values of the words' reverse complements, (4**length,) each: A C G T backwards is T G C A."""
    backwards = values.reshape((DNA_LETTERS,) * length).permute(*reversed(range(length)))
    return backwards.flip(tuple(range(length))).flatten()


def _expected(tokens: Tensor) -> Tensor:
    """How often each word would occur if each letter followed from the two before it alone: float64 (4**8,)."""
    triples = _both_strands(tokens, _CONTEXT) + 1
    triples = triples.reshape((DNA_LETTERS,) * _CONTEXT) / triples.sum()
    following = triples / triples.sum(dim=-1, keepdim=True)
    chances = triples
    for _ in range(PROMOTER_WORD - _CONTEXT):
        chances = chances[..., None] * following
    chances = chances.flatten()
    chances = chances + _reverse_complements(chances, PROMOTER_WORD)  # read from either end, which differs by a little
    return chances / chances.sum() * _both_strands(tokens, PROMOTER_WORD).sum()
