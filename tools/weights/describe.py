"""Write into weights what their training genes were like, and of which species; the tensors stay as they are.

    python -m tools.weights.describe WEIGHTS --dataset DATASET --species "human (Homo sapiens)"

DATASET is the prepared dataset that the weights were trained on (docs/results.md says how the bundled ones' are made).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.models.trained import ModelMetadata, read_metadata, rewrite_metadata
from seqexpr.training.experiment import Experiment, input_range
from seqexpr.training.recipe_files import load_recipe


def describe(weights: Path, dataset: PreparedDataset, species: str) -> None:
    """Rewrite the metadata of one weights file."""
    config = read_metadata(weights).config
    labels = dataset.label_names[: config.outputs]
    experiment = Experiment(dataset, labels, config, load_recipe("paper", config.preset.removesuffix("-perceiver")), 0)
    found = input_range(experiment, np.arange(len(dataset))).to_dict()

    def change(metadata: ModelMetadata) -> ModelMetadata:
        training = {**metadata.training, "input_range": found}
        return replace(metadata, training=training, card={"species": species, **metadata.card})

    rewrite_metadata(weights, change)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--species", required=True)
    given = parser.parse_args()
    describe(given.weights, PreparedDataset.open(given.dataset), given.species)


if __name__ == "__main__":
    main()
