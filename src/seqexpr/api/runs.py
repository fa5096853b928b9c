"""Train and cross-validate from Python."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqexpr.api.arguments import Path_, names, path
from seqexpr.errors import MissingDataError, UsageError
from seqexpr.threads import wait_passively_if_busy
from seqexpr.training.distributed import refuse_many_processes

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from seqexpr.datasets.dataset import PreparedDataset
    from seqexpr.evaluation.folds import SplitKind
    from seqexpr.runs.cross_validation import FoldRunner
    from seqexpr.runs.observers import FoldObserver, RunObserver
    from seqexpr.tasks.catalogue import Task
    from seqexpr.training.experiment import Experiment

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run of `train` or `cross_validate`: a folder. `predict(model=run)` and `compare(run)` take it as it is."""

    folder: Path

    def __fspath__(self) -> str:
        return str(self.folder)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row for each model, label and scope: n, five metrics with their 95 % intervals, the lead over the model.

        Raises:
            MissingDataError: the run has not ended.
        """
        from seqexpr.evaluation.tables import metrics_table, read_metrics

        return metrics_table(read_metrics(self._file("metrics.json")))

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Held-out genes: id, chromosome, part or fold, measured and predicted level, error to expect where known.

        Raises:
            MissingDataError: the run has not ended.
        """
        from seqexpr.evaluation.tables import read_table

        return read_table(self._file("predictions.tsv"))

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.folder / "report.html"

    @property
    def failed(self) -> list[str]:
        """What failed after the training: a baseline, the audit, the report. All else is there."""
        from seqexpr.runs.folder import read_failures

        return read_failures(self.folder)

    @property
    def missing_folds(self) -> list[int]:
        """Folds of a cross-validation that are not trained yet."""
        from seqexpr.finished import done_folds
        from seqexpr.manifest import read_manifest

        folds = read_manifest(self.folder, "cv")["options"]["folds"]
        return sorted(set(range(folds)) - set(done_folds(self.folder, folds)))

    def _file(self, name: str) -> Path:
        found = self.folder / name
        if not found.exists():
            raise MissingDataError(f"{self.folder} has no {name}: the run has not ended; --resume continues it")
        return found


def train(
    task: str | Path_ | PreparedDataset,
    *,
    out: Path_ | None = None,
    label: str | Sequence[str] = (),
    preset: str | None = None,
    recipe: str | Path_ = "default",
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    start: str | Path_ | None = None,
    unlabelled: Path_ | None = None,
    permute_labels: bool = False,
    split: SplitKind | None = None,
    groups: Path_ | None = None,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    test_chromosomes: str | Sequence[str] = (),
    valid_chromosomes: str | Sequence[str] = (),
    resamples: int = 1000,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    observer: RunObserver | None = None,
) -> Run:
    """Train a network and score it on genes that were held out, next to baselines.

    In a script that torchrun started, every process trains this network on its share of each batch. The first writes
    and returns last; the others return when the network is trained.

    >>> import tempfile
    >>> from seqexpr.api.datasets import prepare
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "p.fa").write_text("".join(f">g{n}\\nM{'KLV'[n % 3] * 9}\\n" for n in range(24)))
    >>> _ = (folder / "l.tsv").write_text("id\\tlevel\\n" + "".join(f"g{n}\\t{n % 3}\\n" for n in range(24)))
    >>> data = prepare(out=folder / "set", proteins=folder / "p.fa", labels=folder / "l.tsv")
    >>> run = train(data, epochs=1, test_fraction=0, resamples=100, out=folder / "run")
    >>> run.metrics[["model", "scope", "n"]].values.tolist()
    [['seqexpr', 'valid', 2], ['training_mean', 'valid', 2]]

    Args:
        task: a named task, or a dataset or its folder.
        out: folder of the run. Default: `runs/train-TASK-PRESET`.
        label: the labels to learn, where the dataset holds several.
        preset: the network. Default: the task's, or what reads all that the dataset holds.
        recipe: "default", "paper", or a TOML file.
        epochs: largest number of them. Default: the recipe's.
        batch_size: genes in a step. Default: the recipe's.
        seed: of the weights, the batches and the division of the genes.
        start: weights to start from (fine-tuning), by name, file or run; the network is theirs, and so is the preset.
            Outputs that have the labels' names are kept; otherwise the output layer is fitted first.
        unlabelled: FASTA of DNA without labels, for a recipe whose first stage learns from teachers.
        permute_labels: a negative control: nothing can be learnt.
        split: "random", "chromosome", "homology", "group" or "given". Default: the task's, else "random".
        groups: table of gene ids and groups, for the splits "group" and "homology".
        valid_fraction: share of the genes that chooses the epoch.
        test_fraction: share of the genes held out to score the weights; 0 for none.
        test_chromosomes: names, or a text with commas between: their genes are tested.
        valid_chromosomes: likewise: their genes choose the epoch.
        resamples: of the bootstrap intervals.
        resume: continue what is in `out`.
        device: "auto", "cpu", "cuda" or "mps".
        threads: of torch. Default: the cores that this process may use.
        observer: hears how it goes.

    Returns:
        The run. What fails after the training is in its `failed`; everything else is written.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does.
    """
    test, valid = _one_list(test_chromosomes), _one_list(valid_chromosomes)
    beginning = (None if start is None else str(start), path(unlabelled))
    experiment, named, chosen = _begin(
        task, label, preset, recipe, epochs, batch_size, seed, beginning, device, threads
    )
    from seqexpr.runs.observers import SilentObserver
    from seqexpr.runs.setup import RunOptions
    from seqexpr.runs.train_run import train_once
    from seqexpr.training.distributed import own_device

    settings = RunOptions(
        split or ("chromosome" if test or valid else named.split if named else "random"),
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        resamples=resamples,
        groups_file=path(groups),
        permute_labels=permute_labels,
        test_chromosomes=test,
        valid_chromosomes=valid,
    )
    folder = _folder(out, "train", experiment, resume)
    train_once(experiment, settings, folder, own_device(chosen), resume=resume, observer=observer or SilentObserver())
    return Run(folder)


def cross_validate(
    task: str | Path_ | PreparedDataset,
    *,
    out: Path_ | None = None,
    folds: int | None = None,
    label: str | Sequence[str] = (),
    preset: str | None = None,
    recipe: str | Path_ = "default",
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    start: str | Path_ | None = None,
    unlabelled: Path_ | None = None,
    permute_labels: bool = False,
    split: SplitKind | None = None,
    groups: Path_ | None = None,
    valid_fraction: float = 0.1,
    test_chromosomes: Sequence[str | Sequence[str]] = (),
    valid_chromosomes: Sequence[str | Sequence[str]] = (),
    resamples: int = 1000,
    only_folds: Sequence[int] = (),
    jobs: int = 1,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    observer: FoldObserver | None = None,
    elsewhere: FoldRunner | None = None,
) -> Run:
    """Predict every gene once by a network that never saw it, next to baselines on the same folds.

    >>> import tempfile
    >>> from seqexpr.api.datasets import prepare
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "p.fa").write_text("".join(f">g{n}\\nM{'KLV'[n % 3] * 9}\\n" for n in range(24)))
    >>> _ = (folder / "l.tsv").write_text("id\\tlevel\\n" + "".join(f"g{n}\\t{n % 3}\\n" for n in range(24)))
    >>> data = prepare(out=folder / "set", proteins=folder / "p.fa", labels=folder / "l.tsv")
    >>> run = cross_validate(data, folds=2, epochs=1, resamples=100, valid_fraction=0.2, out=folder / "run")
    >>> sorted(run.predictions["id"]) == sorted(data.ids)
    True

    Args:
        task, label, preset, recipe, epochs, batch_size, seed, start, unlabelled, permute_labels, groups, resamples,
            resume, device, threads, observer: as for `train`.
        out: folder of the run. Default: `runs/cv-TASK-PRESET`.
        folds: their number. Default: the task's, else 10.
        split: what is never divided between folds: "random" (nothing), "chromosome", "homology" or "group".
        valid_fraction: share of the genes outside the test fold that chooses the epoch.
        test_chromosomes: for each fold a list of names, or a text with commas between. Genes of other chromosomes are
            never tested.
        valid_chromosomes: likewise, once for all folds or once for each: their genes choose the epoch.
        only_folds: run these alone, counted from 0, where other processes may be running others; `out` is then always
            continued, and the run ends by `seqexpr cv --merge`.
        jobs: folds at once, each in a process of its own.
        elsewhere: what runs the folds instead of this process; --scheduler gives one that has them run on a cluster.

    Returns:
        The run. What fails after the training is in its `failed`; everything else is written.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does.
    """
    refuse_many_processes("cv", "start it without torchrun, and train folds at once with --jobs or --only-fold")
    _at_least(1, "jobs", jobs)
    if only_folds and resume:
        raise UsageError("--only-fold always continues what is there; leave out --resume")
    test, valid = _lists(test_chromosomes), _lists(valid_chromosomes)
    if valid and not test:
        raise UsageError("--valid-chromosomes of cv goes with --test-chromosomes, which says what each fold tests")
    beginning = (None if start is None else str(start), path(unlabelled))
    experiment, named, chosen = _begin(
        task, label, preset, recipe, epochs, batch_size, seed, beginning, device, threads
    )
    from seqexpr.runs.cross_validation import cross_validate as run_all
    from seqexpr.runs.cross_validation import run_folds
    from seqexpr.runs.observers import SilentObserver
    from seqexpr.runs.setup import RunOptions

    settings = RunOptions(
        split or ("chromosome" if test else "random"),
        folds=_at_least(2, "folds", folds) or len(test) or (named.folds if named and named.folds > 1 else 10),
        valid_fraction=valid_fraction,
        resamples=resamples,
        groups_file=path(groups),
        permute_labels=permute_labels,
        test_chromosomes=test,
        valid_chromosomes=valid,
    )
    folder, heard = _folder(out, "cv", experiment, resume), observer or SilentObserver()
    if only_folds:
        run_folds(experiment, settings, folder, chosen, only_folds, observer=heard, jobs=jobs)
    else:
        run_all(experiment, settings, folder, chosen, resume=resume, observer=heard, jobs=jobs, elsewhere=elsewhere)
    return Run(folder)


def _begin(
    task: Any,
    label: str | Sequence[str],
    preset: str | None,
    recipe: str | Path_,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    beginning: tuple[str | None, Path | None],
    device: str,
    threads: int | None,
) -> tuple[Experiment, Task | None, torch.device]:
    """Choose the device and settle what is learnt; also the named task, None for a folder."""
    if (share := wait_passively_if_busy()) is not None:  # has an effect before torch is imported
        logger.info(
            "other processes use %.0f%% of the cores: torch's threads wait for one another without spinning",
            100 * share,
        )
    from seqexpr.prediction.device import begin_training, describe_device
    from seqexpr.runs.setup import resolve_experiment
    from seqexpr.tasks.catalogue import named_task

    _at_least(0, "seed", seed)
    chosen = begin_training(device, _at_least(1, "threads", threads))
    logger.info("device: %s", describe_device(chosen))
    name = str(getattr(task, "folder", task))
    experiment = resolve_experiment(
        name,
        labels=names(label),
        preset=preset,
        recipe=str(recipe),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        start=beginning[0],
        unlabelled=beginning[1],
    )
    return experiment, named_task(name), chosen


def _at_least(least: int, name: str, value: int | None) -> int | None:
    """A number that is given, or None.

    Raises:
        UsageError: it is smaller than it may be.
    """
    if value is not None and value < least:
        raise UsageError(f"{name} is {value}; expected a whole number of at least {least}")
    return value


def _folder(out: Path_ | None, command: str, experiment: Experiment, resume: bool) -> Path:
    """Where the run goes; it is said if there is nothing to resume."""
    folder = path(out) or Path("runs") / f"{command}-{Path(experiment.task).name}-{experiment.config.preset}"
    if resume and not folder.exists():
        logger.warning("%s does not exist: nothing to resume, a new run begins", folder)
    return folder


def _one_list(given: str | Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """The chromosomes of one part: names, or a text with commas between."""
    return _lists([given] if isinstance(given, str) else [list(given)] if given else [])


def _lists(given: str | Iterable[str | Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """Chromosomes for each fold."""
    each = [given] if isinstance(given, str) else given
    named = [one.split(",") if isinstance(one, str) else one for one in each]
    lists = tuple(tuple(name.strip() for name in one if name.strip()) for one in named)
    if not all(lists):
        raise UsageError("an empty list of chromosomes")
    return lists
