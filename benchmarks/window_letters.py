"""Do windows cut from a genome hold the letters of windows from another source?

    seqexpr prepare --out chr1 --genome chr1_10Mb.fa.gz --tss tss.bed
    python -m benchmarks.window_letters --dataset chr1 --windows tss_windows.fa.gz

Genes are matched by id. A letter counts where both sources know it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.fasta import read_fasta


def main() -> None:
    """Print the line and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="prepared folder")
    parser.add_argument("--windows", type=Path, required=True, help="FASTA of windows as wide as the dataset's")
    options = parser.parse_args()
    dataset = PreparedDataset.open(options.dataset)
    rows = {gene: row for row, gene in enumerate(dataset.ids)}
    counts = {"genes": 0, "minus_strand": 0, "letters": 0, "different": 0}
    for record in read_fasta(options.windows):
        if record.id not in rows:
            continue
        row = rows[record.id]
        own = dataset.dna(np.array([row]), dataset.upstream, dataset.downstream)[0]
        other = DNA.encode(record.sequence, file=options.windows, record=record.id)
        known = (own > 0) & (other > 0)
        counts["genes"] += 1
        counts["minus_strand"] += int(dataset.genes["strand"].iloc[row] == "-")
        counts["letters"] += int(known.sum())
        counts["different"] += int((own != other)[known].sum())
    print(
        "{genes:,} genes ({minus_strand:,} on -), {letters:,} letters known in both, {different:,} differ".format(
            **counts
        )
    )
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
