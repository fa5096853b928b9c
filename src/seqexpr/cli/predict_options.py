"""The options of `seqexpr predict`, as its --help shows them."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from seqexpr.cli import shared_options as shared
from seqexpr.cli.help import whole_number
from seqexpr.models.registry import DEFAULT_DNA_MODEL, DEFAULT_PROTEIN_MODEL

_INPUT, _COMPUTING, _RESULT = "Input", "Model and computing", "Output"


class Format(str, Enum):
    """Output formats."""

    TSV = "tsv"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Device(str, Enum):
    """Devices to compute on."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Precision(str, Enum):
    """Numbers that kernels of a CUDA device multiply."""

    AUTO = "auto"
    FP16 = "fp16"
    FP32 = "fp32"


def _parse_batch_size(text: str) -> str:
    if text != "auto" and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise typer.BadParameter(f"{text!r} is neither a number of at least 1 nor 'auto'")
    return text


Windows = Annotated[
    str | None,
    typer.Argument(
        metavar="FASTA",
        help="FASTA of DNA windows, the same as --fasta; or of proteins, the same as --proteins: its letters tell.",
        show_default=False,
    ),
]
Fasta = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="FASTA of DNA windows, written 5' to 3' on the gene's strand. Each record must have exactly the model's "
        "length (human-mrna: 10,500 bp, the TSS after 7,000) unless --tss-at is given. It may be gzipped; - is "
        "standard input.",
        rich_help_panel=_INPUT,
    ),
]
TssAt = Annotated[str | None, shared.tss_at(_INPUT)]
Genome = Annotated[str | None, shared.genome(_INPUT)]
Tss = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="TSSs as BED6 (the first transcribed base), GTF or GFF3 (the 5' end of one transcript of each gene: the "
        "canonical one, else the one with the longest coding sequence). The content decides which it is.",
        rich_help_panel=_INPUT,
    ),
]
Genes = Annotated[str | None, shared.genes(_INPUT)]
Genbank = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="GenBank or EMBL file, which gives sequences, TSSs and proteins at once.",
        rich_help_panel=_INPUT,
    ),
]
ContigAliases = Annotated[str | None, shared.contig_aliases(_INPUT)]
SkipMissingContigs = Annotated[bool, shared.skip_missing_contigs(_INPUT)]
AllowUnknownGenes = Annotated[bool, shared.allow_unknown_genes(_INPUT)]
Proteins = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="FASTA of proteins. For models that read DNA too, ids (or UniProt accessions) pair the two.",
        rich_help_panel=_INPUT,
    ),
]
Cds = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="FASTA of coding sequences, in frame from the first codon on, for models that read them (see `models "
        "show`). They are optional; each must translate to its gene's protein, where the model reads it.",
        rich_help_panel=_INPUT,
    ),
]
HalfLife = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Table of half-life features: id, then the columns that `models show` lists, raw or as z-scores as it "
        "says there. Missing values are counted, and the model predicts from the rest.",
        rich_help_panel=_INPUT,
    ),
]
Annotation = Annotated[
    str | None,
    shared.annotation(_INPUT, " With --genome it gives coding sequences too, for models that read them."),
]
Example = Annotated[
    bool,
    typer.Option("--example", help="Predict for the genes that come with seqexpr.", rich_help_panel=_INPUT),
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE|RUN",
        help="A name of `models list`, a weights file, or a run folder of train or cv. Given more than once, "
        "or a cv run: an ensemble, of which mean and standard deviation (n - 1) are written. "
        f"Default: {DEFAULT_DNA_MODEL}, for proteins alone {DEFAULT_PROTEIN_MODEL}.",
        rich_help_panel=_COMPUTING,
    ),
]
AllowPartial = Annotated[
    bool,
    typer.Option(
        "--allow-partial",
        help="Accept a cv run whose folds are not all trained: the ensemble is of those that are.",
        rich_help_panel=_COMPUTING,
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu, cuda, mps, or auto, which is CUDA, else MPS, else the CPU.",
        rich_help_panel=_COMPUTING,
    ),
]
BatchSize = Annotated[
    str,
    typer.Option(
        metavar="auto|N",
        parser=_parse_batch_size,
        help="Records in a forward pass; results depend on it in the last digit of float32 at most. auto halves it "
        "when memory runs out.",
        rich_help_panel=_COMPUTING,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="Numbers that a CUDA device multiplies in its most costly steps: fp16, with sums in float32, changes a "
        "level by about 0.0006 of the levels' standard deviation; fp32 gives the digits of a CPU. auto is fp16 on "
        "CUDA devices with Triton, else fp32.",
        rich_help_panel=_COMPUTING,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole_number(1),
        help="Threads that compute on the CPU. Default: the cores that this process may use (affinity, CPU quota, "
        "OMP_NUM_THREADS).",
        rich_help_panel=_COMPUTING,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Compute the I-th of N shards of the records alone, such as 2/7, into --out; merge makes one file of all.",
        rich_help_panel=_RESULT,
    ),
]
Symbol = Annotated[
    bool,
    typer.Option(
        "--symbol",
        help="Add the gene's symbol as a second column, where --tss or --annotation gives one.",
        rich_help_panel=_RESULT,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Where to write; the file appears when all is done. Default: standard output.",
        rich_help_panel=_RESULT,
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="tsv, csv, jsonl or parquet. Default: by the suffix of --out (.tsv, .csv, .jsonl, .parquet; .gz "
        "compresses), else tsv.",
        rich_help_panel=_RESULT,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Only warnings and errors on standard error.", rich_help_panel=_RESULT),
]
