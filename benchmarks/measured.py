"""How well predicted effects of substitutions agree with measured ones, by `seqexpr explain` and `seqexpr variants`.

    python -m benchmarks effects --measured F9.tsv --fasta windows.fa.gz --tss-at 10000 --record ENSG00000101981

The table has the columns offset (from the TSS along the gene, 0 = the first transcribed base), ref, alt (on the gene's
strand) and effect, tabs between; deletions and rows without an effect are left out. The FASTA holds the gene's window.
Beside the model: the change of GC content and the number of CG pairs gained.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import seqexpr
from benchmarks.tables import table
from seqexpr.errors import InputError
from seqexpr.evaluation.metrics import resampled_weights
from seqexpr.sequences.fasta import read_fasta

COLUMNS = ("offset", "ref", "alt", "effect")
DRAWS = 1_000
"""Bootstrap samples of positions: the three substitutions of one are no independent measurements."""


@dataclass(frozen=True)
class Measurement:
    """Where measured effects are, and the window of their gene."""

    table: Path
    fasta: Path
    tss_at: int
    record: str | None = None
    """Id in the FASTA; None: its first record."""


def read_measured(file: Path) -> pd.DataFrame:
    """The substitutions of a table: offset (int), ref, alt and effect.

    Raises:
        InputError: columns are missing, or there is no substitution.
    """
    found = pd.read_csv(file, sep="\t", comment="#")
    if absent := [name for name in COLUMNS if name not in found.columns]:
        raise InputError(file, found=f"no column {', '.join(absent)}", expected=", ".join(COLUMNS))
    found = found[list(COLUMNS)].dropna()
    found = found[found["ref"].isin(list("ACGT")) & found["alt"].isin(list("ACGT"))]
    if found.empty:
        raise InputError(file, found="no substitution with an effect", expected="one at least")
    return found.astype({"offset": int, "effect": float}).reset_index(drop=True)


def run(measurement: Measurement, threads: int) -> dict[str, Any]:
    """Pearson's r of each way with what was measured.

    Raises:
        InputError: the table's letters are not those of the window, or no such record.
    """
    measured = read_measured(measurement.table)
    records = (one for one in read_fasta(measurement.fasta) if measurement.record in (None, one.id))
    if (record := next(records, None)) is None:
        raise InputError(measurement.fasta, found=f"no record {measurement.record!r}", expected="the gene's window")
    letters, at = record.sequence.decode().upper(), measurement.tss_at + measured["offset"].to_numpy()
    there = [letters[place] if 0 <= place < len(letters) else "-" for place in at]
    wrong = [place for place, ref in enumerate(measured["ref"]) if there[place] != ref]
    if wrong:
        row = measured.iloc[wrong[0]]
        where = f"offset {row['offset']}"
        raise InputError(measurement.table, record=where, found=f"ref {row['ref']}", expected=there[wrong[0]])
    predicted = {
        "explain": _explained(letters, measurement.tss_at, measured, threads),
        "variants": _of_variants(letters, measurement.tss_at, measured, threads),
        "GC change": _counts(letters, at, measured, lambda text: text.count("G") + text.count("C")),
        "CG pairs gained": _counts(letters, at, measured, lambda text: text.count("CG")),
    }
    weights = _weights(measured["offset"].to_numpy())
    actual = measured["effect"].to_numpy()
    rows = {name: _correlation(actual, values, weights) for name, values in predicted.items()}
    apart = float(np.abs(predicted["explain"] - predicted["variants"]).max())
    return {"n": len(measured), "positions": int(measured["offset"].nunique()), "rows": rows, "apart": apart}


def render(result: dict[str, Any], name: str) -> str:
    """The table."""
    lines = [[way, row["r"], row["low"], row["high"]] for way, row in result["rows"].items()]
    title = (
        f"{name}: {result['n']:,} substitutions at {result['positions']:,} positions; explain and variants differ by "
        f"{result['apart']:.1e} at most"
    )
    return table(title, ["", "Pearson's r", "2.5 %", "97.5 %"], lines)


def _explained(letters: str, tss_at: int, measured: pd.DataFrame, threads: int) -> np.ndarray:
    offsets = measured["offset"]
    region = f"{offsets.min():+d}:{offsets.max() + 1:+d}"
    found = seqexpr.explain({"gene": letters}, tss_at=tss_at, region=region, threads=threads)
    deltas = found.set_index(["tss_distance", "ref", "alt"])["delta"]
    return deltas.loc[list(zip(offsets, measured["ref"], measured["alt"], strict=True))].to_numpy()


def _of_variants(letters: str, tss_at: int, measured: pd.DataFrame, threads: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        genome, sites = Path(folder) / "genome.fa", Path(folder) / "sites.bed"
        genome.write_text(f">gene\n{letters}\n", encoding="ascii")
        sites.write_text(f"gene\t{tss_at}\t{tss_at + 1}\tgene\t0\t+\n", encoding="ascii")
        asked = pd.DataFrame({"chrom": "gene", "pos": tss_at + measured["offset"] + 1, **measured[["ref", "alt"]]})
        return seqexpr.variants(asked, genome=genome, tss=sites, threads=threads)["delta"].to_numpy()


def _counts(letters: str, at: np.ndarray, measured: pd.DataFrame, count: Any) -> np.ndarray:
    """How a count of letters around each position changes."""
    changes = []
    for place, alt in zip(at, measured["alt"], strict=True):
        around = letters[max(place - 1, 0) : place + 2]
        own = min(place, 1)
        changes.append(count(around[:own] + alt + around[own + 1 :]) - count(around))
    return np.array(changes, dtype=float)


def _weights(offsets: np.ndarray) -> np.ndarray:
    """How often each substitution is drawn, (1 + draws, n); the first row takes each once."""
    _, place = np.unique(offsets, return_inverse=True)
    drawn = np.vstack(list(resampled_weights(int(place.max()) + 1, DRAWS, seed=0)))
    return np.vstack([np.ones(len(offsets)), drawn[:, place]])


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    total = weights.sum(axis=1)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    covariance = weights @ (x * y) / total - mean_x * mean_y
    spread = (weights @ x**2 / total - mean_x**2) * (weights @ y**2 / total - mean_y**2)
    r = covariance / np.sqrt(np.maximum(spread, 1e-300))
    low, high = np.quantile(r[1:], (0.025, 0.975))
    return {"r": float(r[0]), "low": float(low), "high": float(high)}
