"""Say in words what `predict` changed on the way in; nothing is changed silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqexpr.cli.console import plural
from seqexpr.prediction.inputs import missing_lines

if TYPE_CHECKING:
    from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds


def summarise(counts: InputCounts, sources: InputSources, needs: ModelNeeds) -> list[str]:
    """One line about the sequences, and one about each optional input that genes lack."""
    said = [*counts.dna.describe(), *counts.proteins.describe(), *_sequences(counts, needs)]
    return [
        f"{plural(counts.records, 'record')}: {'; '.join(said) or 'all used as given'}",
        *missing_lines(counts, sources, needs),
    ]


def _sequences(counts: InputCounts, needs: ModelNeeds) -> list[str]:
    said = []
    if counts.truncated_proteins:
        said.append(f"{plural(counts.truncated_proteins, 'protein')} cut to {needs.protein_length} residues")
    if counts.truncated_coding:
        said.append(f"{plural(counts.truncated_coding, 'coding sequence')} cut to {needs.coding_length} codons")
    if counts.unused_proteins:
        said.append(f"{plural(counts.unused_proteins, 'protein')} without a window left out")
    return said
