"""What `train` and `cv` settle alike before any gene is divided: groups, permuted labels, digests of the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from seqexpr.evaluation.baselines import check_available
from seqexpr.evaluation.homology import grouped_genes
from seqexpr.evaluation.identity import data_digests
from seqexpr.evaluation.negative_control import permute_labels
from seqexpr.evaluation.observers import StageObserver
from seqexpr.evaluation.setup import Setup


@dataclass(frozen=True)
class Protocol:
    """A setup with everything that its split needs."""

    setup: Setup
    """Its dataset has permuted labels in a negative control."""
    genes: pd.DataFrame
    """The dataset's genes, the column `group` filled as the split needs it."""
    options: dict[str, Any]
    """For the manifest: the setup's, the split, where groups come from, whether labels were permuted, digests."""


def settle(
    setup: Setup, split: str, groups_file: Path | None, permute: bool, observer: StageObserver | None = None
) -> Protocol:
    """Find the groups that a split needs and permute the labels if asked.

    Args:
        setup: dataset, labels, network, recipe.
        split: how genes are divided.
        groups_file: the user's own groups.
        permute: deal the labels out anew among the genes, as a negative control.
        observer: is told when homologous proteins are searched, which can take minutes.

    Raises:
        UsageError: groups for a split that has no use for them, homology without proteins, or no scikit-learn, which
            the baselines need at the end.
        InputError: a bad file of groups.
        MissingDataError: MMseqs2 is needed and absent.
    """
    check_available()
    dataset = setup.dataset
    if observer is not None and split == "homology" and groups_file is None:
        observer.on_stage("homologous proteins (MMseqs2)")
    genes, groups = grouped_genes(dataset, split, groups_file, torch.get_num_threads())
    described = setup.to_dict()
    options = {
        **described,
        # The whole path: runs are merged from other working folders too.
        "dataset": {**described["dataset"], "folder": str(dataset.folder.resolve())},
        "split": split,
        "groups": groups,
        "permute_labels": permute,
        "digests": data_digests(dataset, setup.label_names),
    }
    if permute:
        setup = replace(setup, dataset=permute_labels(dataset, setup.seed))
    return Protocol(setup, genes, options)
