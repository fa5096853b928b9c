"""Turn a run of `seqexpr train` into bundled weights: the same tensors, with a card and the numbers of a `seqexpr cv`.

    seqexpr cv --task mrna847 --folds 5 --split chromosome --out runs/cv-mrna
    seqexpr train --task mrna847 --split chromosome --test-fraction 0 --out runs/mrna
    python scripts/bundle_weights.py human-mrna --run runs/mrna --cv runs/cv-mrna

The card's words are in scripts/cards/NAME.toml; the file lands in src/seqexpr/models/weights/NAME.safetensors.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqexpr.manifest import read_manifest
from seqexpr.models.checkpoint import load_model, save_model
from seqexpr.toml_files import read_toml

_ROOT = Path(__file__).resolve().parents[1]


def held_out(folder: Path) -> dict[str, Any]:
    """The numbers over all out-of-fold predictions of a cross-validation, the network's and the baselines'."""
    options = read_manifest(folder, "cv")["options"]
    rows = [row for row in json.loads((folder / "metrics.json").read_text()) if row["scope"] == "all"]
    numbers = {
        row["model"]: ", ".join(_told(name, row["metrics"][name]) for name in ("r2", "pearson_r2", "spearman"))
        for row in rows
    }
    described = f"{options['folds']} folds by {options['split']}, {rows[0]['n']} genes, seed {options['seed']}"
    return {"protocol": f"{described}; out-of-fold predictions, 95 % bootstrap intervals", **numbers}


def command_of(folder: Path) -> str:
    """The command that made a run, the folders of this machine left out."""
    options = read_manifest(folder, "train")["options"]
    return (
        f"seqexpr train --task {Path(options['task']).name} --label {' '.join(options['labels'])} "
        f"--preset {options['model']['preset']} --recipe {options['recipe']['name'].rsplit('-', 1)[0]} "
        f"--split {options['split']} --valid-fraction {options['valid_fraction']} "
        f"--test-fraction {options['test_fraction']} --seed {options['seed']}"
    )


def _told(name: str, estimate: dict[str, float | None]) -> str:
    if estimate["value"] is None:
        return f"{name} undefined"
    interval = "" if estimate["low"] is None else f" [{estimate['low']:.3f}, {estimate['high']:.3f}]"
    return f"{name} {estimate['value']:.3f}{interval}"


def main() -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="for instance human-mrna")
    parser.add_argument("--run", type=Path, required=True, help="folder of seqexpr train")
    parser.add_argument("--cv", type=Path, required=True, help="folder of seqexpr cv on the same task")
    options = parser.parse_args()
    settings = read_toml(_ROOT / "scripts" / "cards" / f"{options.name}.toml")
    model = load_model(options.run / "weights.safetensors")
    (output,) = model.metadata.outputs
    training = {key: value for key, value in model.metadata.training.items() if key not in ("metrics", "task")}
    model.metadata = replace(
        model.metadata,
        outputs=(replace(output, name=settings["output"], unit=settings["unit"]),),
        training={**training, "command": command_of(options.run)},
        card={**settings["card"], "held_out": held_out(options.cv)},
    )
    target = _ROOT / "src" / "seqexpr" / "models" / "weights" / f"{options.name}.safetensors"
    save_model(target, model)
    print(target)


if __name__ == "__main__":
    main()
