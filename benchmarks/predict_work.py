"""Works: predictions for random genes, as `seqexpr predict` computes them and with the plain network."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, repeat
from typing import Any, NoReturn

import numpy as np
import torch

from benchmarks.made_inputs import SEED, random_genes
from benchmarks.plain_perceiver import PlainPerceiver
from benchmarks.serving import Turns, serve
from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel
from seqexpr.prediction.device import keep_freed_memory, use_threads
from seqexpr.prediction.inputs import InputRecord
from seqexpr.prediction.predictor import Predictor
from seqexpr.tasks.synthetic import random_half_life


def untrained(config: PerceiverConfig, device: torch.device) -> Perceiver:
    """A network with its random start, ready to predict."""
    torch.manual_seed(SEED)
    return Perceiver(config).to(device).eval()


def configured(settings: dict[str, Any]) -> PerceiverConfig:
    """The preset's network with the changes that are asked for."""
    return PerceiverConfig.from_preset(settings["preset"], **settings["changes"])


def precision(settings: dict[str, Any]) -> AbstractContextManager[Any]:
    """The context in which a device computes with the numbers asked for."""
    if settings["dtype"] == "bf16":
        return torch.autocast(settings["device"], torch.bfloat16)
    return nullcontext()


class InPrecision:
    """A model for the predictor, whose passes run in a context; the context belongs to the thread that computes."""

    def __init__(self, model: TrainedModel, settings: dict[str, Any]) -> None:
        self._model, self._settings = model, settings

    @property
    def metadata(self) -> ModelMetadata:
        """The model's."""
        return self._model.metadata

    def predict_members(
        self,
        dna: np.ndarray | None,
        protein: np.ndarray | None,
        half_life: np.ndarray | None,
        coding: np.ndarray | None = None,
    ) -> np.ndarray:
        """As the model's."""
        with precision(self._settings):
            return self._model.predict_members(dna, protein, half_life, coding)


def shipped(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """`Predictor` over records in memory, with threads and batches as the command chooses them.

    Settings: preset, changes, genes (the records that are predicted again and again as one stream), batch ("auto" or a
    number), threads, device, dtype, seconds.

    Raises:
        Finished: at the end.
    """
    device, config = torch.device(settings["device"]), configured(settings)
    workers = use_threads(device, settings["threads"])
    random = np.random.default_rng(SEED)
    raw = random_half_life(random, settings["genes"], 0.0)
    schema = HalfLifeSchema.fit(raw) if config.reads_half_life else None
    metadata = ModelMetadata(config, (Output("level"),), schema)
    model = TrainedModel("benchmark", untrained(config, device), metadata)
    models = [model if settings["dtype"] == "fp32" else InPrecision(model, settings)]
    predictor = Predictor(models, device, settings["batch"], workers)
    genes = zip(*random_genes(config, settings["genes"]), raw, strict=True)
    records = [InputRecord(f"gene{number}", *gene) for number, gene in enumerate(genes)]
    turns.give()
    passes = 1
    while True:
        begun = time.perf_counter()
        items = sum(1 for _ in predictor.predict(chain.from_iterable(repeat(records, passes))))
        elapsed = time.perf_counter() - begun
        passes = max(1, round(settings["seconds"] * passes / elapsed))  # one stream a turn, and as long as asked for
        turns.give(items=items, seconds=elapsed)


def plain(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """The plain network over tensors in memory, batch after batch, in torch's own threads.

    Settings: as for `shipped`, with a number as batch, and allocator: "default" or "tuned".

    Raises:
        Finished: at the end.
    """
    if settings["allocator"] == "tuned":
        keep_freed_memory()
    torch.set_num_threads(settings["threads"])
    device, config = torch.device(settings["device"]), configured(settings)
    network = PlainPerceiver.of(untrained(config, device))
    windows, proteins = random_genes(config, settings["genes"])
    tokens = {"dna": _padded(windows, config.window_length), "protein": _padded(proteins, config.protein_length)}
    half_life = torch.randn(settings["genes"], 8)
    batches = repeat(torch.arange(settings["genes"]).split(settings["batch"]))

    def predict(batch: torch.Tensor) -> int:
        inputs = [tokens[kind][batch].to(device) for kind in (config.latent_input, config.query_input)]
        with torch.inference_mode(), precision(settings):
            network(*inputs, half_life[batch].to(device)).cpu()
        return len(batch)

    stream = chain.from_iterable(batches)
    serve(lambda: predict(next(stream)), turns, settings["seconds"])


def _padded(sequences: list[np.ndarray | None], length: int) -> torch.Tensor:
    """uint8 (genes, length), with zeros behind the ends; of length 0 where there are no sequences."""
    padded = np.zeros((len(sequences), length), dtype=np.uint8)
    for row, sequence in zip(padded, sequences, strict=True):
        if sequence is not None:
            row[: len(sequence)] = sequence
    return torch.from_numpy(padded)
