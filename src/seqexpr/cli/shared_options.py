"""Options that predict and prepare have in common: each is described once, and shown in the command's own panel."""

from __future__ import annotations

from typing import Any

import typer


def genome(panel: str) -> Any:
    """Describe --genome."""
    return typer.Option(
        metavar="FILE", help="Genome in FASTA to cut windows from at each --tss.", rich_help_panel=panel
    )


def tss_at(panel: str) -> Any:
    """Describe --tss-at."""
    return typer.Option(
        metavar="N|center",
        help="Number of letters before the TSS in every record of --fasta, or center for its middle. The records are "
        "cropped and padded to the window, and what was cropped and padded is counted.",
        rich_help_panel=panel,
    )


def contig_aliases(panel: str) -> Any:
    """Describe --contig-aliases."""
    return typer.Option(
        metavar="FILE",
        help="Table of further names of the genome's contigs: the names of one contig in each row, separated by tabs, "
        "as in UCSC's chromAlias.txt or NCBI's assembly_report.txt. chr1, 1 and NC_000001.11 are found without it.",
        rich_help_panel=panel,
    )


def genes(panel: str) -> Any:
    """Describe --genes."""
    return typer.Option(
        metavar="LIST|FILE",
        help="Genes to pick from --tss: symbols or ids with commas between, or a file with one on each line; - is "
        "standard input. Default: all.",
        rich_help_panel=panel,
    )


def annotation(panel: str, more: str = "") -> Any:
    """Describe --annotation; `more` is what a command does with it besides."""
    return typer.Option(
        metavar="FILE",
        help="GTF or GFF3 to compute the half-life features from (GC contents need --genome). With a BED file in "
        f"--tss, 5'UTRs begin at its TSSs.{more}",
        rich_help_panel=panel,
    )


def skip_missing_contigs(panel: str) -> Any:
    """Describe --skip-missing-contigs."""
    return typer.Option(
        "--skip-missing-contigs",
        help="Leave out genes on contigs that the genome lacks, however many. Without it, more than half of the genes "
        "on such contigs are an error.",
        rich_help_panel=panel,
    )


def allow_unknown_genes(panel: str) -> Any:
    """Describe --allow-unknown-genes."""
    return typer.Option(
        "--allow-unknown-genes",
        help="Leave out names in --genes that are not in --tss, with a warning, instead of an error.",
        rich_help_panel=panel,
    )
