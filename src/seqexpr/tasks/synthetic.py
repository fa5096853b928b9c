"""Make datasets with a planted signal: the label is a known function of chosen inputs, plus Gaussian noise.

They show whether a network learns at all, and from which of its inputs. What counts in each input:

- DNA, one of two: activator motifs minus repressor motifs, each copy weighted by its nearness to the TSS; or the GC
  content. Latents attend to letters and their places, not to words, so a network whose latents alone read the DNA can
  learn the second, but not the first.
- protein: the share of aliphatic residues minus the share of charged ones.
- half-life: the exon density minus the 3'UTR length, as z-scores, a missing value being the mean.

The noise has a known variance, so the best r2 that a model can reach is known: `ceiling_r2` in the manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.datasets.dataset import DatasetWriter, PreparedDataset
from seqexpr.errors import UsageError
from seqexpr.inputs.half_life import FEATURES, TRANSFORMS, HalfLifeSchema
from seqexpr.manifest import describe_run
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


LABEL = "planted"
INPUTS = ("dna", "protein", "half-life")

GENERATOR = 2
"""Raised whenever the same settings give another dataset than before, so that none is taken from an old cache."""

_TSS_SPACING = 10_000  # bp from one gene's TSS to the next: no two windows share a base


@dataclass(frozen=True)
class SyntheticSettings:
    """What a synthetic dataset holds, and which of it carries the signal; the same settings give the same dataset."""

    inputs: tuple[str, ...] = ("dna", "half-life")
    """What there is of every gene, among "dna", "protein" and "half-life"."""
    planted: Mapping[str, float] | None = None
    """Share of the signal's variance that an input carries, adding up to 1; inputs not named are random. None: the
    half-life features, where there are any, carry a fifth, and the sequences the rest in equal parts."""
    dna_signal: str = "motifs"
    """What in the DNA counts: "motifs" or "gc"."""
    genes: int = 5000
    """Number of genes."""
    seed: int = 0
    """Of everything random."""
    ceiling_r2: float = 0.8
    """Share of the label's variance that is signal, above 0, at most 1."""
    upstream: int = 352
    """Bases before the TSS that carry the signal, and that the network reads."""
    downstream: int = 160
    """Bases from the TSS on."""
    margin: int = 32
    """Further bases on either side, without motifs, for recipes that shift the window in training."""
    protein_length: int = 500
    """The longest protein, residues."""
    missing: float = 0.02
    """Share of half-life values that are missing."""

    def __post_init__(self) -> None:
        if not self.inputs or not set(self.inputs) <= set(INPUTS):
            raise UsageError(f"the inputs of a synthetic dataset are among {', '.join(INPUTS)}, not {self.inputs}")
        if self.dna_signal not in DNA_SIGNALS:
            raise UsageError(f"the signal in DNA is one of {', '.join(DNA_SIGNALS)}, not {self.dna_signal!r}")
        if not {"dna", "protein"} & set(self.inputs):
            raise UsageError("a synthetic dataset needs sequences: DNA, proteins or both")
        if not set(self.shares) <= set(self.inputs) or abs(sum(self.shares.values()) - 1) > 1e-6:
            raise UsageError(f"the planted shares {dict(self.shares)} must be of {self.inputs} and add up to 1")
        if not 0 < self.ceiling_r2 <= 1 or self.genes < 2:
            raise UsageError("a synthetic dataset needs a ceiling r2 above 0, at most 1, and at least 2 genes")
        if self.protein_length < SHORTEST_PROTEIN:
            raise UsageError(f"a synthetic dataset needs proteins of up to {SHORTEST_PROTEIN} residues at least")
        if min(self.upstream, self.downstream, self.margin) < 0:
            raise UsageError("the lengths of a synthetic window must not be negative")
        if self.upstream + self.downstream + 2 * self.margin > _TSS_SPACING:
            raise UsageError(f"a synthetic window has at most {_TSS_SPACING} bp, its margins included")

    @property
    def shares(self) -> Mapping[str, float]:
        """Share of the signal's variance by input."""
        if self.planted is not None:
            return self.planted
        sequences = [name for name in self.inputs if name != "half-life"]
        half_life = 0.2 if "half-life" in self.inputs else 0.0
        shares = {name: (1 - half_life) / len(sequences) for name in sequences}
        return {**shares, "half-life": half_life} if half_life else shares

    def key(self) -> str:
        """A short name that changes with the settings, the generator and the network: 8 hexadecimal digits."""
        described = json.dumps([GENERATOR, asdict(self), dict(self.shares), _model_settings(self)], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()[:8]


def inputs_of(preset: str) -> tuple[str, str]:
    """The latent and the query input of a preset, each "dna" or "protein", as its name says.

    Raises:
        UsageError: no such preset.
    """
    parts = preset.removesuffix("-perceiver").split("-")
    if not preset.endswith("-perceiver") or not set(parts) <= {"dna", "protein"} or len(set(parts)) != len(parts):
        raise UsageError(f"no preset {preset!r} for a synthetic dataset")
    return parts[0], parts[-1]


def settings_for(preset: str) -> SyntheticSettings:
    """A dataset of all that a preset reads, every input carrying its share; half-life features come with DNA.

    DNA that the query tower reads has motifs; DNA that only latents read has its GC content.

    Raises:
        UsageError: no such preset.
    """
    latent, query = inputs_of(preset)
    sequences = tuple(dict.fromkeys((latent, query)))
    return SyntheticSettings(
        (*sequences, "half-life") if "dna" in sequences else sequences,
        dna_signal="motifs" if query == "dna" else "gc",
    )


def make_synthetic(
    folder: str | Path, settings: SyntheticSettings | None = None, *, force: bool = False
) -> PreparedDataset:
    """Make a dataset with one label, `planted`, of variance 1.

    Args:
        folder: the folder to make.
        settings: what it holds; DNA and half-life features when absent.
        force: replace an existing dataset.

    Returns:
        The dataset. Its manifest's `ceiling_r2` is the r2 of the planted function itself on these very genes, and
        `signal_variance` the share of each input in it; `model` holds the settings with which a network reads
        exactly these sequences.

    Raises:
        UsageError: the folder exists.
    """
    settings = settings or SyntheticSettings()
    random = np.random.default_rng(settings.seed)
    margin = settings.margin if "dna" in settings.inputs else 0
    window = (settings.upstream, settings.downstream) if "dna" in settings.inputs else (0, 0)
    held = (window[0] + margin, window[1] + margin)
    scores: dict[str, np.ndarray] = {name: np.zeros(settings.genes) for name in ("dna", "protein")}
    with DatasetWriter(folder, *held, "protein" in settings.inputs, force) as writer:
        for gene in range(settings.genes):
            dna = protein = None
            if "dna" in settings.inputs:
                dna = random_promoter(random, sum(window), margin, settings.dna_signal)
                inner = dna[margin : margin + sum(window)]
                scores["dna"][gene] = dna_score(inner, settings.upstream, settings.dna_signal)
            if "protein" in settings.inputs:
                protein = random_protein(random, settings.protein_length)
                scores["protein"][gene] = protein_score(protein)
            writer.add(f"SYNG{gene + 1:07d}", dna, protein)
        raw = random_half_life(random, settings.genes, settings.missing) if "half-life" in settings.inputs else None
        if raw is not None:
            scores["half-life"] = half_life_score(raw)
        label, reached = _label(random, scores, settings)
        writer.finish(_table(random, writer.ids, label, raw), _manifest(settings, reached))
    return PreparedDataset.open(folder)


def _label(
    random: np.random.Generator, scores: Mapping[str, np.ndarray], settings: SyntheticSettings
) -> tuple[np.ndarray, float]:
    """The label (genes,), and the r2 of its signal."""
    parts = [share**0.5 * _standard(scores[name]) for name, share in settings.shares.items()]
    signal = settings.ceiling_r2**0.5 * _standard(sum(parts))
    label = signal + (1 - settings.ceiling_r2) ** 0.5 * random.normal(size=settings.genes)
    return label, float(1 - np.sum((label - signal) ** 2) / np.sum((label - label.mean()) ** 2))


def _manifest(settings: SyntheticSettings, reached: float) -> dict[str, Any]:
    with_half_life = "half-life" in settings.inputs
    return {
        **describe_run("dataset", {**asdict(settings), "generator": GENERATOR}),
        "sources": [],
        "labels": [LABEL],
        "half_life": {"names": list(FEATURES), "transforms": list(TRANSFORMS)} if with_half_life else None,
        "ceiling_r2": reached,
        "signal_variance": dict(settings.shares),
        "model": _model_settings(settings),
    }


def _model_settings(settings: SyntheticSettings) -> dict[str, Any]:
    """The changes to a preset's network with which it reads sequences of these lengths.

    It is narrower than the preset's too: a tenth of the work, so that a cross-validation takes minutes on two
    cores.
    """
    narrow = {"latents": 8, "latent_dim": 16, "stem_channels": 32, "tower_channels": [32, 32]}
    dna = {"upstream": settings.upstream, "downstream": settings.downstream} if "dna" in settings.inputs else {}
    return {**narrow, **dna, **({"protein_length": settings.protein_length} if "protein" in settings.inputs else {})}


def _standard(values: Any) -> np.ndarray:
    """Values with mean 0 and variance 1."""
    values = np.asarray(values, dtype=np.float64)
    return (values - values.mean()) / (values.std() or 1.0)


def _table(random: np.random.Generator, ids: list[str], label: np.ndarray, raw: np.ndarray | None) -> Any:
    import pandas as pd

    genes = len(ids)
    split = random.permuted(np.repeat(["train", "valid", "test"], [genes - 2 * (genes // 10), *[genes // 10] * 2]))
    columns = {
        "id": ids,
        "symbol": [f"SYN{gene + 1}" for gene in range(genes)],
        "chrom": [str(chrom) for chrom in random.integers(1, 23, size=genes)],
        "tss": [str(1_000_000 + _TSS_SPACING * gene) for gene in range(genes)],
        "strand": random.choice(["+", "-"], size=genes).tolist(),
        "split": split.tolist(),
        LABEL: label,
    }
    if raw is not None:
        columns |= dict(zip(FEATURES, raw.T, strict=True))
    return pd.DataFrame(columns)
