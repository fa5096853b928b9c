"""Inputs made on the spot, the same on every run: genes, a dataset, a genome with sites."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist
from typing import BinaryIO

import numpy as np

from seqexpr.models.config import PerceiverConfig

MEDIAN_PROTEIN, PROTEIN_SPREAD = 415, 0.774
"""Residues, and the standard deviation of their natural logarithm: a mean of about 560, as of human proteins."""
SHORTEST_PROTEIN, LONGEST_PROTEIN = 30, 6_000

SEED = 5


def protein_lengths(count: int) -> list[int]:
    """Lengths as natural as `count` of them can be, in random order.

    They are evenly spaced quantiles of a log-normal distribution, so a small set has the same mean as a large one.
    """
    normal = NormalDist(math.log(MEDIAN_PROTEIN), PROTEIN_SPREAD)
    lengths = [round(math.exp(normal.inv_cdf((place + 0.5) / count))) for place in range(count)]
    kept = np.clip(lengths, SHORTEST_PROTEIN, LONGEST_PROTEIN)
    return np.random.default_rng(SEED).permutation(kept).tolist()


def random_genes(config: PerceiverConfig, count: int) -> tuple[list[np.ndarray | None], list[np.ndarray | None]]:
    """Tokens of DNA windows and of proteins, uint8 (letters,) each; None for all genes of what is not read."""
    random = np.random.default_rng(SEED)
    windows: list[np.ndarray | None] = [None] * count
    proteins: list[np.ndarray | None] = [None] * count
    if config.reads_dna:
        windows = [random.integers(1, 5, config.window_length, dtype=np.uint8) for _ in range(count)]
    if config.reads_protein:
        lengths = [min(length, config.protein_length) for length in protein_lengths(count)]
        proteins = [random.integers(1, 21, length, dtype=np.uint8) for length in lengths]
    return windows, proteins


def write_dataset(folder: Path, config: PerceiverConfig, genes: int) -> None:
    """A prepared dataset of random genes for this network, with one label, "level"."""
    import pandas as pd

    from seqexpr.datasets.dataset import DatasetWriter
    from seqexpr.inputs.half_life import FEATURES, TRANSFORMS
    from seqexpr.tasks.synthetic import random_half_life

    random = np.random.default_rng(SEED)
    names = [f"gene{number}" for number in range(genes)]
    with DatasetWriter(folder, config.upstream, config.downstream, with_protein=config.reads_protein) as writer:
        for name, dna, protein in zip(names, *random_genes(config, genes), strict=True):
            writer.add(name, dna, protein)
        table = pd.DataFrame({"id": names, "level": random.normal(size=genes)})
        features = pd.DataFrame(random_half_life(random, genes, 0.0), columns=FEATURES)
        half_life = {"names": list(FEATURES), "transforms": list(TRANSFORMS)}
        described = {"kind": "dataset", "format": 1, "labels": ["level"], "half_life": half_life}
        writer.finish(pd.concat([table, features], axis=1), described)


def write_genome(path: Path, chromosomes: int, length: int) -> None:
    """A FASTA file of random chromosomes chr1, chr2, ..., 60 letters a line, without an index."""
    random = np.random.default_rng(SEED)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    with path.open("wb") as file:
        for number in range(1, chromosomes + 1):
            write_record(file, f"chr{number}", letters[random.integers(0, 4, length)])


def write_record(file: BinaryIO, name: str, sequence: np.ndarray) -> None:
    """Append a FASTA record, 60 letters a line.

    Args:
        file: open for bytes.
        name: the record's.
        sequence: uint8 (letters,), ASCII.
    """
    lines, rest = divmod(len(sequence), 60)
    body = np.full((lines, 61), ord("\n"), dtype=np.uint8)
    body[:, :60] = sequence[: lines * 60].reshape(lines, 60)
    tail = sequence[lines * 60 :].tobytes() + b"\n" if rest else b""
    file.write(f">{name}\n".encode() + body.tobytes() + tail)


def write_sites(path: Path, count: int, chromosomes: int, length: int, margin: int) -> None:
    """A BED file of sites in random order, on both strands alike, at least `margin` bases inside a chromosome."""
    random = np.random.default_rng(SEED)
    places = random.integers(margin, length - margin, count)
    on = random.integers(1, chromosomes + 1, count)
    strands = random.permutation(np.array(["+", "-"])[np.arange(count) % 2])
    rows = zip(on, places, strands, strict=True)
    path.write_text(
        "".join(
            f"chr{chrom}\t{place}\t{place + 1}\tsite{number}\t0\t{strand}\n"
            for number, (chrom, place, strand) in enumerate(rows)
        )
    )
