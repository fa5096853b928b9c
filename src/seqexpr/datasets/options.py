"""The options of `prepare` for files of one's own, and the rules that hold for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from seqexpr.errors import UsageError
from seqexpr.inputs.options import GeneOptions, Table
from seqexpr.inputs.windows import check_window
from seqexpr.sequences.coding import MITOCHONDRIAL_TABLE, STANDARD_TABLE


def option_of(setting: str) -> str:
    """The option of the command line that gives a setting.

    >>> option_of("label_columns"), option_of("tss_at")
    ('--label', '--tss-at')
    """
    return "--label" if setting == "label_columns" else f"--{setting.replace('_', '-')}"


@dataclass(frozen=True)
class PrepareOptions(GeneOptions):
    """What to prepare and from which files.

    Raises:
        UsageError: options that do not fit together.
    """

    out: Path
    """Folder to make."""
    upstream: int | None = None
    """Bases stored before the TSS boundary; None: 10,000, or with `tss_at` what the first record holds."""
    downstream: int | None = None
    """Bases stored from the TSS boundary on; None as above."""
    translate: bool = False
    """Make proteins and coding sequences, from `genome` and `annotation` (or `tss`, a GTF or GFF3) or `genbank`."""
    codon_table: int = STANDARD_TABLE
    """NCBI's number of the codon table, for contigs other than mitochondria and plastids."""
    mito_table: int = MITOCHONDRIAL_TABLE
    """That of mitochondria."""
    protein_map: Table | None = None
    """Table with `gene_id` and `protein_id`, `uniprot` or `accession`."""
    labels: Table | None = None
    """Table of labels, gene id first."""
    label_columns: tuple[str, ...] = ()
    """Label columns to keep; empty: all."""
    log10: float | None = None
    """Take log10(label + this) of every label; None: labels stay as they are."""
    strip_versions: bool = False
    """Drop version suffixes such as `.15` from every gene id before joining."""
    force: bool = False
    """Replace an existing dataset."""

    file_options: ClassVar[tuple[str, ...]] = (*GeneOptions.file_options, "protein_map", "labels")

    def __post_init__(self) -> None:
        if self.translate and not self.genbank and not (self.genome and (self.annotation or self.tss)):
            raise UsageError("--translate needs --genome with --annotation (or --tss, a GTF or GFF3), or --genbank")
        if self.translate and self.proteins:
            raise UsageError("--translate and --proteins both give proteins; give one")
        if self.translate and self.cds:
            raise UsageError("--translate and --cds both give coding sequences; give one")
        if self.genbank and self.half_life:
            raise UsageError("--genbank gives half-life features itself; leave --half-life out")
        if self.log10 is not None and not (math.isfinite(self.log10) and self.log10 >= 0):
            raise UsageError(f"--log10 is {self.log10}; expected a finite number of at least 0")
        if self.log10 is not None and not self.labels:
            raise UsageError("--log10 needs --labels")
        if self.protein_map and not self.proteins:
            raise UsageError("--protein-map needs --proteins")
        if self.label_columns and not self.labels:
            raise UsageError("--label needs --labels, the table that holds the column")
        if not self.has_dna and (self.upstream is not None or self.downstream is not None):
            raise UsageError("--upstream and --downstream go with DNA: --fasta, --genbank, or --genome with --tss")
        self.check()
        check_window(self.upstream, self.downstream)

    @property
    def has_proteins(self) -> bool:
        """Whether proteins are given by themselves, or made."""
        return bool(self.proteins or self.translate)
