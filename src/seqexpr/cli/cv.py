"""`seqexpr cv`: cross-validation of a task or a prepared folder, beside the baselines."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from seqexpr.cli import run_options as options


def cv(
    task: options.Task,
    folds: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--folds", min=2, help="Number of folds [default: the task's, else 10]."),
    ] = None,
    out: options.Out = None,
    label: options.Label = None,
    preset: options.Preset = None,
    recipe: options.RecipeOption = "default",
    split: Annotated[
        options.FoldSplit,
        typer.Option("--split", help="random (as the paper), whole chromosomes, or the dataset's group column."),
    ] = options.FoldSplit.RANDOM,
    valid_fraction: options.ValidFraction = 0.1,
    seed: options.Seed = 0,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    resume: options.Resume = False,
    device: options.DeviceOption = options.Device.AUTO,
    threads: options.ThreadsOption = None,
) -> None:
    """Cross-validate: every gene is predicted once by a network that never saw it, next to baselines.

    The test fold chooses nothing: a part of the other folds stops the training.

    seqexpr cv --task synthetic --folds 5

    seqexpr cv --task my-dataset --label lung --split chromosome --folds 5 --out runs/lung-cv
    """
    from seqexpr.cli.run_display import RunDisplay, show_results
    from seqexpr.evaluation.cross_validation import CrossValidation, cross_validate

    setup, named, chosen = options.begin_run(task, label, preset, recipe, epochs, batch_size, seed, device, threads)
    count = folds or (max(named.folds, 2) if named else 10)
    run = CrossValidation(setup, split.value, count, valid_fraction)
    folder = out or options.default_folder("cv", task, setup.config.preset)
    with RunDisplay(setup.recipe.max_epochs) as display:
        rows = cross_validate(run, folder, chosen, resume=resume, observer=display)
    show_results(rows, folder)
