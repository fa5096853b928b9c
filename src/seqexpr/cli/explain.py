"""`seqexpr explain`: what each letter of a gene's window or protein does to the predicted level."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Any

import typer

from seqexpr.cli import cluster_options
from seqexpr.cli import explain_options as own
from seqexpr.cli import predict_options as options

if TYPE_CHECKING:
    from seqexpr.prediction.inputs import InputSources, ModelNeeds


def explain(
    context: typer.Context,
    windows: options.Windows = None,
    fasta: options.Fasta = None,
    tss_at: options.TssAt = None,
    genome: options.Genome = None,
    tss: options.Tss = None,
    genes: options.Genes = None,
    genbank: options.Genbank = None,
    proteins: options.Proteins = None,
    cds: options.Cds = None,
    half_life: options.HalfLife = None,
    annotation: options.Annotation = None,
    contig_aliases: options.ContigAliases = None,
    skip_missing_contigs: options.SkipMissingContigs = False,
    allow_unknown_genes: options.AllowUnknownGenes = False,
    example: own.Example = False,
    model: own.Model = None,
    allow_partial: options.AllowPartial = False,
    input: own.Input = None,
    region: own.Region = None,
    method: own.MethodOption = own.Method.ISM,
    output: own.Output = None,
    device: options.DeviceOption = options.Device.AUTO,
    threads: options.Threads = None,
    out: own.Out = None,
    shard: options.Shard = None,
    scheduler: cluster_options.Scheduler = None,
    chunks: cluster_options.Chunks = None,
    worker_timeout: cluster_options.WorkerTimeout = cluster_options.WORKER_TIMEOUT,
    resume: cluster_options.Resume = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what each letter of a gene's window or protein does to its predicted level: the change by each substitution.

    seqexpr explain --example --genes HBB --region -200:+50 --out hbb/

    seqexpr explain --genome hg38.fa --tss genes.gtf --genes ACTB,MYC --region -1000:+500 --out promoters.html

    seqexpr explain proteins.fa --out proteins.html
    """
    from seqexpr.cli.console import logger, progress, set_up_logging, status
    from seqexpr.cli.input_summary import summarise
    from seqexpr.cli.on_cluster import run_on_cluster
    from seqexpr.effects.attribution import choose_explained, explain_session
    from seqexpr.effects.effect_files import describe, open_effects, open_shard, shard_format
    from seqexpr.effects.gene_effects import parse_region
    from seqexpr.errors import UsageError
    from seqexpr.inputs.gene_ids import read_gene_names
    from seqexpr.inputs.options import check_output, check_standard_input
    from seqexpr.inputs.windows import parse_tss_at
    from seqexpr.prediction.inputs import InputSources
    from seqexpr.prediction.session import default_models, open_session
    from seqexpr.prediction.shard_files import Numbered, ShardFile, check_comparable, describe_options

    set_up_logging(quiet=quiet)
    if scheduler is not None:
        shard_format(out)
    if run_on_cluster(context):
        return
    if windows is not None and fasta is not None:
        raise UsageError(f"{windows} and --fasta {fasta} are two sources of windows; give one")
    files = (genes, fasta, windows, genbank, proteins, cds, half_life, *{tss, annotation})
    check_standard_input(*files)
    check_output(out, *files, genome, contig_aliases, *(model or ()))
    part = parse_region(region)
    given = InputSources(
        fasta=fasta or windows,
        tss_at=parse_tss_at(tss_at),
        genome=genome,
        tss=tss,
        genes=read_gene_names(genes),
        genbank=genbank,
        proteins=proteins,
        cds=cds,
        half_life=half_life,
        annotation=annotation,
        contig_aliases=contig_aliases,
        skip_missing_contigs=skip_missing_contigs,
        allow_unknown_genes=allow_unknown_genes,
    )
    if not example:
        given.check()
    if windows is not None and not example:
        given = given.by_letters()
        if given.fasta is None:
            named = "standard input" if windows == "-" else windows
            status(f"{named}: proteins, by their letters; they are read as with --proteins")

    part_file = None if shard is None else ShardFile(out, shard, "explain", shard_format(out), largest=1)
    if part_file is not None:
        check_comparable(given)

    def fitted(needs: ModelNeeds) -> InputSources:
        choose_explained(needs, input=input, region=part, output=output)
        return _example_sources(given, needs) if example else given

    session = open_session(
        fitted,
        model or default_models(given),
        device=device.value,
        threads=threads,
        allow_partial=allow_partial,
        announce=status,
        share=None if part_file is None else part_file.share,
    )
    sources, needs, counts = session.sources, session.needs, session.counts
    if sources.half_life and needs.half_life_scale == "z-scores":
        status("half-life: the table is read as z-scores, as in Xpresso's tables, which the model was trained on")
    explained = choose_explained(needs, input=input, region=part, output=output)
    description, length = describe(explained, session, method.value), explained.length
    sink: AbstractContextManager[Any]
    if part_file is None:
        sink = open_effects(out, explained, counts, about=session.described(), description=description)
    else:
        part_file.made_of = {**description, **session.made_of(), **describe_options(sources)}
        session.records = numbered = Numbered(session.records)  # a gene may have nothing to explain
        sink = part_file.in_blocks(open_shard(part_file, explained, counts), lambda: numbered.last)
    with (
        sink as writer,
        progress(
            "explain",
            f"{explained.letters.one}s",
            total=None if counts.expected is None or length is None else counts.expected * length,
            about=not counts.expected_is_exact,
            live=not (out in (None, "-") and sys.stdout.isatty()),
        ) as advance,
        closing(
            explain_session(
                session, explained, method=method.value, partial=shard is not None, advance=advance, say=status
            )
        ) as found,
    ):
        for effects in found:
            writer.write(effects)
    for line in summarise(counts, sources, needs):
        status(line)
    if part_file is not None:
        part_file.finish(counts.as_numbers(needs))
        status(part_file.described())
    if (warning := session.warning()) is not None:
        logger.warning(warning)


def _example_sources(given: InputSources, needs: ModelNeeds) -> InputSources:
    """The bundled example's files that the model reads: genome and TSSs, half-life features, proteins.

    Raises:
        UsageError: other inputs are given too, or the model reads windows and proteins of the same genes.
    """
    from seqexpr.cli.console import status
    from seqexpr.cli.predict import example_folder
    from seqexpr.errors import UsageError
    from seqexpr.prediction.inputs import InputSources

    if given != InputSources(genes=given.genes):
        raise UsageError("--example brings its own input; leave the other input options out")
    folder = example_folder()
    if needs.window_length and needs.protein_length:
        raise UsageError("--example has no genes with window and protein; give --fasta and --proteins")
    half_life = folder / "half_life.tsv"
    fits = bool(needs.half_life_names) and needs.half_life_scale == "raw" and half_life.is_file()
    if needs.protein_length:
        return InputSources(proteins=str(folder / "proteins.fa"), genes=given.genes)
    if fits:
        status("example: with the half-life features of examples/half_life.tsv")
    return InputSources(
        genome=str(folder / "genome.fa"),
        tss=str(folder / "tss.bed"),
        genes=given.genes,
        half_life=str(half_life) if fits else None,
    )
