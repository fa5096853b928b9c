"""Are windows and strands right? The published Xpresso network tells.

Xpresso (Agarwal & Shendure 2020; weights under the MIT licence) was trained on windows of 10,500 bp, 7,000 upstream. On
correctly cut human windows it predicts median mRNA levels well; on windows that are shifted or of the wrong strand it
must do worse. It saw most of these genes in training, so its score is no clean test of Xpresso: only of our windows.

    python -m tools.weights.xpresso_windows --weights human_median.h5 --dataset mrna847 --label roadmap_median_log10rpkm

`--dataset` is a folder of `seqexpr prepare` whose windows hold 8,000 bp upstream and 4,500 downstream at least.
Half-life inputs are zeros, which stands for the average gene.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.evaluation.metrics import evaluate, paired_metrics
from seqexpr.sequences.alphabet import reverse_complement

UPSTREAM, DOWNSTREAM = 7_000, 3_500
HALF_LIFE_INPUTS = 6
SHIFTS = (-1_000, -100, -10, 10, 100, 1_000)
"""bp downstream by which windows are moved."""


class Xpresso:
    """The published network: two convolutions with max-pooling, three dense layers."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path) as file:
            layers = file["model_weights"]
            self.weights = {
                (name, part): torch.from_numpy(layers[name][name][f"{part}:0"][()])
                for name in layers
                if name in layers[name]
                for part in ("kernel", "bias")
            }

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        """uint8 (batch, 10,500) tokens -> (batch,) predicted levels, in Xpresso's z-scores."""
        one_hot = functional.one_hot(torch.from_numpy(tokens).long(), 5)[..., 1:].float()
        x = one_hot.transpose(1, 2)  # (batch, 4, letters)
        x = functional.max_pool1d(self._convolution(x, "conv1d_1"), 30)
        x = functional.max_pool1d(self._convolution(x, "conv1d_2"), 10)
        x = x.transpose(1, 2).flatten(1)  # Keras flattens position by position
        x = torch.cat([x, x.new_zeros(len(x), HALF_LIFE_INPUTS)], dim=1)
        for name in ("dense_1", "dense_2"):
            x = functional.relu(self._dense(x, name))
        return self._dense(x, "dense_3")[:, 0].numpy().astype(np.float64)

    def _convolution(self, x: Tensor, name: str) -> Tensor:
        kernel = self.weights[name, "kernel"].permute(2, 1, 0)  # Keras stores (width, in, out)
        width = kernel.shape[-1]
        left = (width - 1) // 2  # "same" padding puts the odd zero on the right
        padded = functional.pad(x, (left, width - 1 - left))
        return functional.relu(functional.conv1d(padded, kernel, self.weights[name, "bias"]))

    def _dense(self, x: Tensor, name: str) -> Tensor:
        return x @ self.weights[name, "kernel"] + self.weights[name, "bias"]


@torch.inference_mode()
def predict(network: Xpresso, dataset: PreparedDataset, shift: int = 0, flip: bool = False) -> np.ndarray:
    """Predictions for all genes (genes,), from windows moved by `shift` bp, or reverse complemented."""
    predicted = []
    for start in range(0, len(dataset), 32):
        rows = np.arange(start, min(start + 32, len(dataset)))
        if flip:  # the same stretch of the genome around the TSS, read from the other strand
            tokens = reverse_complement(dataset.dna(rows, DOWNSTREAM, UPSTREAM))
        else:
            tokens = dataset.dna(rows, UPSTREAM - shift, DOWNSTREAM + shift)
        predicted.append(network(np.ascontiguousarray(tokens)))
    return np.concatenate(predicted)


def main() -> None:
    """Print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="Xpresso's human_median.h5")
    parser.add_argument("--dataset", type=Path, required=True, help="prepared folder")
    parser.add_argument("--label", default="roadmap_median_log10rpkm")
    options = parser.parse_args()
    dataset, network = PreparedDataset.open(options.dataset), Xpresso(options.weights)
    actual = dataset.labels((options.label,))[:, 0]
    reference = predict(network, dataset)
    rows = [("as prepared", reference)]
    rows += [(f"shifted by {shift:+,} bp", predict(network, dataset, shift)) for shift in SHIFTS]
    rows += [("wrong strand", predict(network, dataset, flip=True))]
    results = {}
    print(f"squared Pearson with {options.label}, {len(dataset)} genes, 95 % bootstrap interval")
    for name, predicted in rows:
        own = evaluate(actual, predicted)["pearson_r2"]
        loss = paired_metrics(actual, predicted, reference, ("pearson_r2",))["pearson_r2"].difference
        results[name] = {"pearson_r2": own.to_dict(), "difference": loss.to_dict()}
        change = "" if predicted is reference else f"   change {loss.value:+.3f} [{loss.low:+.3f}, {loss.high:+.3f}]"
        print(f"{name:>20}  {own.value:.3f} [{own.low:.3f}, {own.high:.3f}]{change}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
