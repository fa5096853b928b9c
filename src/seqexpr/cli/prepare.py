"""`seqexpr prepare`: build a dataset from a named task's sources or from the user's own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from seqexpr.cli import prepare_options as options
from seqexpr.cli.console import progress, set_up_logging, status
from seqexpr.cli.help import Quiet
from seqexpr.errors import UsageError

if TYPE_CHECKING:
    from seqexpr.datasets.prepare_report import PrepareReport
    from seqexpr.tasks.build import TaskReport

_OF_TASKS = ("task", "min_cases", "force", "quiet")
"""Parameters that go with a named task; all others name files of the user's own."""


def prepare(
    context: typer.Context,
    task: options.Task = None,
    out: options.Out = None,
    fasta: options.Fasta = None,
    windows: options.OldWindows = None,
    genome: options.Genome = None,
    tss: options.Tss = None,
    genes: options.Genes = None,
    allow_unknown_genes: options.AllowUnknownGenes = False,
    genbank: options.Genbank = None,
    contig_aliases: options.ContigAliases = None,
    skip_missing_contigs: options.SkipMissingContigs = False,
    proteins: options.Proteins = None,
    protein_map: options.ProteinMap = None,
    labels: options.Labels = None,
    label: options.Label = None,
    log10: options.Log10 = None,
    half_life: options.HalfLife = None,
    annotation: options.Annotation = None,
    strip_versions: options.StripVersions = False,
    tss_at: options.TssAt = None,
    upstream: options.Upstream = None,
    downstream: options.Downstream = None,
    translate: options.Translate = False,
    codon_table: options.CodonTable = 1,
    mito_table: options.MitoTable = 2,
    min_cases: options.MinCases = None,
    force: options.Force = False,
    quiet: Quiet = False,
) -> None:
    """Build a dataset for train and cv: sequences, labels and half-life features joined by gene id.

    A dataset that is there already, from the same files and options, is reused. For a task, the number of genes at each
    join is printed with the paper's.

    Examples:

      seqexpr fetch prot-lung && seqexpr prepare prot-lung

      seqexpr prepare --out lung --proteins human.fa.gz --protein-map map.tsv --labels labels.tsv --label lung

      seqexpr prepare --out mine --genome hg38.fa --tss genes.gtf --labels labels.tsv --annotation genes.gtf
    """
    set_up_logging(quiet=quiet)
    if task is not None:
        names = [name for name in context.params if name not in _OF_TASKS and _is_given(context, name)]
        if given := ", ".join(f"--{name.replace('_', '-')}" for name in sorted(names)):
            raise UsageError(f"prepare {task} uses fetched sources; omit {given}, or the task")
        from seqexpr.tasks.build import prepare_task

        with progress(f"prepare {task}", "genes") as advance:
            report = prepare_task(task, force=force, min_cases=min_cases or 1, advance=advance)
        _show_task(report)
        return
    if min_cases is not None:
        raise UsageError("--min-cases goes with a task whose labels are means over CPTAC's cases")
    if out is None:
        raise UsageError("prepare needs a task, or --out DIR and files of your own; see seqexpr prepare --help")
    if fasta is not None and windows is not None:
        raise UsageError("--windows is the old name of --fasta; give one")
    from seqexpr.datasets.options import PrepareOptions
    from seqexpr.datasets.prepare import prepare as build
    from seqexpr.inputs.gene_ids import read_gene_names
    from seqexpr.inputs.options import check_standard_input
    from seqexpr.inputs.windows import parse_tss_at

    check_standard_input(genes, fasta, windows, genbank, proteins, half_life, labels, *{tss, annotation})
    _show(
        build(
            PrepareOptions(
                out=out,
                fasta=fasta or windows,
                tss_at=parse_tss_at(tss_at),
                genome=genome,
                tss=tss,
                genes=read_gene_names(genes),
                allow_unknown_genes=allow_unknown_genes,
                contig_aliases=contig_aliases,
                skip_missing_contigs=skip_missing_contigs,
                genbank=genbank,
                upstream=upstream,
                downstream=downstream,
                proteins=proteins,
                translate=translate,
                codon_table=codon_table,
                mito_table=mito_table,
                protein_map=protein_map,
                labels=labels,
                label_columns=tuple(label or ()),
                log10=log10,
                half_life=half_life,
                annotation=annotation,
                strip_versions=strip_versions,
                force=force,
            )
        )
    )


def _is_given(context: typer.Context, name: str) -> bool:
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


def _show(report: PrepareReport) -> None:
    lines = [
        f"{source.role}: {source.joined:,} of {source.records:,} used ({source.file})" for source in report.sources
    ]
    if report.upstream + report.downstream:
        changed = "; ".join(report.letters.describe()) or "all used as given"
        lines.append(
            f"windows: {report.upstream:,} bp upstream and {report.downstream:,} bp downstream of the TSS; {changed}"
        )
    lines += [f"label {name}: {count:,} genes" for name, count in report.labels.items()]
    if report.half_life:
        known = ", ".join(f"{name} {count:,}" for name, count in report.half_life.items())
        lines.append(f"half-life features known: {known}")
    lines += [f"note: {note}" for note in report.notes]
    done = "are there already, from the same files and options," if report.reused else "prepared"
    lines.append(f"{report.genes:,} genes {done} in {report.folder}")
    for line in lines:
        status(line)


def _show_task(report: TaskReport) -> None:
    made = report.dataset.manifest.get("created", "")[:10]
    if report.reused:
        lines = [f"{report.task}: reused, prepared from the same files on {made}"]
    elif report.base:
        lines = [f"{report.base.task}: {'reused' if report.base.reused else 'prepared first'}, for its DNA windows"]
    else:
        lines = []
    if counts := report.counts:
        width = max(len(count.what) for count in counts)
        lines.append(f"{'genes with':<{width}}  {'here':>8}  {'the paper':>9}")
        for count in counts:
            paper = "" if count.paper is None else f"{count.paper:,}"
            lines.append(f"{count.what:<{width}}  {count.genes:>8,}  {paper:>9}".rstrip())
    lines += [f"note: {note}" for note in report.notes]
    done = "are" if report.reused else "prepared"
    lines.append(f"{len(report.dataset):,} genes {done} in {report.dataset.folder}")
    for line in lines:
        status(line)
