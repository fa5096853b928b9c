"""The training loop: epochs of steps, a validation after each, the best weights kept, exact resumption.

Everything random in an epoch is drawn from (seed, epoch) alone and the state is written after each epoch, so a
training that was killed and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import copy
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seqexpr.errors import InputError, UsageError
from seqexpr.files import atomic_path
from seqexpr.models.composition.promoter_words import READ
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel
from seqexpr.own_files import list_of, number, record, text, whole
from seqexpr.tensor_files import check_tensors
from seqexpr.threads import Prefetch
from seqexpr.training.batches import Batch, BatchLoader, genes_of, joined
from seqexpr.training.distributed import Ranks
from seqexpr.training.epoch_choice import EpochChoice, why_kept
from seqexpr.training.experiment import (
    Experiment,
    Split,
    check_trainable,
    fingerprint,
    half_life_schema,
    input_range,
    label_scaling,
)
from seqexpr.training.group_workers import GroupWorkers, add_gradients, add_gradients_at_once, in_order, single_threads
from seqexpr.training.kernel_stage import fit_kernel
from seqexpr.training.optimizers import make_optimizer
from seqexpr.training.recipe import Recipe
from seqexpr.training.schedules import learning_rate
from seqexpr.training.start import fit_output
from seqexpr.training.state import FILE, fitting, load_state, save_state
from seqexpr.training.steps import STEPS_AHEAD, Step, StepDrawer

EVALUATION_BATCH = {"cpu": 16, "cuda": 256, "mps": 64}
"""Genes a forward pass in validation: a GPU wants many."""


_PROGRESS = record(
    {
        "fingerprint": text,
        "best_epoch": whole(0),
        "best_score": number,
        "rows": list_of(record({"epoch": whole(0), "train_loss": number, "valid_loss": number, "valid_r2": number})),
    }
)


class Observer(Protocol):
    """Is told how a training goes."""

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Step `step` of `steps` of an epoch is done; all count from 1."""

    def on_epoch(self, row: dict[str, Any]) -> None:
        """An epoch and its validation are done; `row` is its line of metrics.jsonl."""


@dataclass(frozen=True)
class TrainingResult:
    """A finished training."""

    model: TrainedModel
    """With the weights of the best epoch; whoever asked for the training writes them, with their numbers."""
    rows: list[dict[str, Any]]
    """One per epoch, as in metrics.jsonl."""
    best_epoch: int
    stop_metric: str
    """What chose the epoch: "valid_loss", "valid_r2", or "none" (the last is kept)."""

    def choice(self) -> str:
        """Why this epoch was kept, in a sentence without its full stop."""
        return why_kept(self.rows, self.best_epoch, self.stop_metric)


def train(
    experiment: Experiment,
    split: Split,
    folder: Path,
    device: torch.device,
    *,
    name: str,
    observer: Observer | None = None,
    ranks: Ranks | None = None,
) -> TrainingResult:
    """Train on one split, or continue where a training in `folder` stopped.

    `folder` gets `metrics.jsonl` (one line an epoch) and `checkpoint/` on the way. The weights are in the result: their
    owner writes them. On a CPU the same experiment and split give the same weights with as many threads.

    Args:
        experiment: what is learnt.
        split: its training and validation genes; the test genes are not read.
        folder: of the training.
        device: to train on.
        name: of the model.
        observer: hears of each step and epoch.
        ranks: the processes that train this network together, each of which calls this function; the first alone
            writes into `folder`, which all can read.

    Raises:
        InputError: the folder's checkpoint is damaged or belongs to another training.
        UsageError: too few genes, a label with nothing to learn, or a loss that is no longer a number.
    """
    check_trainable(split)
    if ranks is None or ranks.is_first:
        folder.mkdir(parents=True, exist_ok=True)
    trainer = _Trainer(experiment, split, folder, device, observer, ranks)
    trainer.run()
    model = TrainedModel(name, trainer.best_network(), trainer.metadata())
    return TrainingResult(model, trainer.epochs.rows, trainer.epochs.best_epoch, experiment.recipe.stop_metric)


class _Trainer:
    def __init__(
        self,
        experiment: Experiment,
        split: Split,
        folder: Path,
        device: torch.device,
        observer: Observer | None,
        ranks: Ranks | None = None,
    ) -> None:
        self.experiment, self.split, self.recipe = experiment, split, experiment.recipe
        self.folder, self.device, self.observer, self.ranks = folder, device, observer, ranks
        self.is_first = ranks is None or ranks.is_first
        self.mean, self.sd = label_scaling(experiment, split)
        self.schema = half_life_schema(experiment, split)
        scaled = (experiment.values() - self.mean) / self.sd
        self.loader = BatchLoader(experiment.dataset, experiment.config, scaled, self.schema, device)
        weights = [self.recipe.output_weights.get(label, 1.0) for label in experiment.labels]
        self.output_weights = torch.tensor(weights, device=device)
        torch.manual_seed(experiment.seed)
        self.network = Perceiver(experiment.config)
        start = experiment.start
        self.flow_is_trained = start is not None and start.flow_is_trained(experiment.labels)
        self.unfitted_output = False
        """Whether the output layer is to be fitted before the first epoch."""
        if start is not None:
            self.unfitted_output = not start.load(self.network, experiment.labels, self.mean, self.sd)
        self.network.to(device)
        self.averaged = copy.deepcopy(self.network) if self.recipe.average_decay else self.network
        self.optimizer = make_optimizer(self.recipe, self.network.parameters())
        self.steps_per_epoch = math.ceil(len(split.train) / self.recipe.batch_size)
        self.steps = StepDrawer(self.loader, self.recipe, ranks)
        self.best: dict[str, Tensor] = {}
        self.epochs = EpochChoice(self.recipe.stop_metric, self.recipe.patience)
        self.pool: ThreadPoolExecutor | None = None
        self.groups: GroupWorkers | None = None
        self._restore()
        if ranks is not None:  # also: nobody writes a state before all have read the one that was there
            ranks.check_same("data, options or seed", fingerprint(experiment, split))
            ranks.check_same("a checkpoint", [self.epochs.epochs_done, self.epochs.best_epoch])

    def run(self) -> None:
        if not self.epochs.rows:
            self._start()
        if not _has_epochs(self.experiment):
            return
        if self.ranks is None and not (self.device.type == "cpu" and _groups(self.recipe) > 1):
            return self._run_epochs()
        workers = torch.get_num_threads() if self.device.type == "cpu" else 1
        with single_threads(workers) as self.pool:
            self.groups = GroupWorkers(self.pool, self.network, workers, self.ranks)
            self._run_epochs()

    def _run_epochs(self) -> None:
        while self.epochs.epochs_done < self.recipe.max_epochs and not self.epochs.is_out_of_patience():
            started = time.monotonic()
            epoch = self.epochs.epochs_done + 1
            train_loss = self._train_epoch(epoch)
            self._end_epoch(epoch, train_loss, self.optimizer.param_groups[0]["lr"], started)

    def _start(self) -> None:
        """What comes before the first epoch: the stage of the kernel flow where there is one, and an output layer for
        weights that were trained for other outputs. Of many processes the first does this."""
        started, start, loss = time.monotonic(), self.experiment.start, math.nan
        fits_kernel = self.network.kernel is not None and not self.flow_is_trained
        if self.is_first:
            self._fit_words()
            if self.experiment.config.sequence_flows:
                self._prepare_output(fits_kernel)
            if fits_kernel:
                loss = self._fit_kernel()
        if self.ranks is not None:
            loss = self.ranks.agree(loss)
            self.ranks.copy_first(list(self.network.state_dict().values()))
            if fits_kernel:
                self._copy_told(self.ranks)
        self.averaged.load_state_dict(self.network.state_dict())
        if start is not None and not fits_kernel:
            loss, _, _ = self._evaluate(self.split.train)
            loss *= self.recipe.loss_weight  # as in later epochs
        if self.network.kernel is not None or start is not None:
            self._end_epoch(0, loss, 0.0, started)

    def _copy_told(self, ranks: Ranks) -> None:
        told = self.loader.told
        if told is None:
            told = np.empty((len(self.loader.labels), len(self.experiment.labels)), dtype=np.float32)
        ranks.copy_first([torch.from_numpy(told)])  # in place
        self.loader.told = told

    def _fit_words(self) -> None:
        """Count words in the promoters of the training genes, where the network has none from weights."""
        words, config = self.network.words, self.experiment.config
        if words is None or words.is_fitted:
            return
        upstream, downstream = (min(sides) for sides in zip((config.upstream, config.downstream), READ, strict=True))
        windows = self.experiment.dataset.dna(self.split.train, upstream, downstream)
        words.fit(torch.from_numpy(windows), upstream)

    def _prepare_output(self, fits_kernel: bool) -> None:
        """What the output layer says before a kernel flow is fitted, and before the first epoch."""
        batches = self.loader.batches(self.split.train, EVALUATION_BATCH[self.device.type])
        if self.experiment.config.kernel_features and self.experiment.start is not None:
            if self.unfitted_output:  # the kernel flow is fitted to what is left over
                fit_output(self.network, batches, self.experiment.start)
        elif fits_kernel:
            for part in self.network.output.parameters():
                torch.nn.init.zeros_(part)
        elif self.unfitted_output:
            fit_output(self.network, batches)

    def _fit_kernel(self) -> float:
        """Fit the kernel flow; returns the loss of its answers for training genes that were left out."""
        train = self.split.train
        told, fitted_to = fit_kernel(self.network, self.loader, train, self.recipe, self.experiment.seed)
        self.loader.told = told
        labels, answered = (torch.from_numpy(values[train]).to(self.device) for values in (fitted_to, told))
        loss = float(self._loss(answered, labels, int((~labels.isnan()).sum())))
        return loss * self.recipe.loss_weight  # as in later epochs

    def _end_epoch(self, epoch: int, train_loss: float, rate: float, started: float) -> None:
        """Validate, keep the weights if they are the best, and write the state."""
        valid_loss, valid_r2, errors = self._evaluate(self.split.valid)
        if not (math.isfinite(valid_loss) and math.isfinite(valid_r2)):
            raise UsageError(
                f"the validation loss of epoch {epoch} is {valid_loss}: "
                "lower the recipe's learning rate or clip gradients"
            )
        row = {
            "epoch": epoch,
            "train_loss": train_loss,
            "valid_loss": valid_loss,
            "valid_r2": valid_r2,
            "learning_rate": rate,
            "seconds": round(time.monotonic() - started, 3),
        }
        if self.epochs.add(row, errors):
            self.best = {key: value.detach().clone() for key, value in self.averaged.state_dict().items()}
        self._save()
        if self.observer:
            self.observer.on_epoch(row)

    def best_network(self) -> Perceiver:
        self.averaged.load_state_dict(self.best)
        return self.averaged.eval()

    def metadata(self) -> ModelMetadata:
        experiment, split = self.experiment, self.split
        units = experiment.dataset.manifest.get("label_units", {})
        outputs = tuple(
            Output(label, units.get(label, ""), float(mean), float(sd))
            for label, mean, sd in zip(experiment.labels, self.mean, self.sd, strict=True)
        )
        training = {
            "recipe": self.recipe.to_dict(),
            "seed": experiment.seed,
            "train_genes": len(split.train),
            "valid_genes": len(split.valid),
            "epochs": self.epochs.epochs_done,
            "best_epoch": self.epochs.best_epoch,
            "input_range": input_range(experiment, split.train).to_dict(),
            **({} if experiment.start is None else {"start": experiment.start.digests}),
            "best_valid_r2": next(
                row["valid_r2"] for row in self.epochs.rows if row["epoch"] == self.epochs.best_epoch
            ),
        }
        return ModelMetadata(experiment.config, outputs, self.schema, training)

    def _train_epoch(self, epoch: int) -> float:
        generator = np.random.default_rng([self.experiment.seed, epoch])
        torch.manual_seed(int(generator.integers(2**62)))
        total_steps = self.recipe.max_epochs * self.steps_per_epoch
        losses = torch.zeros(self.steps_per_epoch, device=self.device)
        self.network.train()
        with Prefetch(self.steps.draw(self.split.train, generator), room=STEPS_AHEAD) as ahead:
            for step in range(self.steps_per_epoch):
                drawn = ahead.take(1)
                if not drawn:
                    assert ahead.failure is not None, "as many steps are drawn as there are"
                    raise ahead.failure
                overall = (epoch - 1) * self.steps_per_epoch + step + 1
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate(self.recipe, overall, total_steps)
                losses[step] = self._step(drawn[0], overall)
                ahead.release()
                if self.observer:
                    self.observer.on_step(epoch, step + 1, self.steps_per_epoch)
        mean_loss = float(losses.mean())
        if not math.isfinite(mean_loss):
            raise UsageError(
                f"the training loss of epoch {epoch} is {mean_loss}: lower the recipe's learning rate or clip gradients"
            )
        return mean_loss

    def _step(self, step: Step, overall: int) -> Tensor:
        """One step of the optimiser; the batch passes in groups, whose gradients add up."""
        recipe = self.recipe
        self.optimizer.zero_grad(set_to_none=True)

        def loss_of(network: Perceiver, batch: Batch) -> Tensor:
            with torch.autocast("cuda", torch.bfloat16, enabled=recipe.bf16 and self.device.type == "cuda"):
                inputs = (batch.latent_tokens, batch.query_tokens, batch.half_life, batch.told, batch.coding)
                predicted = network(*inputs)
            return recipe.loss_weight * self._loss(predicted, batch.labels, step.labels)

        if self.groups is None and self.device.type != "cpu":
            total = add_gradients_at_once(self.network, step.groups, genes_of, joined, loss_of)
        else:
            total = add_gradients(self.network, self.groups, step.groups, loss_of, step.total_groups)
        if recipe.clip_norm:
            trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
        self.optimizer.step()
        if recipe.average_decay:
            # A young mean follows more closely, else it would remember the random start for long.
            decay = min(recipe.average_decay, (1 + overall) / (10 + overall))
            _follow(self.averaged, self.network, decay)
        return total

    def _loss(self, predicted: Tensor, labels: Tensor, count: int) -> Tensor:
        """Weighted squared errors of the labels that are present, summed and divided by `count`."""
        return self._squares(predicted, labels).sum() / max(count, 1)

    def _squares(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """Weighted squared errors, 0 where a label is missing: (genes, outputs)."""
        squares = (predicted.float() - labels.nan_to_num()).square() * self.output_weights
        return squares * ~labels.isnan()

    def _evaluate(self, order: np.ndarray) -> tuple[float, float, Tensor]:
        """Loss (scaled labels, without the loss weight), r2 (mean over outputs) and each gene's error on these genes.

        The errors, float64 (genes,), are sums over the outputs, in an order that depends on the genes alone.
        """
        self.averaged.eval()
        ranks = self.ranks
        batch_size = EVALUATION_BATCH[self.device.type]
        if self.experiment.config.reads_protein:  # alike lengths side by side: short batches are cheap
            order = order[np.argsort(self.experiment.dataset.protein_lengths[order], kind="stable")]
        parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

        @torch.no_grad()
        def predict(part: np.ndarray) -> Tensor:
            batch = self.loader.batch(part)
            inputs = (batch.latent_tokens, batch.query_tokens, batch.half_life)
            return self.averaged(*inputs, coding=batch.coding).float()

        own = parts if ranks is None else ranks.share(parts)
        found = [predict(part) for part in own] if self.pool is None else in_order(self.pool, predict, own)
        all_labels = torch.from_numpy(self.loader.labels[order]).to(self.device)
        if ranks is None:
            all_predicted = torch.cat(found)
        else:
            outputs = all_labels.shape[1]
            rows = torch.zeros(len(own), batch_size * outputs, device=self.device)
            for row, predicted in zip(rows, found, strict=True):
                row[: predicted.numel()] = predicted.reshape(-1)  # the last part is shorter
            all_predicted = ranks.gather(rows, len(parts)).reshape(-1, outputs)[: len(order)]
        loss = float(self._loss(all_predicted, all_labels, int((~all_labels.isnan()).sum())))
        errors = self._squares(all_predicted, all_labels).sum(dim=1).cpu().double()
        r2 = _r2(all_predicted.cpu().double().numpy(), all_labels.cpu().double().numpy())
        if ranks is not None:  # processors of several kinds may differ in last digits: the first one's decide for all
            loss, r2 = ranks.agree([loss, r2])
            ranks.copy_first([errors])
        return loss, r2, errors

    def _save(self) -> None:
        if not self.is_first:
            return
        groups = {"network": self.network.state_dict(), "best": self.best}
        if self.averaged is not self.network:
            groups["averaged"] = self.averaged.state_dict()
        if self.loader.told is not None:
            groups["kernel"] = {"told": torch.from_numpy(self.loader.told)}
        if self.epochs.errors_before is not None:
            groups["before"] = {"errors": self.epochs.errors_before}
        progress = {
            "fingerprint": fingerprint(self.experiment, self.split),
            "best_epoch": self.epochs.best_epoch,
            "best_score": self.epochs.best_score,
            "rows": self.epochs.rows,
        }
        save_state(self.folder / "checkpoint", groups, self.optimizer, progress)
        self._write_metrics()

    def _write_metrics(self) -> None:
        if not self.is_first:
            return
        with atomic_path(self.folder / "metrics.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.epochs.rows), encoding="utf-8")

    def _restore(self) -> None:
        stored = load_state(self.folder / "checkpoint", self.optimizer, _PROGRESS, with_gaps=("kernel/told",))
        if stored is None:
            return
        groups, progress = stored
        if progress["fingerprint"] != fingerprint(self.experiment, self.split):
            raise InputError(
                self.folder / "checkpoint",
                found="a training with other data, options, recipe or seed",
                expected="the training that is resumed",
            )
        with fitting(self.folder / "checkpoint"):
            for name in {"network", "best", "averaged"} & groups.keys():
                check_tensors(
                    self.folder / "checkpoint" / FILE, groups[name], self.network.state_dict(), "this network"
                )
            self.averaged.load_state_dict(groups["best"])  # it fits, or is refused now
            self.network.load_state_dict(groups["network"])
            if self.averaged is not self.network:
                self.averaged.load_state_dict(groups["averaged"])
            if "kernel" in groups:
                self.loader.told = groups["kernel"]["told"].numpy()
            if "before" in groups:
                self.epochs.errors_before = groups["before"]["errors"]
            if not any(row["epoch"] == progress["best_epoch"] for row in progress["rows"]):
                raise ValueError(f"best epoch {progress['best_epoch']}, which it does not hold")
        self.best = {key: value.to(self.device) for key, value in groups["best"].items()}
        self.epochs.best_epoch, self.epochs.best_score = progress["best_epoch"], progress["best_score"]
        self.epochs.rows = progress["rows"]
        self._write_metrics()  # a process that was killed may have left the file without the last epoch, or damaged


def check_share(experiment: Experiment, processes: int) -> None:
    """Whether there is something to do for so many processes that train one network.

    Raises:
        UsageError: a batch has fewer groups.
    """
    recipe, groups = experiment.recipe, _groups(experiment.recipe)
    if processes > groups and recipe.max_epochs and _has_epochs(experiment):
        raise UsageError(
            f"torchrun started {processes} processes, but a batch of recipe {recipe.name} has {groups} "
            f"group{'s' if groups > 1 else ''} (batch_size {recipe.batch_size}, group_size {recipe.group_size}): "
            "start as many processes at most, or change the recipe"
        )


def _groups(recipe: Recipe) -> int:
    """In how many groups a batch passes through the network."""
    return math.ceil(recipe.batch_size / (recipe.group_size or recipe.batch_size))


def _has_epochs(experiment: Experiment) -> bool:
    """Whether anything is learnt in epochs: not where the kernel flow was fitted to what the sequence flows make of the
    genes now, or is all there is."""
    return experiment.config.sequence_flows and not experiment.config.kernel_features


@torch.no_grad()
def _follow(averaged: Perceiver, network: Perceiver, decay: float) -> None:
    """Move the running mean towards the network: mean = decay x mean + (1 - decay) x network."""
    # The state dicts, not the buffers: after a validation one network remembers an empty sequence's features.
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _r2(predicted: np.ndarray, labels: np.ndarray) -> float:
    """1 - SSR/SST, mean over the columns; missing labels left out."""
    values = []
    for column in range(labels.shape[1]):
        present = ~np.isnan(labels[:, column])
        actual = labels[present, column]
        total = ((actual - actual.mean()) ** 2).sum() if len(actual) else 0.0
        residual = ((actual - predicted[present, column]) ** 2).sum()
        values.append(1 - residual / total if total > 0 else 0.0)
    return float(np.mean(values))
