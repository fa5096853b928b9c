"""Say in words what `predict` changed on the way in; nothing is changed silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqexpr.cli.console import plural

if TYPE_CHECKING:
    from seqexpr.inputs.options import File
    from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds


def summarise(counts: InputCounts, sources: InputSources, needs: ModelNeeds) -> list[str]:
    """One line about the sequences, and one about half-life features where they matter."""
    said = [*counts.dna.describe(), *counts.proteins.describe(), *_proteins(counts, needs)]
    return [
        f"{plural(counts.records, 'record')}: {'; '.join(said) or 'all used as given'}",
        *_half_life(counts, sources, needs),
    ]


def _proteins(counts: InputCounts, needs: ModelNeeds) -> list[str]:
    said = []
    if counts.truncated_proteins:
        said.append(f"{plural(counts.truncated_proteins, 'protein')} cut to {needs.protein_length} residues")
    if counts.unused_proteins:
        said.append(f"{plural(counts.unused_proteins, 'protein')} without a window left out")
    return said


def _half_life(counts: InputCounts, sources: InputSources, needs: ModelNeeds) -> list[str]:
    if not needs.half_life_names:
        return []
    without = "the model predicts from the rest"
    if not (sources.half_life or sources.annotation or sources.genbank):
        more = f"; --annotation {sources.tss} would compute them" if _is_annotation(sources.tss) else ""
        return [f"half-life features: none given{more}; {without}"]
    if not (counts.half_life_absent or counts.half_life_incomplete):
        return []
    return [
        f"half-life features: {counts.half_life_absent:,} of {plural(counts.records, 'gene')} not in the table, "
        f"{counts.half_life_incomplete:,} with missing features; {without}"
    ]


def _is_annotation(tss: File | None) -> bool:
    return any(f".{suffix}" in str(tss).lower() for suffix in ("gtf", "gff"))
