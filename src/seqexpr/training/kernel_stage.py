"""The first stage of a training with a kernel flow: kernel ridge regression of the labels, solved in closed form.

How much each kind of features counts, how far a likeness reaches and how strong the penalty is are chosen by leaving
single training genes out, in closed form too; the validation genes have no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from seqexpr.models.composition.kernel import KernelFlow, landmarks_of, likeness, scores_of
from seqexpr.models.perceiver import Perceiver
from seqexpr.training.batches import BatchLoader
from seqexpr.training.recipe import Recipe

BATCH = 64
"""Genes whose features are computed at once."""

SEARCHED = 1_000
"""Training genes, drawn at random, on which the kernels are chosen."""

_PENALTIES = tuple(float(penalty) for penalty in np.geomspace(0.02, 20, 16))
_AMPLITUDES = (0.0, 0.3, 1.0)
_REACHES = (0.25, 1.0)
"""What is tried next to the values that `_Kernels` begins with."""
_COVARIATE_WEIGHTS = (0.25, 1.0)
_LEAST_GAIN = 0.002
"""Share of the error that a change must save: less than that single genes decide."""

_JITTER = 1e-6
"""Added to the diagonal of what is solved, relative to it."""


@dataclass(frozen=True)
class _Kernels:
    """What is chosen."""

    amplitudes: tuple[float, ...]
    reach: float = 0.5
    """Factor on all squared distances."""
    covariate_weight: float = 0.5

    def with_value(self, setting: str, place: int, value: float) -> _Kernels:
        """The same with one setting changed; `place` is the kernel whose amplitude it is."""
        if setting == "reach":
            return replace(self, reach=value)
        if setting == "covariate_weight":
            return replace(self, covariate_weight=value)
        return replace(self, amplitudes=(*self.amplitudes[:place], value, *self.amplitudes[place + 1 :]))


@torch.no_grad()
def fit_kernel(
    network: Perceiver, loader: BatchLoader, train: np.ndarray, recipe: Recipe, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the kernel flow to the labels of the training genes, less what the rest of the network says of them already.

    The output layer says something only where the flow reads what the sequence flows make of the genes. What the flow
    says of its own training genes is too good. So the rest of the network, which learns what is left over, is told what
    regressions without each gene say: closed form gives that at little cost.

    Args:
        network: its kernel flow is set in place; where the flow reads the sequence flows, they are as they will stay.
        loader: knows the genes and their scaled labels.
        train: rows of the dataset.
        recipe: how often optional inputs are hidden.
        seed: of what is drawn: hidden inputs, landmarks, members.

    Returns:
        `Batch.told` of all genes, and what the flow was fitted to, NaN where a label is missing; both float32 (genes,
        outputs), NaN for the genes that do not train.
    """
    flow = network.kernel
    assert flow is not None
    network.eval()
    generator = np.random.default_rng([seed, 4])
    if flow.codons is not None:
        flow.codons.fit(loader.codon_counts(train), torch.from_numpy(loader.labels[train]))
    labels = torch.from_numpy(loader.labels[train]).double()
    features, said = (torch.cat(parts) for parts in zip(*_features(network, loader, train), strict=True))
    labels -= said.cpu()
    flow.standardise(features)
    hidden = [
        torch.from_numpy(generator.random(len(train)) < p) for p in (recipe.half_life_dropout, recipe.coding_dropout)
    ]
    scaled = flow.scale(flow.hide(features, *(part.to(features.device) for part in hidden)))
    order = generator.permutation(len(train))
    chosen, penalties = _choose(flow, scaled[order[:SEARCHED]], labels[order[:SEARCHED]])
    flow.amplitudes.copy_(torch.tensor(chosen.amplitudes))
    flow.reach.fill_(chosen.reach)
    flow.covariate_weight.fill_(chosen.covariate_weight)
    landmarks = landmarks_of(scaled[order[: flow.config.kernel_genes]])
    flow.landmarks.zero_()
    flow.landmarks[: len(landmarks)] = landmarks
    if len(landmarks) == len(train):
        weights, offset, answers = _solve_exactly(
            flow, chosen, scores_of(landmarks), labels[order], penalties, generator
        )
        left_out = torch.empty_like(answers)
        left_out[order] = answers
    else:
        weights, offset, left_out = _solve(flow, chosen, scaled, scores_of(landmarks), labels, penalties, generator)
    flow.weights.zero_()
    flow.weights[: len(landmarks)] = weights.float().to(flow.weights.device)
    flow.offset.copy_(offset.float())
    told, fitted_to = (np.full((len(loader.labels), labels.shape[1]), np.nan, dtype=np.float32) for _ in range(2))
    told[train], fitted_to[train] = left_out.float().numpy(), labels.float().numpy()
    return told, fitted_to


def _features(network: Perceiver, loader: BatchLoader, rows: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """What the flow reads, and what the rest of the network says: (batch, columns) and (batch, outputs).

    The output layer says nothing but where the flow reads what it reads.
    """
    flow = network.kernel
    assert flow is not None
    for batch in loader.batches(rows, BATCH):
        sequence = None
        said = torch.zeros(len(batch.labels), flow.config.outputs, device=batch.latent_tokens.device)
        if flow.config.kernel_features:
            sequence = network.features(batch.latent_tokens, batch.query_tokens, batch.half_life)
            said = network.output(sequence)
        if network.words is not None:
            said = said + network.promoter_words(batch.latent_tokens, batch.query_tokens)
        yield flow.features(batch.latent_tokens, batch.query_tokens, batch.half_life, batch.coding, sequence), said


def _matrix(flow: KernelFlow, kernels: _Kernels, one: Tensor, other: Tensor) -> Tensor:
    """How much alike genes are, float64 (n, m), from their scaled features."""
    total = torch.zeros(len(one), len(other), dtype=torch.float64)
    squares = flow.distances(one, other, kernels.covariate_weight)
    for amplitude, distances in zip(kernels.amplitudes, squares, strict=True):
        if amplitude:
            total += amplitude * likeness(kernels.reach * distances).cpu().double()
    return total


def _choose(flow: KernelFlow, scaled: Tensor, labels: Tensor) -> tuple[_Kernels, list[float]]:
    """The kernels, and each output's penalty, with the least error of genes that were left out.

    One setting after the other is changed as long as that lessens the error, mean over the outputs.
    """
    best = _Kernels((1.0,) * len(flow.kernels))
    if flow.config.kernel_features:  # few and smooth: likeness reaches far, and half-life counts as much as all of them
        best = replace(best, reach=0.25, covariate_weight=1.0)
    error, penalties = _left_out(_matrix(flow, best, scaled, scaled), labels)
    for setting, place, value in _changes(len(flow.kernels)):
        changed = best.with_value(setting, place, value)
        if changed == best or not any(changed.amplitudes):
            continue
        found, its_penalties = _left_out(_matrix(flow, changed, scaled, scaled), labels)
        if found < (1 - _LEAST_GAIN) * error:
            best, error, penalties = changed, found, its_penalties
    return best, penalties


def _changes(kernels: int) -> Iterator[tuple[str, int, float]]:
    """Which setting is changed, of which kernel, and to what, in the order in which changes are tried."""
    yield from (("reach", 0, value) for value in _REACHES)
    yield from (("covariate_weight", 0, value) for value in _COVARIATE_WEIGHTS)
    if kernels > 1:  # the amplitude of a single one is the penalty's matter
        yield from (("amplitudes", place, value) for place in range(kernels) for value in _AMPLITUDES)


def _left_out(matrix: Tensor, labels: Tensor) -> tuple[float, list[float]]:
    """Mean over the outputs of the error of left-out genes, by the best penalty of each, and these penalties.

    An output's errors are divided by its variance. For outputs with the same genes one decomposition is enough.
    """
    errors, penalties = np.full(labels.shape[1], np.nan), [1.0] * labels.shape[1]
    for known, outputs in _alike(labels):
        if len(known) < 3:
            continue
        values, vectors = torch.linalg.eigh(matrix[known][:, known])
        centred = labels[known][:, outputs] - labels[known][:, outputs].mean(dim=0)
        projected, squares = vectors.T @ centred, vectors.square()
        for column, output in enumerate(outputs):
            variance = float(centred[:, column].square().mean()) or 1.0
            for penalty in _PENALTIES:
                inverse = 1 / (values.clamp(min=0) + penalty)
                # Each gene's error by a regression without it: dual weight / diagonal of the inverse.
                left_out = (vectors @ (inverse * projected[:, column])) / (squares @ inverse)
                error = float(left_out.square().mean()) / variance
                if not errors[output] <= error:
                    errors[output], penalties[output] = error, penalty
    return float(np.nan_to_num(np.nanmean(errors), nan=1.0)), penalties


def _cholesky(matrix: Tensor) -> Tensor:
    """The factor of a matrix of likenesses, with as much added to its diagonal as it needs: genes may be alike."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    added = _JITTER * matrix.diagonal().mean()
    while failed:
        added *= 10
        factor, failed = torch.linalg.cholesky_ex(_with_diagonal(matrix, added))
    return factor


def _with_diagonal(matrix: Tensor, added: Tensor | float) -> Tensor:
    """A copy of the matrix with something added to its diagonal."""
    changed = matrix.clone()
    changed.diagonal().add_(added)
    return changed


def _jittered(matrix: Tensor) -> Tensor:
    """A copy of a matrix of likenesses that can be solved in spite of rounding."""
    return _with_diagonal(matrix, _JITTER * matrix.diagonal().mean())


def _alike(labels: Tensor) -> Iterator[tuple[Tensor, list[int]]]:
    """Outputs whose labels are known for the same genes: rows of those genes, and the outputs."""
    groups: dict[bytes, list[int]] = {}
    present = ~labels.isnan()
    for output in range(labels.shape[1]):
        groups.setdefault(present[:, output].numpy().tobytes(), []).append(output)
    for outputs in groups.values():
        yield present[:, outputs[0]].nonzero().squeeze(1), outputs


def _solve_exactly(
    flow: KernelFlow,
    kernels: _Kernels,
    genes: Tensor,
    labels: Tensor,
    penalties: list[float],
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """The regression on all training genes, which are the landmarks, and draws from its posterior around it.

    The draws are weights too: those of a draw from the prior, less those of its regression from noisy values
    (Matheron's rule, Wilson et al. 2020).

    Returns:
        As `_solve`.
    """
    members = flow.config.kernel_members
    matrix = _matrix(flow, kernels, genes, genes)
    weights = torch.zeros(len(genes), members, labels.shape[1], dtype=torch.float64)
    offset = torch.zeros(labels.shape[1], dtype=torch.float64)
    told = torch.zeros(len(genes), labels.shape[1], dtype=torch.float64)
    drawn, noise = (torch.from_numpy(generator.standard_normal((len(genes), members // 2))) for _ in range(2))
    for known, outputs in _alike(labels):
        if len(known) < 2:
            continue
        within = matrix[known][:, known]
        prior = _cholesky(_jittered(within))
        for output in outputs:
            penalty, values = penalties[output], labels[known, output]
            offset[output] = values.mean()
            factor = torch.linalg.cholesky(_with_diagonal(within, penalty))
            dual = torch.cholesky_solve((values - offset[output])[:, None], factor)
            told[:, output] = offset[output] + (matrix[:, known] @ dual)[:, 0]
            # Each gene's error by a regression without it, as in `_left_out`.
            residual = dual[:, 0] / torch.cholesky_inverse(factor).diagonal()
            told[known, output] = values - residual
            spread = residual.square().mean().sqrt()
            sample = spread / penalty**0.5 * drawn[known]
            pulled = torch.cholesky_solve(prior @ sample + spread * noise[known], factor)
            around = torch.linalg.solve_triangular(prior.T, sample, upper=True) - pulled
            weights[known, 0::2, output] = dual + around
            weights[known, 1::2, output] = dual - around
    return weights, offset, told


def _solve(
    flow: KernelFlow,
    kernels: _Kernels,
    scaled: Tensor,
    landmarks: Tensor,
    labels: Tensor,
    penalties: list[float],
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """The regression on fewer landmarks than there are training genes, and draws from its posterior around it.

    Returns:
        weights, float64 (landmarks, members, outputs), whose mean over the members is the regression; the outputs'
        means (outputs,); and what a regression without each gene says of it (genes, outputs), the regression's own
        answer for genes without the label.
    """
    members = flow.config.kernel_members
    across = _matrix(flow, kernels, scaled, landmarks)
    within = _jittered(_matrix(flow, kernels, landmarks, landmarks))
    weights = torch.zeros(len(landmarks), members, labels.shape[1], dtype=torch.float64)
    offset = torch.zeros(labels.shape[1], dtype=torch.float64)
    told = torch.zeros(len(scaled), labels.shape[1], dtype=torch.float64)
    noise = torch.from_numpy(generator.standard_normal((len(landmarks), members // 2)))
    for known, outputs in _alike(labels):
        if len(known) < 2:
            continue
        some = across[known]
        squared = some.T @ some
        for output in outputs:
            values = labels[known, output]
            offset[output] = values.mean()
            factor = _cholesky(squared + penalties[output] * within)
            regression = torch.cholesky_solve(some.T @ (values - offset[output])[:, None], factor)
            told[:, output] = offset[output] + (across @ regression)[:, 0]
            leverage = torch.linalg.solve_triangular(factor, some.T, upper=False).square().sum(dim=0)
            residual = (values - told[known, output]) / (1 - leverage).clamp(min=1e-3)
            told[known, output] = values - residual
            drawn = residual.square().mean().sqrt() * torch.linalg.solve_triangular(factor.T, noise, upper=True)
            weights[:, 0::2, output] = regression + drawn
            weights[:, 1::2, output] = regression - drawn
    return weights, offset, told
