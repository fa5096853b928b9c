"""`seqexpr cv`: cross-validation of a task or a prepared folder, next to the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqexpr.cli import cluster_options
from seqexpr.cli import run_options as options
from seqexpr.cli.console import set_up_logging, status
from seqexpr.cli.help import share, whole_number
from seqexpr.errors import UsageError

if TYPE_CHECKING:
    from seqexpr.api import Run

_READ_BY_MERGE = ("merge", "out", "device", "threads", "all_metrics", "quiet")
"""Parameters that --merge has a use for; all others are in the manifests of the merged runs."""


def cv(
    context: typer.Context,
    task: options.OptionalTask = None,
    label: options.Label = None,
    preset: options.Preset = None,
    recipe: options.RecipeOption = "default",
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = 0,
    start: options.From = None,
    unlabelled: options.Unlabelled = None,
    permute_labels: options.PermuteLabels = False,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            metavar="N",
            parser=whole_number(2),
            help="Number of folds, at least 2. Default: the task's, else 10.",
            rich_help_panel=options.DIVISION,
        ),
    ] = None,
    split: Annotated[
        options.FoldSplit | None,
        typer.Option(
            "--split",
            metavar="KIND",
            help="What is never divided between folds: random (nothing, as the paper), chromosome, homology (clusters "
            "of homologous proteins, by MMseqs2 or --groups) or group (the dataset's group column, or --groups). "
            "Default: random.",
            rich_help_panel=options.DIVISION,
        ),
    ] = None,
    groups: options.Groups = None,
    valid_fraction: Annotated[
        float,
        typer.Option(
            "--valid-fraction",
            metavar="SHARE",
            parser=share(),
            help="Share of the genes outside the test fold that chooses the epoch, between 0 and 1.",
            rich_help_panel=options.DIVISION,
        ),
    ] = 0.1,
    test_chromosomes: Annotated[
        list[str] | None,
        typer.Option(
            "--test-chromosomes",
            metavar="CHR,CHR...",
            help="Test the genes of these chromosomes in one fold; given more than once, a fold for each. Genes of all "
            "other chromosomes are never tested, and every fold trains on them. Implies --split chromosome.",
            rich_help_panel=options.DIVISION,
        ),
    ] = None,
    valid_chromosomes: Annotated[
        list[str] | None,
        typer.Option(
            "--valid-chromosomes",
            metavar="CHR,CHR...",
            help="Choose the epoch by the genes of these chromosomes: once for all folds, or once for each. Goes with "
            "--test-chromosomes.",
            rich_help_panel=options.DIVISION,
        ),
    ] = None,
    out: options.Out = None,
    resume: options.Resume = False,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            metavar="N",
            parser=whole_number(1),
            help="Number of folds at once, each in a process of its own; --threads are divided among them. On a CPU "
            "the last digits of the results depend on the threads that a fold gets.",
            rich_help_panel=options.RUN,
        ),
    ] = 1,
    only_fold: Annotated[
        list[int] | None,
        typer.Option(
            "--only-fold",
            metavar="K",
            parser=whole_number(0),
            help="Run this fold alone, counted from 0 (repeatable), into --out, where other processes may be running "
            "other folds. It always continues what is there, without --resume; --merge makes the whole run.",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            "--merge",
            metavar="RUN",
            help="Make the whole run of folds that were run into this folder; given more than once, of folds in "
            "several folders, which are copied into --out. Only --out, --device, --threads, --all and --quiet may be "
            "given with it.",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    device: options.DeviceOption = options.Device.AUTO,
    threads: options.ThreadsOption = None,
    scheduler: cluster_options.Scheduler = None,
    worker_timeout: cluster_options.WorkerTimeout = cluster_options.WORKER_TIMEOUT,
    all_metrics: options.AllMetrics = False,
    quiet: options.Quiet = False,
) -> None:
    """Cross-validate: every gene is predicted once by a network that never saw it, next to baselines.

    The test fold chooses nothing: a part of the other folds stops the training.

    Standard output gets the metrics over all genes; the folder gets predictions, metrics, report.html. What fails after
    the training is named, everything else is written, and the exit code is 1; --resume computes what is missing.

    seqexpr cv --task synthetic --folds 5

    seqexpr cv --task my-dataset --label lung --split chromosome --folds 5 --jobs 5 --out runs/lung-cv

    seqexpr cv --task my-dataset --label lung --split homology --groups families.tsv --out runs/families

    seqexpr cv --task synthetic --folds 5 --permute-labels --out runs/control

    seqexpr cv --task my-dataset --test-chromosomes chr8,chr9 --test-chromosomes chr21 --out runs/two-folds

    Ten jobs of a cluster, each with a number K from 0 to 9, then one more:

    seqexpr cv --task my-dataset --folds 10 --only-fold K --out runs/lung-cv

    seqexpr cv --merge runs/lung-cv

    Or on a dask cluster, a fold on each worker:

    seqexpr cv --task my-dataset --folds 10 --scheduler scheduler.json --out runs/lung-cv
    """
    from seqexpr.cli.run_display import show_results

    set_up_logging(quiet=quiet)
    if merge:
        _refuse_others(context)
        return show_results(_merge(merge, out, device, threads), all_metrics=all_metrics)
    if task is None:
        raise UsageError(
            "--task is needed: a named task or a folder made by seqexpr prepare (or --merge, for folds that were run)"
        )
    from seqexpr import api
    from seqexpr.cli.on_cluster import folds_on_cluster
    from seqexpr.cli.run_display import RunDisplay

    if scheduler is not None and (jobs > 1 or only_fold):
        raise UsageError(f"--scheduler runs all folds: leave {'--only-fold' if only_fold else '--jobs'} out")
    with folds_on_cluster(context) as place, RunDisplay(only_fold or ()) as display:
        run = api.cross_validate(
            task,
            out=out,
            folds=folds,
            label=label or (),
            preset=preset,
            recipe=recipe,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            start=start,
            unlabelled=unlabelled,
            permute_labels=permute_labels,
            split=split.value if split else None,
            groups=groups,
            valid_fraction=valid_fraction,
            test_chromosomes=test_chromosomes or (),
            valid_chromosomes=valid_chromosomes or (),
            only_folds=only_fold or (),
            jobs=jobs if place is None else place.at_once,
            resume=resume,
            device=device.value,
            threads=threads if place is None else place.threads,
            observer=display,
            elsewhere=None if place is None else place.run,
        )
    if only_fold:
        _show_folds(run)
    else:
        show_results(run.folder, all_metrics=all_metrics)


def _refuse_others(context: typer.Context) -> None:
    """An option that --merge does not read is a misunderstanding."""
    given = [
        name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if unread := [name for name in given if name not in _READ_BY_MERGE]:
        options_of = {option.name: option.opts[0] for option in context.command.params}
        named = ", ".join(sorted(options_of[name] for name in unread))
        raise UsageError(f"--merge reads the run's own manifest, and so takes no {named}")


def _show_folds(run: Run) -> None:
    """Say which folds are done, and what makes the whole run of them."""
    import shlex

    from seqexpr.manifest import read_manifest

    missing = run.missing_folds
    done = sorted(set(range(read_manifest(run.folder, "cv")["options"]["folds"])) - set(missing))
    states = [
        f"fold{'s' if len(part) > 1 else ''} {', '.join(map(str, part))} {state}"
        for part, state in ((done, "done"), (missing, "missing"))
        if part
    ]
    when = "when all are done, run" if missing else "for the whole run"
    status(f"{run.folder}: {', '.join(states)}; {when}: seqexpr cv --merge {shlex.quote(str(run.folder))}")


def _merge(sources: list[Path], out: Path | None, device: options.Device, threads: int | None) -> Path:
    """The whole run of folds that were run; returns its folder."""
    from seqexpr.cli.run_display import RunDisplay
    from seqexpr.prediction.device import begin_training, describe_device
    from seqexpr.runs.merging import merge_runs

    with RunDisplay() as display:
        chosen = begin_training(device.value, threads)
        status(f"device: {describe_device(chosen)}")
        folder, _ = merge_runs(sources, out, chosen, threads=threads, observer=display)
    return folder
