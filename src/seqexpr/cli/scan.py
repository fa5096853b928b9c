"""`seqexpr scan`: the predicted level along a genome."""

from __future__ import annotations

import typer

from seqexpr.cli import cluster_options, predict_options, scan_options


def scan(
    context: typer.Context,
    genome: scan_options.Genome,
    out: scan_options.Out,
    region: scan_options.Region = None,
    regions: scan_options.Regions = None,
    chromosomes: scan_options.Chromosomes = None,
    step: scan_options.Step = 50,
    contig_aliases: scan_options.ContigAliases = None,
    model: scan_options.Model = None,
    allow_partial: predict_options.AllowPartial = False,
    device: predict_options.DeviceOption = predict_options.Device.AUTO,
    batch_size: predict_options.BatchSize = "auto",
    threads: predict_options.Threads = None,
    format: scan_options.FormatOption = scan_options.TrackFormat.BEDGRAPH,
    resume: scan_options.Resume = False,
    shard: scan_options.Shard = None,
    scheduler: cluster_options.Scheduler = None,
    chunks: cluster_options.Chunks = None,
    worker_timeout: cluster_options.WorkerTimeout = cluster_options.WORKER_TIMEOUT,
    quiet: predict_options.Quiet = False,
) -> None:
    """Predict the level along a genome as if a TSS lay at each position, on both strands, as browser tracks.

    seqexpr scan --genome hg38.fa --region chr1:1-2,000,000 --step 50 --out tracks/

    seqexpr scan --genome hg38.fa --chromosomes chr21,chr22 --format bigwig --out hg38 --resume
    """
    from seqexpr.cli.console import progress, set_up_logging, status
    from seqexpr.cli.on_cluster import run_on_cluster
    from seqexpr.effects.scan import check_models, load_scanner
    from seqexpr.effects.scan_files import ScanFiles, ScanShard, write_scan
    from seqexpr.effects.tracks import check_format
    from seqexpr.inputs.options import check_output
    from seqexpr.inputs.regions import check_one_choice, chosen_regions, parse_region
    from seqexpr.models.registry import DEFAULT_DNA_MODEL
    from seqexpr.prediction.session import choose_models
    from seqexpr.prediction.shard_files import describe_file
    from seqexpr.prediction.shards import Shard
    from seqexpr.sequences.contigs import read_contig_aliases
    from seqexpr.sequences.genome import Genome

    set_up_logging(quiet=quiet)
    if run_on_cluster(context, resumable=True):
        return
    names = None if chromosomes is None else [name.strip() for name in chromosomes.split(",") if name.strip()]
    check_one_choice(region, regions, names)
    if region is not None:
        parse_region(region)
    models = choose_models(model or [DEFAULT_DNA_MODEL], allow_partial=allow_partial)
    check_models(models.needs)
    which = None if shard is None else Shard.parse(shard)
    if which is not None:
        check_format(format.value)
    files = ScanFiles(out, format.value if which is None else "bedgraph", models.metadata[0].outputs)
    for path in [*files.tracks, files.description]:
        check_output(path, genome, regions, contig_aliases, *(model or ()))
    with Genome(genome, read_contig_aliases(contig_aliases) if contig_aliases else ()) as sequences:
        places = chosen_regions(sequences, region=region, regions=regions, chromosomes=names)
        scanner = load_scanner(
            models,
            device=device.value,
            batch_size="auto" if batch_size == "auto" else int(batch_size),
            threads=threads,
            announce=status,
        )
        made_of = {"--genome": describe_file(genome), "device": scanner.device.type}
        part = None if which is None else ScanShard(which, format.value, made_of)
        positions, gaps = write_scan(
            files,
            scanner,
            sequences,
            places,
            step,
            files.describe(
                models.checksums(), (models.needs.upstream, models.needs.downstream), sequences, places, step
            ),
            resume=resume,
            say=status,
            progress=lambda total: progress("scan", "positions", total=total),
            shard=part,
        )
        for asked, found in sequences.aliases.items():
            status(f"contig {asked} found under another name ({found})")
    status(summarise_scan(positions, gaps))
    for path in [*files.tracks, files.description if part is None else part.description(files)]:
        status(f"written: {path}")


def summarise_scan(positions: int, gaps: int) -> str:
    """How many positions were scanned, and how many have no value."""
    from seqexpr.cli.console import plural

    said = f"{plural(gaps, 'position')} without a known base in the window left out" if gaps else "all with a value"
    return f"{plural(positions, 'position')} of both strands: {said}"
