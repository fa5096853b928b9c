"""The options that `train` and `cv` share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from seqexpr.cli.predict_options import Device, Threads

if TYPE_CHECKING:
    import torch

    from seqexpr.runs.setup import Setup
    from seqexpr.tasks.catalogue import Task as NamedTask

# typer reads these at run time, on Python 3.10 too, so "X | None" will not do.
Task = Annotated[
    str, typer.Option("--task", metavar="TASK|DIR", help="A named task, or a folder made by seqexpr prepare.")
]
OptionalTask = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--task",
        metavar="TASK|DIR",
        help="A named task, or a folder made by seqexpr prepare; needed for all but --merge.",
    ),
]
Out = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", metavar="RUN", help="Folder of the run. Default: runs/COMMAND-TASK-PRESET."),
]
Label = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--label", metavar="COLUMN", help="Label to predict, where the folder holds several (repeatable)."),
]
Preset = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--preset", metavar="NAME", help="Network: dna-perceiver, protein-perceiver, "
                 "protein-dna-perceiver or dna-protein-perceiver. Default: the task's."),
]  # fmt: skip
RecipeOption = Annotated[
    str, typer.Option("--recipe", metavar="NAME|FILE", help="default, paper, or a TOML file of your own.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of weights, batches and folds.")]
Epochs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--epochs", min=1, help="Largest number of epochs. Default: the recipe's."),
]
BatchSize = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--batch-size", min=1, help="Genes a step. Default: the recipe's."),
]
Groups = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--groups",
        metavar="FILE",
        help="For --split group and homology: a table of gene ids and groups (tab between), instead of the dataset's "
        "group column or of MMseqs2.",
    ),
]
PermuteLabels = Annotated[
    bool,
    typer.Option(
        "--permute-labels",
        help="A negative control: deal the labels out anew among the genes, so that nothing can be learnt.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out; the result is the same.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.")]
ThreadsOption = Threads


class FoldSplit(str, Enum):
    """How `cv` makes folds."""

    RANDOM = "random"
    CHROMOSOME = "chromosome"
    HOMOLOGY = "homology"
    GROUP = "group"


class TrainSplit(str, Enum):
    """How `train` divides genes."""

    RANDOM = "random"
    CHROMOSOME = "chromosome"
    HOMOLOGY = "homology"
    GROUP = "group"
    GIVEN = "given"


def settle_folder(out: Path | None, command: str, task: str, preset: str, resume: bool) -> Path:
    """Where the run goes: --out, or a folder named after the run; it says so if --resume finds nothing there."""
    from seqexpr.cli.console import logger

    folder = out or Path("runs") / f"{command}-{Path(task).name}-{preset}"
    if resume and not folder.exists():
        logger.warning(f"{folder} does not exist: nothing to resume, the run begins anew")
    return folder


def begin_run(
    task: str,
    label: list[str] | None,
    preset: str | None,
    recipe: str,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    device: Device,
    threads: int | None,
) -> tuple[Setup, NamedTask | None, torch.device]:
    """What `train` and `cv` do first: say which device computes, and settle what runs.

    Returns:
        the setup, the named task (None for a folder), the device.
    """
    chosen = begin_computing(device, threads)
    from seqexpr.runs.setup import resolve_setup
    from seqexpr.tasks.catalogue import named_task

    setup = resolve_setup(
        task, labels=tuple(label or ()), preset=preset, recipe=recipe, epochs=epochs, batch_size=batch_size, seed=seed
    )
    return setup, named_task(task), chosen


def begin_computing(device: Device, threads: int | None) -> torch.device:
    """Set up logging, threads and memory, and say which device computes."""
    from seqexpr.cli.console import set_up_logging, status

    set_up_logging()
    import torch

    from seqexpr.prediction.device import choose_device, describe_device, keep_freed_memory
    from seqexpr.threads import usable_cores

    torch.set_num_threads(threads or usable_cores())
    chosen = choose_device(device.value)
    keep_freed_memory()
    status(f"device: {describe_device(chosen)}")
    return chosen
