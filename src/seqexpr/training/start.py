"""Weights that a training starts from: what users call fine-tuning, and what a teacher stage leaves.

The new labels need not be those that the weights were trained for. Outputs of the same names are kept, to the same
predictions. Otherwise the output layer is fitted first, by a ridge regression of the training genes' labels: on what
the weights predict where a kernel flow reads what the sequence flows make of the genes and learns the rest, else on
just that. A good output layer at the start keeps the first steps from spoiling what was learnt before (Kumar et al.
2022).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqexpr.errors import InputError, UsageError
from seqexpr.files import sha256_file
from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.models.config import HALF_LIFE_FEATURES, PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.registry import resolve_models
from seqexpr.models.trained import TrainedModel, load_model, read_metadata, tensors_file
from seqexpr.training.batches import Batch

_PENALTIES = np.logspace(-2, 5, 15)
"""Ridge penalties, of features in z-scores, among which leaving one gene out chooses."""

_LARGEST_TANH = 0.99
"""Labels of a network that ends in tanh are cut off there, before what comes in front of it is fitted."""

FREE = ("dropout", "tanh")
"""Settings of a network that its weights do not decide: the recipe does."""

_FLOW = (
    *("kernel_genes", "kernel_members", "kernel_words", "kernel_dims", "kernel_features"),
    "promoter_words",
    *("coding_length", "coding_outputs"),
)
"""Settings of the kernel flow, and of what is set with it, that weights get where they have none."""


@dataclass(frozen=True)
class Start:
    """A file of weights from which every training of a run starts."""

    file: Path
    sha256: str
    """Of the tensors' file: other weights make another run."""
    outputs: tuple[str, ...]
    """What they predict; a view of the same tensors may predict less."""
    preset: str
    has_kernel: bool
    """Whether the weights have a kernel flow."""
    keeps_kernel: bool
    """Whether they have a kernel flow that answers as it is for outputs of the same names. One that reads what the
    sequence flows make of the genes does not, nor one that stands alone: without a fit to the new genes there would be
    nothing to learn."""
    half_life: HalfLifeSchema | None
    """Scaling of the half-life features that they were trained on; None: they never saw any."""

    @classmethod
    def named(cls, name: str) -> Start:
        """The weights of a name, a file or a run.

        Raises:
            MissingDataError: there is nothing of that name.
            InputError: it is not one model, or no weights of seqexpr.
        """
        files = resolve_models([name])
        if len(files) > 1:
            raise InputError(name, found=f"{len(files)} models", expected="one, from which a training can start")
        return cls.of(files[0])

    @classmethod
    def of(cls, file: Path) -> Start:
        """The weights in a file.

        Raises:
            InputError: the file holds none of seqexpr.
        """
        metadata = read_metadata(file)
        config, outputs = metadata.config, tuple(output.name for output in metadata.outputs)
        sha256 = sha256_file(tensors_file(file))
        has_kernel = config.kernel_genes > 0
        keeps_kernel = has_kernel and config.sequence_flows and not config.kernel_features
        return cls(file, sha256, outputs, config.preset, has_kernel, keeps_kernel, metadata.half_life)

    @property
    def digests(self) -> dict[str, Any]:
        """What tells these weights from others, wherever they lie."""
        return {"sha256": self.sha256, "outputs": list(self.outputs)}

    def to_dict(self) -> dict[str, Any]:
        """For a run's manifest."""
        return {"file": str(self.file.resolve()), **self.digests}

    def flow_is_trained(self, labels: tuple[str, ...]) -> bool:
        """Whether a training of these labels has its kernel flow from the weights.

        One that was trained for other outputs could say nothing of these labels.
        """
        return self.keeps_kernel and self.outputs == labels

    def network(self, wanted: PerceiverConfig, labels: tuple[str, ...]) -> PerceiverConfig:
        """The network of these weights, with the outputs of the one that is wanted and its dropout.

        Weights of the same outputs stay as they are. For other outputs they get the kernel flow that is wanted; one
        that they have keeps its settings and is fitted anew.

        Args:
            wanted: what the training would have without weights.
            labels: what its outputs are.

        Raises:
            UsageError: the weights are of another preset, or tanh is wanted behind their kernel flow.
        """
        config = read_metadata(self.file).config
        if config.preset != wanted.preset:
            raise UsageError(f"{self.file} holds a {config.preset}, so no {wanted.preset} can start from it")
        changes: dict[str, Any] = {name: getattr(wanted, name) for name in FREE}
        if not config.kernel_genes and self.outputs != labels:
            changes |= {name: getattr(wanted, name) for name in _FLOW}
            changes["promoter_words"] = config.promoter_words or wanted.promoter_words
        elif config.kernel_genes and not self.flow_is_trained(labels):
            changes["coding_outputs"] = 0  # fitted anew, as the rest of the flow
        return replace(config, outputs=wanted.outputs, **changes)

    def output_layer(self) -> np.ndarray:
        """What the weights' output layer makes of features, float64 (outputs, features), without its constants."""
        return load_model(self.file).network.output.weight.detach().double().numpy()

    def load(self, network: Perceiver, labels: tuple[str, ...], mean: np.ndarray, sd: np.ndarray) -> bool:
        """Give a network the weights.

        Args:
            network: of the same sequence flows; its kernel flow is left alone where `flow_is_trained` says so.
            labels: what its outputs are.
            mean, sd: of the labels, by which they are scaled, (outputs,) each.

        Returns:
            whether the output layer is that of the weights; if not, it is for `fit_output`.

        Raises:
            InputError: not weights of such a network.
        """
        source = load_model(self.file)
        wanted = network.state_dict()
        outputs = source.metadata.outputs
        same = self.outputs == labels and network.config.tanh == source.metadata.config.tanh
        if network.config.tanh:  # behind it nothing can be scaled
            same = same and all(output.mean == 0 and output.sd == 1 for output in outputs)
            same = same and not mean.any() and bool((sd == 1).all())
        found = source.network.state_dict()
        left = () if same else ("output.", "words.weight")
        if not self.flow_is_trained(labels):
            left = (*left, "kernel.")
        chosen = {key: tensor for key, tensor in found.items() if key in wanted and not key.startswith(left)}
        for key, tensor in chosen.items():
            if tensor.shape != wanted[key].shape:
                shape, expected = list(tensor.shape), list(wanted[key].shape)
                raise InputError(
                    self.file, record=f"tensor {key!r}", found=f"shape {shape}", expected=f"{expected}, as this network"
                )
        network.load_state_dict({**wanted, **chosen})
        with torch.no_grad():
            if self.half_life is None and network.config.half_life_query and network.config.sequence_flows:
                network.query.weight[:, -HALF_LIFE_FEATURES:] = 0  # the weights never saw such a feature
            if self.half_life is None and self.flow_is_trained(labels) and network.kernel is not None:
                network.kernel.ignore_half_life()
            if same:
                _rescale(network, source, mean, sd)
        return same


def _rescale(network: Perceiver, source: TrainedModel, mean: np.ndarray, sd: np.ndarray) -> None:
    """Let outputs in the labels' new scale say what they said in the old one."""
    before = source.metadata.outputs
    factor = torch.from_numpy(np.array([output.sd for output in before]) / sd).float()
    shift = torch.from_numpy((np.array([output.mean for output in before]) - mean) / sd).float()
    if network.config.sequence_flows:
        network.output.weight.mul_(factor[:, None])
        network.output.bias.mul_(factor).add_(shift)
    if network.kernel is not None:
        network.kernel.rescale(factor)
    if network.words is not None:
        network.words.weight.mul_(factor)


@torch.no_grad()
def fit_output(network: Perceiver, batches: Iterable[Batch], before: Start | None = None) -> None:
    """Make the output layer: a ridge regression of the labels, the penalty chosen by leaving one gene out.

    Args:
        network: the rest of it stays as it is.
        batches: all training genes.
        before: weights whose own outputs the labels are regressed on; None: what the output layer reads. They are few:
            a thousand genes are enough for the regression to lose nothing of what the weights know.
    """
    network.eval()
    features, labels, words = [], [], []
    for batch in batches:
        features.append(network.features(batch.latent_tokens, batch.query_tokens, batch.half_life).cpu().double())
        labels.append(batch.labels.cpu().double())
        words.append(torch.zeros_like(labels[-1]))
        if network.words is not None:
            words[-1] += network.promoter_words(batch.latent_tokens, batch.query_tokens).cpu()
    x, y = torch.cat(features).numpy(), torch.cat(labels).numpy()
    layer = np.eye(x.shape[1]) if before is None else before.output_layer()
    if network.config.tanh:
        y = np.arctanh(y.clip(-_LARGEST_TANH, _LARGEST_TANH))
    y = y - torch.cat(words).numpy()
    for output, column in enumerate(y.T):
        known = ~np.isnan(column)
        weight, bias = _ridge(x[known] @ layer.T, column[known])
        network.output.weight[output] = torch.from_numpy(weight @ layer)
        network.output.bias[output] = bias


def _ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (features,) and bias of a ridge regression in z-scores of the features."""
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd[sd < 1e-6] = np.inf  # a constant says nothing
    z, centre = (x - mean) / sd, y.mean()
    u, s, vt = np.linalg.svd(z, full_matrices=False)
    projected = u.T @ (y - centre)

    def left_out(penalty: float) -> float:
        """Mean squared error of each gene by a regression without it (Allen 1974, PRESS)."""
        shrunk = s**2 / (s**2 + penalty)
        leverage = (u**2) @ shrunk + 1 / len(y)
        residual = (y - centre) - u @ (shrunk * projected)
        return float(np.mean((residual / np.maximum(1 - leverage, 1e-6)) ** 2))

    penalty = min(_PENALTIES, key=left_out)
    weight = (vt.T @ (s / (s**2 + penalty) * projected)) / sd
    return weight, float(centre - mean @ weight)
