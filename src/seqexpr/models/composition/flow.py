"""The network's flow that reads what a sequence is made of, and what else is known of its gene.

A few thousand labelled genes teach a large network less about composition (GC content, CpG, hydrophobic or charged
residues) than a regression on word counts knows at once. So the counts are offered as an input of their own; the
paper's networks have no such flow. It is cheap, so it can have several members: an ensemble within one network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqexpr.models.composition.codons import CodonUse, is_known
from seqexpr.models.composition.properties import protein_properties
from seqexpr.models.composition.residue_words import ResidueWords
from seqexpr.models.composition.towers import PromoterTowers
from seqexpr.models.composition.words import dna_composition, protein_composition
from seqexpr.models.config import HALF_LIFE_FEATURES, PerceiverConfig
from seqexpr.models.fixed_batch import in_fixed_batches

_LARGEST_SCORE = 4.0
"""Standardised inputs are cut off there: a poly-Q stretch must not blow up a prediction."""


class CompositionFlow(nn.Module):
    """Composition of every sequence that the network reads, and covariates -> one hidden layer -> an addend per output.

    Coding sequences are read here alone; a gene without one has the codon features of a mean gene. The covariates are
    few and each says much: the half-life features, which of them are known, whether the coding sequence is known, and
    what the promoter towers answer. They are never dropped out, and reach the outputs directly too; what the table of
    residue words answers reaches the outputs alone. Mean and spread of composition and towers are those of the training
    genes, set once by `fit` and stored with the weights.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.config = config
        self.towers = PromoterTowers(config.promoter_towers) if config.promoter_towers else None
        self.words = ResidueWords(config.word_buckets, config.words_answer) if config.word_buckets else None
        self.codons = CodonUse(config.coding_indices) if config.reads_coding else None
        self.covariates = 2 * HALF_LIFE_FEATURES * config.reads_half_life + config.promoter_towers + config.reads_coding
        empty = torch.zeros(1, 0, dtype=torch.uint8)
        counted = self._counts(empty, empty, empty).shape[1]
        self.register_buffer("mean", torch.zeros(counted + config.promoter_towers))
        self.register_buffer("sd", torch.ones(counted + config.promoter_towers))
        members, width = config.composition_members, config.composition_dim
        self.dropout = nn.Dropout(config.composition_dropout)
        self.hidden = _Linears(members, counted, width)
        self.joined = _Linears(members, self.covariates, width)
        self.output = _Linears(members, width, config.outputs)
        self.direct = _Linears(members, self.covariates + config.words_answer, config.outputs)
        if self.covariates:  # few inputs of full size: a spread of one in the hidden layer, nothing at the outputs
            nn.init.normal_(self.joined.weight, std=self.covariates**-0.5)
        nn.init.zeros_(self.direct.weight)

    def forward(
        self,
        latent_tokens: Tensor,
        query_tokens: Tensor,
        half_life: Tensor | None,
        told: Tensor | None = None,
        coding: Tensor | None = None,
    ) -> Tensor:
        """Each member's addend.

        Args:
            latent_tokens, query_tokens, told, coding: as for `scores`.
            half_life: float (batch, 8), NaN = unknown, or None.

        Returns:
            (batch, members, outputs)
        """
        scores = self.scores(latent_tokens, query_tokens, told, coding)
        return in_fixed_batches(self.predict, scores, half_life, fixed=not self.training)

    def scores(
        self,
        latent_tokens: Tensor,
        query_tokens: Tensor,
        told: Tensor | None = None,
        coding: Tensor | None = None,
    ) -> Tensor:
        """Standardised composition, then what towers and words answer, then whether the coding sequence is known.

        Args:
            latent_tokens: uint8 (batch, letters); likewise query_tokens.
            told: float32 (batch, answers of the table of words), of genes that it was made from the answers of a table
                that was not; NaN = the table is asked. None: it always is.
            coding: uint8 (batch, codons), rows of 0 for genes without a coding sequence. None: no gene has one.

        Returns:
            float32 (batch, scores)
        """
        coding = self._coding(latent_tokens, coding)
        scores = (self.features(latent_tokens, query_tokens, coding) - self.mean) / self.sd
        if self.words is not None:
            answers = self.words(self._given(latent_tokens, query_tokens)["protein"])
            if told is not None:
                answers = torch.where(told.isnan(), answers, told)
            scores = torch.cat([scores, answers], dim=1)
        scores = scores.clamp(-_LARGEST_SCORE, _LARGEST_SCORE)
        if self.codons is not None:
            known = is_known(coding)
            scores = self.without_coding(torch.cat([scores, known.to(scores.dtype)], dim=1), ~known)
        return scores

    def without_coding(self, scores: Tensor, hidden: Tensor) -> Tensor:
        """The scores as if the coding sequences of some genes were not known: `hidden` is bool (batch, 1)."""
        of_codons = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
        of_codons[: len(self.mean)] = self._of_codons()
        of_codons[-1] = self.codons is not None
        return scores.masked_fill(hidden & of_codons, 0.0)

    def _of_codons(self) -> Tensor:
        """Which features come from coding sequences: bool (features,)."""
        chosen = torch.zeros_like(self.mean, dtype=torch.bool)
        if self.codons is not None:
            end = len(self.mean) - self.config.promoter_towers
            chosen[end - self.codons.width : end] = True
        return chosen

    def predict(self, scores: Tensor, half_life: Tensor | None) -> Tensor:
        """From what `scores` gives, and float (batch, 8) or None, to (batch, members, outputs)."""
        sizes = [self.config.promoter_towers, self.config.words_answer, int(self.config.reads_coding)]
        composition, towers, words, coding_known = scores.split([scores.shape[1] - sum(sizes), *sizes], 1)
        given = [towers]
        if self.config.reads_half_life:
            if half_life is None:
                half_life = scores.new_full((len(scores), HALF_LIFE_FEATURES), math.nan)
            known = ~half_life.isnan()
            given += [half_life.nan_to_num().clamp(-_LARGEST_SCORE, _LARGEST_SCORE), known]
        covariates = torch.cat([part.to(scores.dtype) for part in (*given, coding_known)], dim=1)
        members = (self.config.composition_members, -1, -1)
        kept = self.dropout((composition * self.config.composition_gain).expand(members))  # each member drops its own
        hidden = functional.gelu(self.hidden(kept) + self.joined(covariates.expand(members)))
        linear = self.direct(torch.cat([covariates, words], dim=1).expand(members))
        return (self.output(self.dropout(hidden)) + linear).transpose(0, 1)

    @torch.no_grad()
    def forget_outputs(self) -> None:
        """Let the flow say nothing until it has learnt: for outputs that it was not trained for."""
        for layer in (self.output, self.direct):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def ignore_half_life(self) -> None:
        """Let half-life features say nothing until it has learnt: for weights that never saw one."""
        if self.config.reads_half_life:
            features = slice(self.config.promoter_towers, self.covariates)
            self.joined.weight[:, features] = 0
            self.direct.weight[:, features] = 0

    @torch.no_grad()
    def rescale(self, factor: Tensor) -> None:
        """Multiply what the flow says by `factor` (outputs,), for labels in another scale."""
        for layer in (self.output, self.direct):
            layer.weight.mul_(factor)
            layer.bias.mul_(factor)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor, Tensor | None]]) -> None:
        """Take mean and spread from (latent tokens, query tokens, coding sequences) of all training genes.

        Those of the codon features are of the genes that have a coding sequence. The adaptation indices are to be
        fitted before (`CodonUse.fit`).
        """
        # Sums in double precision on the CPU: not every device has it.
        counts, sums, squares = (torch.zeros(len(self.mean)).double() for _ in range(3))
        for latent_tokens, query_tokens, given in batches:
            coding = self._coding(latent_tokens, given)
            features = self.features(latent_tokens, query_tokens, coding).cpu().double()
            counted = ~self._of_codons().cpu() | is_known(coding).cpu()
            counts += counted.sum(dim=0)
            sums += (features * counted).sum(dim=0)
            squares += (features.square() * counted).sum(dim=0)
        mean = sums / counts.clamp(min=1)
        sd = (squares / counts.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
        self.mean.copy_(mean)
        self.sd.copy_(torch.where(sd > 1e-6, sd, torch.ones_like(sd)))  # a constant says nothing

    def features(self, latent_tokens: Tensor, query_tokens: Tensor, coding: Tensor | None = None) -> Tensor:
        """Composition and the towers' answers, not standardised: float32 (batch, scores)."""
        counts = self._counts(latent_tokens, query_tokens, self._coding(latent_tokens, coding))
        if self.towers is None:
            return counts
        return torch.cat([counts, self.towers(self._given(latent_tokens, query_tokens)["dna"])], dim=1)

    def _counts(self, latent_tokens: Tensor, query_tokens: Tensor, coding: Tensor) -> Tensor:
        given, parts = self._given(latent_tokens, query_tokens), []
        if "dna" in given:
            parts.append(dna_composition(given["dna"], self.config.upstream))
        if "protein" in given:
            parts += [protein_composition(given["protein"]), protein_properties(given["protein"])]
        if self.codons is not None:
            parts.append(self.codons(coding))
        return torch.cat(parts, dim=1)

    def _given(self, latent_tokens: Tensor, query_tokens: Tensor) -> dict[str, Tensor]:
        return {self.config.latent_input: latent_tokens, self.config.query_input: query_tokens}

    @staticmethod
    def _coding(latent_tokens: Tensor, coding: Tensor | None) -> Tensor:
        return latent_tokens.new_zeros(len(latent_tokens), 0) if coding is None else coding


class _Linears(nn.Module):
    """A linear layer for each member, computed together."""

    def __init__(self, members: int, before: int, after: int) -> None:
        super().__init__()
        bound = max(before, 1) ** -0.5  # as torch's own
        self.weight = nn.Parameter(torch.empty(members, before, after).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, after).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(members, batch, before) -> (members, batch, after)"""
        return torch.baddbmm(self.bias, x, self.weight)
