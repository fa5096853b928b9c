"""`seqexpr train`: one training run on a task or a prepared folder."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from seqexpr.cli import run_options as options


def train(
    task: options.Task,
    out: options.Out = None,
    label: options.Label = None,
    preset: options.Preset = None,
    recipe: options.RecipeOption = "default",
    split: Annotated[
        Optional[options.TrainSplit],  # noqa: UP045
        typer.Option(
            "--split",
            help="How genes are divided: random, by whole chromosomes, by clusters of homologous proteins (MMseqs2 or "
            "--groups), by the dataset's group column (or --groups), or as given in its split column. Default: the "
            "task's, else random.",
        ),
    ] = None,
    groups: options.Groups = None,
    valid_fraction: Annotated[
        float, typer.Option("--valid-fraction", help="Share of all genes that chooses the epoch.")
    ] = 0.1,
    test_fraction: Annotated[
        float, typer.Option("--test-fraction", help="Share of all genes held out to judge the weights; 0 for none.")
    ] = 0.1,
    permute_labels: options.PermuteLabels = False,
    seed: options.Seed = 0,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    resume: options.Resume = False,
    device: options.DeviceOption = options.Device.AUTO,
    threads: options.ThreadsOption = None,
) -> None:
    """Train a network and judge it on genes that were held out, next to baselines.

    The folder gets weights.safetensors (for predict --model), metrics, predictions and report.html.

    seqexpr train --task synthetic --out runs/first

    seqexpr train --task my-dataset --label lung --split chromosome --out runs/lung

    seqexpr train --task my-dataset --split homology --groups families.tsv --test-fraction 0.2 --out runs/families
    """
    from seqexpr.cli.run_display import RunDisplay, show_results
    from seqexpr.runs.train_run import SingleRun, train_once

    setup, named, chosen = options.begin_run(task, label, preset, recipe, epochs, batch_size, seed, device, threads)
    chosen_split = split or options.TrainSplit(named.split if named else "random")
    run = SingleRun(
        setup,
        chosen_split.value,
        valid_fraction,
        test_fraction,
        groups_file=groups,
        permute_labels=permute_labels,
    )
    folder = options.settle_folder(out, "train", task, setup.config.preset, resume)
    with RunDisplay(setup.recipe.max_epochs) as display:
        rows = train_once(run, folder, chosen, resume=resume, observer=display)
    show_results(rows, folder)
