"""Levels of one gene with single letters of its window changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqexpr.models.trained import TrainedModel

_BATCH = 16
"""Windows in a forward pass."""


class Mutagenesis:
    """What models predict of a window in which one letter is another one.

    Args:
        models: that read DNA alone, each with its own window in the middle of the widest.
        upstream: where the TSS boundary lies in `window`.
        window: uint8 (letters,) tokens, as wide as the widest of the models' windows.
        half_life: float (8,) features as the models read them, NaN = unknown; None for models that read none.
    """

    def __init__(
        self, models: Sequence[TrainedModel], upstream: int, window: np.ndarray, half_life: np.ndarray | None = None
    ) -> None:
        self._models, self._upstream, self._window, self._half_life = models, upstream, window, half_life

    def reference(self) -> np.ndarray:
        """What each member of each model says of the window as it is: float64 (members, outputs)."""
        return self._predict(self._window[None])[:, 0]

    def substituted(self, positions: np.ndarray, letters: np.ndarray) -> np.ndarray:
        """The same of windows in which one letter is replaced.

        Args:
            positions: int (n,) offsets in the window.
            letters: uint8 (n,) tokens that stand there instead.

        Returns:
            float64 (members, n, outputs)
        """
        parts = []
        for start in range(0, len(positions), _BATCH):
            chosen = slice(start, start + _BATCH)
            windows = np.tile(self._window, (len(positions[chosen]), 1))
            windows[np.arange(len(windows)), positions[chosen]] = letters[chosen]
            parts.append(self._predict(windows))
        return np.concatenate(parts, axis=1)

    def _predict(self, windows: np.ndarray) -> np.ndarray:
        found = []
        for model in self._models:
            config = model.metadata.config
            own = windows[:, self._upstream - config.upstream : self._upstream + config.downstream]
            half_life = None
            if self._half_life is not None and model.metadata.half_life is not None:
                half_life = np.tile(self._half_life, (len(windows), 1))
            found.append(model.predict_members(own, None, half_life))
        return np.concatenate(found)
