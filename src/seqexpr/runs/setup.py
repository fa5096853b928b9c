"""Settle everything that decides a run, from what a user asks for: a task and a few options.

First the experiment, then its splits. Here is also the negative control, in which every gene gets the labels of
another, so that there is nothing to be learnt: what a run still finds beyond chance is a fault.
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
from seqexpr.errors import InputError, UsageError
from seqexpr.evaluation.baselines import check_available
from seqexpr.evaluation.folds import SplitKind, inner_validation, make_folds, split_once
from seqexpr.evaluation.homology import grouped_genes
from seqexpr.inputs.half_life import MissingFeatures
from seqexpr.inputs.labels import label_problem
from seqexpr.models.config import PerceiverConfig
from seqexpr.runs.folder import data_digests, folds_digest
from seqexpr.runs.observers import StageObserver
from seqexpr.sequences.transcripts import FEATURES
from seqexpr.tasks.catalogue import Task, named_task, open_task_dataset
from seqexpr.training.batches import largest_shift
from seqexpr.training.experiment import Experiment, Split, check_trainable, labelled
from seqexpr.training.recipe import NOT_A_RECIPES, Recipe
from seqexpr.training.recipe_files import load_recipe
from seqexpr.training.start import FREE, Start
from seqexpr.training.teacher import Teaching

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """How a run divides its genes and scores its predictions."""

    split: SplitKind = "random"
    """What is never divided between the parts; "given" is for `train` alone."""
    folds: int = 10
    """Number of folds; no effect on `train`, which has one split."""
    valid_fraction: float = 0.1
    """Share of the genes that chooses the epoch: of all genes in `train`, of those outside the test fold in `cv`."""
    test_fraction: float = 0.1
    """Share of all genes that `train` holds out, 0 for none; no effect on `cv`."""
    resamples: int = 1000
    """Bootstrap resamples of the intervals."""
    groups_file: Path | None = None
    """The user's own groups, for the splits "group" and "homology"."""
    permute_labels: bool = False
    """A negative control: the labels are permuted among the genes."""
    test_chromosomes: tuple[tuple[str, ...], ...] = ()
    """The chromosomes that are tested, a tuple for each fold; `train` has one at most. For the split "chromosome"."""
    valid_chromosomes: tuple[tuple[str, ...], ...] = ()
    """The chromosomes that choose the epoch: one tuple for all folds, or one for each."""

    def __post_init__(self) -> None:
        for name, value, fits, expected in (
            ("--folds", self.folds, self.folds >= 1, "a whole number of at least 2"),
            ("--valid-fraction", self.valid_fraction, 0 < self.valid_fraction < 1, "a number between 0 and 1"),
            ("--test-fraction", self.test_fraction, 0 <= self.test_fraction < 1, "a number of at least 0 and below 1"),
            ("resamples", self.resamples, self.resamples >= 0, "a whole number of at least 0"),
        ):
            if not fits:
                raise UsageError(f"{name} is {value}; expected {expected}")


def resolve_experiment(
    task: str,
    *,
    labels: tuple[str, ...] = (),
    preset: str | None = None,
    recipe: str = "default",
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    start: str | None = None,
    unlabelled: Path | None = None,
) -> Experiment:
    """Find the dataset of a task or folder and settle labels, preset and recipe.

    Args:
        task: a task's name, or a folder that `prepare` wrote.
        labels: label columns to predict; needed where a folder holds several and no task names them.
        preset: the network; the task's own, or the one that reads what the folder holds, when absent.
        recipe: "default", "paper", a packaged recipe's full name, or a TOML file.
        epochs: replaces the recipe's largest number of epochs.
        batch_size: replaces the recipe's genes per step.
        seed: of weights, batches and folds.
        start: name, file or run of weights that the training starts from; the network is theirs then.
        unlabelled: FASTA of DNA for the recipe's teacher stage.

    Raises:
        MissingDataError: the task's dataset is not prepared, or there is no such model.
        UsageError: options that the dataset cannot meet, or a recipe that fits neither the network nor the labels.
        InputError: a recipe file with a fault.
    """
    named = named_task(task)
    weights = None if start is None else Start.named(start)
    dataset = open_task_dataset(task, preset or (weights.preset if weights else None))
    names = _choose_labels(dataset, named, labels)
    natural = named.preset if named else _natural_preset(dataset)
    chosen_preset = preset or (weights.preset if weights else natural)
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
    for name in names:
        if (problem := label_problem(name, dataset.genes[name].to_numpy(dtype=float))) is not None:
            logger.warning("%s: %s", dataset.folder, problem)
    if weights is None:
        config = _narrowed(chosen.fit(network), dataset)
    else:
        config = _of_weights(weights, chosen, chosen.fit(network), dataset, names)
    _check_shift(dataset, config, chosen)
    teaching = Teaching.of(chosen.teacher, unlabelled, config)
    if config.kernel_features and weights is None and teaching is None:
        raise UsageError(
            f"recipe {chosen.name}: kernel_features need sequence flows that learnt before: give --from, or a table "
            "[teacher]"
        )
    if weights is not None and weights.has_kernel and teaching is not None:
        raise UsageError(
            f"{weights.file} has a kernel flow, which a teacher stage would not keep: leave out --from, "
            f"or the table [teacher] of recipe {chosen.name}"
        )
    return Experiment(dataset, names, config, chosen, seed, task, start=weights, teaching=teaching)


def _of_weights(
    start: Start, recipe: Recipe, wanted: PerceiverConfig, dataset: PreparedDataset, labels: tuple[str, ...]
) -> PerceiverConfig:
    """The network of the weights that a training starts from; its window must be within the dataset's."""
    wanted = replace(wanted, kernel_genes=min(wanted.kernel_genes, len(dataset)))
    if not dataset.has_coding:  # for a kernel flow that the weights lack
        wanted = replace(wanted, coding_length=0, coding_outputs=0)
    config = start.network(wanted, labels)
    if config.kernel_genes and not start.flow_is_trained(labels):  # it is fitted anew
        config = replace(config, kernel_genes=min(config.kernel_genes, len(dataset)))
        if not dataset.has_coding:
            config = replace(config, coding_length=0, coding_outputs=0)
    elif not recipe.max_epochs:
        raise UsageError(
            f"recipe {recipe.name}: max_epochs 0, and nothing of {start.file} would be fitted to the labels: nothing "
            "is learnt"
        )
    if config.upstream > dataset.upstream or config.downstream > dataset.downstream:
        raise UsageError(
            f"{start.file} reads {config.upstream} bp upstream and {config.downstream} downstream of the TSS, but "
            f"{dataset.folder} holds {dataset.upstream} and {dataset.downstream}: prepare it with wider windows"
        )
    ignored = [
        f"model.{name}"
        for name in sorted(recipe.model.keys() - set(FREE))
        if getattr(config, name) != getattr(wanted, name)
    ]
    if ignored:
        logger.info("the network is that of %s; what recipe %s says of it otherwise has no effect: %s",
                    start.file, recipe.name, ", ".join(ignored))  # fmt: skip
    return config


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
    suggested = _suggested(dataset, preset)
    try:
        if decided := sorted(set(NOT_A_RECIPES) & suggested.keys()):
            raise UsageError(f"the setting {decided[0]}, which the task and the preset decide")
        config = PerceiverConfig.from_preset(preset, outputs=outputs, **suggested)
    except UsageError as problem:
        expected = "settings of a network that fit together"
        manifest = dataset.folder / "manifest.json"
        raise InputError(manifest, record="key 'model'", found=str(problem), expected=expected) from None
    for reads, has, option in (
        (config.reads_dna, dataset.has_dna, "--fasta, --genbank or --genome"),
        (config.reads_protein, dataset.has_protein, "--proteins"),
    ):
        if reads and not has:
            raise UsageError(f"{preset} reads what {dataset.folder} does not hold; prepare it with {option}")
    if config.reads_half_life:
        missing = MissingFeatures.in_genes(dataset.half_life(), len(dataset), dataset.half_life_names or FEATURES)
        if said := missing.describe():
            logger.log(logging.WARNING if missing.whole == missing.genes else logging.INFO, "%s", said)
    return config


def _narrowed(config: PerceiverConfig, dataset: PreparedDataset) -> PerceiverConfig:
    """The config, narrowed to what the dataset holds: its window, its genes, coding sequences only where there are."""
    if config.reads_coding and not dataset.has_coding:
        logger.info("the dataset holds no coding sequences (prepare --cds or --translate): the network reads none")
        config = PerceiverConfig.from_dict({**config.to_dict(), "coding_length": 0})
    if config.kernel_genes > len(dataset):  # more would be room for nothing
        config = PerceiverConfig.from_dict({**config.to_dict(), "kernel_genes": len(dataset)})
    upstream, downstream = min(config.upstream, dataset.upstream), min(config.downstream, dataset.downstream)
    if not config.reads_dna or (upstream, downstream) == (config.upstream, config.downstream):
        return config
    logger.warning(
        "%s reads %d bp upstream and %d downstream of the TSS, but the dataset holds %d and %d: reading less",
        *(config.preset, config.upstream, config.downstream, dataset.upstream, dataset.downstream),
    )
    return PerceiverConfig.from_dict({**config.to_dict(), "upstream": upstream, "downstream": downstream})


def _check_shift(dataset: PreparedDataset, config: PerceiverConfig, recipe: Recipe) -> None:
    """Say where the dataset's windows leave no room for the recipe's random shifts."""
    room = largest_shift(dataset, config, recipe.tss_jitter)
    if not config.reads_dna or room == recipe.tss_jitter:
        return
    done = f"windows are shifted by at most {room} bp" if room else "windows are not shifted"
    logger.warning(
        "recipe %s shifts training windows at random by up to %d bp (tss_jitter), but the network reads %d bp upstream "
        "and %d downstream of the TSS and the dataset holds %d and %d: %s",
        *(recipe.name, recipe.tss_jitter, config.upstream, config.downstream, dataset.upstream, dataset.downstream),
        done,
    )


def _suggested(dataset: PreparedDataset, preset: str) -> dict[str, Any]:
    suggested = dict(dataset.manifest.get("model", {}))
    plain = PerceiverConfig.from_preset(preset)
    if not plain.reads_dna:
        suggested = {key: value for key, value in suggested.items() if key not in ("upstream", "downstream")}
    if not plain.reads_protein:
        suggested.pop("protein_length", None)
    return suggested


def permute_labels(dataset: PreparedDataset, seed: int) -> PreparedDataset:
    """Permute the labels among all genes, in a copy of the dataset.

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


def divide_once(
    experiment: Experiment, options: RunOptions, observer: StageObserver | None = None
) -> tuple[Experiment, Split]:
    """Divide the genes for `train`: once, into training, validation and test genes.

    Args:
        experiment: what is learnt.
        options: how the genes are divided.
        observer: hears of a search that can take minutes.

    Returns:
        the experiment with all that its manifest holds (and permuted labels in a negative control), and the split.

    Raises:
        UsageError, InputError, MissingDataError: as `_settle`, or genes that cannot be divided so.
    """
    if len(options.test_chromosomes) > 1 or len(options.valid_chromosomes) > 1:
        raise UsageError("train has one split: give --test-chromosomes and --valid-chromosomes once each")
    shares = {
        "valid_fraction": options.valid_fraction,
        "test_fraction": options.test_fraction,
        "resamples": options.resamples,
    }
    settled, genes = _settle(experiment, options, shares, observer)
    train, valid, test = split_once(
        genes,
        options.split,
        options.valid_fraction,
        options.test_fraction,
        experiment.seed,
        test_chromosomes=next(iter(options.test_chromosomes), ()),
        valid_chromosomes=next(iter(options.valid_chromosomes), ()),
    )
    values = settled.values()
    split = Split(0, labelled(train, values), labelled(valid, values), labelled(test, values))
    check_trainable(split)
    return settled, split


def divide_into_folds(
    experiment: Experiment, options: RunOptions, observer: StageObserver | None = None
) -> tuple[Experiment, tuple[Split, ...]]:
    """Divide the genes for `cv`: into folds, and the genes outside each into training and validation.

    Args, Returns, Raises: as `divide_once`, but a split for each fold.
    """
    if options.split == "given":
        raise UsageError("the given split is one division; cross-validation makes its own folds")
    shares = {"folds": options.folds, "valid_fraction": options.valid_fraction, "resamples": options.resamples}
    settled, genes = _settle(experiment, options, shares, observer)
    fold_of = make_folds(genes, options.split, options.folds, experiment.seed, options.test_chromosomes)
    if len(options.valid_chromosomes) not in (0, 1, options.folds):
        raise UsageError(
            f"--valid-chromosomes was given {len(options.valid_chromosomes)} times for {options.folds} folds; "
            "give it once for all folds, or once for each"
        )
    digests = {**settled.options["digests"], "folds": folds_digest(fold_of)}
    settled = replace(settled, options={**settled.options, "digests": digests})
    values, splits = settled.values(), []
    for fold in range(options.folds):
        valid_chromosomes = options.valid_chromosomes[fold if len(options.valid_chromosomes) > 1 else 0 :][:1]
        try:
            train, valid = inner_validation(
                fold_of,
                fold,
                genes,
                options.split,
                options.valid_fraction,
                experiment.seed,
                next(iter(valid_chromosomes), ()),
            )
            test = np.flatnonzero(fold_of == fold)
            split = Split(fold, labelled(train, values), labelled(valid, values), test)
            check_trainable(split)
        except UsageError as error:
            raise UsageError(f"fold {fold}: {error}") from None
        splits.append(split)
    return settled, tuple(splits)


def _settle(
    experiment: Experiment, options: RunOptions, shares: dict[str, Any], observer: StageObserver | None
) -> tuple[Experiment, pd.DataFrame]:
    """Find the groups that a split needs and permute the labels if asked.

    Returns:
        the experiment with its options for the manifest, and the genes with the column `group` as the split needs it.

    Raises:
        UsageError: groups for a split that has no use for them, homology without proteins, or no scikit-learn, which
            the baselines need at the end.
        InputError: a bad file of groups.
        MissingDataError: MMseqs2 is needed and absent.
    """
    check_available()
    dataset = experiment.dataset
    if observer is not None and options.split == "homology" and options.groups_file is None:
        observer.on_stage("homologous proteins (MMseqs2)")
    genes, groups = grouped_genes(dataset, options.split, options.groups_file, torch.get_num_threads())
    chromosomes = {
        name: [list(names) for names in given]
        for name, given in (
            ("test_chromosomes", options.test_chromosomes),
            ("valid_chromosomes", options.valid_chromosomes),
        )
        if given  # absent in the manifests of runs without them, as in those of earlier versions
    }
    settings = {
        "split": options.split,
        "groups": groups,
        "permute_labels": options.permute_labels,
        "digests": data_digests(dataset, experiment.labels),
        **shares,
        **chromosomes,
    }
    if options.permute_labels:
        dataset = permute_labels(dataset, experiment.seed)
    return replace(experiment, dataset=dataset, options=settings), genes
