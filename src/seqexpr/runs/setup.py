"""Settle everything that decides a run, from what a user asks for: a task and a few options.

Here are also the groups of genes, the digests of the data, and the negative control, in which every gene gets the
labels of another, so that there is nothing to be learnt: what a run still finds beyond chance is a fault.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import UsageError
from seqexpr.evaluation.baselines import check_available
from seqexpr.evaluation.homology import grouped_genes
from seqexpr.models.config import PerceiverConfig
from seqexpr.runs.folder import data_digests
from seqexpr.runs.observers import StageObserver
from seqexpr.tasks.catalogue import Task, named_task, open_task_dataset
from seqexpr.training.recipe import Recipe
from seqexpr.training.recipe_files import load_recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """A dataset, what is predicted on it, and with which network and recipe."""

    task: str
    dataset: PreparedDataset
    label_names: tuple[str, ...]
    config: PerceiverConfig
    recipe: Recipe
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The resolved settings for a run's manifest."""
        return {
            "task": self.task,
            "labels": list(self.label_names),
            "seed": self.seed,
            "model": self.config.to_dict(),
            "recipe": self.recipe.to_dict(),
            "dataset": {
                "folder": str(self.dataset.folder),
                "genes": len(self.dataset),
                "sources": self.dataset.manifest.get("sources", {}),
            },
        }


def resolve_setup(
    task: str,
    *,
    labels: tuple[str, ...] = (),
    preset: str | None = None,
    recipe: str = "default",
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> Setup:
    """Find the dataset of a task or folder and settle labels, preset and recipe.

    Args:
        task: a task's name, or a folder that `prepare` wrote.
        labels: label columns to predict; needed where a folder holds several and no task names them.
        preset: the network; the task's own, or the one that reads what the folder holds, when absent.
        recipe: "default", "paper", a packaged recipe's full name, or a TOML file.
        epochs: replaces the recipe's largest number of epochs.
        batch_size: replaces the recipe's genes a step.
        seed: of weights, batches and folds.

    Raises:
        MissingDataError: the task's dataset is not prepared.
        UsageError: options that the dataset cannot meet, or a recipe that fits neither the network nor the labels.
        InputError: a recipe file with a fault.
    """
    named = named_task(task)
    dataset = open_task_dataset(task, preset)
    names = _choose_labels(dataset, named, labels)
    chosen_preset = preset or (named.preset if named else _natural_preset(dataset))
    network = _network(dataset, chosen_preset, len(names))
    chosen = load_recipe(recipe, chosen_preset.removesuffix("-perceiver"), named.name if named else "")
    if epochs is not None:
        chosen = chosen.changed(max_epochs=epochs)
    if batch_size is not None:
        chosen = chosen.changed(batch_size=batch_size)
    if unknown := sorted(set(chosen.output_weights) - set(dataset.label_names)):
        raise UsageError(
            f"recipe {chosen.name}: output_weights name {', '.join(unknown)}, but the labels are "
            f"{', '.join(dataset.label_names)}"
        )
    return Setup(task, dataset, names, _narrowed(chosen.fit(network), dataset), chosen, seed)


def _choose_labels(dataset: PreparedDataset, task: Task | None, asked: tuple[str, ...]) -> tuple[str, ...]:
    available = dataset.label_names
    if unknown := [name for name in asked if name not in available]:
        raise UsageError(f"{dataset.folder} has no label {', '.join(unknown)}; it has {', '.join(available) or 'none'}")
    if asked:
        return asked
    if task is not None:
        return tuple(name for name in task.labels if name in available) or available
    if len(available) == 1:
        return available
    if not available:
        raise UsageError(f"{dataset.folder} holds no labels; prepare it with --labels")
    raise UsageError(f"{dataset.folder} holds several labels; choose with --label among {', '.join(available)}")


def _natural_preset(dataset: PreparedDataset) -> str:
    if dataset.has_dna and dataset.has_protein:
        return "dna-protein-perceiver"
    return "dna-perceiver" if dataset.has_dna else "protein-perceiver"


def _network(dataset: PreparedDataset, preset: str, outputs: int) -> PerceiverConfig:
    """The preset's config as the dataset suggests it: the synthetic ones are small and so is their network."""
    config = PerceiverConfig.from_preset(preset, outputs=outputs, **_suggested(dataset, preset))
    for reads, has, option in (
        (config.reads_dna, dataset.has_dna, "--fasta, --genbank or --genome"),
        (config.reads_protein, dataset.has_protein, "--proteins"),
    ):
        if reads and not has:
            raise UsageError(f"{preset} reads what {dataset.folder} does not hold; prepare it with {option}")
    if config.reads_half_life and not dataset.half_life_names:
        logger.warning("the dataset holds no half-life features: they count as unknown for every gene")
    return config


def _narrowed(config: PerceiverConfig, dataset: PreparedDataset) -> PerceiverConfig:
    """The config, its window narrowed to what the dataset holds."""
    upstream, downstream = min(config.upstream, dataset.upstream), min(config.downstream, dataset.downstream)
    if not config.reads_dna or (upstream, downstream) == (config.upstream, config.downstream):
        return config
    logger.warning(
        "%s reads %d bp upstream and %d downstream of the TSS, but the dataset holds %d and %d: reading less",
        *(config.preset, config.upstream, config.downstream, dataset.upstream, dataset.downstream),
    )
    return PerceiverConfig.from_dict({**config.to_dict(), "upstream": upstream, "downstream": downstream})


def _suggested(dataset: PreparedDataset, preset: str) -> dict[str, Any]:
    suggested = dict(dataset.manifest.get("model", {}))
    plain = PerceiverConfig.from_preset(preset)
    if not plain.reads_dna:
        suggested = {key: value for key, value in suggested.items() if key not in ("upstream", "downstream")}
    if not plain.reads_protein:
        suggested.pop("protein_length", None)
    return suggested


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
