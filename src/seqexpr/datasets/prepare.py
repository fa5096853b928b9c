"""Build a prepared dataset from the user's own files, joined by gene id.

The rows are the genes that have every sequence asked for and, when labels are given, at least one label; they
come in the order of the DNA, or of the proteins when there is no DNA. Half-life features may be missing. DNA
is streamed; of the proteins, those of labelled genes are held in memory when there is DNA too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.datasets.dataset import DatasetWriter, check_target
from seqexpr.datasets.gene_table import Features, GeneTables, read_gene_tables
from seqexpr.datasets.prepare_report import PrepareReport, SourceCount, existing_report
from seqexpr.errors import InputError, UsageError
from seqexpr.files import sha256_file
from seqexpr.inputs.gene_ids import Side, nothing_joined, strip_version, unchanged
from seqexpr.inputs.proteins import ProteinFasta, Translation, read_protein_map
from seqexpr.inputs.windows import CutWindows, DnaCounts, FastaWindows, TssAt, check_window
from seqexpr.manifest import describe_run
from seqexpr.sequences.alphabet import DNA, PROTEIN
from seqexpr.sequences.annotation import read_annotation
from seqexpr.sequences.coding import (
    MITOCHONDRIAL_TABLE,
    STANDARD_TABLE,
    CodonTables,
    TranslationCounts,
    as_records,
    translate_transcripts,
)
from seqexpr.sequences.contigs import read_contig_aliases
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.genbank import GenbankFile, read_genbank
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.streams import open_input

_RULES = 3
"""Number of the rules by which files become a dataset; one made by others is not reused."""

_FILES = (
    *("fasta", "genome", "tss", "genbank", "proteins", "protein_map", "labels", "half_life", "annotation"),
    "contig_aliases",
)

CODING_FILE = "coding.fa.gz"
"""In a dataset made with `translate`: the coding sequences of its genes, whole codons without the stop."""


@dataclass(frozen=True)
class PrepareOptions:
    """What to prepare and from which files; every file may be gzipped.

    Raises:
        UsageError: options that do not fit together.
    """

    out: Path
    """Folder to make."""
    fasta: Path | None = None
    """FASTA of DNA windows, one record per gene."""
    tss_at: TssAt | None = None
    """Offset of the TSS boundary in each record of `fasta`; None: `upstream`, and the lengths must fit."""
    genome: Path | None = None
    """Genome FASTA: windows are cut from it at each TSS; with `annotation`, GC contents too."""
    tss: Path | None = None
    """BED, GTF or GFF3 of TSSs. With `fasta`, it only gives chromosome and strand."""
    genes: tuple[str, ...] | None = None
    """Symbols or ids to pick from `tss` or `genbank`; None: all."""
    allow_unknown_genes: bool = False
    """Leave out names in `genes` that are not there."""
    contig_aliases: Path | None = None
    """Table of further names of contigs."""
    skip_missing_contigs: bool = False
    """Leave out genes on contigs that the genome lacks, however many."""
    genbank: Path | None = None
    """GenBank or EMBL file: windows, TSSs, half-life features and, with `translate`, proteins."""
    upstream: int | None = None
    """Bases stored before the TSS boundary; None: 10,000, or with `tss_at` what the first record holds."""
    downstream: int | None = None
    """Bases stored from the TSS boundary on; None as above."""
    proteins: Path | None = None
    """FASTA of proteins, one record per gene or UniProt entry."""
    translate: bool = False
    """Make proteins and coding sequences, from `genome` and `annotation` (or `tss`, a GTF or GFF3) or `genbank`."""
    codon_table: int = STANDARD_TABLE
    """NCBI's number of the codon table, for contigs other than mitochondria and plastids."""
    mito_table: int = MITOCHONDRIAL_TABLE
    """That of mitochondria."""
    protein_map: Path | None = None
    """Table with `gene_id` and `protein_id`, `uniprot` or `accession`."""
    labels: Path | None = None
    """Table of labels, gene id first."""
    label_columns: tuple[str, ...] = ()
    """Label columns to keep; empty: all."""
    log10: float | None = None
    """Take log10(label + this) of every label; None: labels stay as they are."""
    half_life: Path | None = None
    """Table of the eight half-life features."""
    annotation: Path | None = None
    """GTF or GFF3 to compute the half-life features from."""
    strip_versions: bool = False
    """Drop version suffixes such as `.15` from every gene id before joining."""
    force: bool = False
    """Replace an existing dataset."""

    def __post_init__(self) -> None:
        sources = [bool(self.fasta), bool(self.genome and self.tss), bool(self.genbank)]
        if not any(sources) and self.proteins is None and not self.translate:
            raise UsageError("give --fasta, or --genome with --tss, or --genbank, or --proteins, or DNA and proteins")
        if sum(sources) > 1 and not (self.fasta and self.annotation and not self.genbank):
            raise UsageError("--fasta, --genome with --tss, and --genbank are sources of the same DNA; give one")
        if self.fasta and self.genome and not self.annotation:
            raise UsageError("--fasta and --genome are two sources of DNA; give one")
        if self.genome and not self.fasta and not self.tss and not self.annotation:
            raise UsageError("--genome needs --tss, which says where the genes start")
        if self.translate and not self.genbank and not (self.genome and (self.annotation or self.tss)):
            raise UsageError("--translate needs --genome with --annotation (or --tss, a GTF or GFF3), or --genbank")
        if self.translate and self.proteins:
            raise UsageError("--translate and --proteins both give proteins; give one")
        if self.genbank and (self.annotation or self.half_life):
            raise UsageError("--genbank gives half-life features itself; leave --half-life and --annotation out")
        if self.genes is not None and not (self.tss or self.genbank):
            raise UsageError("--genes picks genes of --tss or --genbank, which are not given")
        if self.log10 is not None and not self.labels:
            raise UsageError("--log10 needs --labels")
        if self.half_life and self.annotation:
            raise UsageError("--half-life and --annotation both give half-life features; give one")
        if self.protein_map and not self.proteins:
            raise UsageError("--protein-map needs --proteins")
        if self.label_columns and not self.labels:
            raise UsageError("--label needs --labels, the table that holds the column")
        if self.tss_at is not None and not self.fasta:
            raise UsageError("--tss-at goes with --fasta")
        if not self.reads_dna and (self.upstream is not None or self.downstream is not None):
            raise UsageError("--upstream and --downstream go with DNA: --fasta, --genbank, or --genome with --tss")
        if [str(getattr(self, name)) for name in _FILES].count("-") > 1:
            raise UsageError("only one file can be standard input")
        if self.genome and str(self.genome) == "-":
            raise UsageError("--genome must be a file: windows are read from all over it")
        check_window(self.upstream, self.downstream, self.tss_at)

    @property
    def reads_dna(self) -> bool:
        """Whether the dataset gets DNA windows."""
        return bool(self.fasta or self.genbank or (self.genome and self.tss))

    def files(self) -> dict[str, Path]:
        """The files given, by role."""
        return {name: getattr(self, name) for name in _FILES if getattr(self, name) is not None}


@dataclass
class _Join:
    """The work in progress: the tables, the streams, and what was counted."""

    options: PrepareOptions
    tables: GeneTables
    clean: Callable[[str], str]
    dna: FastaWindows | CutWindows | None = None
    proteins: ProteinFasta | Translation | None = None
    genome: Genome | None = None
    genbank: GenbankFile | None = None
    known: set[str] | None = None
    sides: list[Side] = field(default_factory=list)


def prepare(options: PrepareOptions) -> PrepareReport:
    """Build the dataset that `options` describe, or find that it is there, from the same files and options.

    Raises:
        UsageError: the folder exists and holds something else.
        InputError: a bad file, or files that share no gene; nothing is left behind.
        OSError: the disk is full; nothing is left behind.
    """
    check_target(options.out, force=True)  # is it a place for a dataset at all
    if not options.force and (options.out / "manifest.json").is_file():
        return existing_report(options.out, _described(options))
    clean = strip_version if options.strip_versions else unchanged
    with ExitStack() as stack:
        aliases = read_contig_aliases(options.contig_aliases) if options.contig_aliases else ()
        genome = stack.enter_context(Genome(options.genome, aliases)) if options.genome else None
        genbank = None
        if options.genbank is not None:
            genbank = read_genbank(options.genbank, options.genes, allow_unknown=options.allow_unknown_genes)
        join = _Join(options, read_gene_tables(options, clean, genbank), clean, genome=genome, genbank=genbank)
        _open_sequences(join)
        upstream, downstream = (join.dna.upstream, join.dna.downstream) if join.dna else (0, 0)
        writer = stack.enter_context(
            DatasetWriter(options.out, upstream, downstream, join.proteins is not None, options.force)
        )
        for gene, dna, protein in _joined(join):
            writer.add(gene, dna, protein)
        join.sides = _sides(join)
        if not writer.ids:
            raise nothing_joined(join.sides, options.protein_map is not None)
        features = join.tables.features(writer.ids, genome or (genbank.sequences if genbank else None))
        _check_optional(join, writer.ids)
        report = _report(join, writer.ids, features, upstream, downstream)
        if isinstance(join.proteins, Translation) and join.proteins.coding:
            join.proteins.write_coding(writer.path_of(CODING_FILE), set(writer.ids))
        writer.finish(join.tables.table(writer.ids, features), _manifest(join, report, features))
    return report


def _open_sequences(join: _Join) -> None:
    options, tables = join.options, join.tables
    sides = (options.upstream, options.downstream)
    if options.fasta is not None:
        join.dna = FastaWindows(options.fasta, options.tss_at, *sides)
    elif join.genbank is not None:
        join.dna = CutWindows(join.genbank.sequences, tables.tss, *sides)
    elif join.genome is not None and options.reads_dna:
        join.dna = CutWindows(join.genome, tables.tss, *sides, skip_missing=options.skip_missing_contigs)
    join.known = tables.labelled
    if options.proteins is not None:
        genes_of = read_protein_map(options.protein_map) if options.protein_map else None
        beside = tables.known_genes()
        if isinstance(join.dna, CutWindows):
            beside = (beside or set()) | {join.clean(place.id) for place in tables.tss}
        join.proteins = ProteinFasta(options.proteins, genes_of, beside, join.clean)
    elif options.translate:
        join.proteins = _translation(join)


def _translation(join: _Join) -> Translation:
    """The proteins of the annotated genes, and their coding sequences."""
    options = join.options
    tables = CodonTables(options.codon_table, options.mito_table)
    counts = TranslationCounts()
    file = options.genbank or options.annotation or options.tss or "-"
    left_out = LeftOut(file)
    if join.genbank is not None:
        sequences = join.genbank.coding_sequences(tables, counts, left_out)
    else:
        assert join.genome is not None
        transcripts = join.tables.transcripts
        if transcripts is None:
            assert options.tss is not None
            transcripts = {join.clean(one.gene_id): one for one in read_annotation(options.tss)}
        sequences = translate_transcripts(transcripts.values(), join.genome, tables, counts, left_out)
    found = list(sequences)
    if not found:
        raise left_out.error("no coding sequence", "coding sequences (CDS) that translate")
    left_out.report()
    translation = Translation(as_records(found), str(file), join.clean)
    translation.coding = {join.clean(one.gene): one.codons for one in found if one.codons}
    translation.notes = counts.describe()
    if counts.mitochondrial:
        translation.notes.append(
            f"{counts.mitochondrial:,} of them are mitochondrial and translated by codon table {options.mito_table} "
            "(--mito-table)"
        )
    return translation


def _joined(join: _Join) -> Iterator[tuple[str, np.ndarray | None, np.ndarray | None]]:
    """Gene, window and protein of each row, in order."""

    def labelled(gene: str) -> bool:
        return join.known is None or gene in join.known

    if join.dna is None:
        assert join.proteins is not None
        for gene, protein in join.proteins.stream(labelled):
            yield gene, None, protein
        return
    held = None if join.proteins is None else dict(join.proteins.stream(labelled))
    seen: set[str] = set()
    for gene, window in join.dna.stream(join.clean, lambda gene: labelled(gene) and (held is None or gene in held)):
        if gene in seen:
            file = join.options.fasta or join.options.tss or "-"
            raise InputError(file, record=repr(gene), found="the same gene again", expected="each gene once")
        seen.add(gene)
        yield gene, window, None if held is None else held[gene]


def _sides(join: _Join) -> list[Side]:
    options, sides = join.options, []
    if join.dna is not None:
        role = "the windows" if options.fasta else "the TSSs"
        sides.append(Side(role, str(options.fasta or options.genbank or options.tss), join.dna.ids))
    if join.proteins is not None:
        sides.append(Side("proteins", join.proteins.file, join.proteins.ids))
    if join.tables.labels is not None:
        sides.append(Side("labels", str(options.labels), sorted(join.tables.labelled or ())))
    return sides


def _optional_sides(join: _Join) -> list[Side]:
    """The tables that a gene may lack."""
    sides = join.tables.optional_sides()
    if join.options.tss is not None and not isinstance(join.dna, CutWindows):
        sides.append(Side("the TSSs", str(join.options.tss), [join.clean(place.id) for place in join.tables.tss]))
    return sides


def _check_optional(join: _Join, ids: list[str]) -> None:
    """Half-life features and positions may be missing for some genes; for all of them it is a mistake."""
    sequences = Side("the sequences", join.sides[0].file, ids)
    for side in _optional_sides(join):
        if not set(side.ids) & set(ids):
            raise nothing_joined([sequences, side], with_map=True)


def _report(join: _Join, ids: list[str], features: Features | None, upstream: int, downstream: int) -> PrepareReport:
    genes = set(ids)
    sources = [
        SourceCount(side.role, side.file, len(side.ids), len(genes & set(side.ids)))
        for side in [*join.sides, *_optional_sides(join)]
    ]
    labels = join.tables.label_counts(ids)
    half_life = {} if features is None else features.counts()
    notes = []
    if join.tables.labels is None:
        notes.append("no labels: the dataset can be predicted on, not trained on")
    notes += [f"label {name}: no gene has a value" for name, count in labels.items() if not count]
    notes += [f"half-life feature {name}: no gene has a value" for name, count in half_life.items() if not count]
    if join.proteins is not None:
        notes += [*join.proteins.counts.describe(), *join.proteins.notes]
    return PrepareReport(
        join.options.out,
        len(ids),
        upstream,
        downstream,
        join.proteins is not None,
        tuple(sources),
        labels,
        half_life,
        join.dna.counts if join.dna is not None else DnaCounts(),
        tuple(notes),
    )


def _described(options: PrepareOptions) -> dict[str, Any]:
    """What decides the dataset, as the manifest holds it: options, and files with their checksums."""
    values = asdict(options)
    return {
        "options": {
            **{name: str(value) if isinstance(value, Path) else value for name, value in values.items()},
            "rules": _RULES,
        },
        "sources": [describe_file(role, path) for role, path in options.files().items()],
    }


def _manifest(join: _Join, report: PrepareReport, features: Features | None) -> dict[str, Any]:
    described = _described(join.options)
    alphabets = {"dna": join.dna, "protein": join.proteins}
    return {
        **describe_run("dataset", described["options"]),
        "sources": described["sources"],
        "joins": [asdict(source) for source in report.sources],
        "letters": asdict(report.letters),
        "labels": list(report.labels),
        "label_counts": report.labels,
        "half_life": None if features is None else features.describe(),
        "half_life_counts": report.half_life,
        "alphabets": {
            alphabet.name: alphabet.to_dict() for alphabet in (DNA, PROTEIN) if alphabets[alphabet.name] is not None
        },
        "notes": list(report.notes),
    }


def describe_file(role: str, path: str | Path) -> dict[str, Any]:
    """A source as the manifest names it; standard input cannot be read twice, so it has no checksum."""
    if str(path) == "-":
        return {"role": role, "file": "-", "bytes": None, "sha256": None}
    open_input(path).close()  # a file that is not there is told as everywhere else
    return {"role": role, "file": str(path), "bytes": Path(path).stat().st_size, "sha256": sha256_file(path)}
