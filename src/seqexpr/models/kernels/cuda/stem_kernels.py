"""Triton source of the stem stage.

What it costs, for 64 channels, a kernel of 15 letters of 4 kinds and a pool of 12: a window of 10,500 letters has three
products of (10,500, 64) with (64, 64), 258 million operations (one-hot letters fill 60 of the first one's 64 columns),
and 672,000 each of error functions, which have an exponential in them, and of exponentials in the softmax, against 10.5
kB of letters and 224 kB of output. The floor is their sum, for they share the issue slots: 0.32 microseconds for the
products at 800 TFLOP/s; 0.36 for 1.34 million exponentials at 16 a cycle, 132 multiprocessors of 1.7 GHz; the error
function's polynomial, some 25 operations, as long as 0.58 at 128 a cycle.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _add_taps(
    x,
    taps,
    place,
    tokens,
    before,
    position,
    inside,
    letters,
    KINDS: tl.constexpr,
    KERNEL: tl.constexpr,
    OPERAND: tl.constexpr,
    INPUT_PRECISION: tl.constexpr,
):
    """x (GROUPS, CHANNELS) with what some places in the convolution's kernel, times kinds of letters, add at a position
    of each group: `taps` (COLUMNS, CHANNELS) are their weights, `place` (COLUMNS,) their numbers."""
    seen = position[:, None] + (place // KINDS - KERNEL // 2)[None, :]
    there = inside[:, None] & (seen >= 0) & (seen < letters) & (place < KERNEL * KINDS)[None, :]
    letter = tl.load(tokens + (before[:, None] + seen), mask=there, other=0).to(tl.int32)
    one_hot = (letter == (place % KINDS + 1)[None, :]).to(OPERAND)
    return tl.dot(one_hot, taps, x, input_precision=INPUT_PRECISION)


@triton.jit
def stem_groups(
    tokens,
    stem,
    residual,
    logits,
    stem_bias,
    scale,
    shift,
    residual_bias,
    output,
    letters,
    groups,
    total_groups,
    KINDS: tl.constexpr,
    KERNEL: tl.constexpr,
    POOL: tl.constexpr,
    CHUNKS: tl.constexpr,
    COLUMNS: tl.constexpr,
    GROUPS: tl.constexpr,
    CHANNELS: tl.constexpr,
    OPERAND: tl.constexpr,
    INPUT_PRECISION: tl.constexpr,
):
    """One program, `GROUPS` groups of `POOL` letters: letter after letter of all groups at once, so that the softmax
    over a group's letters runs along the loop, in registers.

    Args:
        tokens: uint8 (windows, letters), 0 = padding.
        stem: OPERAND (CHUNKS x COLUMNS, CHANNELS), a row for each place in the kernel and kind of letter, zeros behind.
        residual: OPERAND (CHANNELS, CHANNELS), from inputs (rows) to outputs.
        logits: likewise, times log2(e).
        stem_bias, scale, shift, residual_bias: float32 (CHANNELS,).
        output: float32 (windows, groups, CHANNELS).
        groups: in a window.
        total_groups: in all windows.
    """
    group = tl.program_id(0) * GROUPS + tl.arange(0, GROUPS)
    inside = group < total_groups
    window = group // groups
    first = (group - window * groups) * POOL
    before = window * letters
    column = tl.arange(0, COLUMNS)
    channel = tl.arange(0, CHANNELS)
    matrix = channel[:, None] * CHANNELS + channel[None, :]
    to_residual = tl.load(residual + matrix)
    to_logits = tl.load(logits + matrix)
    bias = tl.load(stem_bias + channel)
    scaled = tl.load(scale + channel)
    shifted = tl.load(shift + channel)
    added = tl.load(residual_bias + channel)
    if CHUNKS == 1:
        taps = tl.load(stem + column[:, None] * CHANNELS + channel[None, :])

    largest = tl.full((GROUPS, CHANNELS), float("-inf"), tl.float32)
    total = tl.zeros((GROUPS, CHANNELS), tl.float32)
    sums = tl.zeros((GROUPS, CHANNELS), tl.float32)
    for letter_of_group in range(POOL):
        x = tl.zeros((GROUPS, CHANNELS), tl.float32) + bias[None, :]
        position = first + letter_of_group
        if CHUNKS == 1:
            x = _add_taps(x, taps, column, tokens, before, position, inside, letters, KINDS, KERNEL, OPERAND,
                          INPUT_PRECISION)  # fmt: skip
        else:
            for chunk in range(CHUNKS):
                place = chunk * COLUMNS + column
                taps = tl.load(stem + place[:, None] * CHANNELS + channel[None, :])
                x = _add_taps(x, taps, place, tokens, before, position, inside, letters, KINDS, KERNEL, OPERAND,
                              INPUT_PRECISION)  # fmt: skip
        normal = x * scaled[None, :] + shifted[None, :]
        activated = 0.5 * normal * (1.0 + tl.erf(normal * 0.7071067811865476))
        x = tl.dot(activated.to(OPERAND), to_residual, x + added[None, :], input_precision=INPUT_PRECISION)
        logit = tl.dot(x.to(OPERAND), to_logits, input_precision=INPUT_PRECISION)
        rises = logit > largest  # one exponential: either the new weight is 1, or the old ones are kept
        smaller = tl.exp2(-tl.abs(logit - largest))
        kept = tl.where(rises, smaller, 1.0)
        weight = tl.where(rises, 1.0, smaller)
        largest = tl.where(rises, logit, largest)
        total = total * kept + weight
        sums = sums * kept + weight * x
    cell = group.to(tl.int64)[:, None] * CHANNELS + channel[None, :]
    tl.store(output + cell, sums / total, mask=inside[:, None])
