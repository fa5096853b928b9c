"""Build a prepared dataset from the user's own files, joined by gene id.

The rows are the genes that have every sequence asked for and, when labels are given, at least one label; they
come in the order of the DNA, or of the proteins when there is no DNA. Half-life features may be missing. DNA
is streamed; of the proteins, those of labelled genes are held in memory when there is DNA too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.datasets.dataset import DatasetWriter, check_target
from seqexpr.datasets.gene_table import Features, GeneTables, read_gene_tables
from seqexpr.datasets.options import PrepareOptions
from seqexpr.datasets.prepare_report import PrepareReport, SourceCount, existing_report, many_unjoined
from seqexpr.errors import InputError, UsageError
from seqexpr.files import sha256_file
from seqexpr.inputs.coding import CodingFasta, CodingSource, MadeCoding
from seqexpr.inputs.gene_ids import Side, nothing_joined, strip_version, unchanged
from seqexpr.inputs.half_life import MissingFeatures
from seqexpr.inputs.labels import read_labels
from seqexpr.inputs.proteins import ProteinFasta, Translation, read_protein_map
from seqexpr.inputs.reference import Reference
from seqexpr.inputs.tables import TextTable
from seqexpr.inputs.windows import CutWindows, DnaCounts, FastaWindows
from seqexpr.manifest import describe_run
from seqexpr.sequences.alphabet import CODING, DNA, PROTEIN
from seqexpr.sequences.coding import (
    CodonTables,
    TranslationCounts,
    as_records,
    translate_transcripts,
)
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.streams import open_input

_RULES = 4
"""Number of the rules by which files become a dataset; one made by others is not reused."""

CODING_FILE = "coding.fa.gz"
"""In a dataset made with `translate`: the coding sequences of its genes, whole codons without the stop."""


@dataclass
class _Join:
    """The work in progress: the tables, the streams, and what was counted."""

    options: PrepareOptions
    tables: GeneTables
    clean: Callable[[str], str]
    reference: Reference
    dna: FastaWindows | CutWindows | None = None
    proteins: ProteinFasta | Translation | None = None
    coding: CodingSource | None = None
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
        try:
            return existing_report(options.out, _described(options))
        except UsageError:
            if options.labels is not None and options.label_columns:
                read_labels(options.labels, options.label_columns)  # a label that is not there is the nearer fault
            raise
    clean = strip_version if options.strip_versions else unchanged
    with ExitStack() as stack:
        window = 0 if options.upstream is None or options.downstream is None else options.upstream + options.downstream
        reference = Reference(options, window=window, translating=options.translate)
        stack.callback(reference.close)
        join = _Join(options, read_gene_tables(options, clean, reference), clean, reference)
        _open_sequences(join)
        upstream, downstream = (join.dna.upstream, join.dna.downstream) if join.dna else (0, 0)
        writer = stack.enter_context(
            DatasetWriter(
                options.out,
                upstream,
                downstream,
                join.proteins is not None,
                options.force,
                with_coding=join.coding is not None,
            )
        )
        with_coding = 0
        for gene, dna, protein in _joined(join):
            coding = None if join.coding is None else join.coding.find(gene, protein)
            writer.add(gene, dna, protein, coding)
            with_coding += coding is not None
        join.sides = _sides(join)
        if not writer.ids:
            raise nothing_joined(join.sides, options.protein_map is not None)
        features = join.tables.features(writer.ids)
        _check_optional(join, writer.ids)
        if join.coding is not None and not with_coding and not join.coding.counts.left_out:
            raise nothing_joined(
                [
                    Side("the sequences", join.sides[0].file, writer.ids),
                    Side("--cds", join.coding.file, join.coding.ids),
                ],
                with_map=True,
            )
        report = _report(join, writer.ids, features, upstream, downstream, with_coding)
        if isinstance(join.proteins, Translation) and join.proteins.coding:
            join.proteins.write_coding(writer.path_of(CODING_FILE), set(writer.ids))
        writer.finish(join.tables.table(writer.ids, features), _manifest(join, report, features))
    return report


def _open_sequences(join: _Join) -> None:
    options, tables = join.options, join.tables
    if options.has_dna:
        join.dna = join.reference.windows(options.upstream, options.downstream)
    join.known = tables.labelled
    if options.proteins is not None:
        genes_of = read_protein_map(options.protein_map) if options.protein_map else None
        beside = tables.known_genes()
        if isinstance(join.dna, CutWindows):
            beside = (beside or set()) | {join.clean(place.id) for place in join.reference.sites}
        join.proteins = ProteinFasta(options.proteins, genes_of, beside, join.clean)
    elif options.translate:
        join.proteins = _translation(join)
        if join.proteins.coding:
            join.coding = MadeCoding(join.proteins.coding, join.proteins.file)
    if options.cds is not None:
        positions = join.tables.positions
        join.coding = CodingFasta(
            options.cds,
            join.clean,
            tables=CodonTables(options.codon_table, options.mito_table),
            contig_of=lambda gene: positions[gene].chrom if gene in positions else "",
        )


def _translation(join: _Join) -> Translation:
    """The proteins of the annotated genes, and their coding sequences."""
    options = join.options
    reference = join.reference
    tables = CodonTables(options.codon_table, options.mito_table)
    counts = TranslationCounts()
    file = options.genbank or options.annotation or options.tss or "-"
    left_out = LeftOut(file)
    if reference.genbank is not None:
        sequences = reference.genbank.coding_sequences(tables, counts, left_out)
    else:
        assert reference.genome is not None and reference.transcripts is not None
        sequences = translate_transcripts(reference.transcripts, reference.genome, tables, counts, left_out)
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
        ids = [gene for gene in join.tables.label_rows if gene in (join.tables.labelled or ())]
        sides.append(Side("labels", str(options.labels), ids))
    return sides


def _optional_sides(join: _Join) -> list[Side]:
    """The tables that a gene may lack."""
    sides = join.tables.optional_sides()
    if join.options.tss is not None and not isinstance(join.dna, CutWindows):
        sides.append(Side("the TSSs", str(join.options.tss), [join.clean(place.id) for place in join.reference.sites]))
    return sides


def _check_optional(join: _Join, ids: list[str]) -> None:
    """Half-life features and positions may be missing for some genes; for all of them it is a mistake."""
    sequences = Side("the sequences", join.sides[0].file, ids)
    for side in _optional_sides(join):
        if not set(side.ids) & set(ids):
            raise nothing_joined([sequences, side], with_map=True)


def _report(
    join: _Join, ids: list[str], features: Features | None, upstream: int, downstream: int, with_coding: int
) -> PrepareReport:
    genes = set(ids)
    show = many_unjoined(join.sides, genes)
    sources = [
        SourceCount.of(side, genes, show=show, without_value=join.tables.unlabelled if side.role == "labels" else 0)
        for side in join.sides
    ]
    rows = Side("the dataset", "", ids)
    for side in _optional_sides(join):
        show = many_unjoined([rows, side], genes & set(side.ids))
        sources.append(SourceCount.of(side, genes, show=show))
    labels = join.tables.label_counts(ids)
    half_life = {} if features is None else features.counts()
    notes = []
    if join.tables.labels is None:
        notes.append("no labels: the dataset can be predicted on, not trained on")
    notes += [f"label {name}: no gene has a value" for name, count in labels.items() if not count]
    if join.proteins is not None:
        notes += [*join.proteins.counts.describe(), *join.proteins.notes]
    if join.coding is not None:
        notes += join.coding.counts.describe()
    return PrepareReport(
        join.options.out,
        len(ids),
        upstream,
        downstream,
        join.proteins is not None,
        None if join.coding is None else with_coding,
        tuple(sources),
        labels,
        half_life,
        None if features is None else MissingFeatures.in_genes(features.values, len(ids), features.names).describe(),
        join.dna.counts if join.dna is not None else DnaCounts(),
        tuple(notes),
    )


def _described(options: PrepareOptions) -> dict[str, Any]:
    """What decides the dataset, as the manifest holds it: options, and files with their checksums."""
    values = {one.name: getattr(options, one.name) for one in fields(options)}
    return {
        "options": {
            **{name: str(value) if isinstance(value, Path | TextTable) else value for name, value in values.items()},
            "rules": _RULES,
        },
        "sources": [describe_file(role, path) for role, path in options.files().items()],
    }


def _manifest(join: _Join, report: PrepareReport, features: Features | None) -> dict[str, Any]:
    described = _described(join.options)
    return {
        **describe_run("dataset", described["options"]),
        "sources": described["sources"],
        "joins": [asdict(source) for source in report.sources],
        "letters": asdict(report.letters),
        "labels": list(report.labels),
        "label_counts": report.labels,
        "half_life": None if features is None else features.describe(),
        "half_life_counts": report.half_life,
        "coding_count": report.coding,
        "alphabets": {
            alphabet.name: alphabet.to_dict()
            for alphabet, source in ((DNA, join.dna), (PROTEIN, join.proteins), (CODING, join.coding))
            if source is not None
        },
        "notes": list(report.notes),
    }


def describe_file(role: str, path: str | Path | TextTable) -> dict[str, Any]:
    """A source as the manifest names it; standard input and pipes cannot be read twice, so they have no checksum."""
    if isinstance(path, TextTable):
        return {"role": role, "file": path.file, "bytes": None, "sha256": path.sha256()}
    if str(path) == "-" or Path(path).is_fifo():
        return {"role": role, "file": str(path), "bytes": None, "sha256": None}
    open_input(path).close()  # a file that is not there is told as everywhere else
    return {"role": role, "file": str(path), "bytes": Path(path).stat().st_size, "sha256": sha256_file(path)}
