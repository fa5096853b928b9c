"""`seqexpr models`: the weights that can be asked for by name, and what each of them is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqexpr.cli import predict_options
from seqexpr.cli.console import set_up_logging, status
from seqexpr.cli.help import Command, Group, Quiet, whole_number
from seqexpr.errors import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from seqexpr.models.registry import ModelEntry
    from seqexpr.models.trained import ModelMetadata

models = typer.Typer(
    cls=Group, no_args_is_help=True, help="List the models there are, show their cards, name their files."
)

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="A name of `models list`, a weights file, or a run folder.")
]

_COLUMNS = ("name", "species", "outputs", "inputs", "origin", "size")


@models.command("list", cls=Command)
def list_command(quiet: Quiet = False) -> None:
    """List the models there are: bundled, and in the cache folder's weights/. TSV where not a terminal."""
    set_up_logging(quiet=quiet)
    from seqexpr.models.registry import list_models

    entries = list_models()
    if sys.stdout.isatty():
        _print_table(entries)
        return
    for row in [_COLUMNS, *map(_row, entries)]:
        typer.echo("\t".join(row))


@models.command("show", cls=Command)
def show_command(
    model: ModelName,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that the weights say, as JSON; a line for each fold of a cv run.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Show what a model is: its card, or for a run of train or cv what ran and how good it is on held-out genes."""
    set_up_logging(quiet=quiet)
    from seqexpr.models.registry import resolve_models
    from seqexpr.models.trained import read_metadata

    paths = resolve_models([model])
    networks = [read_metadata(path) for path in paths]
    if as_json:
        for metadata in networks:
            typer.echo(metadata.to_json())
    elif len(paths) > 1 or "metrics" in networks[0].training:
        from seqexpr.cli.run_summary import summary

        _print_rich(*summary(model, paths, networks))
    else:
        for line in (f"model: {paths[0].stem}", f"file: {paths[0]}", *_card(networks[0])):
            typer.echo(printable(line))


@models.command("background", cls=Command)
def background_command(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="A name of `models list`, a weights file, or a run folder; several, or a run of cv, are an ensemble.",
        ),
    ],
    fasta: predict_options.Fasta = None,
    tss_at: predict_options.TssAt = None,
    genome: predict_options.Genome = None,
    tss: predict_options.Tss = None,
    genes: predict_options.Genes = None,
    per_gene: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(1), help="Random substitutions in each gene's window.")
    ] = 12,
    seed: Annotated[int, typer.Option(metavar="N", parser=whole_number(0), help="Of the random places.")] = 0,
    threads: predict_options.Threads = None,
    quiet: Quiet = False,
) -> None:
    """Make the background that gives `variants` its percentiles: differences of random substitutions near TSSs.

    It says how large the differences of these weights usually are. It is written next to the weights, for a run of cv
    into its folder, and for an ensemble of other models into the cache folder; `variants` finds it when it is given the
    same models. The bundled models have theirs.

    seqexpr models background RUN --genome genome.fa --tss genes.gtf
    """
    set_up_logging(quiet=quiet)
    from seqexpr.effects.background import background_file, make_background, write_background
    from seqexpr.errors import UsageError
    from seqexpr.inputs.gene_ids import read_gene_names
    from seqexpr.inputs.reference import Reference
    from seqexpr.inputs.windows import parse_tss_at
    from seqexpr.prediction.inputs import InputSources
    from seqexpr.prediction.session import choose_models

    chosen = choose_models(model)
    needs, paths = chosen.needs, chosen.paths
    if needs.protein_length or not needs.window_length:
        raise UsageError(f"{' '.join(model)} reads proteins; a background is of models that read DNA alone")
    sources = InputSources(
        fasta=fasta, tss_at=parse_tss_at(tss_at), genome=genome, tss=tss, genes=read_gene_names(genes)
    )
    sources.check()
    windows = Reference(sources, window=needs.window_length).windows(needs.upstream, needs.downstream)

    from seqexpr.models.trained import load_model
    from seqexpr.prediction.device import choose_device, use_threads

    workers = use_threads(choose_device("cpu"), threads)
    networks, stream = [load_model(path) for path in paths], (one for _, one in windows.stream())
    found = make_background(networks, paths, needs.upstream, stream, per_gene, seed, workers)
    write_background(paths, found)
    status(f"{found.substitutions:,} substitutions near {found.genes:,} TSSs: {background_file(paths)}")


@models.command("path", cls=Command)
def path_command(model: ModelName, quiet: Quiet = False) -> None:
    """Print the weights file of a model; for a `cv` run, one line for each fold."""
    set_up_logging(quiet=quiet)
    from seqexpr.models.registry import resolve_models

    for path in resolve_models([model]):
        typer.echo(path)


def _row(entry: ModelEntry) -> tuple[str, ...]:
    from seqexpr.errors import InputError
    from seqexpr.models.trained import read_metadata, tensors_file

    size = f"{entry.size / 1e6:.1f} MB"
    try:
        metadata, file = read_metadata(entry.path), tensors_file(entry.path)
    except InputError:  # one bad file in the cache must not hide the others
        return entry.name, "", "unreadable", "unreadable", entry.origin, size
    if file != entry.path:
        size = f"in {file.stem}"
    outputs = ",".join(output.name for output in metadata.outputs)
    return entry.name, metadata.species, outputs, "; ".join(metadata.describe_inputs()), entry.origin, size


def _card(metadata: ModelMetadata) -> list[str]:
    species = [f"species: {metadata.species}"] if metadata.species else []
    lines = [
        f"preset: {metadata.config.preset}",
        *species,
        "inputs:",
        *(f"  {line}" for line in metadata.describe_inputs()),
    ]
    lines.append("outputs:")
    for output in metadata.outputs:
        unit = f" [{output.unit}]" if output.unit else ""
        lines.append(f"  {output.name}{unit}: mean {output.mean:.4g}, sd {output.sd:.4g} over the training genes")
    if any(output.calibration is not None for output in metadata.outputs):
        lines.append("columns ..._sd: the error to expect, one standard deviation, calibrated on held-out genes")
    schema = metadata.half_life
    if schema is not None:
        given = "z-scores as in Xpresso's tables" if schema.expects_z_scores else "raw values"
        lines.append(f"half-life features, in the order of --half-life's columns, {given}:")
        scales = zip(schema.names, schema.transforms, schema.mean, schema.sd, strict=True)
        lines += [f"  {name}: {how}, mean {mean:.4g}, sd {sd:.4g}" for name, how, mean, sd in scales]
    training = {key: value for key, value in metadata.training.items() if key not in ("input_range", "recipe")}
    recipe = metadata.training.get("recipe")
    if isinstance(recipe, dict) and recipe.get("name"):
        training["recipe"] = recipe["name"]
    if metadata.input_range is not None:
        lines.append("inputs of the training genes, 99 % of them:")
        bounds = zip(metadata.input_range.names, metadata.input_range.low, metadata.input_range.high, strict=True)
        lines += [f"  {name}: {low:.3g} to {high:.3g}" for name, low, high in bounds]
    return [
        *lines,
        *_nested("training", training),
        *_nested("card", metadata.card),
    ]


def _nested(title: str, values: dict[str, Any], indent: int = 0) -> list[str]:
    """Lines "key: value" of a JSON object, objects within it indented under their key."""
    lines = [f"{' ' * indent}{title}:"] if values else []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _nested(key, value, indent + 2)
        elif isinstance(value, list):
            lines.append(f"{' ' * (indent + 2)}{key}: {', '.join(map(_rounded, value))}")
        else:
            lines.append(f"{' ' * (indent + 2)}{key}: {_rounded(value)}")
    return lines


def _rounded(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_table(entries: list[ModelEntry]) -> None:
    """The list in fewer words, for a terminal of 80 columns."""
    from rich.table import Table

    table = Table("name", "species", "predicts", "reads", "file", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for entry in entries:
        name, species, outputs, inputs, origin, size = _row(entry)
        predicts = outputs if "," not in outputs else f"{outputs.count(',') + 1} outputs"
        reads = ", ".join(part.split(" ")[0] for part in inputs.split("; "))
        file = size if size.startswith("in ") else f"{origin}, {size}"
        table.add_row(*map(printable, (name, species.split(" (")[0], predicts, reads, file)))
    _print_rich(table)


def _print_rich(*parts: RenderableType) -> None:
    """Print for people; where there is no terminal, the same without colours."""
    from rich.console import Console

    Console(highlight=False, markup=False).print(*parts)
