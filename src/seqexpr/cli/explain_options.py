"""The options of `seqexpr explain` that `predict` has not, or has for other ends, as its --help shows them."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from seqexpr.models.registry import DEFAULT_DNA_MODEL, DEFAULT_PROTEIN_MODEL

_INPUT, _COMPUTING, _RESULT = "Input", "Model and computing", "Output"


class Method(str, Enum):
    """How effects are found."""

    ISM = "ism"
    GRADIENT = "gradient"


Example = Annotated[
    bool,
    typer.Option(
        "--example",
        help="Explain the genes that come with seqexpr, of which --genes picks some, or its proteins.",
        rich_help_panel=_INPUT,
    ),
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE|RUN",
        help="A name of `models list`, a weights file, or a run folder of train or cv. Given more than once, or a cv "
        "run: an ensemble, whose mean effects are written. "
        f"Default: {DEFAULT_DNA_MODEL}, for proteins alone {DEFAULT_PROTEIN_MODEL}.",
        rich_help_panel=_COMPUTING,
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        metavar="dna|protein",
        help="Which input to explain, of a model that reads both; the other one stays as it is.",
        rich_help_panel=_COMPUTING,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="START:END",
        help="The part of each window to explain, in letters along the gene: 0 is the first transcribed base, upstream "
        "is negative, END is not part of it: -300:+100 is 400 letters. In proteins residues count from 1: 1:51 is the "
        "first 50. Default: all of it.",
        rich_help_panel=_COMPUTING,
    ),
]
MethodOption = Annotated[
    Method,
    typer.Option(
        "--method",
        metavar="NAME",
        help="ism predicts each substitution at each position, 3 of a base, 19 of a residue. gradient estimates them "
        "by integrated gradients and says how far these add up.",
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
