"""Datasets with a planted signal: the label is a known function of what a preset reads, plus Gaussian noise.

They show whether a model learns at all, and from which of its inputs. The function:

- DNA: activator motifs minus repressor motifs in the window, each copy weighted by its nearness to the TSS.
- protein: the share of aliphatic residues minus the share of charged ones.
- half-life: the exon density minus the 3'UTR length, as z-scores, a missing value being the mean.

The noise has a known variance, so the best r2 that a model can reach is known: `ceiling_r2` in the manifest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqexpr.datasets.half_life import FEATURES, TRANSFORMS, HalfLifeSchema
from seqexpr.datasets.prepared import DatasetWriter, PreparedDataset
from seqexpr.errors import UsageError
from seqexpr.manifest import describe_run
from seqexpr.sequences.alphabet import DNA, PROTEIN

LABEL = "planted"
ACTIVATOR = b"GGGCGG"  # the GC box, bound by SP1
REPRESSOR = b"ATTTAA"
ALIPHATIC = b"AILV"
CHARGED = b"DEKR"

Carrier = Literal["both", "latent", "query", "half-life"]

_ACTIVATOR = DNA.encode(ACTIVATOR)
_REPRESSOR = DNA.encode(REPRESSOR)
_MEAN_COPIES = 8.0  # planted copies of each motif in a window, on average
_SHORTEST_PROTEIN = 100


def inputs_of(preset: str) -> tuple[str, str]:
    """The latent and the query input of a preset, each "dna" or "protein", as its name says.

    Raises:
        UsageError: no such preset.
    """
    parts = preset.removesuffix("-perceiver").split("-")
    if not preset.endswith("-perceiver") or not set(parts) <= {"dna", "protein"} or len(set(parts)) != len(parts):
        raise UsageError(f"no preset {preset!r} for a synthetic dataset")
    return parts[0], parts[-1]


def make_synthetic(
    folder: str | Path,
    preset: str = "dna-perceiver",
    *,
    genes: int = 3000,
    seed: int = 0,
    ceiling_r2: float = 0.8,
    carrier: Carrier = "both",
    upstream: int = 352,
    downstream: int = 160,
    protein_length: int = 500,
    missing: float = 0.02,
    force: bool = False,
) -> PreparedDataset:
    """Make a dataset for `preset` with one label, `planted`, of variance 1.

    Args:
        folder: the folder to make.
        preset: decides which sequences there are; half-life features come with DNA.
        genes, seed: the same numbers give the same dataset.
        ceiling_r2: the share of the label's variance that is signal, above 0, at most 1.
        carrier: what carries the signal: "both" (every input that the preset reads), or only the latent
            input, only the query input, or only the half-life features. The others are then random.
        upstream, downstream: the window, bp.
        protein_length: the longest protein, residues.
        missing: the share of half-life values that are missing.
        force: replace an existing dataset.

    Returns:
        The dataset. Its manifest's `ceiling_r2` is the r2 of the planted function itself on these very genes;
        `model` holds the settings with which the preset's network reads exactly these sequences.

    Raises:
        UsageError: the folder exists, no such preset, or a carrier that the preset does not read.
    """
    latent, query = inputs_of(preset)
    weights = _weights(latent, query, carrier)
    if not 0 < ceiling_r2 <= 1 or genes < 2:
        raise UsageError("a synthetic dataset needs a ceiling r2 above 0, at most 1, and at least 2 genes")
    if protein_length < _SHORTEST_PROTEIN or min(upstream, downstream) < 0:
        raise UsageError(f"a synthetic dataset needs proteins of at least {_SHORTEST_PROTEIN} residues")
    random = np.random.default_rng(seed)
    has_dna, has_protein = "dna" in (latent, query), "protein" in (latent, query)
    window = (upstream, downstream) if has_dna else (0, 0)
    scores: dict[str, np.ndarray] = {name: np.zeros(genes) for name in ("dna", "protein")}
    with DatasetWriter(folder, *window, has_protein, force) as writer:
        for gene in range(genes):
            dna = protein = None
            if has_dna:
                dna = _promoter(random, *window)
                scores["dna"][gene] = dna_score(dna, upstream)
            if has_protein:
                protein = _protein(random, protein_length)
                scores["protein"][gene] = protein_score(protein)
            writer.add(f"SYNG{gene + 1:07d}", dna, protein)
        raw = _half_life(random, genes, missing) if has_dna else None
        if raw is not None:
            scores["half-life"] = half_life_score(raw)
        signal = _standard(sum(weight**0.5 * _standard(scores[name]) for name, weight in weights.items()))
        noise = random.normal(size=genes)
        label = ceiling_r2**0.5 * signal + (1 - ceiling_r2) ** 0.5 * noise
        reached = 1 - np.sum((label - ceiling_r2**0.5 * signal) ** 2) / np.sum((label - label.mean()) ** 2)
        options = {
            "preset": preset, "genes": genes, "seed": seed, "ceiling_r2": ceiling_r2, "carrier": carrier,
            "upstream": upstream, "downstream": downstream, "protein_length": protein_length,
            "missing": missing,
        }  # fmt: skip
        manifest = {
            **describe_run("dataset", options),
            "sources": [],
            "labels": [LABEL],
            "half_life": {"names": list(FEATURES), "transforms": list(TRANSFORMS)} if has_dna else None,
            "ceiling_r2": float(reached),
            "signal_variance": weights,
            "model": model_settings(preset, upstream, downstream, protein_length),
        }
        writer.finish(_table(random, writer.ids, label, raw), manifest)
    return PreparedDataset.open(folder)


def model_settings(preset: str, upstream: int, downstream: int, protein_length: int) -> dict[str, Any]:
    """The changes to the preset's network with which it reads sequences of these lengths.

    It is narrower than the preset's too: a tenth of the work, so that a cross-validation takes minutes on two
    cores.
    """
    inputs = inputs_of(preset)
    narrow = {"latents": 32, "latent_dim": 32, "stem_channels": 32, "tower_channels": [32, 32]}
    dna = {"upstream": upstream, "downstream": downstream} if "dna" in inputs else {}
    return {**narrow, **dna, **({"protein_length": protein_length} if "protein" in inputs else {})}


def dna_score(window: np.ndarray, upstream: int) -> float:
    """Activators minus repressors in a window, uint8 (length,): 1 a copy at the TSS, 0.5 at the far end."""
    return _weighted_copies(window, _ACTIVATOR, upstream) - _weighted_copies(window, _REPRESSOR, upstream)


def protein_score(protein: np.ndarray) -> float:
    """Share of aliphatic residues minus share of charged ones in a protein, uint8 (residues,)."""
    aliphatic = np.isin(protein, PROTEIN.encode(ALIPHATIC)).mean()
    return float(aliphatic - np.isin(protein, PROTEIN.encode(CHARGED)).mean())


def half_life_score(raw: np.ndarray) -> np.ndarray:
    """Exon density minus 3'UTR length as z-scores, (genes,); a missing value counts as the mean."""
    scores = HalfLifeSchema.fit(raw).standardise(raw).astype(np.float64)
    return scores[:, FEATURES.index("orf_exon_density")] - scores[:, FEATURES.index("utr3_len")]


def _weights(latent: str, query: str, carrier: Carrier) -> dict[str, float]:
    """The share of the signal's variance that each input carries."""
    has_half_life = "dna" in (latent, query)
    if carrier == "half-life" and not has_half_life:
        raise UsageError("a preset without DNA reads no half-life features, so they cannot carry the signal")
    if carrier != "both":
        return {{"latent": latent, "query": query, "half-life": "half-life"}[carrier]: 1.0}
    sequences = list(dict.fromkeys((latent, query)))
    half_life = 0.2 if has_half_life else 0.0
    shares = {name: (1 - half_life) / len(sequences) for name in sequences}
    return {**shares, "half-life": half_life} if has_half_life else shares


def _standard(values: Any) -> np.ndarray:
    """Values with mean 0 and variance 1."""
    values = np.asarray(values, dtype=np.float64)
    return (values - values.mean()) / (values.std() or 1.0)


def _weighted_copies(window: np.ndarray, motif: np.ndarray, upstream: int) -> float:
    if len(window) < len(motif):
        return 0.0
    found = np.flatnonzero((np.lib.stride_tricks.sliding_window_view(window, len(motif)) == motif).all(axis=1))
    reach = max(upstream, len(window) - upstream)
    return float(np.sum(1 - 0.5 * np.abs(found - upstream) / reach))


def _promoter(random: np.random.Generator, upstream: int, downstream: int) -> np.ndarray:
    """Random letters with each motif planted some times; the number differs widely from gene to gene."""
    window = random.integers(1, 5, size=upstream + downstream, dtype=np.uint8)
    for motif in (_ACTIVATOR, _REPRESSOR):
        room = len(window) - len(motif)
        if room > 0:
            copies = random.poisson(random.gamma(2.0, _MEAN_COPIES / 2))
            for start in random.integers(0, room, size=copies):
                window[start : start + len(motif)] = motif
    return window


def _protein(random: np.random.Generator, protein_length: int) -> np.ndarray:
    """A protein of random length whose mix of aliphatic and charged residues is its own."""
    length = int(random.integers(_SHORTEST_PROTEIN, protein_length + 1))
    shares = np.ones(20)
    aliphatic, charged = np.exp(0.5 * random.normal(size=2))
    shares[PROTEIN.encode(ALIPHATIC).astype(int) - 1] *= aliphatic
    shares[PROTEIN.encode(CHARGED).astype(int) - 1] *= charged
    return random.choice(np.arange(1, 21, dtype=np.uint8), size=length, p=shares / shares.sum())


def _half_life(random: np.random.Generator, genes: int, missing: float) -> np.ndarray:
    """Raw features with medians and spreads like those of human genes."""
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


def _table(random: np.random.Generator, ids: list[str], label: np.ndarray, raw: np.ndarray | None) -> Any:
    import pandas as pd

    genes = len(ids)
    split = random.permuted(np.repeat(["train", "valid", "test"], [genes - 2 * (genes // 10), *[genes // 10] * 2]))
    columns = {
        "id": ids,
        "symbol": [f"SYN{gene + 1}" for gene in range(genes)],
        "chrom": [str(chrom) for chrom in random.integers(1, 23, size=genes)],
        "tss": [str(tss) for tss in random.integers(1_000_000, 40_000_000, size=genes)],
        "strand": random.choice(["+", "-"], size=genes).tolist(),
        "split": split.tolist(),
        LABEL: label,
    }
    if raw is not None:
        columns |= dict(zip(FEATURES, raw.T, strict=True))
    return pd.DataFrame(columns)
