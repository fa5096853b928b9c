"""The overlap audit: how many tested genes have a twin among the genes that the network was trained on.

A gene whose protein or window was all but seen in training is easy to predict, and a score over such genes says
little about new ones. So each kind of overlap is counted, fold by fold, and the metrics are given for the genes
with it and for the others. Genes that were trained on include those of the validation part, which chose the epoch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import MissingDataError
from seqexpr.evaluation.homology import all_proteins, homologous_pairs
from seqexpr.evaluation.metrics import evaluate
from seqexpr.evaluation.mmseqs import SETTINGS
from seqexpr.evaluation.overlap_pairs import (
    PROTEIN_WORD,
    SAME_BASES,
    SEED,
    near_identical_proteins,
    overlapping_intervals,
    overlapping_sequences,
)
from seqexpr.sequences.windows import STRANDS, Interval, Tss
from seqexpr.training.experiment import Experiment, Split

FEWEST_GENES = 20
"""Genes with a label below which a part of them gets no metrics."""

_METRICS = ("pearson_r2", "r2")


def audit_stage(dataset: PreparedDataset) -> str:
    """Name the audit for an observer, with the search that may take minutes."""
    searched = " (homologous proteins by MMseqs2)" if dataset.has_protein else ""
    return f"overlap of test and training genes{searched}"


def audit_overlap(
    experiment: Experiment,
    splits: Sequence[Split],
    predicted: np.ndarray,
    *,
    threads: int | None = None,
    resamples: int = 1000,
    progress: Callable[[str, int, int], None] = lambda part, done, total: None,
) -> list[dict[str, Any]]:
    """Count the overlaps of test and training genes, and score the genes with and without them.

    Proteins are compared whole, and in any dataset that has them, whatever the network reads; windows as far as
    the network reads them.

    Args:
        experiment: what was learnt (n genes).
        splits: which genes each fold tests, and which it was trained and validated on; no gene is tested twice.
        predicted: the network's predictions (n, outputs), NaN for genes that are not tested.
        threads: of the search for homologous proteins; None: one a processor.
        resamples: of the intervals.
        progress: hears of each search.

    Returns:
        for each overlap what it is, its definition, genes `tested` and `overlapping` (of those that have a label,
        for the others take no part in any score), the same `by_fold`, and
        `metrics` of `overlapping` and `others` by output (None below 20 genes with a label); or `skipped`, why
        it could not be counted.
    """
    dataset, config, labels = experiment.dataset, experiment.config, experiment.values()
    has_label = ~np.isnan(labels).all(axis=1)
    parts = [(split.number, split.test[has_label[split.test]], split.seen) for split in splits]

    def entry(overlap: str, definition: str, pairs: np.ndarray) -> dict[str, Any]:
        seen = [_overlapping(pairs, test, training, len(dataset)) for _, test, training in parts]
        by_fold = [
            {"fold": fold, "tested": len(test), "overlapping": len(rows)}
            for (fold, test, _), rows in zip(parts, seen, strict=True)
        ]
        tested = np.concatenate([np.empty(0, np.int64), *(test for _, test, _ in parts)])
        overlapping = np.concatenate([np.empty(0, np.int64), *seen])
        sides = {"overlapping": overlapping, "others": np.setdiff1d(tested, overlapping)}
        metrics = {
            name: {
                side: _scored(labels[rows, column], predicted[rows, column], resamples, experiment.seed)
                for side, rows in sides.items()
            }
            for column, name in enumerate(experiment.labels)
        }
        counts = {"tested": len(tested), "overlapping": len(overlapping)}
        return {"overlap": overlap, "definition": definition, **counts, "by_fold": by_fold, "metrics": metrics}

    entries = []
    searches = 2 * dataset.has_protein + (dataset.has_dna and config.reads_dna)
    if dataset.has_protein:
        progress("near-identical proteins", 0, searches)
        entries.append(
            entry("near-identical protein", _NEAR_IDENTICAL, near_identical_proteins([*all_proteins(dataset)]))
        )
        progress("homologous proteins by MMseqs2", 1, searches)
        try:
            pairs, _ = homologous_pairs(dataset, threads=threads)
            entries.append(entry("homologous protein", _HOMOLOGOUS, pairs))
        except MissingDataError as problem:
            entries.append({"overlap": "homologous protein", "skipped": str(problem)})
    if dataset.has_dna and not config.reads_dna:
        entries.append({"overlap": "overlapping window", "skipped": f"{config.preset} reads no DNA"})
    elif dataset.has_dna:
        progress("overlapping windows", searches - 1, searches)
        entries.append(entry("overlapping window", *_window_pairs(dataset, config.upstream, config.downstream)))
    return entries


_NEAR_IDENTICAL = (
    f"at least half of the different {PROTEIN_WORD}-letter words of the gene's protein occur in one training protein "
    "(about 90 % identity; also a fragment of it)"
)
_HOMOLOGOUS = (
    f"MMseqs2 finds a training protein with at least {SETTINGS['--min-seq-id']:.0%} identity over at least "
    f"{SETTINGS['-c']:.0%} of both proteins"
)


def _overlapping(pairs: np.ndarray, test: np.ndarray, training: np.ndarray, genes: int) -> np.ndarray:
    """Those of the test rows that have a pair among the training rows."""
    tested, trained = np.zeros(genes, bool), np.zeros(genes, bool)
    tested[test] = True
    trained[training] = True
    return np.unique(pairs[tested[pairs[:, 0]] & trained[pairs[:, 1]], 0])


def _scored(actual: np.ndarray, predicted: np.ndarray, resamples: int, seed: int) -> dict[str, Any] | None:
    present = ~np.isnan(actual) & ~np.isnan(predicted)
    if present.sum() < FEWEST_GENES:
        return None
    estimates = evaluate(actual[present], predicted[present], resamples=resamples, seed=seed)
    return {"n": int(present.sum()), **{name: estimates[name].to_dict() for name in _METRICS}}


@dataclass(frozen=True)
class _Windows:
    """A dataset's windows, read when they are asked for: 18,000 of 20,000 bp are 360 MB."""

    dataset: PreparedDataset
    upstream: int
    downstream: int

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.dataset.dna(np.arange(len(self.dataset))[rows], self.upstream, self.downstream)


def _window_pairs(dataset: PreparedDataset, upstream: int, downstream: int) -> tuple[str, np.ndarray]:
    """How windows were compared, with counts, and the pairs that overlap.

    Two genes with a position are compared by position, which is exact; two of which one has none by sequence.
    """
    intervals = _intervals(dataset, upstream, downstream)
    placed = np.array([interval is not None for interval in intervals])
    pairs = overlapping_intervals(intervals)
    if not placed.all():
        by_sequence = overlapping_sequences(_Windows(dataset, upstream, downstream))
        pairs = np.concatenate([pairs, by_sequence[~placed[by_sequence].all(axis=1)]])
    ways = []
    if placed.any():
        ways.append(f"by position for {placed.sum():,} genes")
    if not placed.all():
        ways.append(
            f"by sequence for {(~placed).sum():,} genes without a position: at least {SEED} bases at an end of one "
            f"window lie in the other, and {SAME_BASES:.0%} of all from there on are the same"
        )
    length = upstream + downstream
    definition = f"the gene's window of {length:,} bp shares bases, on either strand, with a training gene's window"
    return f"{definition} ({'; '.join(ways)})", pairs


def _intervals(dataset: PreparedDataset, upstream: int, downstream: int) -> list[Interval | None]:
    """The genes' windows on the genome; None where chromosome, TSS or strand is not known."""
    genes = dataset.genes
    known = genes["tss"].notna() & genes["strand"].isin(STRANDS) & (genes["chrom"].str.strip() != "")
    intervals: list[Interval | None] = [None] * len(genes)
    for row in np.flatnonzero(known):
        gene = genes.iloc[row]
        # "chr1" and "1" are one chromosome, also where a dataset mixes them.
        chrom = re.sub(r"^chr|\s", "", gene["chrom"], flags=re.IGNORECASE)
        intervals[row] = Tss(gene["id"], chrom, int(gene["tss"]), gene["strand"]).window(upstream, downstream)
    return intervals
