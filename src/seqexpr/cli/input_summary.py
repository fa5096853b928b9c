"""What `predict` changed on the way in, in words; nothing is changed silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqexpr.cli.console import plural

if TYPE_CHECKING:
    from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds


def summarise(counts: InputCounts, sources: InputSources, needs: ModelNeeds) -> list[str]:
    """One line about the sequences, and one about half-life features where they matter."""
    said = [text for count, text in _changes(counts, needs) if count]
    return [
        f"{plural(counts.records, 'record')}: {'; '.join(said) or 'all used as given'}",
        *_half_life(counts, sources, needs),
    ]


def _changes(counts: InputCounts, needs: ModelNeeds) -> list[tuple[int, str]]:
    aliases = ", ".join(f"{name} as {alias}" for name, alias in counts.contig_aliases.items())
    return [
        (counts.cropped_records, f"{plural(counts.cropped_records, 'record')} cropped to the window"),
        (
            counts.padded_windows,
            f"{plural(counts.padded_windows, 'window')} padded ({plural(counts.padded_bases, 'base')})",
        ),
        (
            counts.unknown_windows,
            f"{plural(counts.unknown_bases, 'unknown base')} in {plural(counts.unknown_windows, 'window')}",
        ),
        (
            counts.windows_as_given,
            f"{plural(counts.windows_as_given, 'record')} of the window's length, where --tss-at is not used",
        ),
        (
            counts.truncated_proteins,
            f"{plural(counts.truncated_proteins, 'protein')} cut to {needs.protein_length} residues",
        ),
        (counts.unused_proteins, f"{plural(counts.unused_proteins, 'protein')} without a window left out"),
        (len(counts.contig_aliases), f"contigs found under another name ({aliases})"),
    ]


def _half_life(counts: InputCounts, sources: InputSources, needs: ModelNeeds) -> list[str]:
    if not needs.half_life_names:
        return []
    without = "the prediction does without what is missing"
    if not sources.half_life:
        return [f"half-life: no --half-life given; {without}"]
    if not (counts.half_life_absent or counts.half_life_incomplete):
        return []
    return [
        f"half-life: {counts.half_life_absent:,} of {plural(counts.records, 'gene')} not in the table, "
        f"{counts.half_life_incomplete:,} with missing features; {without}"
    ]
