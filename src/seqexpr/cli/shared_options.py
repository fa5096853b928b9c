"""Options that predict and prepare have in common: each is described once, and shown in the command's own panel."""

from __future__ import annotations

from typing import Any

import typer


def genome(panel: str) -> Any:
    """Describe --genome."""
    return typer.Option(
        metavar="FILE", help="Genome in FASTA to cut windows from at each --tss.", rich_help_panel=panel
    )


def annotation(panel: str) -> Any:
    """Describe --annotation."""
    return typer.Option(
        metavar="FILE",
        help="GTF or GFF3 to compute the half-life features from (GC contents need --genome). With a BED file in "
        "--tss, 5'UTRs begin at its TSSs.",
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
