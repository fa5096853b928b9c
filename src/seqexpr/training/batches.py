"""From rows of a prepared dataset to the tensors that a network reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.models.composition.codons import CODONS, codon_counts
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.transfers import to_device

_GENES_AT_ONCE = 256
"""Genes whose codons are counted at once."""


@dataclass(frozen=True)
class Batch:
    """Tensors of some genes, on one device."""

    latent_tokens: torch.Tensor
    """uint8 (batch, letters)"""
    query_tokens: torch.Tensor
    """uint8 (batch, letters)"""
    half_life: torch.Tensor | None
    """float32 (batch, 8), standardised, NaN = unknown"""
    labels: torch.Tensor
    """float32 (batch, outputs), scaled, NaN = missing"""
    coding: torch.Tensor | None = None
    """uint8 (batch, codons), rows of 0 for genes without a coding sequence; None where the network reads none"""
    told: torch.Tensor | None = None
    """float32 (batch, outputs), what the kernel flow (`training.kernel_stage`) says of training genes when it has not
    seen them; NaN for other genes, None without."""


def genes_of(batch: Batch) -> int:
    """How many genes a batch has."""
    return len(batch.labels)


def joined(batches: Sequence[Batch]) -> Batch | None:
    """Several batches as one; None where their query sequences differ in length.

    The query tower normalises over all its positions, so that longer padding would give other numbers; latents and
    codons leave padding out.
    """
    if len({batch.query_tokens.shape[1] for batch in batches}) > 1:
        return None
    latent, coding = (_padded([getattr(batch, name) for batch in batches]) for name in ("latent_tokens", "coding"))
    query, half_life, labels, told = (
        _padded([getattr(batch, name) for batch in batches]) for name in ("query_tokens", "half_life", "labels", "told")
    )
    assert latent is not None and query is not None and labels is not None
    return Batch(latent, query, half_life, labels, coding, told)


def _padded(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """Rows one below the other, shorter ones with zeros behind them; None where there are none."""
    present = [part for part in parts if part is not None]
    if not present:
        return None
    longest = max(part.shape[1] for part in present)
    return torch.cat([functional.pad(part, (0, longest - part.shape[1])) for part in present])


class BatchLoader:
    """Makes batches for one network from one dataset."""

    def __init__(
        self,
        dataset: PreparedDataset,
        config: PerceiverConfig,
        scaled_labels: np.ndarray,
        schema: HalfLifeSchema | None,
        device: torch.device,
    ) -> None:
        self.dataset = dataset
        self.config = config
        self.labels = scaled_labels.astype(np.float32)
        raw = dataset.half_life() if schema else None
        self.half_life = schema.standardise(raw) if schema and raw is not None else None
        self.device = device
        self.told: np.ndarray | None = None
        """`Batch.told` of all genes, float32 (genes, outputs)"""

    def batches(self, indices: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """The genes in the given order, as they are."""
        for start in range(0, len(indices), batch_size):
            yield self.batch(indices[start : start + batch_size])

    def batch(
        self,
        indices: np.ndarray,
        *,
        shift: int = 0,
        hidden_half_life: np.ndarray | None = None,
        hidden_coding: np.ndarray | None = None,
    ) -> Batch:
        """One batch.

        Args:
            indices: rows of the dataset.
            shift: bp by which the windows are moved downstream, within what the dataset holds.
            hidden_half_life: bool (batch,), True = as if the gene's half-life features were unknown.
            hidden_coding: bool (batch,), True = as if the gene's coding sequence were unknown.
        """
        tokens: dict[str, torch.Tensor] = {}
        if self.config.reads_dna:
            dna = self.dataset.dna(indices, self.config.upstream - shift, self.config.downstream + shift)
            tokens["dna"] = self._to_device(dna)
        if self.config.reads_protein:
            tokens["protein"] = self._to_device(self.dataset.proteins(indices, self.config.protein_length))
        half_life = None
        if self.half_life is not None:
            rows = self.half_life[indices]
            if hidden_half_life is not None:
                rows = np.where(hidden_half_life[:, None], np.float32(np.nan), rows)
            half_life = self._to_device(rows)
        coding = None
        if self.config.reads_coding and self.dataset.has_coding:
            codons = self.dataset.coding(indices, self.config.coding_length)
            if hidden_coding is not None:
                codons = np.where(hidden_coding[:, None], np.uint8(0), codons)
            coding = self._to_device(codons)
        return Batch(
            tokens[self.config.latent_input],
            tokens[self.config.query_input],
            half_life,
            self._to_device(self.labels[indices]),
            coding,
            None if self.told is None else self._to_device(self.told[indices]),
        )

    def codon_counts(self, indices: np.ndarray) -> torch.Tensor:
        """How often each codon occurs in the genes' coding sequences, on the CPU: float32 (genes, 64)."""
        if not self.dataset.has_coding:
            return torch.zeros(len(indices), CODONS)
        parts = []
        for start in range(0, len(indices), _GENES_AT_ONCE):
            genes = indices[start : start + _GENES_AT_ONCE]
            parts.append(codon_counts(torch.from_numpy(self.dataset.coding(genes, self.config.coding_length))))
        return torch.cat(parts)

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        return to_device(np.ascontiguousarray(array), self.device)


def largest_shift(dataset: PreparedDataset, config: PerceiverConfig, wanted: int) -> int:
    """The largest shift of the windows in bp, at most `wanted`, that the dataset has room for on both sides."""
    if not config.reads_dna:
        return 0
    room = min(dataset.upstream - config.upstream, dataset.downstream - config.downstream)
    return max(0, min(wanted, room))
