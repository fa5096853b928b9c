"""`seqexpr scan`: the predicted level along a genome."""

from __future__ import annotations

from seqexpr.cli import predict_options, scan_options


def scan(
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
    quiet: predict_options.Quiet = False,
) -> None:
    """Predict the level along a genome as if a TSS lay at each position, on both strands, as browser tracks.

    seqexpr scan --genome hg38.fa --region chr1:1-2,000,000 --step 50 --out tracks/

    seqexpr scan --genome hg38.fa --chromosomes chr21,chr22 --format bigwig --out hg38 --resume
    """
    from seqexpr.cli.console import plural, progress, set_up_logging, status
    from seqexpr.effects.scan import check_models, count_positions, load_scanner
    from seqexpr.effects.scan_files import ScanFiles, write_scan
    from seqexpr.inputs.options import check_output
    from seqexpr.inputs.regions import check_one_choice, chosen_regions, parse_region
    from seqexpr.models.registry import DEFAULT_DNA_MODEL
    from seqexpr.prediction.session import choose_models
    from seqexpr.sequences.contigs import read_contig_aliases
    from seqexpr.sequences.genome import Genome

    set_up_logging(quiet=quiet)
    names = None if chromosomes is None else [name.strip() for name in chromosomes.split(",") if name.strip()]
    check_one_choice(region, regions, names)
    if region is not None:
        parse_region(region)
    models = choose_models(model or [DEFAULT_DNA_MODEL], allow_partial=allow_partial)
    check_models(models.needs)
    files = ScanFiles(out, format.value, models.metadata[0].outputs)
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
        gaps = write_scan(
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
        )
        for asked, found in sequences.aliases.items():
            status(f"contig {asked} found under another name ({found})")
    said = f"{plural(gaps, 'position')} without a known base in the window left out" if gaps else "all with a value"
    status(f"{plural(count_positions(places, step), 'position')} of both strands: {said}")
    for path in [*files.tracks, files.description]:
        status(f"written: {path}")
