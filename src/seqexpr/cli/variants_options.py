"""The options of `seqexpr variants`, as its --help shows them; those that predict has too are described there."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from seqexpr.cli import predict_options as predict
from seqexpr.cli import shared_options as shared
from seqexpr.cli.help import whole_number
from seqexpr.models.registry import DEFAULT_DNA_MODEL

_VARIANTS, _GENES = "Variants", "Input"
_COMPUTING, _RESULT = "Model and computing", "Output"


class Format(str, Enum):
    """Output formats."""

    TSV = "tsv"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    VCF = "vcf"


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"{text!r} is not a number between 0 and 1")
    return value


Vcf = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="VCF of variants, plain or compressed; - is standard input. For BCF: bcftools view x.bcf | seqexpr "
        "variants --vcf -",
        rich_help_panel=_VARIANTS,
    ),
]
Table = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Table with the columns chrom, pos (1-based), ref and alt, and perhaps id.",
        rich_help_panel=_VARIANTS,
    ),
]
Variant = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CHROM:POS:REF:ALT",
        help="One variant, such as chr1:123:A:G; may be given more than once.",
        rich_help_panel=_VARIANTS,
    ),
]
Phased = Annotated[
    bool,
    typer.Option(
        "--phased",
        help="Levels of each sample of --vcf instead: both haplotypes of each gene's window, and their mean.",
        rich_help_panel=_VARIANTS,
    ),
]
Samples = Annotated[
    str | None,
    typer.Option(
        metavar="LIST", help="Samples for --phased, with commas between. Default: all.", rich_help_panel=_VARIANTS
    ),
]
MaxMismatch = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        parser=_share,
        help="Share of the records whose REF may differ from the genome; more are an error, for then it is another "
        "assembly. Such records are never scored.",
        rich_help_panel=_VARIANTS,
    ),
]
Genome = Annotated[str | None, shared.genome(_GENES)]
Tss = predict.Tss
Genes = Annotated[str | None, shared.genes(_GENES)]
Distance = Annotated[
    int | None,
    typer.Option(
        metavar="BP",
        parser=whole_number(0),
        help="Only genes whose TSS is at most so far away. Default: all genes whose window holds the variant.",
        rich_help_panel=_GENES,
    ),
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE|RUN",
        help="A name of `models list`, a weights file, or a run folder, of models that read DNA alone. Given more "
        f"than once, or a cv run: an ensemble. Default: {DEFAULT_DNA_MODEL}.",
        rich_help_panel=_COMPUTING,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Where to write; the file appears when all is done. .vcf.gz is written as BGZF, for tabix. Default: "
        "standard output.",
        rich_help_panel=_RESULT,
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="tsv, csv, jsonl, parquet, or vcf: all records back in order, with the effects in INFO. Default: by the "
        "suffix of --out, which must be one of these then; tsv on standard output.",
        rich_help_panel=_RESULT,
    ),
]
