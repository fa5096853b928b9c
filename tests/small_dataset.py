"""A dataset and a network that train in a second, and weights of a kernel flow without a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from seqexpr.datasets.dataset import DatasetWriter, PreparedDataset
from seqexpr.inputs.half_life import FEATURES, TRANSFORMS
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver

UPSTREAM, DOWNSTREAM = 300, 180
NETWORK = {"stem_pool": 5, "tower_pool": 3, "latents": 8, "latent_dim": 16}


def make_small_dataset(folder: Path, *, with_coding: bool = False) -> PreparedDataset:
    """48 genes on 6 chromosomes: windows of 480 bp, short proteins, two labels (one value missing), half-life.

    With coding sequences three in four genes have one, whose codons end in C or G the more often the higher its labels.
    """
    generator = np.random.default_rng(5)
    genes, size = [], 48
    half_life = generator.lognormal(6, 1, (size, 8))
    half_life[:, 4:7] = generator.random((size, 3))
    half_life[3, 2] = np.nan
    codons = np.random.default_rng(6)
    with DatasetWriter(folder, UPSTREAM, DOWNSTREAM, with_protein=True, with_coding=with_coding) as writer:
        for row in range(size):
            content = generator.uniform(0.3, 0.7)
            weights = [(1 - content) / 2, content / 2, content / 2, (1 - content) / 2]
            dna = generator.choice(4, UPSTREAM + DOWNSTREAM, p=weights).astype(np.uint8) + 1
            protein = generator.integers(1, 23, generator.integers(20, 90)).astype(np.uint8)
            coding = None
            if with_coding and row % 4:
                third = np.where(codons.random(60) < content, codons.choice([1, 2], 60), codons.choice([0, 3], 60))
                coding = (4 * codons.integers(0, 16, 60) + third + 1).astype(np.uint8)
            writer.add(f"g{row}", dna, protein, coding)
            genes.append({"id": f"g{row}", "chrom": str(row % 6 + 1), "a": 3 + 10 * content, "b": content})
        table = pd.DataFrame(genes)
        table.loc[5, "b"] = np.nan
        table = pd.concat([table, pd.DataFrame(half_life, columns=FEATURES)], axis=1)
        writer.finish(
            table,
            {
                "kind": "dataset",
                "format": 1,
                "labels": ["a", "b"],
                "label_units": {"a": "log10(RPKM + 0.1)"},
                "model": {"upstream": 240, "downstream": 120, "protein_length": 100, **NETWORK},
                "half_life": {"names": list(FEATURES), "transforms": list(TRANSFORMS)},
            },
        )
    return PreparedDataset.open(folder)


def tiny_config(preset: str = "dna-perceiver", **changes) -> PerceiverConfig:
    """The preset's network, small enough for the small dataset."""
    windows = {} if preset == "protein-perceiver" else {"upstream": 240, "downstream": 120}
    proteins = {} if preset == "dna-perceiver" else {"protein_length": 100}
    return PerceiverConfig.from_preset(preset, **windows, **proteins, **NETWORK, **changes)


def fill_kernel(network: Perceiver, seed: int = 0) -> Perceiver:
    """The network, whose kernel flow was never fitted: now every tensor of it says something."""
    generator, flow = torch.Generator().manual_seed(seed), network.kernel
    assert flow is not None
    flow.landmarks.copy_(torch.randint(-20, 21, flow.landmarks.shape, generator=generator))
    for part in (flow.sd, flow.amplitudes, flow.reach, flow.covariate_weight):
        part.uniform_(0.5, 1.0, generator=generator)
    for part in (flow.weights, flow.offset):
        part.normal_(generator=generator)
    if flow.codons is not None:
        flow.codons.adaptation.uniform_(0.1, 1.0, generator=generator).log_()
    return network
