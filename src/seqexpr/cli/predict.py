"""`seqexpr predict`: expression levels for the user's sequences."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seqexpr.cli import predict_options as options

if TYPE_CHECKING:
    from seqexpr.prediction.inputs import InputSources, ModelNeeds


def predict(
    fasta: options.Fasta = None,
    tss_at: options.TssAt = None,
    genome: options.Genome = None,
    tss: options.Tss = None,
    genes: options.Genes = None,
    proteins: options.Proteins = None,
    half_life: options.HalfLife = None,
    example: options.Example = False,
    model: options.Model = None,
    allow_partial: options.AllowPartial = False,
    device: options.DeviceOption = options.Device.AUTO,
    batch_size: options.BatchSize = "auto",
    threads: options.Threads = None,
    out: options.Out = None,
    format: options.FormatOption = None,
    quiet: options.Quiet = False,
) -> None:
    """Predict expression levels, one row for each gene: its id, then the levels, in the order of the input.

    seqexpr predict --fasta windows.fa.gz

    seqexpr predict --genome hg38.fa --tss genes.gtf --genes ACTB,MYC --out levels.tsv

    zcat windows.fa.gz | seqexpr predict --fasta - --format jsonl | head
    """
    from seqexpr.cli.console import progress, set_up_logging, status
    from seqexpr.cli.input_summary import summarise
    from seqexpr.errors import UsageError
    from seqexpr.models.registry import resolve_models
    from seqexpr.models.trained import read_metadata
    from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds
    from seqexpr.prediction.writers import choose_format, open_writer

    set_up_logging(quiet=quiet)
    sources = InputSources(fasta, _offset(tss_at), genome, tss, _gene_names(genes), proteins, half_life)
    if genes == "-" and "-" in (fasta, tss, proteins, half_life):
        raise UsageError("only one input can come from standard input (-)")
    chosen_format = choose_format(out, format.value if format else None)
    if not example:
        sources.check()
    paths = resolve_models(model or [_default_model(sources, example)], allow_partial=allow_partial)
    needs = ModelNeeds.of([read_metadata(path) for path in paths])
    if example:
        sources = _example_sources(sources, needs)
    sources.check_fit(needs)

    # Torch takes seconds to import: what is wrong with the options is known before.
    from seqexpr.models.trained import load_model
    from seqexpr.prediction.device import choose_device, describe_device, use_threads
    from seqexpr.prediction.predictor import Predictor
    from seqexpr.prediction.records import read_records

    chosen = choose_device(device.value)
    workers = use_threads(chosen, threads)
    status(f"device: {describe_device(chosen, workers)}")
    if sources.half_life and needs.half_life_scale == "z-scores":
        status("half-life: the table is read as z-scores, as in Xpresso's tables, which the model was trained on")
    models = [load_model(path, chosen) for path in paths]
    predictor = Predictor(models, chosen, "auto" if batch_size == "auto" else int(batch_size), workers)
    counts = InputCounts()
    records = read_records(sources, needs, counts)
    with (
        open_writer(out, chosen_format, needs.outputs, ensemble=needs.members > 1) as writer,
        progress("predict", "records", live=not _shows_rows(out)) as advance,
        closing(predictor.predict(records)) as predictions,
    ):
        for prediction in predictions:
            writer.write(prediction)
            advance(1)
    for line in summarise(counts, sources, needs):
        status(line)


def _shows_rows(out: str | None) -> bool:
    return out in (None, "-") and sys.stdout.isatty()


def _offset(tss_at: str | None) -> int | Literal["center"] | None:
    if tss_at is None or tss_at == "center":
        return "center" if tss_at else None
    return int(tss_at)


def _gene_names(genes: str | None) -> tuple[str, ...] | None:
    """The names in a comma-separated list, or in a file (- is standard input) of one on each line."""
    from seqexpr.errors import InputError, UsageError
    from seqexpr.sequences.streams import read_lines

    if genes is None:
        return None
    names = genes.split(",")
    in_file = genes == "-" or os.path.isfile(genes)  # Path.is_file refuses a list that is too long for a name
    if in_file:
        try:
            names = [line.decode("utf-8") for _, line in read_lines(genes)]
        except UnicodeDecodeError:
            raise InputError(genes, found="bytes that are not UTF-8", expected="one gene on each line") from None
    kept = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not kept and in_file:
        raise InputError(genes, found="no gene", expected="one gene on each line")
    if not kept:
        raise UsageError(f"--genes {genes!r} names no gene")
    return kept


def _default_model(sources: InputSources, example: bool) -> str:
    return options.DEFAULT_DNA_MODEL if sources.has_dna or example else options.DEFAULT_PROTEIN_MODEL


def _example_sources(given: InputSources, needs: ModelNeeds) -> InputSources:
    """The bundled example's files that the model reads.

    Raises:
        UsageError: other inputs are given too.
    """
    from seqexpr.errors import UsageError
    from seqexpr.prediction.inputs import InputSources

    if given != InputSources():
        raise UsageError("--example brings its own input; leave the other input options out")
    folder = example_folder()
    half_life = folder / "half_life.tsv"
    fits = needs.half_life_names and needs.half_life_scale == "raw"
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
