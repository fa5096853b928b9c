"""The datasets of named tasks: Xpresso's genes as they are, or joined with CPTAC's levels and UniProt's proteins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from seqexpr.datasets.cptac import CaseMeans, read_case_means
from seqexpr.datasets.half_life import FEATURES, IDENTITY
from seqexpr.datasets.joining import Side, nothing_joined, strip_version
from seqexpr.datasets.prepared import DatasetWriter, PreparedDataset
from seqexpr.datasets.sources import find_source
from seqexpr.datasets.task_plan import GeneCount, TaskPlan
from seqexpr.datasets.tasks import Task
from seqexpr.datasets.uniprot import GeneProteins, read_gene_proteins
from seqexpr.datasets.xpresso import DOWNSTREAM, UPSTREAM, read_blocks
from seqexpr.errors import InputError, UsageError
from seqexpr.manifest import describe_run
from seqexpr.sequences.alphabet import DNA, PROTEIN

Advance = Callable[[int], None]
"""Called with the number of genes that were just written."""

_SPLITS = ("train", "valid", "test")
_BLOCK = 64  # windows copied at once
_LEVELS = {"mrna": "mRNA level", "protein": "protein level"}
_COLUMNS = {"rna": "mrna", "protein": "protein"}  # by the end of a CPTAC source's name


@dataclass
class _Made:
    """The table of a dataset in the making, and what there is to tell about it."""

    columns: dict[str, Any] = field(default_factory=dict)
    counts: list[GeneCount] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def from_xpresso(plan: TaskPlan, advance: Advance) -> None:
    """Write the dataset of all genes of Xpresso's files, with its split and its labels.

    Raises:
        InputError: a file that is not as it should be, or a gene twice.
        MissingDataError: h5py is not installed.
    """
    source = find_source(plan.task.sources[0])
    splits: list[str] = []
    features, labels, made = [], [], _Made()
    with DatasetWriter(plan.folder, UPSTREAM, DOWNSTREAM, with_protein=False, force=True) as writer:
        seen: set[str] = set()
        for split in _SPLITS:
            path = source.file(f"{split}.h5")
            for block in read_blocks(path):
                for gene, window in zip(map(strip_version, block.ids), block.windows, strict=True):
                    if gene in seen:
                        raise InputError(
                            path, record=repr(gene), found="the same gene again", expected="each gene once"
                        )
                    seen.add(gene)
                    writer.add(gene, window)
                features.append(block.half_life)
                labels.append(block.labels)
                splits += [split] * len(block.ids)
                advance(len(block.ids))
            made.counts.append(plan.count(split, f"{split} genes of Xpresso's split", splits.count(split)))
        made.counts.insert(0, plan.count("dna", "DNA window (Xpresso)", len(seen)))
        made.columns = {"id": writer.ids, "split": splits, plan.task.labels[0]: np.concatenate(labels)}
        _finish(writer, plan, made, np.concatenate(features))


def join_levels(plan: TaskPlan, dna: PreparedDataset, advance: Advance) -> None:
    """Write the dataset of the genes of `dna` that have every label and, where the task has proteins, a protein.

    Raises:
        InputError: a file that is not as it should be, or no gene that has everything.
        UsageError: more cases asked for than there are.
    """
    task, made = plan.task, _Made()
    means = {
        column: read_case_means(find_source(name).files[0].path, plan.min_cases) for column, name in label_sources(task)
    }
    for table in means.values():
        if plan.min_cases > table.cases:
            raise UsageError(f"--min-cases {plan.min_cases}: {table.file} has {table.cases:,} cases")
    labelled = set.intersection(*(set(table.means) for table in means.values()))
    proteins = _proteins(labelled) if "uniprot-human" in task.sources else None
    rows = [
        row for row, gene in enumerate(dna.ids) if gene in labelled and (proteins is None or gene in proteins.tokens)
    ]
    if not rows:
        raise _nothing(dna, means, proteins)
    made.counts = _counts(plan, dna, means, labelled, proteins, len(rows))
    made.notes = list(_notes(means, proteins))
    with DatasetWriter(plan.folder, UPSTREAM, DOWNSTREAM, proteins is not None, force=True) as writer:
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            for row, window in zip(some, dna.dna(some, UPSTREAM, DOWNSTREAM), strict=True):
                gene = dna.ids[row]
                writer.add(gene, window, None if proteins is None else proteins.tokens[gene])
            advance(len(some))
        levels = {column: [table.means[gene] for gene in writer.ids] for column, table in means.items()}
        made.columns = {"id": writer.ids, **levels}
        half_life = dna.half_life()
        assert half_life is not None
        _finish(writer, plan, made, half_life[rows])


def _finish(writer: DatasetWriter, plan: TaskPlan, made: _Made, half_life: np.ndarray) -> None:
    import pandas as pd

    alphabets = (DNA, PROTEIN) if "uniprot-human" in plan.task.sources else (DNA,)
    manifest = {
        **describe_run("dataset", plan.options),
        "task": plan.task.name,
        "sources": plan.sources,
        "joins": [asdict(count) for count in made.counts],
        "labels": list(plan.task.labels),
        "label_units": plan.task.units,
        "half_life": {"names": list(FEATURES), "transforms": [IDENTITY] * len(FEATURES)},
        "alphabets": {alphabet.name: alphabet.to_dict() for alphabet in alphabets},
        "notes": [*made.notes, "half-life features are Xpresso's own z-scores"],
    }
    table = pd.DataFrame({**made.columns, **dict(zip(FEATURES, half_life.T, strict=True))})
    writer.finish(table, manifest)


def label_sources(task: Task) -> list[tuple[str, str]]:
    """The label columns that are means over CPTAC's cases, each with its source."""
    return [(_COLUMNS[name.rsplit("-", 1)[1]], name) for name in task.sources if name.startswith("cptac-")]


def _proteins(labelled: set[str]) -> GeneProteins:
    source = find_source("uniprot-human")
    return read_gene_proteins(
        source.file("proteins.fasta.gz"), source.file("ensembl_map.tsv.gz"), labelled.__contains__
    )


def _counts(
    plan: TaskPlan,
    dna: PreparedDataset,
    means: dict[str, CaseMeans],
    labelled: set[str],
    proteins: GeneProteins | None,
    genes: int,
) -> list[GeneCount]:
    """How many genes are left at each join, in the paper's order."""
    levels = " and ".join(_LEVELS[column] for column in means)
    counts = [plan.count("dna", "DNA window (Xpresso)", len(dna))]
    counts += [plan.count(column, f"{_LEVELS[column]} (CPTAC)", len(table.means)) for column, table in means.items()]
    if len(means) > 1:
        counts.append(plan.count("labels", levels, len(labelled)))
    if proteins is not None:
        counts.append(plan.count("labels_protein", f"{levels} and protein (UniProt)", len(proteins.tokens)))
        both = len(labelled.intersection(dna.ids))
        counts.append(plan.count("labels_dna", f"{levels} and DNA window", both))
    everything = f"{levels}, protein and DNA window" if proteins is not None else f"{levels} and DNA window"
    return [*counts, plan.count("all", everything, genes)]


def _notes(means: dict[str, CaseMeans], proteins: GeneProteins | None) -> Iterator[str]:
    for column, table in means.items():
        mean = f"{_LEVELS[column]}: mean over those of {table.cases:,} cases that have a value"
        yield "; left out: ".join(filter(None, (mean, table.left_out())))
    if proteins is not None and proteins.chosen:
        yield f"genes with several proteins, of which the longest counts: {proteins.chosen:,}"


def _nothing(dna: PreparedDataset, means: dict[str, CaseMeans], proteins: GeneProteins | None) -> InputError:
    sides = [Side("Xpresso", str(dna.folder), dna.ids)]
    sides += [Side(f"the {_LEVELS[column]}", table.file, list(table.means)) for column, table in means.items()]
    if proteins is not None:
        sides.append(Side("proteins", "uniprot-human", list(proteins.tokens)))
    return nothing_joined(sides, with_map=True)
