"""Levels of genes with single letters of their windows or proteins changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from seqexpr.effects.first_order import FirstOrder
from seqexpr.effects.incremental import FullPasses, Incremental, fits, joined
from seqexpr.effects.shared_attention import SharedAttention
from seqexpr.models.config import HALF_LIFE_FEATURES
from seqexpr.models.config import Sequence as Input
from seqexpr.models.trained import TrainedModel
from seqexpr.models.transfers import to_device

_BATCH = 16
"""Windows that are read as a whole together; the last ones of a call are fewer."""

_FEWEST_LETTERS = 2
"""Known letters below which a substitution is no small change."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownSequence:
    """A window or protein, and what is kept of what models made of it."""

    reference: np.ndarray
    """What each member of each model says of it: float64 (members, outputs)."""
    of_models: tuple[_OwnSequence, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _OwnSequence:
    """The part of a sequence that one model reads, and what else it reads of the gene."""

    letters: np.ndarray
    beside: np.ndarray
    """uint8: of the other input; of no length where the model reads one."""
    coding: np.ndarray
    """uint8 (codons,); of no length where the model reads none."""
    half_life: np.ndarray
    """float64 (8,), NaN = unknown."""
    reference: np.ndarray
    """float64 (members, outputs)"""
    passes: FullPasses | None
    """None where changed windows are read as a whole."""
    first_order: FirstOrder | None


class Mutagenesis:
    """What models predict of genes in which one letter is another one.

    Models with sequence flows compute what a substitution changes, from one full pass of the gene; others read all of
    it again. Both give the same numbers, to the rounding of float32. No number depends on which genes and
    substitutions are computed together, so those of many genes had better be: for one alone nearly half of the time is
    spent on fixed batches that it does not fill.

    Args:
        models: each with its own window in the middle of the widest.
        upstream: where the TSS boundary lies in windows.
        changed: in which input letters are replaced; each model reads it.
        saturating: whether thousands of substitutions of each window will be asked for: reading a window takes longer
            then, and all substitutions are several times as fast.
    """

    def __init__(
        self, models: Sequence[TrainedModel], upstream: int, *, changed: Input = "dna", saturating: bool = False
    ) -> None:
        self._each_model = [_OneModel(model, upstream, changed, saturating) for model in models]

    def read(
        self,
        windows: np.ndarray,
        half_lives: Sequence[np.ndarray | None] | None = None,
        *,
        beside: np.ndarray | None = None,
        coding: np.ndarray | None = None,
    ) -> list[KnownSequence]:
        """Predict genes as they are.

        Args:
            windows: uint8 (n, letters) tokens of the input that changes: windows as wide as the widest of the models',
                or proteins, at most as long as the longest that a model reads.
            half_lives: float (8,) features of each gene as the models read them, NaN = unknown; None where none are
                known.
            beside: the other input, likewise; None where no model reads it. It stays as it is.
            coding: uint8 (n, codons), rows of 0 for genes without a coding sequence; None where no gene has one.
        """
        nothing = np.empty((len(windows), 0), np.uint8)
        beside, coding = (nothing if given is None else given for given in (beside, coding))
        halves = np.full((len(windows), HALF_LIFE_FEATURES), np.nan)
        for row, given in zip(halves, half_lives or [None] * len(windows), strict=True):
            if given is not None:
                row[:] = given
        found = zip(*(one.read(windows, beside, coding, halves) for one in self._each_model), strict=True)
        return [KnownSequence(np.concatenate([one.reference for one in of_models]), of_models) for of_models in found]

    def substituted(self, windows: Sequence[KnownSequence], positions: np.ndarray, letters: np.ndarray) -> np.ndarray:
        """What each member of each model says where one letter is replaced.

        Args:
            windows: n, each of which may come more than once.
            positions: int (n,) offsets in them.
            letters: uint8 (n,) tokens that stand there instead.

        Returns:
            float64 (members, n, outputs)
        """
        parts = []
        for place, one in enumerate(self._each_model):
            parts.append(one.substituted([window.of_models[place] for window in windows], positions, letters))
        return np.concatenate(parts)

    def replaced(self, windows: Sequence[KnownSequence], instead: np.ndarray) -> np.ndarray:
        """The same of other windows of the same genes, by full passes.

        Args:
            windows: n, as for `substituted`.
            instead: uint8 (n, letters), as wide as the windows.

        Returns:
            float64 (members, n, outputs)
        """
        parts = []
        for place, one in enumerate(self._each_model):
            parts.append(one.replaced([window.of_models[place] for window in windows], instead))
        return np.concatenate(parts)


class _OneModel:
    """One model, and the part of sequences that it reads."""

    def __init__(self, model: TrainedModel, upstream: int, changed: Input, saturating: bool) -> None:
        self._config = config = model.metadata.config
        self._model, self._changed = model, changed
        window = slice(upstream - config.upstream, upstream + config.downstream)
        self._parts: dict[Input, slice] = {"dna": window, "protein": slice(0, config.protein_length)}
        self._own = self._parts[changed]
        self._incremental = Incremental(SharedAttention(model.network), changed) if fits(config) else None
        alone = self._incremental is not None and not self._incremental.latents_change
        self._saturating = saturating or alone  # it costs nothing then

    def read(
        self, windows: np.ndarray, beside: np.ndarray, coding: np.ndarray, half_lives: np.ndarray
    ) -> list[_OwnSequence]:
        """As `Mutagenesis.read`; half_lives: float64 (n, 8)."""
        windows = windows[:, self._own]
        beside = beside[:, self._parts[self._other]] if self._reads_both else beside[:, :0]
        coding = coding[:, : self._config.coding_length]
        known = np.count_nonzero(windows, axis=1) >= _FEWEST_LETTERS
        if self._reads_both:
            known &= np.count_nonzero(beside, axis=1) >= _FEWEST_LETTERS
        kept = known & (self._incremental is not None)
        found: dict[int, _OwnSequence] = {}
        for places in _batches(kept):
            genes = (part[places] for part in (windows, beside, coding, half_lives))
            read = self._read(*genes, incrementally=bool(kept[places[0]]))
            found.update(zip(places.tolist(), read, strict=True))
        return [found[place] for place in range(len(windows))]

    @property
    def _other(self) -> Input:
        return "protein" if self._changed == "dna" else "dna"

    @property
    def _reads_both(self) -> bool:
        return self._config.reads_dna and self._config.reads_protein

    def _read(
        self,
        windows: np.ndarray,
        beside: np.ndarray,
        coding: np.ndarray,
        half_lives: np.ndarray,
        *,
        incrementally: bool,
    ) -> list[_OwnSequence]:
        features = None
        each: list[FullPasses | None] = [None] * len(windows)
        firsts: list[FirstOrder | None] = [None] * len(windows)
        if self._incremental is not None and incrementally:
            passes = self._incremental.passes(*self._flows(windows, beside), self._standardised(half_lives))
            features, parts = self._incremental.reference(passes), passes.each()
            each = [*parts]
            if self._saturating:
                firsts = [FirstOrder(self._incremental, one) for one in parts]
        levels = self._levels(windows, beside, coding, half_lives, features).swapaxes(0, 1)
        genes = zip(windows, beside, coding, half_lives, levels, each, firsts, strict=True)
        return [_OwnSequence(*one) for one in genes]

    def substituted(self, windows: Sequence[_OwnSequence], positions: np.ndarray, letters: np.ndarray) -> np.ndarray:
        """As `Mutagenesis.substituted`; a position that the model does not read changes nothing."""
        found = np.stack([window.reference for window in windows], axis=1)
        own = positions - self._own.start
        read = np.flatnonzero((own >= 0) & (positions < self._own.stop))
        kept = np.array([window.passes is not None for window in windows])[read]
        features = self._features([windows[place] for place in read[kept]], own[read[kept]], letters[read[kept]])
        done = 0
        for batch in _batches(kept):
            places, of_batch = read[batch], None
            if kept[batch[0]]:
                of_batch, done = features[done : done + len(batch)], done + len(batch)
            of = [windows[place] for place in places]
            changed = np.stack([window.letters for window in of])
            changed[np.arange(len(places)), own[places]] = letters[places]
            found[:, places] = self._levels(changed, *_what_stays(of), of_batch)
        return found

    def replaced(self, windows: Sequence[_OwnSequence], instead: np.ndarray) -> np.ndarray:
        """As `Mutagenesis.replaced`."""
        found = np.stack([window.reference for window in windows], axis=1)
        for places in _batches(np.zeros(len(windows), np.bool_)):
            stays = _what_stays([windows[place] for place in places])
            found[:, places] = self._levels(instead[places, self._own], *stays)
        return found

    def _features(self, windows: Sequence[_OwnSequence], positions: np.ndarray, letters: np.ndarray) -> torch.Tensor:
        """What the flows make of windows that have passes, each with its letter replaced: (n, 2 x query_dim)."""
        network = self._model.network
        at, new = (to_device(part.astype(np.int64), network.device) for part in (positions, letters))
        different = list({id(window): window for window in windows}.values())
        numbers = {id(window): number for number, window in enumerate(different)}
        which = np.array([numbers[id(window)] for window in windows], int)
        found = torch.empty(len(windows), 2 * network.config.query_dim, device=network.device)
        if self._saturating:
            for number, window in enumerate(different):
                assert window.first_order is not None
                rows = to_device(np.flatnonzero(which == number), network.device)
                found[rows] = window.first_order.features(at[rows], new[rows])
        elif different:
            assert self._incremental is not None
            passes = joined([window.passes for window in different if window.passes is not None])
            found = self._incremental.features(passes, to_device(which, network.device), at, new)
        return found

    def _levels(
        self,
        windows: np.ndarray,
        beside: np.ndarray,
        coding: np.ndarray,
        half_lives: np.ndarray,
        features: torch.Tensor | None = None,
    ) -> np.ndarray:
        """float64 (members, batch, outputs) of whole genes, or from what the flows make of them."""
        codons = coding if coding.shape[1] else None
        if features is None:
            raw = half_lives if self._model.metadata.half_life is not None else None
            inputs = self._inputs(windows, beside)
            return self._model.predict_members(inputs.get("dna"), inputs.get("protein"), raw, codons)
        flows, halves = self._flows(windows, beside), self._standardised(half_lives)
        own_codons = None if codons is None else to_device(codons, features.device)
        with torch.inference_mode():
            said = self._model.network.members_of(features, *flows, halves, coding=own_codons)
        return self._model.unscale(said)

    def _inputs(self, windows: np.ndarray, beside: np.ndarray) -> dict[Input, np.ndarray]:
        own: dict[Input, np.ndarray] = {self._changed: np.ascontiguousarray(windows)}
        return {**own, self._other: np.ascontiguousarray(beside)} if self._reads_both else own

    def _flows(self, windows: np.ndarray, beside: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """What the latents and what the query tower read, on the device."""
        inputs, device = self._inputs(windows, beside), self._model.network.device
        tokens = {name: to_device(part, device) for name, part in inputs.items()}
        return tokens[self._config.latent_input], tokens[self._config.query_input]

    def _standardised(self, half_lives: np.ndarray) -> torch.Tensor | None:
        schema = self._model.metadata.half_life
        return None if schema is None else to_device(schema.standardise(half_lives), self._model.network.device)


def _what_stays(windows: Sequence[_OwnSequence]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The other input, the coding sequences and the half-life features of genes."""
    return (
        np.stack([window.beside for window in windows]),
        np.stack([window.coding for window in windows]),
        np.stack([window.half_life for window in windows]),
    )


def _batches(alike: np.ndarray) -> Iterator[np.ndarray]:
    """Places that are True, then those that are False, so many of a kind at a time as are read together."""
    for kind in (True, False):
        places = np.flatnonzero(alike == kind)
        yield from (places[start : start + _BATCH] for start in range(0, len(places), _BATCH))
