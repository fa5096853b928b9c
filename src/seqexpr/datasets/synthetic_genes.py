"""Random genes for synthetic datasets: their sequences and features, and what in them counts for the planted signal.

- DNA, one of two: activator motifs minus repressor motifs, each copy weighted by its nearness to the TSS; or the GC
  content. Latents attend to letters and their places, not to words, so a network whose latents alone read the DNA can
  learn the second, but not the first.
- protein: the share of aliphatic residues minus the share of charged ones.
- half-life: the exon density minus the 3'UTR length, as z-scores, a missing value being the mean.
"""

from __future__ import annotations

import numpy as np

from seqexpr.datasets.half_life import FEATURES, HalfLifeSchema
from seqexpr.sequences.alphabet import DNA, PROTEIN

DNA_SIGNALS = ("motifs", "gc")
ACTIVATOR = b"GGGCGG"  # the GC box, bound by SP1
REPRESSOR = b"ATTTAA"
ALIPHATIC = b"AILV"
CHARGED = b"DEKR"
SHORTEST_PROTEIN = 100

_ACTIVATOR = DNA.encode(ACTIVATOR)
_REPRESSOR = DNA.encode(REPRESSOR)
_GC = DNA.encode(b"GC")
_GC_SD = 0.08  # from gene to gene
_MEAN_COPIES = 8.0  # planted copies of each motif in a window, on average


def random_promoter(random: np.random.Generator, length: int, margin: int, signal: str) -> np.ndarray:
    """Random letters, uint8 (margin + length + margin,), with what the signal needs to differ widely between genes.

    "gc": a GC content of the gene's own. "motifs": each motif planted some times within the `length` bases.
    """
    if signal == "gc":
        content = np.clip(random.normal(0.5, _GC_SD), 0.1, 0.9)
        shares = [(1 - content) / 2, content / 2, content / 2, (1 - content) / 2]
        return random.choice(np.arange(1, 5, dtype=np.uint8), size=length + 2 * margin, p=shares)
    dna = random.integers(1, 5, size=length + 2 * margin, dtype=np.uint8)
    for motif in (_ACTIVATOR, _REPRESSOR):
        room = length - len(motif)
        if room > 0:
            copies = random.poisson(random.gamma(2.0, _MEAN_COPIES / 2))
            for start in margin + random.integers(0, room, size=copies):
                dna[start : start + len(motif)] = motif
    return dna


def random_protein(random: np.random.Generator, protein_length: int) -> np.ndarray:
    """A protein, uint8 (residues,), of random length whose mix of aliphatic and charged residues is its own."""
    length = int(random.integers(SHORTEST_PROTEIN, protein_length + 1))
    shares = np.ones(20)
    aliphatic, charged = np.exp(0.5 * random.normal(size=2))
    shares[PROTEIN.encode(ALIPHATIC).astype(int) - 1] *= aliphatic
    shares[PROTEIN.encode(CHARGED).astype(int) - 1] *= charged
    return random.choice(np.arange(1, 21, dtype=np.uint8), size=length, p=shares / shares.sum())


def random_half_life(random: np.random.Generator, genes: int, missing: float) -> np.ndarray:
    """Raw features (genes, 8) with medians and spreads like those of human genes; `missing` of them are NaN."""
    lengths = {
        "utr5_len": 150,
        "cds_len": 1300,
        "intron_len": 20_000,
        "utr3_len": 1000,
        "orf_exon_density": 5,
    }
    raw = np.empty((genes, len(FEATURES)))
    for column, name in enumerate(FEATURES):
        if name in lengths:
            raw[:, column] = lengths[name] * np.exp(0.7 * random.normal(size=genes))
        else:
            raw[:, column] = random.beta(20, 20, size=genes)
    raw[random.random(raw.shape) < missing] = np.nan
    return raw


def dna_score(window: np.ndarray, upstream: int, signal: str) -> float:
    """What counts in a window, uint8 (length,).

    "motifs": activators minus repressors, 1 a copy at the TSS, 0.5 at the far end. "gc": the share of G and C.
    """
    if signal == "gc":
        return float(np.isin(window, _GC).mean())
    return _weighted_copies(window, _ACTIVATOR, upstream) - _weighted_copies(window, _REPRESSOR, upstream)


def protein_score(protein: np.ndarray) -> float:
    """The share of aliphatic residues minus the share of charged ones, of uint8 (residues,)."""
    aliphatic = np.isin(protein, PROTEIN.encode(ALIPHATIC)).mean()
    return float(aliphatic - np.isin(protein, PROTEIN.encode(CHARGED)).mean())


def half_life_score(raw: np.ndarray) -> np.ndarray:
    """Exon density minus 3'UTR length as z-scores, (genes,); a missing value counts as the mean."""
    scores = np.nan_to_num(HalfLifeSchema.fit(raw).standardise(raw).astype(np.float64))
    return scores[:, FEATURES.index("orf_exon_density")] - scores[:, FEATURES.index("utr3_len")]


def _weighted_copies(window: np.ndarray, motif: np.ndarray, upstream: int) -> float:
    if len(window) < len(motif):
        return 0.0
    found = np.flatnonzero((np.lib.stride_tricks.sliding_window_view(window, len(motif)) == motif).all(axis=1))
    reach = max(upstream, len(window) - upstream)
    return float(np.sum(1 - 0.5 * np.abs(found - upstream) / reach))
