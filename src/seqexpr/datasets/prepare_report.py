"""What `prepare` did with the user's files: counts for the user, kept in the manifest, and read from there again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqexpr.datasets.dna_input import DnaCounts
from seqexpr.datasets.prepared import PreparedDataset
from seqexpr.errors import InputError

_NOT_CONTENT = (
    "out",
    "force",
    "windows",
    "genome",
    "tss",
    "proteins",
    "protein_map",
    "labels",
    "half_life",
    "annotation",
)
"""Options that do not decide what a dataset holds: where it goes, and files, whose checksums do."""


@dataclass(frozen=True)
class SourceCount:
    """One file's part in the join: its records and how many of the dataset's genes come from them."""

    role: str
    file: str
    records: int
    joined: int


@dataclass(frozen=True)
class PrepareReport:
    """What was prepared, for the user and for the manifest."""

    folder: Path
    genes: int
    upstream: int
    downstream: int
    proteins: bool
    sources: tuple[SourceCount, ...]
    labels: dict[str, int]
    """Genes with a value, per label."""
    half_life: dict[str, int]
    """Genes with a value, per feature; empty without half-life features."""
    letters: DnaCounts
    notes: tuple[str, ...] = ()
    reused: bool = False
    """Whether the dataset was there already."""


def existing_report(folder: Path, described: dict[str, Any]) -> PrepareReport | None:
    """The report of the dataset in `folder`, if it was made from these files and options; else None.

    Args:
        folder: where the dataset would go.
        described: `options` and `sources` as a manifest holds them.
    """
    try:
        dataset = PreparedDataset.open(folder)
        manifest = dataset.manifest
        if _content(manifest) != _content(described) or None in _checksums(described).values():
            return None
        return PrepareReport(
            folder,
            len(dataset),
            dataset.upstream,
            dataset.downstream,
            dataset.has_protein,
            tuple(SourceCount(**entry) for entry in manifest["joins"]),
            dict(manifest["label_counts"]),
            dict(manifest["half_life_counts"]),
            DnaCounts(**manifest["letters"]),
            tuple(manifest["notes"]),
            reused=True,
        )
    except (InputError, KeyError, TypeError):  # damaged, or of another kind: whoever asked will say so
        return None


def _content(described: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str | None]]:
    options = {name: _listed(value) for name, value in described["options"].items() if name not in _NOT_CONTENT}
    return options, _checksums(described)


def _checksums(described: dict[str, Any]) -> dict[str, str | None]:
    """SHA-256 by role; None for standard input, which nobody can compare."""
    return {entry["role"]: entry["sha256"] for entry in described["sources"]}


def _listed(value: Any) -> Any:
    """JSON has no tuples."""
    return list(value) if isinstance(value, Collection) and not isinstance(value, str) else value
