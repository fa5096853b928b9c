"""Prepare the datasets of named tasks from their fetched sources, into the cache.

The two tasks on Xpresso's own labels hold all genes of its files, and its split. Every other task takes DNA windows and
half-life features from the dataset of `mrna-human`, which is prepared first and shared, and joins them by Ensembl
gene with CPTAC's levels and, for the protein tasks, with UniProt's proteins. Its genes are those that have all of
them, the pairs and triplets of Stefanini et al. 2023 (sections 2.3 and 2.5), so that all presets are compared on the
same genes.

A dataset that is there already, from the same files and options, is reused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqexpr.datasets.dataset import FORMAT, DatasetWriter, PreparedDataset
from seqexpr.errors import InputError, MissingDataError, NetworkError, UsageError
from seqexpr.files import one_at_a_time, remove_leftovers
from seqexpr.inputs.gene_ids import Side, nothing_joined, strip_version
from seqexpr.inputs.half_life import FEATURES, IDENTITY
from seqexpr.manifest import describe_run, read_manifest
from seqexpr.sequences.alphabet import DNA, PROTEIN
from seqexpr.sources.registry import SourceFile, find_source
from seqexpr.tasks.catalogue import RULES, Task, find_task, open_task_dataset, task_folder, task_lock
from seqexpr.tasks.cptac import CaseMeans, read_case_means
from seqexpr.tasks.uniprot import GeneProteins, read_gene_proteins
from seqexpr.tasks.xpresso import DOWNSTREAM, UPSTREAM, read_blocks

logger = logging.getLogger(__name__)

Renew = Literal["never", "changed", "always"]
"""When a dataset that is there makes way for a new one: never (what differs is an error), if it differs, or always."""


@dataclass(frozen=True)
class GeneCount:
    """How many genes have something."""

    key: str
    """Its name in the task's `paper_genes`."""
    what: str
    genes: int
    paper: int | None
    """The same number in Stefanini et al. 2023, where the paper gives it."""


@dataclass(frozen=True)
class TaskPlan:
    """Equal plans give equal datasets."""

    task: Task
    min_cases: int
    sources: list[dict[str, Any]]
    """The files as the manifest lists them, with checksums."""

    @classmethod
    def make(cls, task: Task, min_cases: int) -> TaskPlan:
        """The plan for a task, with all its files checked.

        Raises:
            MissingDataError: a source is not here; the text names the command that gets it.
            NetworkError: a file is not the one that was fetched.
        """
        sources = [find_source(name) for name in task.sources]
        absent = [source.name for source in sources if not source.present()]
        if absent:
            raise MissingDataError(f"task {task.name} needs {', '.join(absent)}; run: seqexpr fetch {task.name}")
        return cls(task, min_cases, [_described(file) for source in sources for file in source.files])

    @property
    def folder(self) -> Path:
        """Where the dataset goes."""
        return task_folder(self.task.name)

    @property
    def options(self) -> dict[str, Any]:
        """What the manifest holds as the dataset's options."""
        return {"task": self.task.name, "min_cases": self.min_cases, "rules": RULES}

    def count(self, key: str, what: str, genes: int) -> GeneCount:
        """A count beside the paper's."""
        return GeneCount(key, what, genes, self.task.paper_genes.get(key))


def existing_dataset(plan: TaskPlan, renew: Literal["never", "changed"]) -> PreparedDataset | None:
    """The dataset that is there, if it is what the plan would make; None when it has to be made.

    Raises:
        NetworkError: it was made from other files, and `renew` is "never".
        UsageError: it was made with other options, and `renew` is "never".
        InputError: what is there is no dataset, or one of a newer version; it is left as it is.
    """
    if not plan.folder.exists():
        return None
    if read_manifest(plan.folder, "dataset").get("format") != FORMAT:
        return PreparedDataset.open(plan.folder)  # which says that it needs a newer seqexpr
    try:
        dataset = PreparedDataset.open(plan.folder)
        dataset.check_content()
        then = {entry["role"]: entry["sha256"] for entry in dataset.manifest["sources"]}
        options = dict(dataset.manifest["options"])
    except (InputError, KeyError, TypeError, ValueError) as problem:
        found = problem.found if isinstance(problem, InputError) else f"no entry {problem} in its manifest"
        logger.warning("%s: found %s; it is prepared again", plan.folder, found)
        return None
    now = {entry["role"]: entry["sha256"] for entry in plan.sources}
    if then == now and options == plan.options:
        return dataset
    if renew == "changed":
        return None
    threshold = f" --min-cases {plan.min_cases}" if plan.min_cases != 1 else ""
    again = f"to prepare it anew: seqexpr prepare {plan.task.name}{threshold} --force"
    changed = next((role for role in now if now[role] != then.get(role)), None)
    if changed:
        found = f"found SHA-256 {now[changed]}; expected {then.get(changed)}"
        raise NetworkError(f"{plan.folder}: was prepared from another {changed}: {found}; {again}")
    if options.get("rules") != RULES:
        raise UsageError(f"{plan.folder}: was prepared by another version of seqexpr; {again}")
    differing = [f"{key} {options.get(key)!r}" for key in plan.options if options.get(key) != plan.options[key]]
    raise UsageError(f"{plan.folder}: was prepared with {', '.join(differing)}; {again}")


def _described(file: SourceFile) -> dict[str, Any]:
    try:
        found = file.check()
    except NetworkError as problem:
        raise NetworkError(f"{problem}; run: seqexpr fetch {file.source}") from None
    return {"role": file.label, "file": str(file.path), "bytes": file.path.stat().st_size, "sha256": found}


@dataclass(frozen=True)
class TaskReport:
    """A task's dataset, and how it came about."""

    task: str
    dataset: PreparedDataset
    reused: bool
    """Whether it was there already, from the same sources and options."""
    base: TaskReport | None = None
    """The dataset that its DNA windows were taken from, where it was made anew."""

    @property
    def counts(self) -> list[GeneCount]:
        """Genes at each join; none for a task without sources."""
        try:
            return [GeneCount(**entry) for entry in self.dataset.manifest.get("joins", ())]
        except TypeError as problem:
            path = self.dataset.folder / "manifest.json"
            expected = "counts of genes; prepare the dataset again"
            raise InputError(path, record="key 'joins'", found=str(problem), expected=expected) from None

    @property
    def notes(self) -> list[str]:
        """What was left out, and where a choice was made."""
        return list(self.dataset.manifest.get("notes", ()))

    def describe(self) -> list[str]:
        """The counts at each join next to the paper's, and the notes, in lines for the user."""
        if self.reused:
            made = self.dataset.manifest.get("created", "")[:10]
            lines = [f"{self.task}: reused, prepared from the same files on {made}"]
        elif self.base:
            done = "reused" if self.base.reused else "prepared first"
            lines = [f"{self.base.task}: {done}, for its DNA windows"]
        else:
            lines = []
        if counts := self.counts:
            width = max(len(count.what) for count in counts)
            lines.append(f"{'genes with':<{width}}  {'here':>8}  {'the paper':>9}")
            for count in counts:
                paper = "" if count.paper is None else f"{count.paper:,}"
                lines.append(f"{count.what:<{width}}  {count.genes:>8,}  {paper:>9}".rstrip())
        lines += [f"note: {note}" for note in self.notes]
        done = "are" if self.reused else "prepared"
        return [*lines, f"{len(self.dataset):,} genes {done} in {self.dataset.folder}"]


def prepare_task(
    name: str, *, force: bool = False, min_cases: int = 1, advance: Advance = lambda genes: None
) -> TaskReport:
    """Build the dataset of a named task in the cache, or find that it is there.

    Args:
        name: a task of tasks.toml.
        force: build it again although it is there.
        min_cases: for CPTAC's labels, in how many cases a gene must be measured.
        advance: told how it goes.

    Raises:
        MissingDataError: a source is not here, or h5py is not installed; the text names the command to run.
        UsageError: no such task, `min_cases` for a task without CPTAC's labels, or a dataset that was made with
            other options, when `force` is not given.
        NetworkError: a source is not the one that was fetched, or not the one that the dataset was made from.
        InputError: a source that is not as it should be.
    """
    task = find_task(name)
    if min_cases != 1 and not label_sources(task):
        raise UsageError(f"--min-cases: task {name} has no labels that are means over cases")
    if not task.sources:  # made on the spot
        return TaskReport(name, open_task_dataset(name, remake=force), reused=False)
    return _prepare(task, "always" if force else "never", min_cases, advance)


def _prepare(task: Task, renew: Renew, min_cases: int, advance: Advance) -> TaskReport:
    folder, base = task_folder(task.name), None
    with one_at_a_time(task_lock(task.name), f"another process prepares {task.name}; waiting for it"):
        remove_leftovers(folder)
        plan = TaskPlan.make(task, min_cases)
        if renew != "always" and (dataset := existing_dataset(plan, renew)):
            return TaskReport(task.name, dataset, reused=True)
        if task.dna is None:
            from_xpresso(plan, advance)
        else:
            base = _prepare(find_task(task.dna), "never" if renew == "never" else "changed", 1, advance)
            join_levels(plan, base.dataset, advance)
    return TaskReport(task.name, PreparedDataset.open(folder), reused=False, base=base)


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
