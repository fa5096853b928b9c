"""`seqexpr variants`: what variants do to the predicted levels of genes."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import typer

from seqexpr.cli import cluster_options
from seqexpr.cli import predict_options as shared
from seqexpr.cli import variants_options as options


def variants(
    context: typer.Context,
    vcf: options.Vcf = None,
    table: options.Table = None,
    variant: options.Variant = None,
    phased: options.Phased = False,
    samples: options.Samples = None,
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
    shard: shared.Shard = None,
    scheduler: cluster_options.Scheduler = None,
    chunks: cluster_options.Chunks = None,
    worker_timeout: cluster_options.WorkerTimeout = cluster_options.WORKER_TIMEOUT,
    resume: cluster_options.Resume = False,
    quiet: shared.Quiet = False,
) -> None:
    """Predict what variants do to expression levels: a row for each allele and each gene whose window holds it.

    seqexpr variants --vcf calls.vcf.gz --genome hg38.fa --tss genes.gtf --out effects.vcf.gz

    seqexpr variants --variant chr11:5227002:T:A --genome hg38.fa --tss genes.gtf

    seqexpr variants --vcf phased.vcf.gz --phased --genome hg38.fa --tss genes.gtf --genes HBB
    """
    from seqexpr.cli.console import logger, plural, progress, set_up_logging, status
    from seqexpr.cli.on_cluster import run_on_cluster
    from seqexpr.effects.variant_output import choose_effect_format, open_effects
    from seqexpr.effects.variant_records import VcfReader
    from seqexpr.effects.variant_session import open_source, open_variants
    from seqexpr.errors import UsageError
    from seqexpr.inputs.gene_ids import read_gene_names
    from seqexpr.inputs.options import check_output, check_standard_input
    from seqexpr.prediction.inputs import InputSources
    from seqexpr.prediction.shard_files import ShardFile, check_comparable, describe_file
    from seqexpr.prediction.shards import LARGEST_BLOCK, count_records
    from seqexpr.prediction.writers import open_table

    set_up_logging(quiet=quiet)
    if run_on_cluster(context):
        return
    files = (genes, vcf, table, half_life, *{tss, annotation})
    check_standard_input(*files)
    check_output(out, *files, genome, contig_aliases, *(model or ()))
    chosen = choose_effect_format(out, format.value if format else None)
    if samples is not None and not phased:
        raise UsageError("--samples picks samples for --phased, which is not given")
    if phased and not vcf:
        raise UsageError("--phased needs --vcf: genotypes of samples are read from it")
    if phased and (chosen == "vcf" or distance is not None):
        raise UsageError(
            f"--phased gives levels of samples: leave {'VCF output' if chosen == 'vcf' else '--distance'} out"
        )
    part = None
    if shard is not None:
        command = "variants --phased" if phased else "variants"  # records are genes then, with a row for each sample
        part = ShardFile(out, shard, command, chosen, largest=1 if phased else LARGEST_BLOCK)
    share = None if part is None else part.share
    source = open_source(vcf, table, variant or None)
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
    if part is not None:
        check_comparable(sources)
    session = open_variants(
        sources,
        source,
        model or (),
        device=device.value,
        threads=threads,
        allow_partial=allow_partial,
        announce=status,
    )
    if part is not None:
        given = {"--vcf": vcf, "--table": table}
        part.made_of = {
            **session.made_of(),
            **{name: describe_file(file) for name, file in given.items() if file is not None},
            "the VCF file's columns": list(source.columns) if isinstance(source, VcfReader) else None,
            "--max-mismatch": f"{max_mismatch:g}",
            "--distance": distance,
            "--samples": samples,
        }
    live = not (out in (None, "-") and sys.stdout.isatty())
    if phased:
        from seqexpr.effects.phased import COLUMNS, rows_of
        from seqexpr.effects.variant_output import with_output
        from seqexpr.effects.variants import in_brackets

        assert isinstance(source, VcfReader), "checked before"
        levels = session.phased(source, samples.split(",") if samples else (), max_mismatch, share)
        total, row_flags = len(levels.sites) * len(levels.samples), Counter[str]()
        by_sample = open_table(out, chosen, with_output(COLUMNS, session.outputs), part)
        done = 0
        with (
            by_sample if part is None else part.in_blocks(by_sample, lambda: done // len(levels.samples)) as rows,
            progress("variants", "rows", total=total, live=live) as advance,
        ):
            for one in levels.stream():
                row_flags.update(one.flags)
                for cells in rows_of(one, session.outputs):
                    rows.write(cells)
                done += 1
                advance(1)
        alleles, samples_said = in_brackets(levels.flags), plural(len(levels.samples), "sample")
        said = f"{plural(levels.records, 'record')}{alleles}, {samples_said}"
        status(f"{said}: {total:,} rows{in_brackets(row_flags)}")
        counts: dict[str, Any] = {"rows": total, "flags": dict(row_flags), "same": {"said": said}}
    else:
        records = len(variant) if variant else None
        if records is not None and share is not None:
            records = count_records(share.shard, records)
        computing = session.effects(distance=distance, max_mismatch=max_mismatch)
        writer = open_effects(
            out,
            chosen,
            session.outputs,
            session.background,
            reader=source if isinstance(source, VcfReader) else None,
            contigs=session.windows.genome.contigs,
            models=session.models,
            shard=part,
        )
        with (
            writer if part is None else part.in_blocks(writer) as effects_writer,
            progress("variants", "records", total=records, live=live) as advance,
        ):
            for record, effects in computing.stream(source, share):
                effects_writer.write(record, effects)
                advance(1)
        status(computing.counts.describe())
        counts = {**vars(computing.counts), "flags": dict(computing.counts.flags)}
    for line in session.lines():
        status(line)
    if (warning := session.warning()) is not None:
        logger.warning(warning)
    if part is not None:
        part.finish(counts)
        status(part.described())
