"""Works: steps of an optimiser on random genes, as `seqexpr train` takes them and with the plain network."""

from __future__ import annotations

import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.plain_perceiver import PlainPerceiver
from benchmarks.predict_work import configured, precision, untrained
from benchmarks.serving import Finished, Turns, serve
from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.models.config import PerceiverConfig
from seqexpr.prediction.device import keep_freed_memory
from seqexpr.training.experiment import Experiment, Split, half_life_schema
from seqexpr.training.optimizers import make_optimizer
from seqexpr.training.recipe import Recipe
from seqexpr.training.recipe_files import load_recipe
from seqexpr.training.schedules import learning_rate
from seqexpr.training.trainer import train

LABEL = "level"
VALID = 2
"""Genes of the dataset that are validated on, if an epoch should ever end."""
STEPS_AN_EPOCH = 2_000
EPOCHS = 1_000


def recipe_for(settings: dict[str, Any]) -> Recipe:
    """The paper's recipe of the preset, with the batch and the groups asked for."""
    recipe = load_recipe("paper", settings["preset"].removesuffix("-perceiver"))
    return recipe.changed(
        batch_size=settings["batch"], group_size=settings["group"], max_epochs=EPOCHS, bf16=settings["dtype"] == "bf16"
    )


def job_for(settings: dict[str, Any]) -> tuple[Experiment, Split]:
    """A training on the dataset's genes again and again, so long that no epoch ends."""
    dataset = PreparedDataset.open(settings["dataset"])
    recipe = recipe_for(settings)
    genes = np.arange(VALID, len(dataset))
    repeats = -(-STEPS_AN_EPOCH * settings["batch"] // len(genes))
    config = recipe.fit(configured(settings))
    experiment = Experiment(dataset, (LABEL,), config, recipe, seed=0)
    return experiment, Split(0, np.tile(genes, repeats), np.arange(VALID))


class Gate:
    """An observer that stops the trainer between two steps until there is another turn.

    A turn lasts as many steps as fill its time; the first one begins with the gate, so the trainer's own beginning is
    in it.
    """

    def __init__(self, turns: Turns, settings: dict[str, Any]) -> None:
        self._turns, self._batch, self._seconds = turns, settings["batch"], settings["seconds"]
        self._on_gpu = settings["device"] == "cuda"
        self._steps, self._begun = 0, time.perf_counter()

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """A step is done."""
        self._steps += 1
        if time.perf_counter() - self._begun >= self._seconds:
            if self._on_gpu:  # what has been queued belongs to the turn
                torch.cuda.synchronize()
            self._turns.give(items=self._steps * self._batch, seconds=time.perf_counter() - self._begun)
            self._steps, self._begun = 0, time.perf_counter()

    def on_epoch(self, row: dict[str, Any]) -> None:
        """Never comes about: epochs are longer than any benchmark."""
        raise AssertionError(f"epoch {row['epoch']} has ended in a benchmark")


def shipped(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """The trainer itself, threads and allocator as the command sets them.

    Settings: preset, changes, dataset (folder), batch, group (0 for the whole batch), threads, device, dtype, seconds.

    Raises:
        Finished: at the end.
    """
    torch.set_num_threads(settings["threads"])
    keep_freed_memory()
    (experiment, split), device = job_for(settings), torch.device(settings["device"])
    _load_optimiser(experiment.recipe)
    turns.give()
    with tempfile.TemporaryDirectory() as folder:
        train(experiment, split, Path(folder), device, name="benchmark", observer=Gate(turns, settings))
    raise Finished


def plain(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """Steps of the plain network with the same optimiser, dropout and loss.

    Settings: as for `shipped`; group is the number of genes that pass through the network at once; and allocator.

    Raises:
        Finished: at the end.
    """
    if settings["allocator"] == "tuned":
        keep_freed_memory()
    torch.set_num_threads(settings["threads"])
    (experiment, split), device = job_for(settings), torch.device(settings["device"])
    network = PlainPerceiver.of(untrained(experiment.config, device)).train()
    optimizer = make_optimizer(experiment.recipe, network.parameters())
    genes = PlainBatches(experiment, split, device)
    random, steps = np.random.default_rng(0), count(1)
    size = settings["group"] or settings["batch"]

    def step() -> int:
        chosen = split.train[random.integers(len(split.train), size=settings["batch"])]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(experiment.recipe, next(steps), EPOCHS * STEPS_AN_EPOCH)
        optimizer.zero_grad(set_to_none=True)
        for start in range(0, len(chosen), size):
            *inputs, labels = genes.of(chosen[start : start + size])
            with precision(settings):
                predicted = network(*inputs)
            loss = functional.mse_loss(predicted.float(), labels, reduction="sum") / len(chosen)
            (experiment.recipe.loss_weight * loss).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return len(chosen)

    _load_optimiser(experiment.recipe)
    serve(step, turns, settings["seconds"])


def _load_optimiser(recipe: Recipe) -> None:
    """Take a step with nothing: what is imported at the first one is no memory of the training's."""
    make_optimizer(recipe, [torch.nn.Parameter(torch.zeros(1))]).step()


class PlainBatches:
    """Rows of the dataset as tensors, padding and all."""

    def __init__(self, experiment: Experiment, split: Split, device: torch.device) -> None:
        self._experiment, self._device = experiment, device
        self._labels = experiment.values().astype(np.float32)
        schema, raw = half_life_schema(experiment, split), experiment.dataset.half_life()
        self._half_life = schema.standardise(raw) if schema is not None and raw is not None else None

    def of(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Latent tokens, query tokens, half-life features and labels."""
        config = self._experiment.config
        half_life = None if self._half_life is None else self._send(self._half_life[rows])
        latent, query = (self._tokens(kind, rows, config) for kind in (config.latent_input, config.query_input))
        return latent, query, half_life, self._send(self._labels[rows])

    def _tokens(self, kind: str, rows: np.ndarray, config: PerceiverConfig) -> Tensor:
        if kind == "dna":
            return self._send(self._experiment.dataset.dna(rows, config.upstream, config.downstream))
        return self._send(self._experiment.dataset.proteins(rows, config.protein_length))

    def _send(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
