"""Prepare datasets from Python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seqexpr.api.arguments import Path_, Table, gene_names, names, path, table
from seqexpr.errors import UsageError

if TYPE_CHECKING:
    from seqexpr.datasets.dataset import PreparedDataset

logger = logging.getLogger(__name__)


def prepare(
    task: str | None = None,
    *,
    out: Path_ | None = None,
    fasta: Path_ | None = None,
    tss_at: int | Literal["center"] | None = None,
    genome: Path_ | None = None,
    tss: Path_ | None = None,
    genes: str | Sequence[str] | None = None,
    allow_unknown_genes: bool = False,
    contig_aliases: Path_ | None = None,
    skip_missing_contigs: bool = False,
    genbank: Path_ | None = None,
    upstream: int | None = None,
    downstream: int | None = None,
    proteins: Path_ | None = None,
    protein_map: Table | None = None,
    cds: Path_ | None = None,
    translate: bool = False,
    codon_table: int = 1,
    mito_table: int = 2,
    labels: Table | None = None,
    label: str | Sequence[str] = (),
    log10: float | None = None,
    half_life: Table | None = None,
    annotation: Path_ | None = None,
    strip_versions: bool = False,
    min_cases: int | None = None,
    force: bool = False,
    advance: Callable[[int], None] | None = None,
) -> PreparedDataset:
    """Build a dataset for `train` and `cross_validate`: sequences, labels, half-life features joined by gene id.

    A dataset that is there already, from the same files and options, is reused. How many genes each file gave is
    logged at level INFO.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "w.fa").write_text(">g1\\nACGTACGT\\n>g2\\nGGGGCCCC\\n")
    >>> _ = (folder / "l.tsv").write_text("id\\tlevel\\ng1\\t1.5\\ng2\\t0.5\\n")
    >>> dataset = prepare(out=folder / "set", fasta=folder / "w.fa", tss_at=4, labels=folder / "l.tsv")
    >>> dataset.ids, dataset.label_names
    (['g1', 'g2'], ('level',))

    Args:
        task: a named task, prepared into the cache from fetched sources; or, of your own files:
        out: the folder to make.
        fasta: FASTA of DNA windows, one for each gene.
        tss_at: offset of the TSS in every record of `fasta`, or "center".
        genome, tss: cut windows from a genome at each TSS of a BED, GTF or GFF3 file.
        genes: symbols or ids to pick; a file with one on each line.
        allow_unknown_genes: leave out names in `genes` that are not there.
        contig_aliases: table of further names of contigs.
        skip_missing_contigs: leave out genes on contigs that the genome lacks, however many.
        genbank: a GenBank or EMBL file instead, which gives windows, half-life features and proteins.
        upstream, downstream: bases stored before the TSS and from it on. Default: 10,000 each.
        proteins: FASTA of proteins.
        protein_map: table, a file or a DataFrame, with `gene_id` and `protein_id`, `uniprot` or `accession`.
        cds: FASTA of coding sequences, in frame; genes may lack theirs.
        translate: make the proteins, and the coding sequences, from genome and annotation.
        codon_table, mito_table: NCBI's numbers of the codon tables of the nucleus and of mitochondria.
        labels: table of labels, gene id first; a file, or a DataFrame whose ids are the index or the first column.
        label: the columns to keep. Default: all.
        log10: take log10(label + this number) of every label.
        half_life: table of half-life features, as `labels`.
        annotation: GTF or GFF3 to compute them from.
        strip_versions: drop version suffixes of ids, such as `.15`, before joining.
        min_cases: with a task of CPTAC, leave out genes that are measured in fewer cases.
        force: replace a dataset that is there.
        advance: gets the number of genes that were done since the last call, while a task is prepared.

    Raises:
        UsageError, InputError, MissingDataError, NetworkError, OSError: as the command does.
    """
    from seqexpr.datasets.dataset import PreparedDataset
    from seqexpr.datasets.options import PrepareOptions, option_of
    from seqexpr.datasets.prepare import prepare as build
    from seqexpr.inputs.options import check_standard_input

    if task is None and min_cases is not None:
        raise UsageError("--min-cases goes with a task whose labels are means over CPTAC's cases")
    if task is None and out is None:
        raise UsageError("prepare needs a task, or --out DIR and files of your own; see seqexpr prepare --help")
    given: dict[str, Any] = {
        "fasta": path(fasta, "fasta"),
        "tss_at": tss_at,
        "genome": path(genome, "genome"),
        "tss": path(tss, "tss"),
        "genes": gene_names(genes),
        "allow_unknown_genes": allow_unknown_genes,
        "contig_aliases": path(contig_aliases, "contig_aliases"),
        "skip_missing_contigs": skip_missing_contigs,
        "genbank": path(genbank, "genbank"),
        "upstream": upstream,
        "downstream": downstream,
        "proteins": path(proteins, "proteins"),
        "protein_map": table(protein_map, "protein_map"),
        "cds": path(cds, "cds"),
        "translate": translate,
        "codon_table": codon_table,
        "mito_table": mito_table,
        "labels": table(labels, "labels"),
        "label_columns": names(label),
        "log10": log10,
        "half_life": table(half_life, "half_life"),
        "annotation": path(annotation, "annotation"),
        "strip_versions": strip_versions,
    }
    if isinstance(genes, str) and genes == "-":
        files = (given[name] for name in ("fasta", "genbank", "proteins", "cds", "half_life", "labels"))
        check_standard_input(genes, *files, *{given["tss"], given["annotation"]})
    if task is not None:
        usual = {field.name: field.default for field in fields(PrepareOptions)}
        unread = [name for name, value in given.items() if value != usual[name]] + ["out"] * (out is not None)
        if unread:
            options = sorted(map(option_of, unread))
            raise UsageError(f"prepare {task} uses fetched sources; omit {', '.join(options)}, or the task")
        from seqexpr.tasks.build import prepare_task

        made = prepare_task(task, force=force, min_cases=min_cases or 1, advance=advance or (lambda genes: None))
        _log(made.describe())
        return made.dataset
    report = build(PrepareOptions(out=path(out, "out") or Path(), **given, force=force))
    _log(report.describe())
    return PreparedDataset.open(report.folder)


def _log(lines: Sequence[str]) -> None:
    for line in lines:
        logger.info("%s", line)
