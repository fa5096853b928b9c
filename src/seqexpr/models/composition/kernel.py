"""The network's flow that compares a gene with genes that it was trained on: kernel ridge regression, in closed form.

A few thousand genes teach a regression on likenesses more than they teach hidden layers. Two genes are alike when
their features are: what the sequence flows make of a window, word shares of a promoter, of a protein, or codons. Each
of these has a Gaussian kernel of its own, at three scales, in which few features that say much (half-life; length, GC3
and codon adaptation of the coding sequence) have a part too; the kernels add up. Training genes stand in the weights as
landmarks (subset of regressors, Quinonero-Candela & Rasmussen 2005): with no more training genes than landmarks the
regression is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from seqexpr.models.composition.codons import CODONS, CodonUse, is_known
from seqexpr.models.composition.profile import dna_words_and_profile, profile_columns
from seqexpr.models.composition.properties import protein_properties
from seqexpr.models.composition.words import protein_composition
from seqexpr.models.config import HALF_LIFE_FEATURES, PerceiverConfig
from seqexpr.models.fixed_batch import in_fixed_batches
from seqexpr.models.precision import widest_float

SCALES = (0.25, 1.0, 2.0)
"""A kernel is the mean of exp(-g/2 x reach x squared distance) over these g."""

FLAG_WEIGHT = 0.1
"""Weight in the squared distance of the flags that say which optional inputs are known."""

_LARGEST_SCORE = 4.0
"""Standardised features are cut off there: a poly-Q stretch must not move a gene away from all others."""

_IGNORED = 1e30
"""Spread of a feature that the flow was never shown: whatever it is, it counts as unknown."""

_STEPS = 127
"""Landmarks are stored in so many steps from 0 to the largest score."""

_CODING_SUMMARY = 2
"""Codon features that are covariates, before the adaptation indices: log10 of the length, and GC3."""

_DNA = ((340, 0.5), (340, 0.5))
"""Groups of columns and their weights: words of the window, and of its middle around the TSS."""

_PROFILE = (0.5, 0.5)
"""Weights of the composition's profile along the window, and of that near the TSS."""

_PROTEIN = ((22, 0.6), (484, 0.4), (1, 0.0), (44, 0.15), (294, 0.2), (154, 0.0), (343, 0.1), (20, 0.4))
"""Residues, pairs, length, ends, class pairs, stretches near the ends, triads, properties of the chain."""


class KernelFlow(nn.Module):
    """Likeness to training genes -> members, which are draws around the regression -> an addend per output.

    Missing half-life features and coding sequences have the values of a mean gene, and flags say that they are missing.
    All tensors are set once, by `training.kernel_stage`.
    """

    mean: Tensor
    """float32 (columns,): of the training genes; likewise sd"""
    sd: Tensor
    components: Tensor
    """float32 (columns of the kernels, kernel_dims): what a standardised feature adds to the components of its kernel;
    this and the next exist where the config reduces features"""
    unit: Tensor
    """float32 (kernels,): of each kernel's components, in the weighted distances"""
    landmarks: Tensor
    """int8 (landmarks, what `scale` gives): zeros where there were fewer training genes"""
    amplitudes: Tensor
    """float32 (kernels,)"""
    reach: Tensor
    """float32 (): factor on all squared distances"""
    covariate_weight: Tensor
    """float32 (): weight of each group of covariates in the squared distances"""
    weights: Tensor
    """float32 (landmarks, members, outputs)"""
    offset: Tensor
    """float32 (outputs,)"""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.config = config
        self.codons = CodonUse(config.coding_indices) if config.reads_coding else None
        groups: dict[str, Sequence[tuple[int, float]]] = {}
        if config.kernel_features:
            groups["sequence"] = ((2 * config.query_dim, 1.0),)
        if config.reads_dna and config.kernel_words:
            profile = profile_columns(config.upstream, config.downstream)
            groups["dna"] = (*_DNA, *zip(profile, _PROFILE, strict=True))
        if config.reads_protein and config.kernel_words:
            groups["protein"] = _PROTEIN
        if config.reads_coding:
            groups["codons"] = ((CODONS, 1.0),)
        self.kernels = tuple(groups)
        """What each kernel is of."""
        self.groups = [[group for group in of_one if group[1]] for of_one in groups.values()]
        """Numbers of columns that count in a kernel, and their weights."""
        self._kept = {name: _kept(of_one) for name, of_one in groups.items()}
        halves = HALF_LIFE_FEATURES * config.reads_half_life
        self.covariates = [size for size in (halves, self._summary) if size]
        """Sizes of the groups of covariates."""
        self.flags = halves + config.reads_coding
        self.own = sum(size for of_one in self.groups for size, _ in of_one)
        """Columns of the kernels; those of the covariates stand behind them, then the flags."""
        columns = self.own + sum(self.covariates)
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("sd", torch.ones(columns))
        self.compared = self.groups
        """What is compared, as `groups`: these, or the components that they are reduced to."""
        if config.kernel_dims:
            self.compared = [[(config.kernel_dims, float(config.kernel_dims))] for _ in self.groups]
            self.register_buffer("components", torch.zeros(self.own, config.kernel_dims))
            self.register_buffer("unit", torch.ones(len(self.kernels)))
        width = sum(size for of_one in self.compared for size, _ in of_one) + sum(self.covariates) + self.flags
        self.register_buffer("landmarks", torch.zeros(config.kernel_genes, width, dtype=torch.int8))
        self.register_buffer("amplitudes", torch.zeros(len(self.kernels)))
        self.register_buffer("reach", torch.ones(()))
        self.register_buffer("covariate_weight", torch.ones(()))
        self.register_buffer("weights", torch.zeros(config.kernel_genes, config.kernel_members, config.outputs))
        self.register_buffer("offset", torch.zeros(config.outputs))

    @property
    def _summary(self) -> int:
        return (_CODING_SUMMARY + self.config.coding_indices) * self.config.reads_coding

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
            told: float (batch, outputs), what a regression without each gene says of it, for genes that train; it is
                then the answer of all members, and nothing is computed. None: the flow answers.
        """
        if told is not None:
            return told.unsqueeze(1)
        features = self.features(latent_tokens, query_tokens, half_life, coding, sequence)
        return in_fixed_batches(self._answer, features, fixed=not self.training)

    def _answer(self, features: Tensor) -> Tensor:
        """(batch, columns) -> (batch, members, outputs)"""
        # What the flows make of genes differs little between genes: distances are small differences of large numbers,
        # of which float32, all that MPS has, keeps few digits for a change of one letter.
        kind = widest_float(features.device) if self.config.kernel_features else torch.float32
        weights, landmarks = (part.to(kind) for part in (self.weights, scores_of(self.landmarks)))
        squares = self.distances(self.scale(features).to(kind), landmarks, self.covariate_weight)
        parts = zip(self.amplitudes, squares, strict=True)
        alike = torch.stack([amplitude * likeness(self.reach * one) for amplitude, one in parts]).sum(dim=0)
        said = (alike @ weights.flatten(1)).unflatten(1, weights.shape[1:]) + self.offset
        return said.to(features.dtype)

    def distances(self, one: Tensor, other: Tensor, covariate_weight: Tensor | float) -> list[Tensor]:
        """Squared distances of each kernel between scaled features: (n, m) each, from (n, all) and (m, all)."""
        sides, place = (one, other), 0
        found = []
        for kernel, of_one in enumerate(self.compared):
            total = torch.zeros((), device=one.device, dtype=one.dtype)
            for size, weight in of_one:
                total = total + weight * _mean_squares(*(side[:, place : place + size] for side in sides))
                place += size
            found.append(self.unit[kernel].square() * total if self.config.kernel_dims else total)
        shared = torch.zeros((), device=one.device, dtype=one.dtype)
        for size in self.covariates:
            shared = shared + covariate_weight * _mean_squares(*(side[:, place : place + size] for side in sides))
            place += size
        if self.flags:
            shared = shared + FLAG_WEIGHT * _mean_squares(*(side[:, place:] for side in sides))
        return [own + shared for own in found]

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
            sequence: what the sequence flows make of the genes, (batch, 2 x query_dim), where a kernel is of it.

        Returns:
            float32 (batch, columns): those of each kernel, then the covariates.
        """
        config, genes = self.config, len(latent_tokens)
        given = {config.latent_input: latent_tokens, config.query_input: query_tokens}
        parts: dict[str, Tensor] = {}
        covariates = []
        if "sequence" in self.kernels:
            assert sequence is not None
            parts["sequence"] = sequence.float()
        if "dna" in self.kernels:
            parts["dna"] = dna_words_and_profile(given["dna"], config.upstream)
        if "protein" in self.kernels:
            protein = given["protein"]
            parts["protein"] = torch.cat([protein_composition(protein), protein_properties(protein)], dim=1)
        if config.reads_half_life:
            unknown = torch.full((genes, HALF_LIFE_FEATURES), math.nan, device=latent_tokens.device)
            covariates.append(unknown if half_life is None else half_life.float())
        if self.codons is not None:
            coding = latent_tokens.new_zeros(genes, 0) if coding is None else coding
            used = self.codons(coding).masked_fill(~is_known(coding), math.nan)
            parts["codons"] = used[:, :CODONS]
            covariates.append(self.codons.summary(used))
        kept = [parts[name][:, self._kept[name]] for name in self.kernels]
        return torch.cat([*kept, *covariates], dim=1)

    def scale(self, features: Tensor) -> Tensor:
        """Standardised features, 0 where unknown, those of the kernels reduced to their components if the config says
        so, and the flags behind them: float32 (batch, numbers of a landmark)."""
        scores = self._scores(features)
        halves = slice(self.own, self.own + self.flags - self.config.reads_coding)
        known = [~features[:, halves].isnan() & (self.sd[halves] < _IGNORED)]
        if self.config.reads_coding:
            known.append(~features[:, -1:].isnan())
        own = [scores[:, : self.own]]
        if self.config.kernel_dims:
            units = zip(self.unit, self._blocks(), strict=True)
            own = [scores[:, block] @ self.components[block] / unit for unit, block in units]
            own = [part.clamp(-_LARGEST_SCORE, _LARGEST_SCORE) for part in own]
        return torch.cat([*own, scores[:, self.own :], *(part.to(scores.dtype) for part in known)], dim=1)

    def _scores(self, features: Tensor) -> Tensor:
        """Standardised features, 0 where unknown."""
        scores = ((features - self.mean) / self.sd).clamp(-_LARGEST_SCORE, _LARGEST_SCORE)
        return scores.nan_to_num()

    def _blocks(self) -> list[slice]:
        """Where each kernel's columns stand."""
        ends = list(accumulate(sum(size for size, _ in of_one) for of_one in self.groups))
        return [slice(start, end) for start, end in pairwise([0, *ends])]

    def hide(self, features: Tensor, half_life: Tensor, coding: Tensor) -> Tensor:
        """The features as if optional inputs of some genes were unknown; bool (batch,) each: of which."""
        hidden, halves = features.clone(), self.flags - self.config.reads_coding
        hidden[half_life, self.own : self.own + halves] = math.nan
        if self.config.reads_coding:
            hidden[coding, self.own + halves :] = math.nan
            hidden[coding, self.own - CODONS : self.own] = math.nan
        return hidden

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Take mean and spread from the features of all training genes, (genes, columns); unknown ones are left out."""
        values, known = features.cpu().double(), ~features.isnan().cpu()
        counts = known.sum(dim=0).clamp(min=1)
        mean = values.nan_to_num().sum(dim=0) / counts
        sd = (((values - mean) * known).nan_to_num().square().sum(dim=0) / counts).sqrt()
        self.mean.copy_(mean)
        self.sd.copy_(torch.where(sd > 1e-6, sd, torch.ones_like(sd)))  # a constant says nothing
        if self.config.kernel_dims:
            self._reduce(self._scores(features))

    def _reduce(self, scores: Tensor) -> None:
        """Take each kernel's components from the standardised features of all training genes, (genes, columns)."""
        for kernel, (block, of_one) in enumerate(zip(self._blocks(), self.groups, strict=True)):
            roots = torch.cat([torch.full((size,), math.sqrt(weight / size)) for size, weight in of_one]).double()
            weighted = scores[:, block].cpu().double() * roots
            variances, vectors = torch.linalg.eigh(weighted.T @ weighted / len(weighted))
            kept = min(self.config.kernel_dims, len(roots))
            self.components[block].zero_()
            self.components[block, :kept] = (roots[:, None] * vectors.flip(1)[:, :kept]).float().to(self.mean.device)
            # In this unit the largest component has a spread of 1, as what is not reduced has.
            self.unit[kernel] = float(variances[-1].clamp(min=1e-12).sqrt())

    @torch.no_grad()
    def ignore_half_life(self) -> None:
        """Let half-life features count as unknown: for weights that never saw one."""
        self.sd[self.own : self.own + self.flags - self.config.reads_coding] = _IGNORED

    @torch.no_grad()
    def rescale(self, factor: Tensor) -> None:
        """Multiply what the flow says by `factor` (outputs,), for labels in another scale."""
        self.weights.mul_(factor)
        self.offset.mul_(factor)


def likeness(squares: Tensor) -> Tensor:
    """From squared distances to how much alike genes are, 1 for the same: the mean over `SCALES`."""
    return torch.stack([(-scale / 2 * squares).exp() for scale in SCALES]).mean(dim=0)


def landmarks_of(scaled: Tensor) -> Tensor:
    """Scaled features in the steps in which landmarks are stored: float (n, all) -> int8."""
    return (scaled * (_STEPS / _LARGEST_SCORE)).round().clamp(-_STEPS, _STEPS).to(torch.int8)


def scores_of(landmarks: Tensor) -> Tensor:
    """Stored landmarks as scaled features: int8 (n, all) -> float32."""
    return landmarks.float() * (_LARGEST_SCORE / _STEPS)


def _kept(groups: Iterable[tuple[int, float]]) -> list[int]:
    """The columns of the groups that have a weight."""
    columns: list[int] = []
    place = 0
    for size, weight in groups:
        columns += range(place, place + size) if weight else ()
        place += size
    return columns


def _mean_squares(one: Tensor, other: Tensor) -> Tensor:
    """Mean over the columns of squared differences: (n, k) and (m, k) -> (n, m)."""
    squares = one.square().sum(dim=1)[:, None] + other.square().sum(dim=1) - 2 * one @ other.T
    return squares.clamp(min=0) / one.shape[1]
