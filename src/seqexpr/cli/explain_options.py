"""The options of `seqexpr explain` that `predict` has not, or has for other ends, as its --help shows them."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from seqexpr.cli import shared_options as shared
from seqexpr.models.registry import DEFAULT_DNA_MODEL

_INPUT, _COMPUTING, _RESULT = "Input", "Model and computing", "Output"


class Method(str, Enum):
    """How effects are found."""

    ISM = "ism"
    GRADIENT = "gradient"


Windows = Annotated[
    str | None,
    typer.Argument(metavar="FASTA", help="FASTA of DNA windows, the same as --fasta.", show_default=False),
]
Genbank = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="GenBank or EMBL file, which gives sequences and TSSs at once.", rich_help_panel=_INPUT
    ),
]
Annotation = Annotated[str | None, shared.annotation(_INPUT)]
Example = Annotated[
    bool,
    typer.Option(
        "--example", help="Explain the genes that come with seqexpr; --genes picks some.", rich_help_panel=_INPUT
    ),
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE|RUN",
        help="A name of `models list`, a weights file, or a run folder of train or cv, that reads DNA alone. Given "
        "more than once, or a cv run: an ensemble, whose mean effects are written. "
        f"Default: {DEFAULT_DNA_MODEL}.",
        rich_help_panel=_COMPUTING,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="START:END",
        help="The part of each window to explain, in letters along the gene: 0 is the first transcribed base, upstream "
        "is negative, END is not part of it. -300:+100 is 400 letters. Default: the whole window.",
        rich_help_panel=_COMPUTING,
    ),
]
MethodOption = Annotated[
    Method,
    typer.Option(
        "--method",
        metavar="NAME",
        help="ism predicts each of the three substitutions at each position. gradient estimates them by integrated "
        "gradients, in seconds, and says how far these add up.",
        rich_help_panel=_COMPUTING,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Which output to explain, of a model that has several.", rich_help_panel=_COMPUTING
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|FOLDER/",
        help="A file: .tsv, .npz (for TF-MoDISco), .bedgraph, .bw (bigWig), .html (a page in which one zooms), or of "
        "one gene .svg or .png; .tsv.gz and .bedgraph.gz are compressed. A folder, whose name ends in a slash, gets "
        "all but the bigWig, and the figures of each gene. Files appear when they are whole. Default: a table on "
        "standard output.",
        rich_help_panel=_RESULT,
    ),
]
