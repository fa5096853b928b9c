"""A run of `train` or `cv`, or the weights of one, in short: what ran, and how good it is on held-out genes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqexpr.cli.score_tables import side_by_side, titled_table
from seqexpr.evaluation.verdict import MODEL

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from seqexpr.models.trained import ModelMetadata

_SCOPES = {"all": "all folds", "valid": "validation"}


def summary(name: str, paths: Sequence[Path], networks: Sequence[ModelMetadata]) -> list[RenderableType]:
    """What `models show` prints of a run.

    Args:
        name: as the user gave it: a run folder, a fold's folder or a weights file.
        paths: the weights that it stands for.
        networks: their metadata.

    Raises:
        InputError: numbers in the run that seqexpr did not write.
    """
    manifest = _manifest(name)
    pooled = _pooled(Path(name)) if manifest.get("kind") == "cv" else []
    own = [row for metadata in networks for row in _own_rows(metadata)]
    if len(networks) > 1:
        own = [row for row in own if row["scope"] != "valid"]
    outputs = [output.name for output in networks[0].outputs]
    return [_facts(name, manifest, paths, networks), *(_scores(output, pooled, own) for output in outputs)]


def _manifest(name: str) -> dict[str, Any]:
    from seqexpr.manifest import read_manifest

    return read_manifest(name) if os.path.isfile(os.path.join(name, "manifest.json")) else {}


def _pooled(folder: Path) -> list[dict[str, Any]]:
    """The scores over the genes of all folds; none while some are missing."""
    from seqexpr.evaluation.tables import read_metrics

    rows = read_metrics(folder / "metrics.json")
    return [row for row in rows if row["model"] == MODEL and row["scope"] == "all"]


def _facts(
    name: str, manifest: dict[str, Any], paths: Sequence[Path], networks: Sequence[ModelMetadata]
) -> RenderableType:
    """What the run is, a line for each fact."""
    from rich.table import Table

    options, first = manifest.get("options", {}), networks[0]
    training = first.training
    recipe = training.get("recipe")
    folds = options.get("folds") if manifest.get("kind") == "cv" else None
    kind = f"cross-validation, {len(paths)} of {folds} folds trained" if folds else "one training"
    split = f"{options['split']}{f', {folds} folds' if folds else ''}" if options.get("split") else ""
    facts = {
        "run": name,
        "kind": kind if manifest else "weights of a run",
        "species": first.species,
        "task": str(training.get("task", "")),
        "label": ", ".join(f"{one.name} [{one.unit}]" if one.unit else one.name for one in first.outputs),
        "preset": first.config.preset,
        "reads": "; ".join(first.describe_inputs()),
        "half-life": _half_life(first),
        "recipe": str(recipe.get("name", "")) if isinstance(recipe, dict) else "",
        "seed": str(training.get("seed", "")),
        "split": split,
        "genes": _count(training.get("dataset_genes")),
        "weights": ", ".join(map(str, paths))
        if len(paths) == 1
        else f"{len(paths)} files, see: seqexpr models path {name}",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in facts.items():
        if value:
            table.add_row(fact, value)
    return table


def _half_life(metadata: ModelMetadata) -> str:
    """What a table for --half-life must hold, in words; "" where the model reads none."""
    schema = metadata.half_life
    if schema is None:
        return ""
    given = "z-scores as in Xpresso's tables" if schema.expects_z_scores else "raw values"
    return f"columns of --half-life, {given}: {', '.join(schema.names)}"


def _own_rows(metadata: ModelMetadata) -> list[dict[str, Any]]:
    """The scores that the weights of a run hold, each with the epoch that was kept."""
    rows = metadata.training.get("metrics", [])
    return [{**row, "epoch": metadata.training.get("best_epoch")} for row in rows if row["model"] == MODEL]


def _scores(output: str, pooled: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]]) -> Table:
    """The scores of one label: all folds together, then a line for each network and part."""
    headings = ("r2", "95 % interval", "pearson\nr2", "95 % interval", "epoch")
    table = titled_table(f"{output}, 95 % bootstrap intervals", "genes", *headings)
    for row in (*pooled, *own):
        if row["output"] == output:
            table.add_row(*_cells(row), _count(row.get("epoch")), style="bold" if row["scope"] == "all" else None)
    if any(row["scope"] == "valid" for row in own):
        table.caption = "the validation genes chose the epoch, so their scores flatter"
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    estimates = (side_by_side(row["metrics"].get(name, {"value": None})) for name in ("r2", "pearson_r2"))
    genes = f"{_SCOPES.get(row['scope'], row['scope'])}, {row['n']:,} genes"
    return [genes, *(cell for pair in estimates for cell in pair)]


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""
