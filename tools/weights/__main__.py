"""The bundled weights: evaluated by whole chromosomes and by measured effects beside baselines, and made.

    python -m tools.weights --dna DATASET --protein DATASET --out runs/weights

evaluates each model; with --make it also trains on all genes and writes the weights and their cards. What --out
holds already is not computed again, so an evaluation that was stopped goes on. docs/results.md has the figures and says
how the two datasets are prepared. human-mrna starts from `pretrained.safetensors` in this folder, which
`python -m tools.weights pretrain` makes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from benchmarks.tables import table, tell
from tools.weights import effects, pretrain
from tools.weights.cards import make
from tools.weights.evaluation import calibrate, judge, predict_baselines, predict_folds, strongest

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.files import write_json
from seqexpr.models.config import PerceiverConfig
from seqexpr.prediction.device import keep_freed_memory
from seqexpr.training.experiment import Experiment
from seqexpr.training.recipe_files import load_recipe
from seqexpr.training.start import Start

MRNA = "roadmap_median_log10rpkm"
LUNG, BRAIN = "wang2019_lung_protein_log10ibaq", "wang2019_brain_protein_log10ibaq"
MEDIAN, PAXDB = "wang2019_median29_protein_log10ibaq", "paxdb_human_log10ppm"
PRETRAINED = Path(__file__).with_name("pretrained.safetensors")
"""What human-mrna starts from: sequence flows that learnt from Xpresso's networks."""
MODELS = ("human-mrna-own", "human-mrna", "human-prot")
"""By the names of their recipes; the first is evaluated only, to tell what the second has from Xpresso."""
BUNDLED = {"human-mrna": "human-mrna", "human-prot": "human-prot-all"}
"""The names of their weights."""


def find(name: str, options: argparse.Namespace) -> tuple[Experiment, tuple[str, ...]]:
    """What a model is trained on and how; and those of the labels that it predicts to others."""
    if name == "human-prot":
        dataset = PreparedDataset.open(options.protein)
        judged, preset = (MEDIAN, LUNG, BRAIN, PAXDB), "protein-perceiver"
        labels = judged
    else:
        dataset, preset = PreparedDataset.open(options.dna), "dna-perceiver"
        labels = judged = (MRNA,)
    recipe = load_recipe(str(options.recipe or name), preset.removesuffix("-perceiver"))
    config = recipe.fit(PerceiverConfig.from_preset(preset, outputs=len(labels)))
    start = None
    if config.kernel_features:
        start = Start.of(options.start)
        config = start.network(config, labels)
    return Experiment(dataset, labels, config, recipe, options.seed, start=start), judged


def evaluate_model(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train and judge all folds, or those asked for; the rows go to metrics.json in the model's folder."""
    trained, judged = find(name, options)
    folder = options.out / (options.recipe.stem if options.recipe else name)
    folder.mkdir(parents=True, exist_ok=True)
    predicted = predict_folds(
        trained, judged, folder, options.folds, options.only or list(range(options.folds)), _device()
    )
    shared = options.out / f"baselines-{trained.config.preset}-{options.folds}.npz"
    baselines = {} if options.only else predict_baselines(trained, judged, shared, options.folds)
    rows = judge(trained, judged, predicted, baselines, options.folds)
    write_json(folder / "metrics.json", rows)
    if options.make and name in BUNDLED:
        made = calibrate(trained, judged, predicted)
        make(BUNDLED[name], trained, judged, rows, made, folder, options.folds, _device())
    return rows


def show(name: str, rows: list[dict[str, Any]]) -> str:
    """One line for each label and input."""
    shown = []
    for row in rows:
        own = row["metrics"]["pearson_r2"]
        baseline, lead = "", ""
        if best := strongest(row):
            baseline = f"{best[0]} {best[1]['pearson_r2']:.3f}"
            lead = "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**best[1]["lead"])
        shown.append(
            [
                row["output"],
                row["inputs"],
                row["n"],
                f"{own['value']:.3f} [{own['low']:.3f}, {own['high']:.3f}]",
                baseline,
                lead,
                f"{row.get('spread', {}).get('spearman', float('nan')):.3f}",
            ]
        )
    headers = ["label", "inputs", "n", "squared Pearson", "strongest baseline", "lead", "sd and error"]
    return table(f"{name}: whole chromosomes held out, 95 % bootstrap intervals", headers, shown)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="*", default=list(MODELS), help=f"which; default: {' '.join(MODELS)}")
    parser.add_argument("--dna", type=Path, help="dataset of windows, for the mRNA models")
    parser.add_argument("--protein", type=Path, help="dataset of proteins, for human-prot")
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        default=PRETRAINED,
        help=f"what human-mrna starts from; default: {PRETRAINED.name}",
    )
    parser.add_argument("--out", type=Path, required=True, help="where runs and figures go")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--only", type=int, nargs="+", metavar="K", help="these folds alone, and no baselines")
    parser.add_argument("--recipe", type=Path, help="another recipe: a row of the ablation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="default: all that torch takes")
    parser.add_argument("--make", action="store_true", help="then train on all genes, and write weights and cards")
    options = parser.parse_args(arguments)
    if unknown := set(options.models) - set(MODELS):
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    for needed, models in (("dna", MODELS[:2]), ("protein", MODELS[2:])):
        if getattr(options, needed) is None and set(models) & set(options.models):
            parser.error(f"--{needed} is needed for {' and '.join(sorted(set(models) & set(options.models)))}")
    if options.make and (options.only or options.recipe):
        parser.error("--make needs all folds and the bundled recipe: leave --only and --recipe out")
    if options.recipe and len(options.models) > 1:
        parser.error("--recipe is for one model: name it")
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main(arguments: Sequence[str]) -> None:
    """Print a table for each model, then all figures as JSON; or what `effects` prints."""
    if arguments[:1] == ["pretrain"]:
        return pretrain.main(arguments[1:])
    if arguments[:1] == ["effects"]:
        effects.main(arguments[1:])
        return
    options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    found = {}
    for name in options.models:
        tell(f"== {name}")
        found[name] = evaluate_model(name, options)
        print(show(name, found[name]), end="\n\n", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
