"""What decides the dataset of a named task, and whether the dataset that is there is that one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seqexpr.datasets.prepared import FORMAT, PreparedDataset
from seqexpr.datasets.sources import SourceFile, find_source
from seqexpr.datasets.tasks import RULES, Task, task_folder
from seqexpr.errors import InputError, MissingDataError, NetworkError, UsageError
from seqexpr.manifest import read_manifest

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
