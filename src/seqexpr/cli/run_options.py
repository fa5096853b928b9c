"""The options that `train` and `cv` share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from seqexpr.cli.help import Quiet as Quiet
from seqexpr.cli.help import whole_number
from seqexpr.cli.predict_options import Device, Threads

LEARNT, DIVISION, RUN, COMPUTING, OUTPUT = (
    "What is learnt",
    "How the genes are divided",
    "Run",
    "Model and computing",
    "Output",
)
"""The groups of the help."""

Task = Annotated[
    str,
    typer.Option(
        "--task",
        metavar="TASK|DIR",
        help="The task: a name, or a folder made by seqexpr prepare.",
        rich_help_panel=LEARNT,
    ),
]
OptionalTask = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK|DIR",
        help="The task: a name, or a folder made by seqexpr prepare. Needed for all but --merge.",
        rich_help_panel=LEARNT,
    ),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="COLUMN",
        help="The label to predict, where the folder holds several (repeatable).",
        rich_help_panel=LEARNT,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="The network: dna-perceiver, protein-perceiver, protein-dna-perceiver or dna-protein-perceiver. "
        "Default: the task's.",
        rich_help_panel=LEARNT,
    ),
]
RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="How the network is trained: default, paper, or a TOML file of your own.",
        rich_help_panel=LEARNT,
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="NAME|FILE|RUN",
        help="Weights to start from (fine-tuning): a name of `seqexpr models list`, a file, or a run. They decide the "
        "network. Outputs that have the labels' names are kept; otherwise the output layer is fitted first.",
        rich_help_panel=LEARNT,
    ),
]
Unlabelled = Annotated[
    Path | None,
    typer.Option(
        "--unlabelled",
        metavar="FASTA",
        help="DNA without labels, such as a genome, on which the network first learns from other models. It needs a "
        "recipe with a table `teacher`, which names them.",
        rich_help_panel=LEARNT,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        parser=whole_number(0),
        help="Seed of the weights, the batches and the division of the genes.",
        rich_help_panel=LEARNT,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        metavar="N",
        parser=whole_number(1),
        help="Largest number of epochs. Default: the recipe's.",
        rich_help_panel=LEARNT,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        parser=whole_number(1),
        help="Genes per step. Default: the recipe's.",
        rich_help_panel=LEARNT,
    ),
]
PermuteLabels = Annotated[
    bool,
    typer.Option(
        "--permute-labels",
        help="A negative control: the labels are permuted among the genes, so that nothing can be learnt.",
        rich_help_panel=LEARNT,
    ),
]
Groups = Annotated[
    Path | None,
    typer.Option(
        "--groups",
        metavar="FILE",
        help="A table of gene ids and groups (tab between), for --split group and homology, instead of the dataset's "
        "group column or of MMseqs2.",
        rich_help_panel=DIVISION,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="RUN",
        help="Folder of the run. Default: runs/COMMAND-TASK-PRESET.",
        rich_help_panel=RUN,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the run in --out, as if it had never stopped; of a trained run, compute only what failed or is "
        "missing.",
        rich_help_panel=RUN,
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Device to compute on: cpu, cuda, mps, or auto, which is CUDA, else MPS, else the CPU.",
        rich_help_panel=COMPUTING,
    ),
]
ThreadsOption = Threads
AllMetrics = Annotated[
    bool,
    typer.Option(
        "--all",
        help="Print all five metrics with their 95 % intervals; metrics.tsv in the folder always has them.",
        rich_help_panel=OUTPUT,
    ),
]


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
