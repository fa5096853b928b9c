"""The options of `seqexpr prepare`, as its --help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from seqexpr.cli import shared_options as shared
from seqexpr.cli.help import Command, at_least_zero, whole_number

_FILES = "Files of your own"
_WINDOW = "DNA window"
_TRANSLATION = "Proteins from the annotation"

DEFAULT_PSEUDOCOUNT = "0.1"


class PrepareCommand(Command):
    """A command whose `--log10` may stand without its number."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default behind a bare `--log10`."""
        given: list[str] = []
        for place, argument in enumerate(args):
            given.append(argument)
            if argument == "--log10" and not _is_number(args[place + 1] if place + 1 < len(args) else ""):
                given.append(DEFAULT_PSEUDOCOUNT)
        return super().parse_args(ctx, given)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


Task = Annotated[
    str | None,
    typer.Argument(
        metavar="TASK",
        help="A named task, prepared into the cache from fetched sources: mrna-human, mrna-mouse, and "
        "mrna-, prot- and joint- with lung or glio.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder to make from your own files.", rich_help_panel=_FILES),
]
Fasta = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="FASTA of DNA windows, written 5' to 3' on the gene's strand, one for each gene. Each record must have "
        "exactly the length that is stored, unless --tss-at is given. - is standard input.",
        rich_help_panel=_FILES,
    ),
]
OldWindows = Annotated[Path | None, typer.Option("--windows", hidden=True)]
Genome = Annotated[Path | None, shared.genome(_FILES)]
Tss = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="TSSs as BED6, GTF or GFF3; the content decides which. With --fasta it only gives positions.",
        rich_help_panel=_FILES,
    ),
]
Genes = Annotated[str | None, shared.genes(_FILES)]
AllowUnknownGenes = Annotated[bool, shared.allow_unknown_genes(_FILES)]
Genbank = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="GenBank or EMBL file: windows, TSSs and half-life features at once; "
        "with --translate proteins and coding sequences too.",
        rich_help_panel=_FILES,
    ),
]
ContigAliases = Annotated[Path | None, shared.contig_aliases(_FILES)]
SkipMissingContigs = Annotated[bool, shared.skip_missing_contigs(_FILES)]
Proteins = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="FASTA of proteins. Ids are gene ids, or headers name the gene as Ensembl, GENCODE, RefSeq and FlyBase "
        "do, or --protein-map does.",
        rich_help_panel=_FILES,
    ),
]
ProteinMap = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Table with the columns gene_id and protein_id, uniprot or accession.",
        rich_help_panel=_FILES,
    ),
]
Cds = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="FASTA of coding sequences, in frame from the first codon on; matched to genes as proteins are. Genes may "
        "lack theirs. Each must translate to its gene's protein, where proteins are given.",
        rich_help_panel=_FILES,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Table of labels: the gene id, then numbers. Empty cells, NA, NaN, N/A, null and - are missing.",
        rich_help_panel=_FILES,
    ),
]
Label = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Label column to keep (repeatable). Default: all.", rich_help_panel=_FILES),
]
Log10 = Annotated[
    float | None,
    typer.Option(
        "--log10",
        metavar="[PSEUDOCOUNT]",
        parser=at_least_zero,
        help="Take log10(label + PSEUDOCOUNT) of every label. Default pseudocount: 0.1.",
        rich_help_panel=_FILES,
    ),
]
HalfLife = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Table of the eight half-life features, raw values.", rich_help_panel=_FILES),
]
Annotation = Annotated[Path | None, shared.annotation(_FILES)]
StripVersions = Annotated[
    bool,
    typer.Option("--strip-versions", help="Drop .N from gene ids before joining.", rich_help_panel=_FILES),
]
TssAt = Annotated[str | None, shared.tss_at(_WINDOW)]
Upstream = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole_number(0),
        help="Bases stored before the TSS. Default: 10,000.",
        rich_help_panel=_WINDOW,
    ),
]
Downstream = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole_number(0),
        help="Bases stored from the TSS on. Default: 10,000.",
        rich_help_panel=_WINDOW,
    ),
]
Translate = Annotated[
    bool,
    typer.Option(
        "--translate",
        help="Make proteins and coding sequences from --genome and --annotation (or --tss, a GTF or GFF3), each by its "
        "contig's codon table.",
        rich_help_panel=_TRANSLATION,
    ),
]
CodonTable = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=whole_number(1),
        help="NCBI's number of the codon table, where the annotation gives none (transl_table); 11 for bacteria.",
        rich_help_panel=_TRANSLATION,
    ),
]
MitoTable = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=whole_number(1),
        help="That of mitochondria: 2 for vertebrates, 3 for yeast, 5 for invertebrates.",
        rich_help_panel=_TRANSLATION,
    ),
]
MinCases = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole_number(1),
        help="With a CPTAC task: leave out genes measured in fewer cases. Default: 1.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a dataset that is there.")]
