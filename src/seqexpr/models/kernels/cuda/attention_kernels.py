"""Triton source of the attention over letters: a part of a window, and the parts together.

What it costs, for 128 latents, rows of 32 numbers and a window of 10,500 letters: 2 x 2 x 128 x 10,500 x 32 = 172
million operations in matrix products and 1.34 million exponentials, against 10.5 kB of letters and 11 kB of mask from
memory, 672 kB of rows in fp16 from the second-level cache (the table of 5 letters has 3.4 MB and stays there), and 54
kB of partial sums written and read. The floor is the exponentials: at 16 a cycle, 132 multiprocessors of 1.7 GHz need
0.37 microseconds a window, as against 0.2 for the products at 800 TFLOP/s.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _step(
    largest,
    total,
    sums,
    start,
    query,
    table,
    tokens,
    attended,
    letters,
    vocabulary,
    log2_scale,
    MASKED: tl.constexpr,
    HAS_MASK: tl.constexpr,
    BLOCK: tl.constexpr,
    WIDTH: tl.constexpr,
    OPERAND: tl.constexpr,
    INPUT_PRECISION: tl.constexpr,
):
    """The softmax over `BLOCK` more letters: largest logit, sum of weights (latents), sums of rows (latents, WIDTH)."""
    position = start + tl.arange(0, BLOCK)
    column = tl.arange(0, WIDTH)
    if MASKED:
        inside = position < letters
        letter = tl.load(tokens + position, mask=inside, other=0)
        row = position * vocabulary + tl.minimum(letter.to(tl.int32), vocabulary - 1)
        rows = tl.load(table + row[:, None] * WIDTH + column[None, :], mask=inside[:, None], other=0.0)
        taking_part = inside
        if HAS_MASK:
            taking_part = tl.load(attended + position, mask=inside, other=0) != 0
    else:
        letter = tl.load(tokens + position)
        row = position * vocabulary + tl.minimum(letter.to(tl.int32), vocabulary - 1)
        rows = tl.load(table + row[:, None] * WIDTH + column[None, :])
    rows = rows.to(OPERAND)
    logits = tl.dot(query, tl.trans(rows), input_precision=INPUT_PRECISION)
    if MASKED:
        logits = tl.where(taking_part[None, :], logits, float("-inf"))
    grown = tl.maximum(largest, tl.max(logits, 1) * log2_scale)
    pivot = grown
    if MASKED:  # nothing has taken part so far: -inf less -inf is no number
        pivot = tl.where(grown == float("-inf"), 0.0, grown)
    weights = tl.exp2(logits * log2_scale - pivot[:, None])
    kept = tl.exp2(largest - pivot)
    total = total * kept + tl.sum(weights, 1)
    sums = tl.dot(weights.to(OPERAND), rows, sums * kept[:, None], input_precision=INPUT_PRECISION)
    return grown, total, sums


@triton.jit
def attend_part(
    query,
    table,
    tokens,
    attended,
    whole,
    part_largest,
    part_total,
    part_sums,
    letters,
    vocabulary,
    log2_scale,
    HAS_MASK: tl.constexpr,
    PART: tl.constexpr,
    BLOCK: tl.constexpr,
    LATENTS: tl.constexpr,
    WIDTH: tl.constexpr,
    OPERAND: tl.constexpr,
    INPUT_PRECISION: tl.constexpr,
):
    """One program, one part of one window: the softmax over its letters, not divided by the sum of weights.

    Args:
        query: float32 (windows, LATENTS, WIDTH).
        table: OPERAND (letters, vocabulary, WIDTH).
        tokens: uint8 (windows, letters).
        attended: uint8 (windows, letters), 0 = no part in the softmax; not read without HAS_MASK.
        whole: uint8 (windows,), 1 = all letters take part; not read without HAS_MASK.
        part_largest: float32 (windows, parts, LATENTS): the largest logit, times `log2_scale`; -inf where no letter
            takes part.
        part_total: likewise: the sum of weights 2^(logit - largest).
        part_sums: float32 (windows, parts, LATENTS, WIDTH): the rows times their weights.
        log2_scale: what logits are multiplied by, times log2(e); positive.
    """
    window = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    parts = tl.num_programs(1)
    latent = tl.arange(0, LATENTS)
    column = tl.arange(0, WIDTH)
    cell = latent[:, None] * WIDTH + column[None, :]
    asked = tl.load(query + window * LATENTS * WIDTH + cell).to(OPERAND)
    tokens += window * letters
    if HAS_MASK:
        attended += window * letters

    largest = tl.full((LATENTS,), float("-inf"), tl.float32)
    total = tl.zeros((LATENTS,), tl.float32)
    sums = tl.zeros((LATENTS, WIDTH), tl.float32)
    first = part * PART
    end = tl.minimum(first + PART, letters)
    full = first + (end - first) // BLOCK * BLOCK
    unmasked = True
    if HAS_MASK:
        unmasked = tl.load(whole + window) != 0
    if unmasked:
        for start in range(first, full, BLOCK):
            largest, total, sums = _step(
                largest, total, sums, start, asked, table, tokens, attended, letters, vocabulary, log2_scale,
                False, HAS_MASK, BLOCK, WIDTH, OPERAND, INPUT_PRECISION,
            )  # fmt: skip
    else:
        for start in range(first, full, BLOCK):
            largest, total, sums = _step(
                largest, total, sums, start, asked, table, tokens, attended, letters, vocabulary, log2_scale,
                True, HAS_MASK, BLOCK, WIDTH, OPERAND, INPUT_PRECISION,
            )  # fmt: skip
    if full < end:
        largest, total, sums = _step(
            largest, total, sums, full, asked, table, tokens, attended, letters, vocabulary, log2_scale,
            True, HAS_MASK, BLOCK, WIDTH, OPERAND, INPUT_PRECISION,
        )  # fmt: skip

    place = (window * parts + part) * LATENTS
    tl.store(part_largest + place + latent, largest)
    tl.store(part_total + place + latent, total)
    tl.store(part_sums + place * WIDTH + cell, sums)


@triton.jit
def join(
    part_largest, part_total, part_sums, output, parts, PARTS: tl.constexpr, LATENTS: tl.constexpr, WIDTH: tl.constexpr
):
    """One program, one window: output (windows, LATENTS, WIDTH) from what `attend_part` left; PARTS is a power of 2
    that is not below `parts`."""
    window = tl.program_id(0).to(tl.int64)
    latent = tl.arange(0, LATENTS)
    column = tl.arange(0, WIDTH)
    cell = latent[:, None] * WIDTH + column[None, :]
    part = tl.arange(0, PARTS)
    place = (window * parts + part[:, None]) * LATENTS + latent[None, :]
    largest = tl.max(tl.load(part_largest + place, mask=part[:, None] < parts, other=float("-inf")), 0)
    total = tl.zeros((LATENTS,), tl.float32)
    sums = tl.zeros((LATENTS, WIDTH), tl.float32)
    for number in range(parts):
        place_of_part = (window * parts + number) * LATENTS
        weight = tl.exp2(tl.load(part_largest + place_of_part + latent) - largest)
        total += weight * tl.load(part_total + place_of_part + latent)
        sums += weight[:, None] * tl.load(part_sums + place_of_part * WIDTH + cell)
    tl.store(output + window * LATENTS * WIDTH + cell, sums / total[:, None])
