"""`seqexpr prepare`: build a dataset from a named task's sources or from the user's own files."""

from __future__ import annotations

from contextlib import nullcontext

from seqexpr.cli import prepare_options as options
from seqexpr.cli.console import progress, set_up_logging
from seqexpr.cli.help import Quiet
from seqexpr.errors import UsageError


def prepare(
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
    cds: options.Cds = None,
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
    if fasta is not None and windows is not None:
        raise UsageError("--windows is the old name of --fasta; give one")
    from seqexpr import api
    from seqexpr.inputs.windows import parse_tss_at

    with progress(f"prepare {task}", "genes") if task else nullcontext(_not_counted) as advance:
        api.prepare(
            task,
            out=out,
            fasta=fasta or windows,
            tss_at=parse_tss_at(tss_at),
            genome=genome,
            tss=tss,
            genes=genes,
            allow_unknown_genes=allow_unknown_genes,
            contig_aliases=contig_aliases,
            skip_missing_contigs=skip_missing_contigs,
            genbank=genbank,
            upstream=upstream,
            downstream=downstream,
            proteins=proteins,
            protein_map=protein_map,
            cds=cds,
            translate=translate,
            codon_table=codon_table,
            mito_table=mito_table,
            labels=labels,
            label=label or (),
            log10=log10,
            half_life=half_life,
            annotation=annotation,
            strip_versions=strip_versions,
            min_cases=min_cases,
            force=force,
            advance=advance,
        )


def _not_counted(genes: int) -> None:
    """The user's own files are read in seconds."""
