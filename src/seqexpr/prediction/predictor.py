"""Predictions in a stream: records are read on one thread while others compute, rows come in input order.

At most a few look-aheads of records are in memory, whatever their number. A prediction does not depend on the batch
that its record falls into, beyond the rounding of float32 sums.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch

from seqexpr.errors import DeviceError
from seqexpr.models import kernels
from seqexpr.prediction.device import is_out_of_memory, release_memory
from seqexpr.prediction.inputs import InputRecord, ModelNeeds
from seqexpr.prediction.pool import Conveyor

if TYPE_CHECKING:
    from seqexpr.models.trained import ModelMetadata

logger = logging.getLogger(__name__)

# Records of full length in a forward pass under "auto". A few hide on a CPU what a pass costs whatever its size;
# a GPU needs many to be busy, and the number is halved when its memory runs out.
_AUTO_BATCH = {"cpu": 16, "cuda": 256, "mps": 32}
_AUTO_BATCH_WITH_PROTEINS = {**_AUTO_BATCH, "cpu": 2}  # of full length, so thirty of usual length

# Records among which proteins of like length are put together, so that little padding is computed.
_LOOK_AHEAD = 256

# Proteins of usual length in the place of one of full length: for how much reading ahead keeps all workers busy.
_USUAL_IN_LONGEST = 16


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of the result."""

    id: str
    values: np.ndarray
    """float64 (outputs,) in the labels' units; the mean over all members of all models."""
    sd: np.ndarray | None = None
    """float64 (outputs,): for one model whose outputs are calibrated, the error to expect; else the sample standard
    deviation (n - 1) over the members; None for a single one."""


class Model(Protocol):
    """What the predictor asks of a model; `seqexpr.models.trained.TrainedModel` is one."""

    @property
    def metadata(self) -> ModelMetadata:
        """What the model reads and gives."""
        ...

    def predict_members(
        self,
        dna: np.ndarray | None,
        protein: np.ndarray | None,
        half_life: np.ndarray | None,
        coding: np.ndarray | None = None,
    ) -> np.ndarray:
        """float64 (members, batch, outputs) from uint8 (batch, letters) tokens and float (batch, 8) raw features."""
        ...


class Predictor:
    """One model, or an ensemble of models that predict the same, over a stream of records.

    Args:
        models: loaded on `device`.
        device: where they compute; decides the batch size under "auto".
        batch_size: records in a forward pass, or "auto": on a CPU 16 windows or 2 proteins of full length, on CUDA
            256; more of shorter proteins; halved, for good, whenever memory runs out.
        workers: forward passes at the same time, each on a thread of its own. On a CPU, several passes of one torch
            thread each are faster than one pass of several threads, above all where the cores are shared. On CUDA,
            with two, a batch is made while another is computed. See `use_threads`.
        precision: of the kernels of a CUDA device, see `choose_precision`.

    Raises:
        UsageError: the models predict different things.
    """

    def __init__(
        self,
        models: Sequence[Model],
        device: str | torch.device = "cpu",
        batch_size: int | Literal["auto"] = "auto",
        workers: int = 1,
        precision: kernels.Precision = "fp32",
    ) -> None:
        self.models = list(models)
        self.needs = ModelNeeds.of([model.metadata for model in self.models])
        # Models together were not calibrated together.
        alone = self.models[0].metadata.outputs if len(self.models) == 1 else ()
        self._calibrations = [output.calibration for output in alone]
        self.suffixes = tuple("_sd" if calibration is not None else "_spread" for calibration in self._calibrations)
        """Of each output's second column: `_sd` is the calibrated error to expect, `_spread` the members' spread."""
        if not self.suffixes:
            self.suffixes = ("_spread",) * len(self.needs.outputs)
        self.device = torch.device(device)
        self._automatic = batch_size == "auto"
        usual = _AUTO_BATCH_WITH_PROTEINS if self.needs.protein_length else _AUTO_BATCH
        self._limit = usual.get(self.device.type, 4) if batch_size == "auto" else batch_size
        self._halving = threading.Lock()
        if self._limit < 1 or workers < 1:
            raise ValueError(f"batch_size and workers must be at least 1, not {batch_size} and {workers}")
        self.precision = precision
        self.workers = workers
        """Forward passes at the same time, each on a thread of its own."""

    def predict(self, records: Iterable[InputRecord]) -> Generator[Prediction, None, None]:
        """One prediction for each record, in their order. Close the iterator when it is left half-way.

        A record does not wait for later ones longer than a moment where `records` pauses.

        Raises:
            DeviceError: out of memory for the batch size given, or under "auto" for one record.
            Exception: whatever `records` raises, after the predictions of the records before.
        """
        stretch = max(_LOOK_AHEAD, 4 * self._limit) if self.needs.protein_length else self._limit
        in_pass = min(stretch, self._limit * (_USUAL_IN_LONGEST if self._by_letters else 1))
        with Conveyor(
            records,
            stretches=_growing(4 * self._limit, stretch),
            cut=self._cut,
            compute=self._forward,
            workers=self.workers,
            room=2 * (stretch + self.workers * in_pass),
        ) as rows:
            yield from rows

    @property
    def _by_letters(self) -> bool:
        """Whether the letters of a pass count, not its records: short proteins are cheap."""
        return self._automatic and self.needs.protein_length > 0

    def _cut(self, records: Sequence[InputRecord]) -> Iterator[list[int]]:
        """Indices of the records of each forward pass, proteins of like length together, the longest first."""
        order = sorted(range(len(records)), key=lambda index: -_letters(records[index]))
        while order:
            count = self._most_of(records[order[0]])
            yield order[:count]
            order = order[count:]

    def _most_of(self, record: InputRecord) -> int:
        """How many records as long as this one may be in a forward pass now."""
        if not self._by_letters:
            return self._limit
        window = self.needs.window_length
        letters = self._limit * (window + self.needs.protein_length)
        return max(self._limit, letters // max(1, window + _letters(record)))

    def _forward(self, batch: Sequence[InputRecord]) -> list[Prediction]:
        """The predictions of a batch, in as many passes as memory allows; on several threads at once."""
        if self._is_too_large(batch):  # it was made before the limit was lowered
            return self._in_halves(batch)
        try:
            values = np.concatenate([self._predict_one(model, batch) for model in self.models])
            return list(map(self._combine, batch, values.swapaxes(0, 1)))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1 or not self._automatic:
                raise DeviceError(self._memory_advice(len(batch))) from None
        # Outside the handler: the traceback held the tensors of the pass that failed.
        release_memory(self.device)
        with self._halving:
            if self._limit > 1 and not self._is_too_large(batch):  # else another worker has lowered it meanwhile
                self._limit //= 2
                logger.warning("out of memory on %s; continuing with batch size %d", self.device.type, self._limit)
        return self._in_halves(batch)

    def _is_too_large(self, batch: Sequence[InputRecord]) -> bool:
        return len(batch) > self._most_of(max(batch, key=_letters))

    def _in_halves(self, batch: Sequence[InputRecord]) -> list[Prediction]:
        half = len(batch) // 2
        return [*self._forward(batch[:half]), *self._forward(batch[half:])]

    def _memory_advice(self, records: int) -> str:
        fewer = f"fewer --threads than {self.workers}" if self.workers > 1 else "another --device"
        if records == 1:
            return f"out of memory on {self.device.type} for a single record; try {fewer}"
        return f"out of memory on {self.device.type} for a batch of {records}; try --batch-size auto"

    def _predict_one(self, model: Model, batch: Sequence[InputRecord]) -> np.ndarray:
        """float64 (members, batch, outputs) of one model."""
        config = model.metadata.config
        dna = protein = half_life = coding = None
        if config.reads_dna:
            start = self.needs.upstream - config.upstream
            stop = self.needs.upstream + config.downstream
            dna = np.stack([_given(record.dna, record, "DNA")[start:stop] for record in batch])
        if config.reads_protein:
            protein = _pad([_given(record.protein, record, "protein") for record in batch], config.protein_length)
        if model.metadata.half_life is not None:  # else it was trained without the features
            half_life = np.stack([_given(record.half_life, record, "half-life features") for record in batch])
        if config.reads_coding:
            unknown = np.empty(0, np.uint8)
            coding = _pad([unknown if one.coding is None else one.coding for one in batch], config.coding_length)
        with kernels.computing_in(self.precision):
            return model.predict_members(dna, protein, half_life, coding)

    def _combine(self, record: InputRecord, values: np.ndarray) -> Prediction:
        mean = values.mean(axis=0)
        if len(values) == 1:
            return Prediction(record.id, mean)
        sd = values.std(axis=0, ddof=1)
        for column, calibration in enumerate(self._calibrations):
            if calibration is not None:
                sd[column] = calibration.sd(mean[column], sd[column])
        return Prediction(record.id, mean, sd)


def _growing(size: int, largest: int) -> Iterator[int]:
    """Sizes of stretches: small at first, so that the first rows come soon."""
    while True:
        size = min(size, largest)
        yield size
        size *= 2


def _letters(record: InputRecord) -> int:
    return 0 if record.protein is None else len(record.protein)


def _given(value: np.ndarray | None, record: InputRecord, what: str) -> np.ndarray:
    if value is None:
        raise ValueError(f"record {record.id!r} has no {what}, which the model reads")
    return value


def _pad(sequences: list[np.ndarray], longest: int) -> np.ndarray:
    """uint8 (batch, longest of these), padded at the right with 0, cut at `longest` tokens."""
    width = min(longest, max(map(len, sequences)))
    padded = np.zeros((len(sequences), width), dtype=np.uint8)
    for row, tokens in zip(padded, sequences, strict=True):
        kept = tokens[:width]
        row[: len(kept)] = kept
    return padded
