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
        typer.Option("--split", help="How genes are divided [default: the task's, else random]."),
    ] = None,
    valid_fraction: options.ValidFraction = 0.1,
    test_fraction: Annotated[
        float, typer.Option("--test-fraction", help="Share of the genes held out to judge the weights; 0 for none.")
    ] = 0.1,
    seed: options.Seed = 0,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    resume: options.Resume = False,
    device: options.DeviceOption = options.Device.AUTO,
    threads: options.ThreadsOption = None,
) -> None:
    """Train a network and judge it on genes that were held out.

    The folder gets weights.safetensors (for predict --model), metrics, predictions and report.html.

    seqexpr train --task synthetic --out runs/first

    seqexpr train --task my-dataset --label lung --split chromosome --out runs/lung
    """
    from seqexpr.cli.console import set_up_logging, status
    from seqexpr.cli.run_display import RunDisplay, show_results

    set_up_logging()
    import torch

    from seqexpr.datasets.tasks import find_task, list_tasks
    from seqexpr.evaluation.setup import resolve_setup
    from seqexpr.evaluation.single_run import SingleRun, train_once
    from seqexpr.prediction.device import choose_device, describe_device, keep_freed_memory

    if threads:
        torch.set_num_threads(threads)
    chosen = choose_device(device.value)
    keep_freed_memory()
    status(f"device: {describe_device(chosen)}")
    setup = resolve_setup(
        task, labels=tuple(label or ()), preset=preset, recipe=recipe, epochs=epochs, batch_size=batch_size, seed=seed
    )
    if split is None:
        named = task in {known.name for known in list_tasks()}
        split = options.TrainSplit(find_task(task).split if named else "random")
    run = SingleRun(setup, split.value, valid_fraction, test_fraction)
    folder = out or options.default_folder("train", task, setup.config.preset)
    with RunDisplay(setup.recipe.max_epochs) as display:
        rows = train_once(run, folder, chosen, resume=resume, observer=display)
    show_results(rows, folder)
