"""How many floating-point operations a gene costs, by formula, as written plainly and as the same mathematics allows.

A multiplication and an addition are two operations, and only sums of products are counted (matrix products,
convolutions, attention); where a table look-up takes their place, its additions.

plain:    everything as `plain_perceiver` writes it: keys and values projected, all padding computed.
reduced:  what no form of the same network avoids that uses these three: the key projection folded into the query and
          the value projection into the output, so that attention runs at the context's own width; the stem as a sum of
          rows from tables of words, since a letter is no number; nothing computed behind a sequence's end.

Neither counts exponentials, error functions, normalisations, or the bytes that are moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from seqexpr.models.config import PerceiverConfig
from seqexpr.sequences.alphabet import ALPHABETS

WORD = {"dna": 5, "protein": 2}
"""Letters of a word whose contribution to the stem one look-up brings: 3,125 rows of DNA, 529 of proteins."""


@dataclass(frozen=True)
class Flops:
    """Operations of one gene."""

    forward: float
    stem: float
    """The part of them in the stem, which has no input to pass a gradient to."""

    @property
    def training(self) -> float:
        """Forward, then the gradients of inputs and of weights, each as much again; the stem's input has none."""
        return 3 * self.forward - self.stem


def plain_flops(config: PerceiverConfig) -> Flops:
    """Of the plain form, whose cost does not depend on the sequences."""
    stem_inputs = ALPHABETS[config.query_input].size - 1
    stem = 2.0 * config.query_length * stem_inputs * config.stem_kernel * config.stem_channels
    return Flops(_latent_flow(config, config.latent_length, folded=False) + stem + _tower_flow(config), stem)


def reduced_flops(config: PerceiverConfig, latent_letters: int, query_letters: int) -> Flops:
    """Of the reduced form, for sequences of so many letters."""
    latent_letters = min(latent_letters, config.latent_length)
    reached = min(config.query_length, query_letters + config.stem_kernel // 2)
    look_ups = -(-config.stem_kernel // WORD[config.query_input])
    stem = float(reached * (look_ups - 1) * config.stem_channels)
    return Flops(_latent_flow(config, latent_letters, folded=True) + stem + _tower_flow(config, query_letters), stem)


def scan_flops(config: PerceiverConfig, step: int, positions: int) -> float:
    """Of one window of a scan, when the windows at so many neighbouring positions share what they can.

    The stem and the first block of the tower are computed once for each start modulo the stem's pooling, over all
    letters of these windows; pooling after the block once for each start modulo both. The queries of the first
    cross-attention are the same for all windows: the logits of every letter at every position are a table, which is
    computed once for all. A window's ends, computed by themselves, are left out: 1 % of its letters.
    """
    length, phases = config.query_length, config.stem_pool // math.gcd(step, config.stem_pool)
    both = config.stem_pool * config.tower_pool
    shifts = both // math.gcd(step, both) // phases
    share = (length + (positions - 1) * step) / positions / length  # letters of the stretch, by window and its letters
    whole = reduced_flops(config, config.latent_length, length)
    stem = whole.stem + _residual_and_pool(length, length, config.stem_pool, config.stem_channels)
    pooled, channels = length // config.stem_pool, config.tower_channels[0]
    convolved = 2.0 * pooled * (config.stem_channels * config.tower_kernel + channels) * channels
    pool = 2.0 * pooled * channels * channels
    logits = 2.0 * config.latents * config.latent_length * config.embedding_dim
    left = whole.forward - stem - convolved - pool - logits
    return left + share * phases * (stem + convolved + shifts * pool)


def mean_reduced_flops(config: PerceiverConfig, protein_lengths: Sequence[int]) -> Flops:
    """The mean over genes with windows of full length and these proteins, where the network reads any."""
    lengths: Iterable[int] = protein_lengths if config.reads_protein else (0,)
    window = config.window_length
    costs = [
        reduced_flops(
            config,
            window if config.latent_input == "dna" else length,
            window if config.query_input == "dna" else length,
        )
        for length in lengths
    ]
    count = len(costs)
    return Flops(sum(cost.forward for cost in costs) / count, sum(cost.stem for cost in costs) / count)


def least_bytes(config: PerceiverConfig, letters: float) -> float:
    """Bytes that a gene brings through memory at least: its letters, half-life features and outputs.

    The weights, 3 MB, and all that lies between then stay in caches. So few bytes for so many operations: only a form
    that writes its activations to memory is bound by memory.
    """
    return letters + 4 * (8 * config.reads_half_life + config.outputs)


def _latent_flow(config: PerceiverConfig, letters: int, *, folded: bool) -> float:
    """The latents' blocks and the decoder, which attends to them."""
    width, latents, context = config.latent_width, config.latents, config.embedding_dim
    blocks = config.depth * (
        _cross_attention(latents, width, letters, context, config.cross_head_dim, folded)
        + 2 * _feed_forward(latents, width, config.feed_forward_factor)
        + _self_attention(latents, width, config.self_heads * config.self_head_dim)
    )
    decoder = _cross_attention(1, config.query_dim, latents, width, config.cross_head_dim, folded)
    return blocks + decoder + 2.0 * width * config.query_dim + 2.0 * 2 * config.query_dim * config.outputs


def _cross_attention(queries: int, width: int, letters: int, context: int, head: int, folded: bool) -> float:
    ends = 2 * 2.0 * queries * width * head  # to the query, and from what was attended to the output
    if folded:
        return ends + 2 * 2.0 * queries * head * context + 2 * 2.0 * queries * letters * context
    return ends + 2 * 2.0 * letters * context * head + 2 * 2.0 * queries * letters * head


def _self_attention(latents: int, width: int, inner: int) -> float:
    return 2.0 * latents * width * 4 * inner + 2 * 2.0 * latents * latents * inner


def _feed_forward(latents: int, width: int, factor: int) -> float:
    return 2.0 * latents * width * 3 * factor * width  # values and gates out, one of both back


def _tower_flow(config: PerceiverConfig, letters: int | None = None) -> float:
    """What follows the stem, of a sequence of `letters`, or of the whole length, and the query's linear layer."""
    length = config.query_length
    reached = length if letters is None else min(length, letters + config.stem_kernel // 2)
    widths = (config.stem_channels, *config.tower_channels)
    total = _residual_and_pool(reached, length, config.stem_pool, widths[0])
    pool = config.stem_pool
    for inputs, outputs in pairwise(widths):
        length //= pool
        reached = min(length, -(-reached // pool) + config.tower_kernel // 2)
        pool = config.tower_pool
        total += 2.0 * reached * inputs * config.tower_kernel * outputs
        total += _residual_and_pool(reached, length, pool, outputs)
    return total + 2.0 * config.query_features * config.query_dim


def _residual_and_pool(reached: int, length: int, pool: int, channels: int) -> float:
    """Two maps of the channels; the second leaves out the right edge that pooling drops."""
    return 2.0 * channels * channels * (reached + min(reached, length // pool * pool))
