"""Levels of one gene with single letters of its window changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from seqexpr.effects.incremental import IncrementalWindow, fits
from seqexpr.effects.shared_attention import SharedAttention
from seqexpr.models.trained import TrainedModel
from seqexpr.models.transfers import to_device

_BATCH = 16
"""Windows that are read as a whole together; the last ones of a call are fewer."""

_FEWEST_LETTERS = 2
"""Known letters below which a substitution is no small change."""


def shared_attentions(models: Sequence[TrainedModel]) -> list[SharedAttention | None]:
    """What all windows of each model share, some 30 MB; None for models that read each window again."""
    return [SharedAttention(model.network) if fits(model.metadata.config) else None for model in models]


class Mutagenesis:
    """What models predict of a window in which one letter is another one.

    Models whose flows read DNA alone compute what a substitution changes, from one full pass of the window; others
    read the whole window again. Both give the same numbers, to the rounding of float32.

    Args:
        models: that read DNA alone, each with its own window in the middle of the widest.
        upstream: where the TSS boundary lies in `window`.
        window: uint8 (letters,) tokens, as wide as the widest of the models' windows.
        half_life: float (8,) features as the models read them, NaN = unknown; None for models that read none.
        saturating: whether thousands of substitutions will be asked for: the first takes longer then, and all others
            are several times as fast.
        shared: what `shared_attentions` gave for the models; to be handed over where there are many windows.
    """

    def __init__(
        self,
        models: Sequence[TrainedModel],
        upstream: int,
        window: np.ndarray,
        half_life: np.ndarray | None = None,
        *,
        saturating: bool = False,
        shared: Sequence[SharedAttention | None] | None = None,
    ) -> None:
        pairs = zip(models, shared_attentions(models) if shared is None else shared, strict=True)
        self._passes = [_Passes(model, one, upstream, window, half_life, saturating) for model, one in pairs]

    def reference(self) -> np.ndarray:
        """What each member of each model says of the window as it is: float64 (members, outputs)."""
        return np.concatenate([one.reference for one in self._passes])

    def substituted(self, positions: np.ndarray, letters: np.ndarray) -> np.ndarray:
        """The same of windows in which one letter is replaced.

        Args:
            positions: int (n,) offsets in the window.
            letters: uint8 (n,) tokens that stand there instead.

        Returns:
            float64 (members, n, outputs)
        """
        return np.concatenate([one.substituted(positions, letters) for one in self._passes])

    def replaced(self, windows: np.ndarray) -> np.ndarray:
        """The same of other windows, by full passes.

        Args:
            windows: uint8 (n, letters), as wide as the window.

        Returns:
            float64 (members, n, outputs)
        """
        return np.concatenate([one.replaced(windows) for one in self._passes])


class _Passes:
    """One model, and the part of the window that it reads."""

    def __init__(
        self,
        model: TrainedModel,
        shared: SharedAttention | None,
        upstream: int,
        window: np.ndarray,
        half_life: np.ndarray | None,
        saturating: bool,
    ) -> None:
        config, schema = model.metadata.config, model.metadata.half_life
        self._model = model
        self._start = upstream - config.upstream
        self._window = window[self._start : upstream + config.downstream]
        self._half_life = half_life[None] if half_life is not None and schema is not None else None
        self._incremental: IncrementalWindow | None = None
        self._standardised: torch.Tensor | None = None
        if shared is not None and np.count_nonzero(self._window) >= _FEWEST_LETTERS:
            device = model.network.device
            if schema is not None and self._half_life is not None:
                self._standardised = to_device(schema.standardise(self._half_life), device)
            tokens = to_device(self._window[None], device)
            self._incremental = IncrementalWindow(shared, tokens, self._standardised, first_order=saturating)
        self._reference: np.ndarray | None = None

    @property
    def reference(self) -> np.ndarray:
        """float64 (members, outputs) of the window as it is; threads that ask at once compute the same."""
        if self._reference is None:
            self._reference = self._of_windows(self._window[None], self._as_it_is(), 0)[:, 0]
        return self._reference

    def _as_it_is(self) -> torch.Tensor | None:
        """The features of the window as it is, where substitutions have some."""
        return None if self._incremental is None else self._incremental.reference()

    def substituted(self, positions: np.ndarray, letters: np.ndarray) -> np.ndarray:
        """float64 (members, n, outputs); a position that the model does not read changes nothing."""
        own = positions - self._start
        read = np.flatnonzero((own >= 0) & (own < len(self._window)))
        if not len(read):
            return np.repeat(self.reference[:, None], len(positions), axis=1)
        own, letters = own[read], letters[read]
        features = None
        if self._incremental is not None:
            device = self._model.network.device
            places, new = (to_device(part.astype(np.int64), device) for part in (own, letters))
            features = self._incremental.features(places, new)
        reference = self._reference
        if reference is None:  # the window as it is comes along: a batch costs much the same with one more
            own, letters = np.append(own, 0), np.append(letters, self._window[0])
            if features is not None and (as_it_is := self._as_it_is()) is not None:
                features = torch.cat([features, as_it_is])
        parts = []
        for start in range(0, len(own), _BATCH):
            chosen = own[start : start + _BATCH]
            windows = np.tile(self._window, (len(chosen), 1))
            windows[np.arange(len(windows)), chosen] = letters[start : start + _BATCH]
            parts.append(self._of_windows(windows, features, start))
        said = np.concatenate(parts, axis=1)
        if reference is None:
            reference = self._reference = said[:, -1]
        found = np.repeat(reference[:, None], len(positions), axis=1)
        found[:, read] = said[:, : len(read)]
        return found

    def replaced(self, windows: np.ndarray) -> np.ndarray:
        """float64 (members, n, outputs) of whole windows, of which the model reads its part."""
        own = windows[:, self._start : self._start + len(self._window)]
        parts = [self._of_windows(own[start : start + _BATCH], None, 0) for start in range(0, len(own), _BATCH)]
        return np.concatenate(parts, axis=1)

    def _of_windows(self, windows: np.ndarray, features: torch.Tensor | None, start: int) -> np.ndarray:
        """float64 (members, batch, outputs); where there are features, they are rows from `start` on."""
        if features is None:
            raw = None if self._half_life is None else np.tile(self._half_life, (len(windows), 1))
            return self._model.predict_members(windows, None, raw)
        tokens = to_device(windows, features.device)
        half_life = None if self._standardised is None else self._standardised.expand(len(windows), -1)
        with torch.inference_mode():
            joined = features[start : start + len(windows)]
            return self._model.unscale(self._model.network.members_of(joined, tokens, tokens, half_life))
