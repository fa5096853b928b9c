"""`seqexpr models`: the weights that can be asked for by name, and what each of them is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqexpr.cli.console import set_up_logging
from seqexpr.cli.help import Command, Group, Quiet

if TYPE_CHECKING:
    from seqexpr.models.registry import ModelEntry
    from seqexpr.models.trained import ModelMetadata

models = typer.Typer(
    cls=Group, no_args_is_help=True, help="List the models there are, show their cards, name their files."
)

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="A name of `models list`, a weights file, or a run folder.")
]

_COLUMNS = ("name", "outputs", "inputs", "origin", "size")


@models.command("list", cls=Command)
def list_command() -> None:
    """List the models there are: bundled, and in the cache folder's weights/. TSV where not a terminal."""
    from seqexpr.models.registry import list_models

    rows = [_row(entry) for entry in list_models()]
    if sys.stdout.isatty():
        _print_table(rows)
        return
    for row in [_COLUMNS, *rows]:
        typer.echo("\t".join(row))


@models.command("show", cls=Command)
def show_command(
    model: ModelName,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that the weights say, as JSON.")] = False,
) -> None:
    """Show a model's card: what it reads and predicts, how it was trained, its held-out numbers."""
    from seqexpr.models.registry import resolve_models
    from seqexpr.models.trained import read_metadata

    for number, path in enumerate(resolve_models([model])):
        if as_json:
            typer.echo(read_metadata(path).to_json())
            continue
        lines = _card(read_metadata(path))
        if number:
            typer.echo()
        typer.echo(f"model: {path.stem}\nfile: {path}")
        for line in lines:
            typer.echo(line)


@models.command("path", cls=Command)
def path_command(model: ModelName) -> None:
    """Print the weights file of a model; for a `cv` run, one line for each fold."""
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
        return entry.name, "unreadable", "unreadable", entry.origin, size
    if file != entry.path:
        size = f"in {file.stem}"
    outputs = ",".join(output.name for output in metadata.outputs)
    return entry.name, outputs, "; ".join(_inputs(metadata)), entry.origin, size


def _inputs(metadata: ModelMetadata) -> list[str]:
    config, inputs = metadata.config, []
    if config.reads_dna:
        inputs.append(f"DNA {config.window_length} bp ({config.upstream} upstream, {config.downstream} downstream)")
    if config.reads_protein:
        inputs.append(f"protein up to {config.protein_length} residues")
    if metadata.half_life is not None:
        inputs.append("half-life features (optional)")
    return inputs


def _card(metadata: ModelMetadata) -> list[str]:
    species = [f"species: {metadata.species}"] if metadata.species else []
    lines = [f"preset: {metadata.config.preset}", *species, "inputs:", *(f"  {line}" for line in _inputs(metadata))]
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
    training = {
        key: value for key, value in metadata.training.items() if key not in ("metrics", "input_range", "recipe")
    }
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
        *_scores(metadata.training.get("metrics")),
        *_nested("card", metadata.card),
    ]


def _scores(metrics: Any) -> list[str]:
    """The numbers of a run's weights, one line for each output and part."""
    lines = []
    for row in metrics if isinstance(metrics, list) else []:
        found = row.get("metrics", {}).get("pearson_r2", {}) if isinstance(row, dict) else {}
        if found.get("value") is not None:
            interval = "" if found.get("low") is None else f" [{found['low']:.3f}, {found['high']:.3f}]"
            of = f"{row.get('output')}, {row.get('scope')}, {row.get('n'):,} genes"
            lines.append(f"  {of}: squared Pearson {found['value']:.3f}{interval}")
    return ["held-out numbers:", *lines] if lines else []


def _nested(title: str, values: dict[str, Any], indent: int = 0) -> list[str]:
    """Lines "key: value" of a JSON object, objects within it indented under their key."""
    lines = [f"{' ' * indent}{title}:"] if values else []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _nested(key, value, indent + 2)
        elif isinstance(value, list):
            lines.append(f"{' ' * (indent + 2)}{key}: {', '.join(map(str, value))}")
        else:
            lines.append(f"{' ' * (indent + 2)}{key}: {value}")
    return lines


def _print_table(rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*_COLUMNS, box=None)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
