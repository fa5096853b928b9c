"""Prepare the datasets of named tasks from their fetched sources, into the cache.

The two tasks on Xpresso's own labels hold all genes of its files, and its split. Every other task takes DNA windows and
half-life features from the dataset of `mrna-human`, which is prepared first and shared, and joins them by Ensembl
gene with CPTAC's levels and, for the protein tasks, with UniProt's proteins. Its genes are those that have all of
them, the pairs and triplets of Stefanini et al. 2023 (sections 2.3 and 2.5), so that all presets are compared on the
same genes.

A dataset that is there already, from the same files and options, is reused.
"""

from __future__ import annotations

from dataclasses import dataclass

from seqexpr.datasets.prepared import PreparedDataset
from seqexpr.datasets.task_assembly import Advance, from_xpresso, join_levels, label_sources
from seqexpr.datasets.task_plan import GeneCount, Renew, TaskPlan, existing_dataset
from seqexpr.datasets.tasks import Task, find_task, open_task_dataset, task_folder, task_lock
from seqexpr.errors import UsageError
from seqexpr.files import remove_leftovers
from seqexpr.locks import one_at_a_time


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
        return [GeneCount(**entry) for entry in self.dataset.manifest.get("joins", ())]

    @property
    def notes(self) -> list[str]:
        """What was left out, and where a choice was made."""
        return list(self.dataset.manifest.get("notes", ()))


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
