"""`seqexpr cv`: cross-validation of a task or a prepared folder, beside the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from seqexpr.cli import run_options as options
from seqexpr.errors import UsageError

if TYPE_CHECKING:
    import torch

    from seqexpr.runs.cross_validation import CrossValidation

_READ_BY_MERGE = ("merge", "out", "device", "threads")
"""Parameters that --merge has a use for; all others are in the manifests of the merged runs."""


def cv(
    context: typer.Context,
    task: options.OptionalTask = None,
    folds: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--folds", min=2, help="Number of folds. Default: the task's, else 10."),
    ] = None,
    out: options.Out = None,
    label: options.Label = None,
    preset: options.Preset = None,
    recipe: options.RecipeOption = "default",
    split: Annotated[
        options.FoldSplit,
        typer.Option(
            "--split",
            help="What is never divided between folds: random (nothing, as the paper), chromosome, homology (clusters "
            "of homologous proteins, by MMseqs2 or --groups) or group (the dataset's group column, or --groups).",
        ),
    ] = options.FoldSplit.RANDOM,
    groups: options.Groups = None,
    valid_fraction: Annotated[
        float,
        typer.Option("--valid-fraction", help="Share of the genes outside the test fold that chooses the epoch."),
    ] = 0.1,
    permute_labels: options.PermuteLabels = False,
    seed: options.Seed = 0,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            min=1,
            help="Folds at once, each in a process of its own; --threads are divided among them. On a CPU the last "
            "digits of the results depend on the threads that a fold gets.",
        ),
    ] = 1,
    only_fold: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Option(
            "--only-fold",
            metavar="K",
            min=0,
            help="Run this fold alone, counted from 0 (repeatable), into --out, where other processes may be running "
            "other folds. It always goes on with what is there, without --resume; --merge makes the whole run.",
        ),
    ] = None,
    merge: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            "--merge",
            metavar="RUN",
            help="Make the whole run of folds that were run into this folder; given more than once, of folds in "
            "several folders, which are copied into --out. Goes with --out, --device and --threads alone.",
        ),
    ] = None,
    resume: options.Resume = False,
    device: options.DeviceOption = options.Device.AUTO,
    threads: options.ThreadsOption = None,
) -> None:
    """Cross-validate: every gene is predicted once by a network that never saw it, next to baselines.

    The test fold chooses nothing: a part of the other folds stops the training.

    Standard output gets the metrics over all genes; the folder gets predictions, metrics, report.html.

    seqexpr cv --task synthetic --folds 5

    seqexpr cv --task my-dataset --label lung --split chromosome --folds 5 --jobs 5 --out runs/lung-cv

    seqexpr cv --task my-dataset --label lung --split homology --groups families.tsv --out runs/families

    seqexpr cv --task synthetic --folds 5 --permute-labels --out runs/control

    Ten jobs of a cluster, each with a number K from 0 to 9, then one more:

    seqexpr cv --task my-dataset --folds 10 --only-fold K --out runs/lung-cv

    seqexpr cv --merge runs/lung-cv
    """
    if merge:
        _refuse_others(context)
        return _merge(merge, out, device, threads)
    if task is None:
        raise UsageError(
            "--task is needed: a named task or a folder made by seqexpr prepare (or --merge, for folds that were run)"
        )
    if only_fold and resume:
        raise UsageError("--only-fold always goes on with what is there; leave out --resume")
    from seqexpr.runs.cross_validation import CrossValidation

    setup, named, chosen = options.begin_run(task, label, preset, recipe, epochs, batch_size, seed, device, threads)
    count = folds or (named.folds if named and named.folds > 1 else 10)
    run = CrossValidation(setup, split.value, count, valid_fraction, groups_file=groups, permute_labels=permute_labels)
    folder = options.settle_folder(out, "cv", task, setup.config.preset, resume)
    if only_fold:
        _run_some(run, folder, chosen, only_fold, jobs)
    else:
        _run_all(run, folder, chosen, resume, jobs)


def _refuse_others(context: typer.Context) -> None:
    """An option that --merge does not read is a misunderstanding."""
    given = [
        name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if unread := [name for name in given if name not in _READ_BY_MERGE]:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(unread))
        raise UsageError(f"--merge reads the run's own manifest, and so takes no {named}")


def _run_all(run: CrossValidation, folder: Path, device: torch.device, resume: bool, jobs: int) -> None:
    from seqexpr.cli.run_display import RunDisplay, show_results
    from seqexpr.runs.cross_validation import cross_validate

    with RunDisplay(run.setup.recipe.max_epochs) as display:
        rows = cross_validate(run, folder, device, resume=resume, observer=display, jobs=jobs)
    show_results(rows, folder)


def _run_some(run: CrossValidation, folder: Path, device: torch.device, only: list[int], jobs: int) -> None:
    import shlex

    from seqexpr.cli.console import status
    from seqexpr.cli.run_display import RunDisplay
    from seqexpr.runs.cross_validation import run_folds

    with RunDisplay(run.setup.recipe.max_epochs) as display:
        done = run_folds(run, folder, device, only, observer=display, jobs=jobs)
    missing = [fold for fold in range(run.folds) if fold not in done]
    states = [
        f"fold{'s' if len(part) > 1 else ''} {', '.join(map(str, part))} {state}"
        for part, state in ((done, "done"), (missing, "missing"))
        if part
    ]
    when = "when all are done, run" if missing else "for the whole run"
    status(f"{folder}: {', '.join(states)}; {when}: seqexpr cv --merge {shlex.quote(str(folder))}")


def _merge(sources: list[Path], out: Path | None, device: options.Device, threads: int | None) -> None:
    chosen = options.begin_computing(device, threads)
    from seqexpr.cli.run_display import RunDisplay, show_results
    from seqexpr.runs.merging import merge_runs

    with RunDisplay() as display:
        folder, rows = merge_runs(sources, out, chosen, threads=threads, observer=display)
    show_results(rows, folder)
