"""Small untrained models of DNA, and a genome for them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel

UPSTREAM, DOWNSTREAM = 1_000, 440


def make_model(seed: int = 0, preset: str = "dna-perceiver", **changes: Any) -> TrainedModel:
    """A model whose window is 1,000 + 440 bp where nothing else is said."""
    torch.manual_seed(seed)
    lengths = {"upstream": UPSTREAM, "downstream": DOWNSTREAM} if "dna" in preset else {}
    config = PerceiverConfig.from_preset(preset, **{"latents": 64, **lengths, **changes})
    network = Perceiver(config).eval()
    for norm in (module for module in network.modules() if hasattr(module, "running_mean")):
        torch.nn.init.uniform_(norm.running_mean, -0.2, 0.2)  # else padding and zeros look the same
        torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
    outputs = tuple(Output(f"level{number}", "log10(x)", 1.5, 2.0) for number in range(config.outputs))
    return TrainedModel("small", network, ModelMetadata(config, outputs))


def write_genome(path: Path) -> Path:
    """chr1 of 5,000 bases with 1,700 N and single ones, chr2 of 700, chr3 of 900 N."""
    letters = random.Random(7)
    first = "".join(letters.choices("ACGT", k=5_000))
    first = f"{first[:1_200]}{'N' * 1_700}{first[2_900:3_500]}NNRNN{first[3_505:]}"
    second = "".join(letters.choices("acgtN", (9, 9, 9, 9, 1), k=700))
    with path.open("w") as stream:
        for name, text in {"chr1": first, "chr2": second, "chr3": "N" * 900}.items():
            stream.write(f">{name}\n")
            stream.writelines(f"{text[at : at + 60]}\n" for at in range(0, len(text), 60))
    return path
