"""The negative control: the same genes with the labels of others, so that there is nothing to be learnt.

What a run then finds beyond chance is a fault of its protocol.
"""

from __future__ import annotations

import copy

import numpy as np

from seqexpr.datasets.prepared import PreparedDataset


def permute_labels(dataset: PreparedDataset, seed: int) -> PreparedDataset:
    """The dataset with its labels dealt out anew among all genes; the one given stays as it is.

    A gene gets all labels of one other gene, missing ones as missing, so that every label keeps its values and
    labels keep their relations to each other.

    Args:
        dataset: prepared genes with labels.
        seed: of the permutation, which is independent of the folds that the same seed makes.
    """
    order = np.random.default_rng([seed, *b"permuted labels"]).permutation(len(dataset))
    names = list(dataset.label_names)
    control = copy.copy(dataset)
    control.genes = dataset.genes.copy()
    control.genes[names] = dataset.genes[names].to_numpy()[order]
    return control
