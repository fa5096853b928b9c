"""Make examples/hla/labels.tsv: made-up levels for the genes of examples/hla, so that the tutorial runs without data.

    python scripts/hla_labels.py

The level of a gene is a planted signal and noise, not a measurement: twice the z-score, over the 70 genes, of the GC
content of the 1,000 bp around its TSS, plus a standard normal draw. The best r2 that a model can reach is about 0.8.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seqexpr.sequences.bed import read_bed
from seqexpr.sequences.genome import Genome

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "hla"
HALF = 500


def made_up_levels(seed: int = 0) -> dict[str, float]:
    """Gene id to level, in the order of tss.bed."""
    sites = read_bed(FOLDER / "tss.bed")
    with Genome(FOLDER / "genome.fa.gz") as genome:
        windows = [genome.window(site, HALF, HALF) for site in sites]
    gc = np.array([np.isin(window, (2, 3)).sum() / np.count_nonzero(window) for window in windows])
    signal = (gc - gc.mean()) / gc.std()
    noise = np.random.default_rng(seed).standard_normal(len(sites))
    return {site.id: level for site, level in zip(sites, 2 * signal + noise, strict=True)}


def main() -> None:
    """Write the table."""
    rows = [f"{name}\t{level:.3f}\n" for name, level in made_up_levels().items()]
    (FOLDER / "labels.tsv").write_text("id\tmade_up_level\n" + "".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
