"""`seqexpr predict`: expression levels for the user's sequences."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from seqexpr.cli import cluster_options
from seqexpr.cli import predict_options as options

if TYPE_CHECKING:
    from seqexpr.prediction.inputs import InputSources, ModelNeeds


def predict(
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
    example: options.Example = False,
    model: options.Model = None,
    allow_partial: options.AllowPartial = False,
    device: options.DeviceOption = options.Device.AUTO,
    batch_size: options.BatchSize = "auto",
    precision: options.PrecisionOption = options.Precision.AUTO,
    threads: options.Threads = None,
    out: options.Out = None,
    format: options.FormatOption = None,
    symbol: options.Symbol = False,
    shard: options.Shard = None,
    scheduler: cluster_options.Scheduler = None,
    chunks: cluster_options.Chunks = None,
    worker_timeout: cluster_options.WorkerTimeout = cluster_options.WORKER_TIMEOUT,
    resume: cluster_options.Resume = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict expression levels, one row for each gene: its id, then the levels, in the order of the input.

    seqexpr predict windows.fa.gz

    seqexpr predict --genome hg38.fa --tss genes.gtf --genes ACTB,MYC --out levels.tsv

    zcat windows.fa.gz | seqexpr predict --fasta - --format jsonl | head
    """
    from seqexpr.cli.console import logger, progress, set_up_logging, status
    from seqexpr.cli.input_summary import summarise
    from seqexpr.cli.on_cluster import run_on_cluster
    from seqexpr.errors import UsageError
    from seqexpr.inputs.gene_ids import read_gene_names
    from seqexpr.inputs.options import check_output, check_standard_input
    from seqexpr.inputs.windows import parse_tss_at
    from seqexpr.prediction.inputs import InputSources
    from seqexpr.prediction.session import open_session
    from seqexpr.prediction.shard_files import ShardFile, check_comparable, describe_options
    from seqexpr.prediction.writers import choose_format, open_writer

    set_up_logging(quiet=quiet)
    if run_on_cluster(context):
        return
    if windows is not None and fasta is not None:
        raise UsageError(f"{windows} and --fasta {fasta} are two sources of windows; give one")
    files = (genes, fasta, windows, genbank, proteins, cds, half_life, *{tss, annotation})
    check_standard_input(*files)
    check_output(out, *files, genome, contig_aliases, *(model or ()))
    sources = InputSources(
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
    if windows is not None and not example:
        sources.check()
        sources = sources.by_letters()
        if sources.fasta is None:
            named = "standard input" if windows == "-" else windows
            status(f"{named}: proteins, by their letters; they are read as with --proteins")
    if symbol and not (tss or genbank or annotation):
        raise UsageError("--symbol shows symbols of --tss, --annotation or --genbank, which are not given")
    chosen_format = choose_format(out, format.value if format else None)
    part = None if shard is None else ShardFile(out, shard, "predict", chosen_format)
    if part is not None:
        check_comparable(sources)
    session = open_session(
        _example_of(sources) if example else sources,
        model or (),
        device=device.value,
        batch_size="auto" if batch_size == "auto" else int(batch_size),
        threads=threads,
        allow_partial=allow_partial,
        announce=status,
        share=None if part is None else part.share,
        precision=precision.value,
    )
    sources, needs, counts = session.sources, session.needs, session.counts
    if sources.half_life and needs.half_life_scale == "z-scores":
        status("half-life: the table is read as z-scores, as in Xpresso's tables, which the model was trained on")
    writer = open_writer(
        out,
        chosen_format,
        needs.outputs,
        ensemble=needs.members > 1,
        suffixes=session.predictor.suffixes,
        symbols=counts.symbols if symbol else None,
        shard=part,
    )
    if part is not None:
        part.made_of = {**session.made_of(), **describe_options(sources), "--symbol": symbol}
    with (
        writer if part is None else part.in_blocks(writer) as rows,
        progress(
            "predict",
            "records",
            total=counts.expected,
            about=not counts.expected_is_exact,
            live=not _shows_rows(out),
        ) as advance,
        closing(session.stream) as predictions,
    ):
        for prediction in predictions:
            rows.write(prediction)
            advance(1)
    for line in summarise(counts, sources, needs):
        status(line)
    if part is not None:
        part.finish(counts.as_numbers(needs))
        status(part.described())
    if (warning := session.warning()) is not None:
        logger.warning(warning)


def _shows_rows(out: str | None) -> bool:
    return out in (None, "-") and sys.stdout.isatty()


def _example_of(given: InputSources) -> Callable[[ModelNeeds], InputSources]:
    return lambda needs: _example_sources(given, needs)


def _example_sources(given: InputSources, needs: ModelNeeds) -> InputSources:
    """The bundled example's files that the model reads.

    Raises:
        UsageError: other inputs are given too.
    """
    from seqexpr.cli.console import status
    from seqexpr.errors import UsageError
    from seqexpr.prediction.inputs import InputSources

    if given != InputSources():
        raise UsageError("--example brings its own input; leave the other input options out")
    folder = example_folder()
    half_life = folder / "half_life.tsv"
    fits = needs.half_life_names and needs.half_life_scale == "raw"
    if fits and half_life.is_file():
        status("example: with the half-life features of examples/half_life.tsv; the README's numbers are without")
    return InputSources(
        fasta=str(folder / "genes.fa") if needs.window_length else None,
        proteins=str(folder / "proteins.fa") if needs.protein_length else None,
        half_life=str(half_life) if fits and half_life.is_file() else None,
    )


def example_folder() -> Path:
    """The examples: inside an installed package, or at the root of a checkout.

    Raises:
        MissingDataError: neither is there.
    """
    from importlib import resources

    from seqexpr.errors import MissingDataError

    package = Path(str(resources.files("seqexpr")))
    for folder in (package / "examples", package.parents[1] / "examples"):
        if (folder / "genes.fa").is_file():
            return folder
    raise MissingDataError("the examples are not in this installation; reinstall seqexpr from its source folder")
