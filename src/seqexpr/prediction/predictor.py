"""Predictions in a stream: records are read on one thread while another computes, rows come in input order.

At most a look-ahead of records is in memory, whatever their number. A prediction does not depend on the batch
that its record falls into, beyond the rounding of float32 sums.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch

from seqexpr.errors import DeviceError
from seqexpr.prediction.device import is_out_of_memory, release_memory
from seqexpr.prediction.inputs import InputRecord, ModelNeeds
from seqexpr.prediction.prefetch import Prefetch

if TYPE_CHECKING:
    from seqexpr.models.checkpoint import ModelMetadata

logger = logging.getLogger(__name__)

# Records of full length in a forward pass under "auto". A CPU is fastest when a pass stays within its cache;
# a GPU needs many to be busy, and the number is halved when its memory does not suffice.
_AUTO_BATCH = {"cpu": 2, "cuda": 256, "mps": 32}

# Records among which proteins of like length are put together, so that little padding is computed.
_LOOK_AHEAD = 256


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of the result."""

    id: str
    values: np.ndarray
    """float64 (outputs,) in the labels' units; the mean over the models of an ensemble."""
    sd: np.ndarray | None = None
    """float64 (outputs,) sample standard deviation (n - 1) over the models; None for a single model."""


class Model(Protocol):
    """What the predictor asks of a model; `seqexpr.models.checkpoint.TrainedModel` is one."""

    @property
    def metadata(self) -> ModelMetadata:
        """What the model reads and gives."""
        ...

    def predict(self, dna: np.ndarray | None, protein: np.ndarray | None, half_life: np.ndarray | None) -> np.ndarray:
        """float64 (batch, outputs) from uint8 (batch, letters) tokens and float (batch, 8) raw features."""
        ...


class Predictor:
    """One model, or an ensemble of models that predict the same, over a stream of records.

    Args:
        models: loaded on `device`.
        device: where they compute; decides the batch size under "auto".
        batch_size: records in a forward pass, or "auto": 2 on a CPU and 256 on CUDA of full length, more of
            shorter proteins; halved, for good, whenever memory runs out.
        workers: forward passes at the same time, each on a thread of its own. On a CPU, several passes of one torch
            thread each are faster than one pass of several threads, above all where the cores are shared; see
            `use_threads`.

    Raises:
        UsageError: the models predict different things.
    """

    def __init__(
        self,
        models: Sequence[Model],
        device: str | torch.device = "cpu",
        batch_size: int | Literal["auto"] = "auto",
        workers: int = 1,
    ) -> None:
        self.models = list(models)
        self.needs = ModelNeeds.of([model.metadata for model in self.models])
        self.device = torch.device(device)
        self._automatic = batch_size == "auto"
        self._limit = _AUTO_BATCH.get(self.device.type, 4) if batch_size == "auto" else batch_size
        if self._limit < 1 or workers < 1:
            raise ValueError(f"batch_size and workers must be at least 1, not {batch_size} and {workers}")
        self._workers = workers

    def predict(self, records: Iterable[InputRecord]) -> Iterator[Prediction]:
        """One prediction for each record, in their order.

        Raises:
            DeviceError: memory does not suffice for the batch size given, or under "auto" for one record.
            Exception: whatever `records` raises, after the predictions of the records before.
        """
        at_once = self._limit * self._workers
        with Prefetch(records, depth=2 * at_once) as stream, ThreadPoolExecutor(self._workers) as pool:
            for group in self._groups(stream, at_once):
                values = np.empty((len(group), len(self.models), len(self.needs.outputs)))
                chunks = list(self._chunks(group))
                passes = pool.map(self._forward, [[group[index] for index in chunk] for chunk in chunks])
                for chunk, computed in zip(chunks, passes, strict=True):
                    values[chunk] = computed
                yield from map(self._combine, group, values)

    def _groups(self, stream: Iterator[InputRecord], at_once: int) -> Iterator[list[InputRecord]]:
        """Stretches of the stream that are batched and given out together.

        Stretches of proteins grow from small to the look-ahead, so that the first rows come soon.
        """
        size = at_once
        failure: Exception | None = None
        while failure is None:
            group: list[InputRecord] = []
            try:
                while len(group) < size:
                    group.append(next(stream))
            except StopIteration:
                failure = StopIteration()
            except Exception as error:  # what came before the bad record is still predicted
                failure = error
            if group:
                yield group
            size = min(2 * size, max(_LOOK_AHEAD, at_once)) if self.needs.protein_length else at_once
        if not isinstance(failure, StopIteration):
            raise failure

    def _chunks(self, group: list[InputRecord]) -> Iterator[list[int]]:
        """Indices into the group, one list for each forward pass, records of like protein length together."""
        lengths = [0 if record.protein is None else len(record.protein) for record in group]
        waiting = sorted(range(len(group)), key=lengths.__getitem__)
        window = self.needs.window_length
        while waiting:
            count = min(self._limit, len(waiting))
            if self._automatic:  # short proteins: as many as have the letters of `limit` full records
                letters = self._limit * (window + self.needs.protein_length)
                while count < len(waiting) and (count + 1) * (window + lengths[waiting[count]]) <= letters:
                    count += 1
            yield waiting[:count]
            waiting = waiting[count:]

    def _forward(self, batch: list[InputRecord], planned: int | None = None) -> np.ndarray:
        """float64 (batch, models, outputs), in as many passes as memory allows.

        Args:
            planned: the limit that the batch was made for, when that is no longer the limit in force.
        """
        planned = planned or self._limit
        try:
            # TF32 would round the factors of a convolution to 10 bits, and which algorithm runs would vary.
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                return np.stack([self._predict_one(model, batch) for model in self.models], axis=1)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1 or not self._automatic:
                raise DeviceError(self._memory_advice(len(batch))) from None
        # Outside the handler: the traceback held the tensors of the pass that failed.
        release_memory(self.device)
        if planned == self._limit:  # else an earlier half of the same batch has lowered it already
            self._limit = max(1, self._limit // 2)
            logger.warning("%s memory does not suffice; going on with batch size %d", self.device.type, self._limit)
        half, limit = len(batch) // 2, self._limit
        return np.concatenate([self._forward(batch[:half], limit), self._forward(batch[half:], limit)])

    def _memory_advice(self, records: int) -> str:
        if records == 1:
            return f"{self.device.type} memory does not suffice for a single record; try another --device"
        return f"{self.device.type} memory does not suffice for a batch of {records}; try --batch-size auto"

    def _predict_one(self, model: Model, batch: list[InputRecord]) -> np.ndarray:
        config = model.metadata.config
        dna = protein = half_life = None
        if config.reads_dna:
            start = self.needs.upstream - config.upstream
            stop = self.needs.upstream + config.downstream
            dna = np.stack([_given(record.dna, record, "DNA")[start:stop] for record in batch])
        if config.reads_protein:
            protein = _pad([_given(record.protein, record, "protein") for record in batch], config.protein_length)
        if model.metadata.half_life is not None:  # else it was trained without the features
            half_life = np.stack([_given(record.half_life, record, "half-life features") for record in batch])
        return model.predict(dna, protein, half_life)

    def _combine(self, record: InputRecord, values: np.ndarray) -> Prediction:
        sd = values.std(axis=0, ddof=1) if len(values) > 1 else None
        return Prediction(record.id, values.mean(axis=0), sd)


def _given(value: np.ndarray | None, record: InputRecord, what: str) -> np.ndarray:
    if value is None:
        raise ValueError(f"record {record.id!r} has no {what}, which the model reads")
    return value


def _pad(proteins: list[np.ndarray], longest: int) -> np.ndarray:
    """uint8 (batch, longest of these), padded at the right with 0, cut at `longest` residues."""
    width = min(longest, max(len(protein) for protein in proteins))
    padded = np.zeros((len(proteins), width), dtype=np.uint8)
    for row, protein in zip(padded, proteins, strict=True):
        kept = protein[:width]
        row[: len(kept)] = kept
    return padded
