"""The options about genes that predict and prepare have in common, and the rules that hold for them in both."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from seqexpr.errors import UsageError
from seqexpr.inputs.tables import TextTable
from seqexpr.inputs.windows import TssAt, check_tss_at

File = str | Path
"""A file as the user names it; "-" is standard input."""

Table = File | TextTable
"""A table: its file, or what a DataFrame held."""

_STANDARD_INPUT = ("-", "/dev/stdin")


@dataclass(frozen=True, kw_only=True)
class GeneOptions:
    """What is read about genes: windows or where to cut them, proteins, half-life features. Files may be gzipped."""

    fasta: File | None = None
    """FASTA of DNA windows, or with `tss_at` of longer or shorter stretches."""
    tss_at: TssAt | None = None
    """Offset of the TSS boundary in every record of `fasta`, bp; None: each record is exactly a window."""
    genome: File | None = None
    """Genome FASTA: windows are cut from it at each TSS; with `annotation`, it gives GC contents too."""
    tss: File | None = None
    """BED, GTF or GFF3 of TSSs. With `fasta` it cuts nothing and only says where the genes are."""
    genes: tuple[str, ...] | None = None
    """Symbols or ids to pick from `tss` or `genbank`; None: all."""
    allow_unknown_genes: bool = False
    """Leave out names in `genes` that are not there."""
    contig_aliases: File | None = None
    """Table of further names of contigs."""
    skip_missing_contigs: bool = False
    """Leave out genes on contigs that the genome lacks, however many."""
    genbank: File | None = None
    """GenBank or EMBL file: windows, TSSs, proteins and half-life features at once."""
    proteins: File | None = None
    """FASTA of proteins."""
    cds: File | None = None
    """FASTA of coding sequences."""
    half_life: Table | None = None
    """Table of half-life features."""
    annotation: File | None = None
    """GTF or GFF3 to compute half-life features from, and with `genome` to splice coding sequences."""

    file_options: ClassVar[tuple[str, ...]] = (
        *("fasta", "genome", "tss", "genbank", "proteins", "cds", "half_life", "annotation"),
        "contig_aliases",
    )
    """Names of the options that are files."""
    other_inputs: ClassVar[str] = ""
    """What else can be given where there is no input, for the message."""

    def check(self) -> None:
        """Whether the options fit together.

        Raises:
            UsageError: they do not; the text names the options.
        """
        if self.genome is not None and str(self.genome) in _STANDARD_INPUT:
            raise UsageError("--genome must be a file: it is read at random places, which standard input is not")
        streams = [file for role, file in self.files().items() if not (role == "annotation" and self.one_annotation)]
        check_standard_input(*streams)
        beside_genbank = self.genbank and (self.has_fasta or self.genome or self.tss)
        if beside_genbank or (self.has_fasta and self.genome and not self.annotation):
            raise UsageError("--fasta, --genome with --tss, and --genbank are sources of the same windows; give one")
        others = self.has_fasta or self.has_proteins
        for given, lacking, enough in (
            ("genome", "tss", self.annotation and others),
            ("tss", "genome", others),
        ):
            if getattr(self, given) and not getattr(self, lacking) and not enough:
                raise UsageError(f"--{given} needs --{lacking}: windows are cut from the genome around each TSS")
        if not (self.has_dna or self.has_proteins):
            raise UsageError(
                "no input: give a FASTA of windows, or --genome with --tss, or --genbank, or --proteins"
                + self.other_inputs
            )
        if self.genes is not None and not (self.tss or self.genbank):
            raise UsageError("--genes picks genes of --tss or --genbank, which are not given")
        if self.half_life and self.annotation:
            raise UsageError("--half-life and --annotation both give half-life features; give one")
        if self.genbank and self.annotation:
            raise UsageError("--genbank gives half-life features itself; leave --annotation out")
        if self.genbank and self.has_cds:
            raise UsageError("--genbank gives coding sequences itself; leave --cds out")
        if self.tss_at is not None and not self.has_fasta:
            raise UsageError("--tss-at says where the TSS lies in records of --fasta, which is not given")
        if self.contig_aliases and not self.genome:
            raise UsageError("--contig-aliases gives names of the contigs of --genome, which is not given")
        check_tss_at(self.tss_at)

    @property
    def has_fasta(self) -> bool:
        """Whether windows are given as they are."""
        return bool(self.fasta)

    @property
    def has_dna(self) -> bool:
        """Whether there is any source of windows."""
        return bool(self.has_fasta or self.genbank or (self.genome and self.tss))

    @property
    def has_proteins(self) -> bool:
        """Whether proteins are given by themselves."""
        return bool(self.proteins)

    @property
    def has_cds(self) -> bool:
        """Whether coding sequences are given by themselves."""
        return bool(self.cds)

    @property
    def one_annotation(self) -> bool:
        """Whether TSSs and half-life features come from one file, which is then read once."""
        if self.tss is None or self.annotation is None:
            return False
        if str(self.tss) == str(self.annotation):
            return True
        try:
            return os.path.samefile(self.tss, self.annotation)
        except OSError:  # one of them is absent, which its reader says
            return False

    def files(self) -> dict[str, Table]:
        """The files and tables given, by option."""
        return {name: getattr(self, name) for name in self.file_options if getattr(self, name) is not None}


def check_standard_input(*files: Table | None) -> None:
    """Check that at most one of these inputs is standard input, which can be read only once.

    Raises:
        UsageError: several are.
    """
    if sum(str(file) in _STANDARD_INPUT for file in files) > 1:
        raise UsageError("only one input can come from standard input (-)")


def check_output(out: str | Path | None, *inputs: Table | None) -> None:
    """Check that a result does not take the place of a file that it is made from.

    Args:
        out: where the result goes; None or "-": standard output.
        inputs: files, tables in memory, or names that are no files.

    Raises:
        UsageError: it is one of the inputs, under whatever name.
    """
    if out is None or not os.path.isfile(out):  # pipes and devices may be both
        return
    for file in inputs:
        if isinstance(file, str | Path) and os.path.isfile(file) and os.path.samefile(out, file):
            raise UsageError(f"--out {out} is an input, {file}: give another file")
