"""What `prepare` did with the user's files: counts for the user, kept in the manifest, and read from there again."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.datasets.options import option_of
from seqexpr.errors import InputError, UsageError
from seqexpr.inputs.gene_ids import Side
from seqexpr.inputs.half_life import MissingFeatures
from seqexpr.inputs.windows import DnaCounts

_NOT_CONTENT = (
    "out",
    "force",
    "fasta",
    "genome",
    "tss",
    "genbank",
    "contig_aliases",
    "proteins",
    "cds",
    "protein_map",
    "labels",
    "half_life",
    "annotation",
)
"""Options that do not decide what a dataset holds: where it goes, and files, whose checksums do."""


_EXAMPLES = 3
_SIZEABLE = 0.1


def many_unjoined(sides: Sequence[Side], genes: Set[str]) -> bool:
    """Whether each of these sides has a sizeable part that is not among `genes`: ids may be spelt differently."""
    return len(sides) > 1 and all(sum(id not in genes for id in side.ids) > _SIZEABLE * len(side.ids) for side in sides)


@dataclass(frozen=True)
class SourceCount:
    """One file's part in the join: its records and how many of the dataset's genes come from them."""

    role: str
    file: str
    records: int
    joined: int
    without_value: int = 0
    """Rows of labels that have no value; they are not among the records."""
    unjoined: tuple[str, ...] = ()
    """Some of the ids that are not used, where on each side a sizeable part is not."""

    @classmethod
    def of(cls, side: Side, genes: Set[str], *, show: bool, without_value: int = 0) -> SourceCount:
        """Count the ids of `side` that are among `genes`, and with `show` name some that are not."""
        others = [id for id in dict.fromkeys(side.ids) if id not in genes] if show else []
        joined = len(genes & set(side.ids))
        return cls(side.role, side.file, len(side.ids), joined, without_value, tuple(others[:_EXAMPLES]))

    def describe(self) -> str:
        """What was used of the file."""
        rows = self.records + self.without_value
        said = f"{self.role}: {self.joined:,} of {rows:,} used ({self.file})"
        if self.without_value:
            said += f"; {self.without_value:,} {'has' if self.without_value == 1 else 'have'} no value"
        if self.unjoined:
            said += f"; {self.records - self.joined:,} not joined, for instance {', '.join(map(repr, self.unjoined))}"
        return said


@dataclass(frozen=True)
class PrepareReport:
    """What was prepared, for the user and for the manifest."""

    folder: Path
    genes: int
    upstream: int
    downstream: int
    proteins: bool
    coding: int | None
    """Genes with a coding sequence; None in a dataset without any."""
    sources: tuple[SourceCount, ...]
    labels: dict[str, int]
    """Genes with a value, per label."""
    half_life: dict[str, int]
    """Genes with a value, per feature; empty without half-life features."""
    missing_features: str | None
    """Which features are missing and for how many genes, in words; None where none is."""
    letters: DnaCounts
    notes: tuple[str, ...] = ()
    reused: bool = False
    """Whether the dataset was there already."""

    def describe(self) -> list[str]:
        """What was joined and what was changed, in lines for the user."""
        lines = [source.describe() for source in self.sources]
        if self.upstream + self.downstream:
            changed = "; ".join(self.letters.describe()) or "all used as given"
            lines.append(
                f"windows: {self.upstream:,} bp upstream and {self.downstream:,} bp downstream of the TSS; {changed}"
            )
        if self.coding is not None:
            of = f"{self.coding:,} of {_genes(self.genes)}" if self.coding < self.genes else "every gene"
            lines.append(f"coding sequences: for {of}")
        lines += [f"label {name}: {_genes(count)}" for name, count in self.labels.items()]
        if self.half_life:
            lines.append(self.missing_features or f"half-life features: all {len(self.half_life)} for every gene")
        lines += [f"note: {note}" for note in self.notes]
        done = "prepared"
        if self.reused:
            done = f"{'is' if self.genes == 1 else 'are'} there already, from the same files and options,"
        return [*lines, f"{_genes(self.genes)} {done} in {self.folder}"]


def _genes(count: int) -> str:
    return f"{count:,} gene{'' if count == 1 else 's'}"


def existing_report(folder: Path, described: dict[str, Any]) -> PrepareReport:
    """The report of the dataset in `folder`, which was made from these files and options.

    Args:
        folder: a prepared dataset.
        described: `options` and `sources` as a manifest holds them.

    Raises:
        UsageError: it was made from others, is damaged, or of an earlier version.
    """
    way_out = "choose another folder, or --force to replace it"
    try:
        dataset = PreparedDataset.open(folder)
        dataset.check_content()
        manifest = dataset.manifest
        if manifest["options"].get("rules") != described["options"]["rules"]:
            raise KeyError("rules")
        if differing := _differing(manifest, described):
            raise UsageError(f"{folder} exists, made with {differing}; {way_out}")
        return PrepareReport(
            folder,
            len(dataset),
            dataset.upstream,
            dataset.downstream,
            dataset.has_protein,
            int(np.count_nonzero(dataset.coding_lengths)) if dataset.has_coding else None,
            tuple(
                SourceCount(**{**entry, "unjoined": tuple(entry.get("unjoined", ()))}) for entry in manifest["joins"]
            ),
            dict(manifest["label_counts"]),
            dict(manifest["half_life_counts"]),
            MissingFeatures.in_genes(dataset.half_life(), len(dataset), dataset.half_life_names).describe(),
            DnaCounts(**manifest["letters"]),
            tuple(manifest["notes"]),
            reused=True,
        )
    except InputError as problem:
        raise UsageError(f"{folder} exists and is damaged ({problem.found}); {way_out}") from None
    except (KeyError, TypeError):
        raise UsageError(f"{folder} exists, of another kind or version; {way_out}") from None


def _differing(manifest: dict[str, Any], described: dict[str, Any]) -> str:
    """In which files and options the two differ, in words; empty if in none."""
    then, now = _checksums(manifest), _checksums(described)
    files = [role for role in {**then, **now} if then.get(role) != now.get(role) or now.get(role) is None]
    parts = [f"another file for --{role.replace('_', '-')}" for role in files]
    before, after = manifest["options"], described["options"]
    options = [name for name in after if name not in _NOT_CONTENT and before.get(name) != _listed(after[name])]
    return ", ".join(parts + [f"another {option_of(name)}" for name in options])


def _checksums(described: dict[str, Any]) -> dict[str, str | None]:
    """SHA-256 by role; None for standard input, which nobody can compare."""
    return {entry["role"]: entry["sha256"] for entry in described["sources"]}


def _listed(value: Any) -> Any:
    """JSON has no tuples."""
    return list(value) if isinstance(value, tuple) else value
