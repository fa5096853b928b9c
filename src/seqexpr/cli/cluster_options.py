"""The options of commands that run on a cluster, as their --help shows them."""

from __future__ import annotations

from typing import Annotated

import typer

from seqexpr.cli.help import at_least_zero, whole_number

_CLUSTER = "Cluster"

Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|FILE.json|local:N",
        help="Compute on a dask cluster: the address of its scheduler, the file of dask scheduler --scheduler-file, or "
        "local:N for N processes of this machine. Workers must see the same files. Needs distributed.",
        rich_help_panel=_CLUSTER,
    ),
]
Chunks = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole_number(1),
        help="Number of chunks into which --scheduler divides the work. Default: 4 for each thread of the workers that "
        "are there at the beginning.",
        rich_help_panel=_CLUSTER,
    ),
]
WORKER_TIMEOUT = 60.0
WorkerTimeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        parser=at_least_zero,
        help="Time that --scheduler waits for a worker while there is none, in seconds.",
        rich_help_panel=_CLUSTER,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with a run of --scheduler that was not finished, with the chunks that are missing.",
        rich_help_panel=_CLUSTER,
    ),
]
