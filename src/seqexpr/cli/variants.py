"""`seqexpr variants`: what variants do to the predicted levels of genes."""

from __future__ import annotations

import sys

from seqexpr.cli import predict_options as shared
from seqexpr.cli import variants_options as options


def variants(
    vcf: options.Vcf = None,
    table: options.Table = None,
    variant: options.Variant = None,
    max_mismatch: options.MaxMismatch = 0.01,
    genome: options.Genome = None,
    tss: options.Tss = None,
    genes: options.Genes = None,
    distance: options.Distance = None,
    half_life: shared.HalfLife = None,
    annotation: shared.Annotation = None,
    contig_aliases: shared.ContigAliases = None,
    skip_missing_contigs: shared.SkipMissingContigs = False,
    allow_unknown_genes: shared.AllowUnknownGenes = False,
    model: options.Model = None,
    allow_partial: shared.AllowPartial = False,
    device: shared.DeviceOption = shared.Device.AUTO,
    threads: shared.Threads = None,
    out: options.Out = None,
    format: options.FormatOption = None,
    quiet: shared.Quiet = False,
) -> None:
    """Predict what variants do to expression levels: a row for each allele and each gene whose window holds it.

    seqexpr variants --vcf calls.vcf.gz --genome hg38.fa --tss genes.gtf --out effects.vcf.gz

    seqexpr variants --variant chr11:5227002:T:A --genome hg38.fa --tss genes.gtf
    """
    from seqexpr.cli.console import progress, set_up_logging, status
    from seqexpr.effects.variant_output import choose_effect_format, open_effects
    from seqexpr.effects.variant_session import open_source, open_variants
    from seqexpr.inputs.gene_ids import read_gene_names
    from seqexpr.inputs.options import check_standard_input
    from seqexpr.prediction.inputs import InputSources, missing_lines

    set_up_logging(quiet=quiet)
    check_standard_input(genes, vcf, table, half_life, *{tss, annotation})
    chosen = choose_effect_format(out, format.value if format else None)
    source = open_source(vcf, table, variant)
    sources = InputSources(
        genome=genome,
        tss=tss,
        genes=read_gene_names(genes),
        half_life=half_life,
        annotation=annotation,
        contig_aliases=contig_aliases,
        skip_missing_contigs=skip_missing_contigs,
        allow_unknown_genes=allow_unknown_genes,
    )
    session = open_variants(
        sources,
        source,
        model or (),
        distance=distance,
        max_mismatch=max_mismatch,
        device=device.value,
        threads=threads,
        allow_partial=allow_partial,
        announce=status,
    )
    with (
        open_effects(
            out,
            chosen,
            session.outputs,
            session.background,
            reader=session.reader,
            contigs=session.genome.contigs,
            models=session.models,
        ) as writer,
        progress(
            "variants",
            "records",
            total=len(variant) if variant else None,
            live=not (out in (None, "-") and sys.stdout.isatty()),
        ) as advance,
    ):
        for record, effects in session.stream:
            writer.write(record, effects)
            advance(1)
    status(session.effects.counts.describe())
    for line in missing_lines(session.counts, session.sources, session.needs):
        status(line)
