"""Where along a DNA window its composition changes: GC content, CpG and strand asymmetries in bins around the TSS.

CpG islands end somewhere, and transcription leaves asymmetries between the strands behind the TSS (Touchon et al.
2003); words of a whole window do not say where.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from seqexpr.models.composition.words import dna_composition
from seqexpr.sequences.alphabet import DNA

BIN, FINE_BIN = 500, 50
"""Bases of a bin, of the whole window and near the TSS. A bin ends at the TSS boundary and the next begins there."""

FINE_REACH = 400
"""Bases up and downstream of the TSS that have fine bins."""

PER_BIN = 4
"""Numbers of a bin."""

_A, _C, _G, _T = (int(token) for token in DNA.encode("ACGT"))


def profile_columns(upstream: int, downstream: int) -> tuple[int, int]:
    """Numbers that `dna_profile` gives of such a window: of the bins, and of the fine bins."""
    bins = math.ceil(upstream / BIN) + math.ceil(downstream / BIN)
    fine = sum(math.ceil(min(side, FINE_REACH) / FINE_BIN) for side in (upstream, downstream))
    return PER_BIN * bins, PER_BIN * fine


def dna_words_and_profile(windows: Tensor, upstream: int) -> Tensor:
    """What the kernel flow and the baselines read of DNA: `dna_composition`, then `dna_profile`, from the same."""
    return torch.cat([dna_composition(windows, upstream), dna_profile(windows, upstream)], dim=1)


def dna_profile(windows: Tensor, upstream: int) -> Tensor:
    """Composition in bins along the window.

    Args:
        windows: uint8 (n, length), 1 to 4, 0 = unknown.
        upstream: where the TSS boundary lies in them.

    Returns:
        float32 (n, sum of `profile_columns`), the bins' from upstream to downstream, then the fine bins'. Of each:
        share of G and C, CpG pairs for each known base, (G - C) and (A - T) for each known base.
    """
    first, last = max(upstream - FINE_REACH, 0), upstream + FINE_REACH
    return torch.cat(
        [_in_bins(windows, upstream, BIN), _in_bins(windows[:, first:last], upstream - first, FINE_BIN)], dim=1
    )


def _in_bins(windows: Tensor, upstream: int, size: int) -> Tensor:
    """The numbers of all bins, (n, bins x PER_BIN)."""
    downstream = windows.shape[1] - upstream
    padded = functional.pad(windows, (-upstream % size, -downstream % size))
    a, c, g, t = (padded == token for token in (_A, _C, _G, _T))
    pairs = functional.pad(c[:, :-1] & g[:, 1:], (0, 1))

    def counted(where: Tensor) -> Tensor:
        return where.unflatten(1, (-1, size)).sum(dim=2).float()

    # One more base of even composition in each bin: a bin without a known base is like the average of all.
    known = counted(padded > 0) + 1
    both, cpg = counted(c | g) + 0.5, counted(pairs) + 1 / 16
    of_bins = (both, cpg, counted(g) - counted(c), counted(a) - counted(t))
    return torch.stack([part / known for part in of_bins], dim=2).flatten(1)
