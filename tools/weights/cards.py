"""The bundled weights: trained on all genes, written with their card, and the card again as a page of the docs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.machine import ROOT
from benchmarks.tables import tell
from tools.weights.evaluation import split_for, strongest

from seqexpr.files import atomic_path
from seqexpr.models.calibration import Calibration
from seqexpr.models.trained import TrainedModel, save_model, save_view
from seqexpr.toml_files import read_toml
from seqexpr.training.experiment import Experiment
from seqexpr.training.trainer import train

WEIGHTS = ROOT / "src" / "seqexpr" / "models" / "weights"
PAGES = ROOT / "docs" / "models"
CARDS = ROOT / "tools" / "weights" / "card_texts"


def make(
    name: str,
    trained: Experiment,
    judged: tuple[str, ...],
    rows: list[dict[str, Any]],
    calibrations: dict[str, Calibration],
    folder: Path,
    folds: int,
    device: torch.device,
) -> list[Path]:
    """Train on all genes and write weights, views of them and the page.

    Args:
        name: of the weights file, and of its words in tools/weights/card_texts.
        trained: what is trained.
        judged: the labels that are predicted to others.
        rows: the evaluation's.
        calibrations: by label, where there are some.
        folder: where the training runs, and goes on if it was stopped.
        folds: of the evaluation.
        device: where it is trained.

    Returns:
        the files that are bundled.
    """
    settings = read_toml(CARDS / f"{name}.toml")
    names = settings["outputs"]
    split = split_for(trained, judged, np.arange(len(trained.dataset)))
    model = train(trained, split, folder / "all", device, name=name).model
    outputs = tuple(
        replace(
            output,
            name=names[output.name][0],
            unit=names[output.name][1],
            calibration=calibrations.get(output.name),
        )
        for output in model.metadata.outputs
    )
    kept = {key: value for key, value in model.metadata.training.items() if key not in ("best_valid_r2", "valid_genes")}
    kept["command"] = f"python -m tools.weights {trained.recipe.name} --make --folds {folds} --seed {trained.seed}"
    figures = held_out(rows, {label: names[label][0] for label in judged}, folds)
    card = {**settings["card"], "held_out": figures}
    model.metadata = replace(model.metadata, outputs=outputs, training=kept, card=card)
    files = [WEIGHTS / f"{name}.safetensors"]
    save_model(files[0], model, half=True)
    for view, chosen in settings.get("views", {}).items():
        files.append(WEIGHTS / f"{view}.safetensors")
        save_view(files[-1], files[0].name, chosen)
    PAGES.mkdir(exist_ok=True)
    with atomic_path(PAGES / f"{name.removesuffix('-all')}.md") as temporary:
        temporary.write_text(page(name, model, files), encoding="utf-8")
    for file in files:
        tell(f"{file.name}: {file.stat().st_size:,} bytes")
    return files


def held_out(rows: list[dict[str, Any]], names: dict[str, str], folds: int) -> dict[str, Any]:
    """The evaluation's figures in words."""
    found: dict[str, Any] = {
        "protocol": f"{folds} folds of whole chromosomes; each gene predicted by a network that never saw its "
        "chromosome; 95 % bootstrap intervals; leads paired over the same genes"
    }
    for row in rows:
        figures = [f"{row['n']:,} genes"]
        for metric, title in (("pearson_r2", "squared Pearson"), ("r2", "r2"), ("spearman", "Spearman")):
            figures.append(f"{title} {_told(row['metrics'][metric])}")
        if best := strongest(row):
            baseline, compared = best
            figures.append(
                f"the best baseline from the same inputs, {baseline.replace('_', ' ')}, has "
                f"{compared['pearson_r2']:.3f}: lead {_told(compared['lead'], '+')}"
            )
        spread = row["spread"]
        figures.append(
            f"the sd goes with the error: Spearman {spread['spearman']:.2f} (the members' own sd, not calibrated: "
            f"{spread['spearman_members']:.2f}), root mean square error {spread['rmse_smallest']:.2f} in the quarter "
            f"of genes with the smallest sd and {spread['rmse_largest']:.2f} in that with the largest; within one sd "
            f"{spread['within_one']:.0%} of the genes, within two {spread['within_two']:.0%}"
        )
        inputs = "with half-life features" if row["inputs"] == "half_life" else "from the sequence alone"
        found[f"{names[row['output']]}, {inputs}"] = "; ".join(figures)
    return found


def page(name: str, model: TrainedModel, files: list[Path]) -> str:
    """The card as Markdown."""
    metadata, card = model.metadata, dict(model.metadata.card)
    figures = card.pop("held_out")
    title = name.removesuffix("-all")
    lines = [f"# {title}", "", _sentence(card.pop("title")), ""]
    if len(files) > 1:
        named = [f"`{file.stem}`" for file in files[1:]]
        lines += [f"Names for `--model`: {', '.join(named)}; `{name}` gives all outputs at once.", ""]
    lines += [f"- **{key.replace('_', ' ').capitalize()}**: {text}." for key, text in card.items()]
    outputs = ", ".join(f"`{output.name}` ({output.unit})" for output in metadata.outputs)
    lines += [f"- **Outputs**: {outputs}.", "", "## How good it is", "", _sentence(figures.pop("protocol")), ""]
    lines += [f"- **{key}**: {text}." for key, text in figures.items()]
    training = metadata.training
    lines += [
        "",
        "## How it was made",
        "",
        f"Trained on {training['train_genes']:,} genes, seed {training['seed']}, recipe "
        f"`{training['recipe']['name']}` (in the package); {_size(model)}, stored in half precision. Evaluated and "
        "made by",
        "",
        "```sh",
        training["command"] + " --dna DATASET --protein DATASET --out RUNS",
        "```",
        "",
        "[Results](../results.md) say how the datasets are prepared, and what was tried.",
        "",
    ]
    return "\n".join(lines)


def _size(model: TrainedModel) -> str:
    """What the network consists of: trained parameters and landmarks."""
    parts = []
    if parameters := model.network.count_parameters():
        parts.append(f"{parameters:,} parameters")
    if model.network.kernel is not None:
        parts.append(f"{int(model.network.kernel.landmarks.any(dim=1).sum()):,} genes to compare with")
    return " and ".join(parts)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _told(estimate: dict[str, float | None], sign: str = "") -> str:
    return f"{estimate['value']:{sign}.3f} [{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"
