"""The network's flow that compares a gene with genes that it was trained on: kernel ridge regression, in closed form.

A few thousand genes teach a kernel regression on fixed features of their sequences more than they teach hidden layers.
Two genes are alike when their features are: word shares of the promoter, of the protein, codons, or what the sequence
flows make of a window. Each kind of features has a Gaussian kernel of its own, which the features that say much (half-
life, length and codon adaptation of the coding sequence) are a part of too, and the kernels add up. Training genes stand
in the weights as landmarks (subset of regressors: Quinonero-Candela & Rasmussen 2005); with fewer training genes than
landmarks the regression is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from seqexpr.models.composition.codons import CodonUse, is_known
from seqexpr.models.composition.properties import protein_properties
from seqexpr.models.composition.words import dna_composition, protein_composition
from seqexpr.models.config import HALF_LIFE_FEATURES, PerceiverConfig
from seqexpr.models.fixed_batch import in_fixed_batches

_LARGEST_SCORE = 4.0
"""Standardised features are cut off there: a poly-Q stretch must not move a gene away from all others."""

FLAG_WEIGHT = 0.1
"""Weight of the flags that say which optional inputs are known, in the squared distance."""

_CODING_SUMMARY = 2
"""Codon features that are covariates too, with the adaptation indices: log10 of the length, and GC3."""


class KernelFlow(nn.Module):
    """Similarity to training genes -> members that differ as the regression is unsure -> an addend per output.

    Missing half-life features and coding sequences have the value of a mean gene, and flags say that they are missing.
    Mean and spread of all features are those of the training genes; they, the landmarks and the weights are set once, by
    `training.kernel_stage`, and stored.
    """

    mean: Tensor
    sd: Tensor
    landmarks: Tensor
    """float32 (landmarks, columns): scaled features; zeros where there were fewer training genes"""
    amplitudes: Tensor
    """float32 (kernels,)"""
    scales: Tensor
    """float32 (2,): g in exp(-g/2 x squared distance), and the weight of the covariates in that distance"""
    weights: Tensor
    """float32 (landmarks, members, outputs)"""
    offset: Tensor
    """float32 (outputs,)"""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.config = config
        self.codons = CodonUse(config.coding_indices) if config.reads_coding else None
        sizes = {
            "sequence": 2 * config.query_dim * config.kernel_features,
            "dna": 680 * (config.reads_dna and config.kernel_words),
            "protein": 1362 * (config.reads_protein and config.kernel_words),
            "codons": self.codons.width if self.codons is not None else 0,
        }
        self.kernels = tuple(name for name, size in sizes.items() if size)
        """Names of the kinds of features that have a kernel."""
        self.sizes = [sizes[name] for name in self.kernels]
        halves = HALF_LIFE_FEATURES * config.reads_half_life
        summary = (_CODING_SUMMARY + config.coding_indices) * config.reads_coding
        self.covariates = [size for size in (halves, summary) if size]
        """Sizes of the groups of covariates."""
        self.flags = halves + config.reads_coding
        columns = sum(self.sizes) + sum(self.covariates)
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("sd", torch.ones(columns))
        self.register_buffer("landmarks", torch.zeros(config.kernel_genes, columns + self.flags))
        self.register_buffer("amplitudes", torch.zeros(len(self.kernels)))
        self.register_buffer("scales", torch.ones(2))
        self.register_buffer("weights", torch.zeros(config.kernel_genes, config.kernel_members, config.outputs))
        self.register_buffer("offset", torch.zeros(config.outputs))

    def forward(
        self,
        latent_tokens: Tensor,
        query_tokens: Tensor,
        half_life: Tensor | None,
        coding: Tensor | None = None,
        sequence: Tensor | None = None,
        told: Tensor | None = None,
    ) -> Tensor:
        """Each member's addend: (batch, members, outputs).

        Args:
            latent_tokens, query_tokens, half_life, coding, sequence: as for `features`.
            told: float (batch, outputs), of training genes what a regression without them says; NaN where there is none.
        """
        if told is not None and not bool(told.isnan().any()):  # nothing is left to compute
            return told.unsqueeze(1)
        scaled = self.scale(self.features(latent_tokens, query_tokens, half_life, coding, sequence))
        return in_fixed_batches(self._answer, scaled, fixed=not self.training)

    def _answer(self, scaled: Tensor) -> Tensor:
        """(batch, columns and flags) -> (batch, members, outputs)"""
        parts = zip(self.amplitudes, self.distances(scaled, self.landmarks), strict=True)
        alike = torch.stack([amplitude * (-self.scales[0] / 2 * squares).exp() for amplitude, squares in parts]).sum(0)
        return (alike @ self.weights.flatten(1)).unflatten(1, self.weights.shape[1:]) + self.offset

    def distances(self, one: Tensor, other: Tensor, covariate_weight: float | None = None) -> list[Tensor]:
        """The squared distances of each kernel between scaled features: (n, m) each, from (n, all) and (m, all)."""
        weight = self.scales[1] if covariate_weight is None else covariate_weight
        shared = torch.zeros((), device=one.device, dtype=one.dtype)
        start = sum(self.sizes)
        for size in self.covariates:
            shared = shared + weight * _mean_squares(one[:, start : start + size], other[:, start : start + size])
            start += size
        if self.flags:
            shared = shared + FLAG_WEIGHT * _mean_squares(one[:, start:], other[:, start:])
        found, start = [], 0
        for size in self.sizes:
            own = _mean_squares(one[:, start : start + size], other[:, start : start + size])
            found.append(own + shared)
            start += size
        return found

    def features(
        self,
        latent_tokens: Tensor,
        query_tokens: Tensor,
        half_life: Tensor | None,
        coding: Tensor | None = None,
        sequence: Tensor | None = None,
    ) -> Tensor:
        """Features as they are, NaN where an optional input is unknown.

        Args:
            latent_tokens: uint8 (batch, letters); likewise query_tokens.
            half_life: float (batch, 8), standardised, NaN = unknown; None: all are.
            coding: uint8 (batch, codons), rows of 0 for genes without a coding sequence. None: no gene has one.
            sequence: what the sequence flows make of the genes, (batch, 2 x query_dim), where a kernel reads it.

        Returns:
            float32 (batch, columns): those of each kernel, then the covariates.
        """
        config, genes = self.config, len(latent_tokens)
        given = {config.latent_input: latent_tokens, config.query_input: query_tokens}
        parts: dict[str, Tensor] = {}
        if "sequence" in self.kernels:
            assert sequence is not None
            parts["sequence"] = sequence.float()
        if "dna" in self.kernels:
            parts["dna"] = dna_composition(given["dna"], config.upstream)
        if "protein" in self.kernels:
            protein = given["protein"]
            parts["protein"] = torch.cat([protein_composition(protein), protein_properties(protein)], dim=1)
        covariates = []
        if config.reads_half_life:
            unknown = torch.full((genes, HALF_LIFE_FEATURES), math.nan, device=latent_tokens.device)
            covariates.append(unknown if half_life is None else half_life.float())
        if self.codons is not None:
            if coding is None:
                coding = latent_tokens.new_zeros(genes, 0)
            parts["codons"] = self.codons(coding).masked_fill(~is_known(coding), math.nan)
            covariates.append(self.codons.summary(parts["codons"]))
        return torch.cat([*(parts[name] for name in self.kernels), *covariates], dim=1)

    def scale(self, features: Tensor) -> Tensor:
        """Standardised features, 0 where unknown, and the flags behind them: float32 (batch, columns and flags)."""
        scores = ((features - self.mean) / self.sd).clamp(-_LARGEST_SCORE, _LARGEST_SCORE)
        start = sum(self.sizes)
        # The half-life features, and any of the coding sequence's.
        flagged = [*range(start, start + self.flags - self.config.reads_coding), *[-1] * self.config.reads_coding]
        return torch.cat([scores.nan_to_num(), (~features[:, flagged].isnan()).to(scores.dtype)], dim=1)

    def hide(self, features: Tensor, half_life: Tensor, coding: Tensor) -> Tensor:
        """The features as if optional inputs of some genes were unknown; bool (batch,) each: whose."""
        hidden = features.clone()
        start = sum(self.sizes)
        if self.config.reads_half_life:
            hidden[half_life, start : start + HALF_LIFE_FEATURES] = math.nan
            start += HALF_LIFE_FEATURES
        if self.codons is not None:
            hidden[coding, start:] = math.nan
            before = sum(self.sizes) - self.codons.width
            hidden[coding, before : sum(self.sizes)] = math.nan
        return hidden

    @torch.no_grad()
    def rescale(self, factor: Tensor) -> None:
        """Multiply what the flow says by `factor` (outputs,), for labels in another scale."""
        self.weights.mul_(factor)
        self.offset.mul_(factor)

    @torch.no_grad()
    def standardise(self, features: Iterable[Tensor]) -> None:
        """Take mean and spread from the features of all training genes, unknown ones left out."""
        counts, sums, squares = (torch.zeros(len(self.mean)).double() for _ in range(3))
        for part in features:
            values = part.cpu().double()
            counts += (~values.isnan()).sum(dim=0)
            sums += values.nan_to_num().sum(dim=0)
            squares += values.nan_to_num().square().sum(dim=0)
        mean = sums / counts.clamp(min=1)
        sd = (squares / counts.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
        self.mean.copy_(mean)
        self.sd.copy_(torch.where(sd > 1e-6, sd, torch.ones_like(sd)))  # a constant says nothing


def _mean_squares(one: Tensor, other: Tensor) -> Tensor:
    """Mean over the columns of squared differences: (n, k) and (m, k) -> (n, m)."""
    squares = one.square().sum(dim=1)[:, None] + other.square().sum(dim=1) - 2 * one @ other.T
    return squares.clamp(min=0) / one.shape[1]
