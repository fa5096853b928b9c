"""A model over overlapping windows of which no half-life feature is known, with the work that they share done once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seqexpr.effects.shared_attention import SharedAttention
from seqexpr.effects.shared_tower import SharedTower, SharedWindows
from seqexpr.models.config import HALF_LIFE_FEATURES
from seqexpr.models.fixed_batch import in_fixed_batches
from seqexpr.models.perceiver import LatentBlock, known_letters
from seqexpr.models.transfers import to_device

if TYPE_CHECKING:
    from seqexpr.models.trained import TrainedModel


class SharedModel:
    """What a model says of windows of a stretch, in the numbers of `TrainedModel.predict_members`.

    Before the latents attend they are the same for all windows, so the logits of every letter at every position are a
    table, which is computed once; and the query tower shares what `SharedTower` says.

    Args:
        model: that reads DNA alone.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._model, self._network = model, model.network.eval()
        self._tower: SharedTower | None = None
        if not self.shares:
            return
        network = self._network
        self._tower = SharedTower(network.tower)
        block = network.blocks[0]
        assert isinstance(block, LatentBlock)
        self._block = block
        self._unknown = torch.zeros(1, HALF_LIFE_FEATURES, device=network.device)
        self._attention = SharedAttention(network, self._unknown)

    @property
    def shares(self) -> bool:
        """Whether overlapping windows can share work."""
        return self._model.metadata.config.sequence_flows

    @torch.inference_mode()
    def windows(self, stretch: np.ndarray, offsets: list[int]) -> SharedWindows | None:
        """Do the shared work of the query tower; None where it does not pay.

        Args:
            stretch: uint8 (letters,), from the first window's first letter to the last one's last.
            offsets: of the windows' first letters in it.
        """
        if self._tower is None or not self._tower.pays(len(stretch), offsets):
            return None
        return self._tower.windows(to_device(stretch, self._network.device), offsets)

    def predict(self, windows: np.ndarray, shared: SharedWindows | None, chosen: slice) -> np.ndarray:
        """What each member says of windows: float64 (members, windows, outputs). Several threads may call it.

        Args:
            windows: uint8 (windows, letters).
            shared: what `windows` gave for them and others.
            chosen: which of those they are.
        """
        if not self.shares:
            return self._model.predict_members(windows, None, None)
        network = self._network
        with torch.inference_mode():
            tokens = to_device(windows, network.device)
            queried = (network.tower(tokens) if shared is None else shared.tower(chosen)).flatten(1)
            if network.config.half_life_query:
                queried = torch.cat([queried, self._unknown.expand(len(tokens), -1)], dim=1)
            joined = in_fixed_batches(network.join, queried, self._encode(tokens), fixed=True)
            return self._model.unscale(network.members_of(joined, tokens, tokens))

    def _encode(self, tokens: Tensor) -> Tensor:
        """As `Perceiver.encode`."""
        first, logits = self._attention.first, self._attention.logits
        if first is None or logits is None:
            return self._network.encode(tokens, self._unknown.expand(len(tokens), -1))
        means, _ = logits.attend(tokens, known_letters(tokens))
        latents = self._block.later_steps(first + self._block.cross.of_means(means))
        for block in list(self._network.blocks)[1:]:
            latents = block(latents, *self._network.attended(tokens, latents))
        return latents
