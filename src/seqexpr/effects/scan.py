"""The level that models would predict if a TSS lay at each position of a genome, on both strands, in a stream."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from typing import TYPE_CHECKING, Literal

import numpy as np

from seqexpr.errors import DeviceError, UsageError
from seqexpr.prediction.inputs import ModelNeeds
from seqexpr.prediction.pool import Conveyor
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import STRANDS, Interval, Tss

if TYPE_CHECKING:
    import torch

    from seqexpr.effects.shared_model import SharedModel
    from seqexpr.models.config import PerceiverConfig
    from seqexpr.models.trained import TrainedModel
    from seqexpr.prediction.session import ChosenModels

logger = logging.getLogger(__name__)

_POSITIONS = 256
"""Positions in a stretch, whatever the threads and the batch size: a stretch is computed the same way always."""

_AUTO_BATCH = {"cpu": 16, "cuda": _POSITIONS, "mps": 32}


@dataclass(frozen=True)
class Levels:
    """What was predicted for neighbouring positions of one strand."""

    region: Interval
    strand: str
    starts: np.ndarray
    """int64 (positions,): the first transcribed bases, ascending"""
    ends: np.ndarray
    """int64 (positions,): where the next position begins, or the region ends"""
    values: np.ndarray
    """float64 (positions, outputs) in the labels' units, the mean over all members of all models; NaN where the window
    holds no known letter"""


@dataclass(frozen=True)
class _Stretch:
    """Windows of neighbouring positions, and the letters that hold them all."""

    region: Interval
    strand: str
    starts: np.ndarray
    step: int
    tokens: np.ndarray
    """uint8 (letters,), strand-oriented"""
    offsets: np.ndarray
    """int64 (positions,): of each window in them"""


def check_models(needs: ModelNeeds) -> None:
    """Check that models read DNA alone, but for what is optional.

    Raises:
        UsageError: they read proteins.
    """
    if needs.protein_length:
        raise UsageError("the model reads proteins, which positions of a genome do not have: scan takes models of DNA")


def stretch_sizes(regions: Sequence[Interval], step: int) -> Iterator[int]:
    """Positions of each stretch of the regions, in the order in which a scan computes them."""
    for region in regions:
        positions = -(-len(region) // step)
        for _ in STRANDS:
            yield from (min(_POSITIONS, positions - at) for at in range(0, positions, _POSITIONS))


class Scanner:
    """Models over all positions of regions.

    Args:
        models: loaded on `device`; they read DNA alone.
        device: where they compute.
        batch_size: windows in a forward pass; "auto" is 16 on a CPU and 256 on CUDA, halved, for good, whenever memory
            runs out.
        workers: stretches of the genome computed at the same time.

    Raises:
        UsageError: the models predict different things, or read proteins.
    """

    def __init__(
        self,
        models: Sequence[TrainedModel],
        device: str | torch.device = "cpu",
        batch_size: int | Literal["auto"] = "auto",
        workers: int = 1,
    ) -> None:
        import torch

        from seqexpr.effects.shared_model import SharedModel

        self.needs = ModelNeeds.of([model.metadata for model in models])
        check_models(self.needs)
        self.device = torch.device(device)
        self._models = [(SharedModel(model), model.metadata.config) for model in models]
        self._automatic = batch_size == "auto"
        self._limit = _AUTO_BATCH.get(self.device.type, 4) if batch_size == "auto" else batch_size
        self._halving = threading.Lock()
        self._workers = workers

    @property
    def shares(self) -> bool:
        """Whether overlapping windows can share work, in all models."""
        return all(model.shares for model, _ in self._models)

    def scan(
        self, genome: Genome, regions: Sequence[Interval], step: int, part: range | None = None
    ) -> Generator[Levels, None, None]:
        """Levels at every `step`-th base of each region, from its start: of each region + and then -.

        Close the iterator when it is left half-way.

        Args:
            genome: in which the regions lie.
            regions: what is scanned.
            step: bases from one position to the next.
            part: of the stretches, by their numbers in the order of `stretch_sizes`; None: all.

        Raises:
            InputError: a region outside the genome, or letters that are not DNA.
            DeviceError: out of memory.
        """
        with Conveyor(
            self._stretches(genome, regions, step, part),
            stretches=repeat(1),
            cut=lambda items: [[place] for place in range(len(items))],
            compute=lambda items: [self._levels(stretch) for stretch in items],
            workers=self._workers,
            room=2 * self._workers + 2,
        ) as levels:
            yield from levels

    def _stretches(
        self, genome: Genome, regions: Sequence[Interval], step: int, part: range | None
    ) -> Iterator[_Stretch]:
        up, down = self.needs.upstream, self.needs.downstream
        numbers = count()
        for region in regions:
            every = np.arange(region.start, region.end, step)
            for strand in STRANDS:
                for at in range(0, len(every), _POSITIONS):
                    number = next(numbers)
                    if part is not None and number not in part:
                        continue
                    starts = every[at : at + _POSITIONS]
                    first, last = (_site(region.chrom, int(starts[end]), strand).window(up, down) for end in (0, -1))
                    whole = Interval(region.chrom, first.start, last.end, strand)
                    offsets = starts - starts[0] if strand == "+" else starts[-1] - starts
                    yield _Stretch(region, strand, starts, step, genome.tokens(whole), offsets)

    def _levels(self, stretch: _Stretch) -> Levels:
        """Several threads call it at the same time."""
        values = np.full((len(stretch.starts), len(self.needs.outputs)), np.nan)
        known = np.concatenate([[0], np.cumsum(stretch.tokens > 0)])
        chosen = np.flatnonzero(known[stretch.offsets + self.needs.window_length] > known[stretch.offsets])
        if len(chosen):
            values[chosen] = self._predict(stretch.tokens, stretch.offsets[chosen])
        ends = np.minimum(stretch.starts + stretch.step, stretch.region.end)
        return Levels(stretch.region, stretch.strand, stretch.starts, ends, values)

    def _predict(self, tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """float64 (windows, outputs) at these offsets, in as many passes as memory allows."""
        from seqexpr.prediction.device import is_out_of_memory, release_memory

        limit = self._limit
        while True:
            try:
                found = [self._predict_one(*one, tokens, offsets, limit) for one in self._models]
                return np.concatenate(found).mean(axis=0)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if limit == 1 or not self._automatic:
                    raise DeviceError(
                        f"out of memory on {self.device.type} for a batch of {limit}; try --batch-size auto"
                        if limit > 1
                        else f"out of memory on {self.device.type} for a single window; try another --device"
                    ) from None
            release_memory(self.device)
            limit //= 2
            with self._halving:
                if limit < self._limit:  # else another worker has lowered it meanwhile
                    self._limit = limit
                    logger.warning("out of memory on %s; continuing with batch size %d", self.device.type, limit)

    def _predict_one(
        self, model: SharedModel, config: PerceiverConfig, tokens: np.ndarray, offsets: np.ndarray, limit: int
    ) -> np.ndarray:
        """float64 (members, windows, outputs) of one model."""
        own = offsets + self.needs.upstream - config.upstream
        begin = own.min()
        stretch = tokens[begin : own.max() + config.window_length]
        shared = model.windows(stretch, (own - begin).tolist())
        letters = np.lib.stride_tricks.sliding_window_view(stretch, config.window_length)
        found = []
        for start in range(0, len(own), limit):
            part = slice(start, start + limit)
            found.append(model.predict(letters[own[part] - begin], shared, part))
        return np.concatenate(found, axis=1)


def load_scanner(
    models: ChosenModels,
    *,
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    threads: int | None = None,
    announce: Callable[[str], None] | None = None,
) -> Scanner:
    """Load models that read DNA alone onto a device.

    Args:
        models: as the user named them.
        device: "auto", "cpu", "cuda" or "mps".
        batch_size: windows in a forward pass.
        threads: that compute on a CPU; None: the cores that this process may use.
        announce: gets a line that says which device and which models compute, before the weights are read, and one
            where overlapping windows can share no work.

    Raises:
        UsageError: the models read proteins.
        InputError: damaged weights.
        DeviceError: the device is absent.
    """
    check_models(models.needs)
    # Torch takes seconds to import: what is wrong with the options is known before.
    from seqexpr.models.trained import load_model
    from seqexpr.prediction.device import choose_device, describe_device, use_threads

    say = announce or (lambda text: None)
    on = choose_device(device)
    workers = use_threads(on, threads)
    say(models.announcement(describe_device(on, workers)))
    scanner = Scanner([load_model(path, on) for path in models.paths], on, batch_size, workers)
    if not scanner.shares:
        say("overlapping windows share no work: a model has no query tower, and every window is computed whole")
    return scanner


def _site(contig: str, position: int, strand: str) -> Tss:
    """The TSS whose first transcribed base is this position."""
    return Tss(f"{contig}:{position + 1}", contig, position if strand == "+" else position + 1, strand)
