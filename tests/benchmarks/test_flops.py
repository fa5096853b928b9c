from __future__ import annotations

import pytest
import torch
from benchmarks.flops import least_bytes, mean_reduced_flops, plain_flops, reduced_flops, scan_flops
from benchmarks.plain_perceiver import PlainPerceiver
from torch.utils.flop_counter import FlopCounterMode

from seqexpr.models.config import PRESETS, PerceiverConfig
from seqexpr.models.perceiver import Perceiver


def test_dna_perceiver_by_hand() -> None:
    """Two operations for each product of a sum; letters, latents and widths as in SPEC's first row."""
    letters, latents, width = 10_500, 128, 136
    encoder = 2 * 2 * (letters * 32 * 64 + latents * letters * 64 + latents * width * 64)
    self_attention = 2 * latents * width * 3 * 128 + 2 * 2 * latents * latents * 128 + 2 * latents * 128 * width
    feed_forwards = 2 * 2 * latents * (width * 4 * width + 2 * width * width)
    stem = 2 * letters * 15 * 4 * 64
    first_pool = 2 * 2 * letters * 64 * 64
    blocks = 2 * (875 * 5 * 64 * 46 + 875 * 46 * 46 + 870 * 46 * 46)  # 870 = 145 x 6: the rest is dropped
    blocks += 2 * (145 * 5 * 46 * 32 + 145 * 32 * 32 + 144 * 32 * 32)
    query = 2 * (24 * 32 + 8) * 64
    decoder = 2 * 2 * (latents * width * 64 + latents * 64 + 64 * 64)
    ends = 2 * width * 64 + 2 * 128
    total = encoder + self_attention + feed_forwards + stem + first_pool + blocks + query + decoder + ends
    plain = plain_flops(PerceiverConfig.from_preset("dna-perceiver"))
    assert plain.forward == total == 810_736_264
    assert plain.stem == stem == 80_640_000
    assert plain.training == 3 * total - stem == 2_351_568_792


def test_dna_perceiver_reduced_by_hand() -> None:
    """Against the plain form: attention at the context's 32, no keys and values of 64, a stem of two additions."""
    latents, letters = 128, 10_500
    config = PerceiverConfig.from_preset("dna-perceiver")
    reduced = reduced_flops(config, letters, letters)
    saved = 2 * 2 * letters * 32 * 64  # keys and values are not projected
    saved += 2 * 2 * latents * letters * 32  # logits and what is attended to, at half the width
    saved -= 2 * 2 * latents * 64 * 32  # but queries and what was attended to are
    saved += 2 * 2 * (128 * 136 * 64 + 128 * 64) - 2 * 2 * (64 * 136 + 128 * 136)  # the same in the decoder
    saved += 80_640_000 - letters * 2 * 64
    assert reduced.forward == 810_736_264 - saved == 470_056_072
    assert reduced.stem == letters * 2 * 64


@pytest.mark.parametrize("preset", PRESETS)
def test_plain_operations_are_those_that_torch_counts(preset: str) -> None:
    config = PerceiverConfig.from_preset(preset, outputs=2)
    plain = PlainPerceiver.of(Perceiver(config))
    tokens = [torch.ones(1, length, dtype=torch.uint8) for length in (config.latent_length, config.query_length)]
    with FlopCounterMode(display=False) as forward:
        outputs = plain(*tokens)
    with FlopCounterMode(display=False) as backward:
        outputs.sum().backward()
    expected = plain_flops(config)
    assert forward.get_total_flops() == expected.forward
    assert forward.get_total_flops() + backward.get_total_flops() == expected.training


def test_nothing_is_computed_behind_a_protein() -> None:
    config = PerceiverConfig.from_preset("protein-perceiver")
    short, full, longer = (reduced_flops(config, letters, letters) for letters in (415, 6_000, 9_000))
    assert longer == full
    assert short.stem == (415 + 7) * 7 * 64  # half a kernel further; 8 words of two letters
    assert short.forward < full.forward / 3 < plain_flops(config).forward / 3
    # The latents attend to each letter; the tower's stages reach so many positions, with and without a protein: half a
    # kernel behind its letters, then a tenth and two more, then a fifth and two more.
    assert reduced_flops(config, 415, 0).forward - reduced_flops(config, 0, 0).forward == 2 * 2 * 128 * 415 * 32
    at_stem, at_first, at_second = 422 - 7, 45 - 3, 11 - 3
    tower = (7 * 64 + 2 * 2 * 64 * 64) * at_stem
    tower += 2 * (5 * 64 * 46 + 2 * 46 * 46) * at_first + 2 * (5 * 46 * 32 + 2 * 32 * 32) * at_second
    assert short.forward - reduced_flops(config, 415, 0).forward == tower


def test_the_mean_over_genes() -> None:
    config = PerceiverConfig.from_preset("protein-dna-perceiver")
    each = [reduced_flops(config, length, 8_000).forward for length in (100, 500)]
    assert mean_reduced_flops(config, [100, 500]).forward == pytest.approx(sum(each) / 2)
    dna = PerceiverConfig.from_preset("dna-perceiver")
    assert mean_reduced_flops(dna, [100, 500]) == reduced_flops(dna, 10_500, 10_500)


def test_the_fewest_bytes() -> None:
    assert least_bytes(PerceiverConfig.from_preset("dna-perceiver"), 10_500) == 10_500 + 4 * 9


def test_what_windows_share_is_counted_once() -> None:
    config = PerceiverConfig.from_preset("dna-perceiver")
    whole, logits = reduced_flops(config, 10_500, 10_500).forward, 2 * 128 * 10_500 * 32
    alone = scan_flops(config, 432, 1)  # starts that are all alike, and nothing to share but the table of logits
    assert alone == pytest.approx(whole - logits, rel=1e-3)
    far = scan_flops(config, 10_500, 1_000)  # windows that do not overlap, with three kinds of starts modulo 12
    assert far > alone > 2 * scan_flops(config, 432, 1_000)
