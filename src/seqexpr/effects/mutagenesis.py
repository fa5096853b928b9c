"""Levels of one gene with single letters of its window changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from seqexpr.effects.incremental import IncrementalWindow, fits
from seqexpr.effects.shared_attention import SharedAttention
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.config import Sequence as Kind
from seqexpr.models.trained import TrainedModel
from seqexpr.models.transfers import to_device

_BATCH = 16
"""Windows that are read as a whole together; the last ones of a call are fewer."""

_FEWEST_LETTERS = 2
"""Known letters below which a substitution is no small change."""


def shared_attentions(models: Sequence[TrainedModel]) -> list[SharedAttention | None]:
    """What all genes share in each model, some 30 MB; None for models that read each gene again."""
    return [SharedAttention(model.network) if fits(model.metadata.config) else None for model in models]


class Mutagenesis:
    """What models predict of a gene in which one letter is another one.

    Models with sequence flows compute what a substitution changes, from one full pass; others read everything again.
    Both give the same numbers, to the rounding of float32.

    Args:
        models: each with its own window in the middle of the widest.
        upstream: where the TSS boundary lies in `window`.
        window: uint8 (letters,) tokens of DNA, as wide as the widest of the models' windows; None where they read none.
        half_life: float (8,) features as the models read them, NaN = unknown; None for models that read none.
        protein: uint8 (residues,), at most as long as the longest that a model reads; None where they read none.
        coding: uint8 (codons,); None where there is none. It stays as it is, whatever is replaced.
        changed: in which of the sequences letters are replaced; each model reads it.
        saturating: whether thousands of substitutions will be asked for: the first takes longer then, and all others
            are several times as fast.
        shared: what `shared_attentions` gave for the models; to be handed over where there are many genes.
    """

    def __init__(
        self,
        models: Sequence[TrainedModel],
        upstream: int,
        window: np.ndarray | None,
        half_life: np.ndarray | None = None,
        *,
        protein: np.ndarray | None = None,
        coding: np.ndarray | None = None,
        changed: Kind = "dna",
        saturating: bool = False,
        shared: Sequence[SharedAttention | None] | None = None,
    ) -> None:
        gene = _Gene(upstream, window, protein, half_life, coding)
        pairs = zip(models, shared_attentions(models) if shared is None else shared, strict=True)
        self._passes = [_Passes(model, one, gene, changed, saturating) for model, one in pairs]

    def reference(self) -> np.ndarray:
        """What each member of each model says of the gene as it is: float64 (members, outputs)."""
        return np.concatenate([one.reference for one in self._passes])

    def substituted(self, positions: np.ndarray, letters: np.ndarray) -> np.ndarray:
        """The same of the gene with one letter replaced.

        Args:
            positions: int (n,) offsets in the sequence.
            letters: uint8 (n,) tokens that stand there instead.

        Returns:
            float64 (members, n, outputs)
        """
        return np.concatenate([one.substituted(positions, letters) for one in self._passes])

    def replaced(self, sequences: np.ndarray) -> np.ndarray:
        """The same with other sequences in place of the one, by full passes.

        Args:
            sequences: uint8 (n, letters), as long as the one.

        Returns:
            float64 (members, n, outputs)
        """
        return np.concatenate([one.replaced(sequences) for one in self._passes])


@dataclass(frozen=True)
class _Gene:
    """What models read of one gene."""

    upstream: int
    window: np.ndarray | None
    protein: np.ndarray | None
    half_life: np.ndarray | None
    coding: np.ndarray | None

    def read_by(self, config: PerceiverConfig) -> dict[Kind, tuple[int, np.ndarray]]:
        """The sequences that a model reads: where its part begins, and the part, uint8 (letters,)."""
        found: dict[Kind, tuple[int, np.ndarray]] = {}
        if config.reads_dna:
            assert self.window is not None
            start = self.upstream - config.upstream
            found["dna"] = (start, self.window[start : self.upstream + config.downstream])
        if config.reads_protein:
            assert self.protein is not None
            found["protein"] = (0, self.protein[: config.protein_length])
        return found


class _Passes:
    """One model, and the part of the gene that it reads."""

    def __init__(
        self, model: TrainedModel, shared: SharedAttention | None, gene: _Gene, changed: Kind, saturating: bool
    ) -> None:
        config, schema = model.metadata.config, model.metadata.half_life
        self._model, self._changed = model, changed
        read = gene.read_by(config)
        self._start, self._own = read[changed]
        self._others = {name: part for name, (_, part) in read.items() if name != changed}
        self._half_life = gene.half_life[None] if gene.half_life is not None and schema is not None else None
        self._coding = gene.coding[None] if gene.coding is not None and config.reads_coding else None
        self._incremental: IncrementalWindow | None = None
        self._standardised: torch.Tensor | None = None
        if shared is not None and all(np.count_nonzero(part) >= _FEWEST_LETTERS for _, part in read.values()):
            device = model.network.device
            if schema is not None and self._half_life is not None:
                self._standardised = to_device(schema.standardise(self._half_life), device)
            tokens = self._tokens(self._own[None], device)
            flows = (tokens[config.latent_input], tokens[config.query_input])
            self._incremental = IncrementalWindow(
                shared, *flows, self._standardised, changed=changed, first_order=saturating
            )
        self._reference: np.ndarray | None = None

    @property
    def reference(self) -> np.ndarray:
        """float64 (members, outputs) of the gene as it is; threads that ask at once compute the same."""
        if self._reference is None:
            self._reference = self._of(self._own[None], self._as_it_is(), 0)[:, 0]
        return self._reference

    def _as_it_is(self) -> torch.Tensor | None:
        """The features of the gene as it is, where substitutions have some."""
        return None if self._incremental is None else self._incremental.reference()

    def substituted(self, positions: np.ndarray, letters: np.ndarray) -> np.ndarray:
        """float64 (members, n, outputs); a position that the model does not read changes nothing."""
        own = positions - self._start
        read = np.flatnonzero((own >= 0) & (own < len(self._own)))
        if not len(read):
            return np.repeat(self.reference[:, None], len(positions), axis=1)
        own, letters = own[read], letters[read]
        features = None
        if self._incremental is not None:
            device = self._model.network.device
            places, new = (to_device(part.astype(np.int64), device) for part in (own, letters))
            features = self._incremental.features(places, new)
        reference = self._reference
        if reference is None:  # the gene as it is comes along: a batch costs much the same with one more
            own, letters = np.append(own, 0), np.append(letters, self._own[0])
            if features is not None and (as_it_is := self._as_it_is()) is not None:
                features = torch.cat([features, as_it_is])
        parts = []
        for start in range(0, len(own), _BATCH):
            chosen = own[start : start + _BATCH]
            sequences = np.tile(self._own, (len(chosen), 1))
            sequences[np.arange(len(sequences)), chosen] = letters[start : start + _BATCH]
            parts.append(self._of(sequences, features, start))
        said = np.concatenate(parts, axis=1)
        if reference is None:
            reference = self._reference = said[:, -1]
        found = np.repeat(reference[:, None], len(positions), axis=1)
        found[:, read] = said[:, : len(read)]
        return found

    def replaced(self, sequences: np.ndarray) -> np.ndarray:
        """float64 (members, n, outputs) of whole sequences, of which the model reads its part."""
        own = sequences[:, self._start : self._start + len(self._own)]
        parts = [self._of(own[start : start + _BATCH], None, 0) for start in range(0, len(own), _BATCH)]
        return np.concatenate(parts, axis=1)

    def _of(self, sequences: np.ndarray, features: torch.Tensor | None, start: int) -> np.ndarray:
        """float64 (members, batch, outputs); where there are features, they are rows from `start` on."""
        count = len(sequences)
        coding = None if self._coding is None else np.tile(self._coding, (count, 1))
        if features is None:
            raw = None if self._half_life is None else np.tile(self._half_life, (count, 1))
            dna, protein = (self._batch(sequences).get(kind) for kind in ("dna", "protein"))
            return self._model.predict_members(dna, protein, raw, coding)
        device, config = features.device, self._model.metadata.config
        tokens = self._tokens(sequences, device)
        half_life = None if self._standardised is None else self._standardised.expand(count, -1)
        codons = None if coding is None else to_device(coding, device)
        with torch.inference_mode():
            joined = features[start : start + count]
            flows = (tokens[config.latent_input], tokens[config.query_input])
            return self._model.unscale(self._model.network.members_of(joined, *flows, half_life, coding=codons))

    def _batch(self, sequences: np.ndarray) -> dict[Kind, np.ndarray]:
        """Both inputs of a batch: the sequences, and for each of them the other one, which all share."""
        others = {name: np.tile(part, (len(sequences), 1)) for name, part in self._others.items()}
        return {self._changed: sequences, **others}

    def _tokens(self, sequences: np.ndarray, device: torch.device) -> dict[Kind, torch.Tensor]:
        return {name: to_device(part, device) for name, part in self._batch(sequences).items()}
