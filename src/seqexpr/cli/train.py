"""`seqexpr train`: one training run on a task or a prepared folder."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from seqexpr.cli import run_options as options
from seqexpr.cli.console import set_up_logging
from seqexpr.cli.help import share


def train(
    task: options.Task,
    label: options.Label = None,
    preset: options.Preset = None,
    recipe: options.RecipeOption = "default",
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = 0,
    start: options.From = None,
    unlabelled: options.Unlabelled = None,
    permute_labels: options.PermuteLabels = False,
    split: Annotated[
        options.TrainSplit | None,
        typer.Option(
            "--split",
            metavar="KIND",
            help="How genes are divided: random; chromosome, by whole ones; homology, by clusters of homologous "
            "proteins (MMseqs2 or --groups); group, by the dataset's group column (or --groups); given, as its split "
            "column says. Default: the task's, else random.",
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
            help="Share of all genes that chooses the epoch, between 0 and 1.",
            rich_help_panel=options.DIVISION,
        ),
    ] = 0.1,
    test_fraction: Annotated[
        float,
        typer.Option(
            "--test-fraction",
            metavar="SHARE",
            parser=share(zero=True),
            help="Share of all genes held out to score the weights, between 0 and 1; 0 for none.",
            rich_help_panel=options.DIVISION,
        ),
    ] = 0.1,
    test_chromosomes: Annotated[
        str | None,
        typer.Option(
            "--test-chromosomes",
            metavar="CHR,CHR...",
            help="Test the genes of these chromosomes, whatever --test-fraction; chr1 and 1 are the same. "
            "Implies --split chromosome.",
            rich_help_panel=options.DIVISION,
        ),
    ] = None,
    valid_chromosomes: Annotated[
        str | None,
        typer.Option(
            "--valid-chromosomes",
            metavar="CHR,CHR...",
            help="Choose the epoch by the genes of these chromosomes, whatever --valid-fraction. "
            "Implies --split chromosome.",
            rich_help_panel=options.DIVISION,
        ),
    ] = None,
    out: options.Out = None,
    resume: options.Resume = False,
    device: options.DeviceOption = options.Device.AUTO,
    threads: options.ThreadsOption = None,
    all_metrics: options.AllMetrics = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network and score it on genes that were held out, next to baselines.

    The folder gets weights.safetensors (for predict --model), metrics, predictions and report.html. What fails after
    the training is named, everything else is written, and the exit code is 1; --resume computes what is missing.

    seqexpr train --task synthetic --out runs/first

    seqexpr train --task my-dataset --label lung --test-chromosomes chr8,chr9 --out runs/lung

    seqexpr train --task my-dataset --split homology --groups families.tsv --test-fraction 0.2 --out runs/families
    """
    from seqexpr import api
    from seqexpr.cli.run_display import RunDisplay, show_results
    from seqexpr.training.distributed import is_follower

    follows = is_follower()  # one of many processes, of which the first speaks
    set_up_logging(quiet=quiet, silent=follows)
    with nullcontext() if follows else RunDisplay() as display:
        run = api.train(
            task,
            out=out,
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
            test_fraction=test_fraction,
            test_chromosomes=test_chromosomes or (),
            valid_chromosomes=valid_chromosomes or (),
            resume=resume,
            device=device.value,
            threads=threads,
            observer=display,
        )
    if not follows:
        show_results(run.folder, all_metrics=all_metrics)
