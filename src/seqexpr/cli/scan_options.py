"""The options of `seqexpr scan`, as its --help shows them; those of computing are those of `predict`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from seqexpr.cli import shared_options as shared
from seqexpr.cli.help import whole_number
from seqexpr.models.registry import DEFAULT_DNA_MODEL

_INPUT, _COMPUTING, _RESULT = "Input", "Model and computing", "Output"


class TrackFormat(str, Enum):
    """Formats of tracks."""

    BEDGRAPH = "bedgraph"
    BEDGRAPH_GZ = "bedgraph.gz"
    BIGWIG = "bigwig"


Genome = Annotated[
    str,
    typer.Option(metavar="FILE", help="Genome in FASTA.", rich_help_panel=_INPUT, show_default=False),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="CONTIG:FIRST-LAST",
        help="Region to scan, such as chr1:1-2,000,000: bases are counted from 1, and the last one is included.",
        rich_help_panel=_INPUT,
    ),
]
Regions = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="BED file of regions that do not overlap; the first three columns are read.",
        rich_help_panel=_INPUT,
    ),
]
Chromosomes = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Contigs to scan whole, with commas between.", rich_help_panel=_INPUT),
]
Step = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=whole_number(1),
        help="Bases from one position to the next, counted from the start of each region.",
        rich_help_panel=_INPUT,
    ),
]
ContigAliases = Annotated[str | None, shared.contig_aliases(_INPUT)]
Model = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE|RUN",
        help="A name of `models list`, a weights file, or a run folder of train or cv, of models that read DNA alone. "
        f"Given more than once, or a cv run: an ensemble, of which the mean is written. Default: {DEFAULT_DNA_MODEL}.",
        rich_help_panel=_COMPUTING,
    ),
]
Out = Annotated[
    str,
    typer.Option(
        metavar="FOLDER|PREFIX",
        help="Where to write PREFIX.plus.bedgraph, PREFIX.minus.bedgraph and PREFIX.json; in a folder, which exists or "
        "ends with /, they are called scan. The files appear when all is done.",
        rich_help_panel=_RESULT,
        show_default=False,
    ),
]
FormatOption = Annotated[
    TrackFormat,
    typer.Option(
        "--format",
        metavar="NAME",
        help="bedgraph, bedgraph.gz or bigwig, which needs pybigtools.",
        rich_help_panel=_RESULT,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with a scan that was interrupted, with the contig that it was at, or with --scheduler with the "
        "chunks that are missing. The files are the same as without an interruption.",
        rich_help_panel=_RESULT,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Compute the I-th of N shards of the positions alone, such as 2/7, as bedGraph; merge makes the files of "
        "one scan of all.",
        rich_help_panel=_RESULT,
    ),
]
