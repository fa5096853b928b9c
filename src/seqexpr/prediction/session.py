"""Open a prediction from a user's options; what is wrong with them is known before torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seqexpr.files import sha256_file
from seqexpr.models.input_range import RangeCounts, coding_features, dna_features, protein_features
from seqexpr.models.registry import DEFAULT_DNA_MODEL, DEFAULT_PROTEIN_MODEL, resolve_models
from seqexpr.models.trained import ModelMetadata, read_metadata, tensors_file
from seqexpr.prediction.inputs import InputCounts, InputRecord, InputSources, ModelNeeds

if TYPE_CHECKING:
    from seqexpr.prediction.predictor import Prediction, Predictor
    from seqexpr.prediction.shards import Share


@dataclass
class Session:
    """A prediction that is ready to run."""

    sources: InputSources
    needs: ModelNeeds
    counts: InputCounts
    """Complete when the stream has ended."""
    predictor: Predictor
    records: Iterator[InputRecord]
    """What the models read of each gene, to be gone through once: by `stream`, or by who computes something else."""
    stream: Generator[Prediction, None, None]
    """One prediction for each record, in the order of the input."""
    model: str
    species: str
    outside: RangeCounts | None
    """Genes that lie outside what the (first) model was trained on; None where its weights do not say."""
    weights: Sequence[Path] = ()
    """Files of the models."""

    def warning(self) -> str | None:
        """A line about genes outside what the model was trained on; complete when the stream has ended."""
        return None if self.outside is None else self.outside.describe(self.model, self.species)

    def checksums(self) -> list[dict[str, str]]:
        """Of each weights file its `name` and the `sha256` of the file that holds its numbers."""
        return _checksums(self.weights)

    def made_of(self) -> dict[str, Any]:
        """What decides the numbers of a record, as shards compare it."""
        return {
            "models": self.checksums(),
            "device": self.predictor.device.type,
            "--precision": self.predictor.precision,
        }

    def described(self) -> str:
        """Which models predict, in a few words."""
        others = len(self.predictor.models) - 1
        more = f" and {others} other network{'s' if others > 1 else ''}" if others else ""
        return f"{self.model}{more}{f': {self.species}' if self.species else ''}"

    @property
    def columns(self) -> list[str]:
        """The columns of the result after the id: each output, and its `_sd` or `_spread` where there are members."""
        if self.needs.members == 1:
            return list(self.needs.outputs)
        pairs = zip(self.needs.outputs, self.predictor.suffixes, strict=True)
        return [column for name, suffix in pairs for column in (name, f"{name}{suffix}")]


def open_session(
    sources: InputSources | Callable[[ModelNeeds], InputSources],
    models: Sequence[str] = (),
    *,
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
    announce: Callable[[str], None] | None = None,
    precision: str = "fp32",
    share: Share | None = None,
) -> Session:
    """Check the options, load the models and open the sources.

    Args:
        sources: what the user gave, or what makes it when the models' needs are known.
        models: names, weights files or run folders; none: the bundled model for what is given.
        device: "auto", "cpu", "cuda" or "mps".
        batch_size: records in a forward pass.
        threads: that compute on a CPU; None: the cores that this process may use.
        allow_partial: take the folds that are there of a cross-validation that is not finished.
        announce: gets a line that says which device and which models compute, before anything long begins.
        precision: "auto", "fp16" or "fp32", see `choose_precision`.
        share: of a shard, whose records alone are predicted; None: all records.

    Raises:
        UsageError: options that do not fit together or to the models.
        MissingDataError: no such model.
        InputError: a file is not as it should be.
        DeviceError: the device is absent, or has no such precision.
    """
    if isinstance(sources, InputSources):
        sources.check()
    if not models:
        models = default_models(sources) if isinstance(sources, InputSources) else [DEFAULT_DNA_MODEL]
    models_chosen = choose_models(models, allow_partial=allow_partial)
    chosen = sources if isinstance(sources, InputSources) else sources(models_chosen.needs)
    chosen.check_fit(models_chosen.needs)

    def say(device: str) -> None:
        if announce is not None:
            announce(models_chosen.announcement(device))

    predictor = load_predictor(models_chosen.paths, device, batch_size, threads, say, precision)
    session = start_session(chosen, predictor, models_chosen.title, models_chosen.metadata[0], share)
    return replace(session, weights=models_chosen.paths)


def default_models(sources: InputSources) -> list[str]:
    """The bundled model for what is given: that of proteins only where there is no DNA."""
    return [DEFAULT_PROTEIN_MODEL if sources.has_proteins and not sources.has_dna else DEFAULT_DNA_MODEL]


@dataclass(frozen=True)
class ChosenModels:
    """The models that a user named, before their weights are read."""

    given: tuple[tuple[str, tuple[Path, ...]], ...]
    """Each name, and the weights files that it stands for."""
    metadata: tuple[ModelMetadata, ...]
    """Of each weights file."""
    needs: ModelNeeds

    @property
    def paths(self) -> list[Path]:
        """All weights files."""
        return [path for _, found in self.given for path in found]

    @property
    def title(self) -> str:
        """What the user calls the first of them."""
        return _title(self.paths[0])

    def checksums(self) -> list[dict[str, str]]:
        """Of each weights file its `name` and the `sha256` of the file that holds its numbers."""
        return _checksums(self.paths)

    def announcement(self, device: str) -> str:
        """The line that says which device, in words, and which models compute."""
        named = (_described(name, read_metadata(found[0]).species, len(found)) for name, found in self.given)
        return "; ".join([f"device: {device}", *named])


def choose_models(models: Sequence[str], *, allow_partial: bool = False) -> ChosenModels:
    """Find models and what they need together.

    Args:
        models: names, weights files or run folders.
        allow_partial: take the folds that are there of a cross-validation that is not finished.

    Raises:
        UsageError: they predict different things.
        MissingDataError: no such model.
        InputError: a file is not as it should be.
    """
    given = tuple((name, tuple(resolve_models([name], allow_partial=allow_partial))) for name in models)
    metadata = tuple(read_metadata(path) for _, found in given for path in found)
    return ChosenModels(given, metadata, ModelNeeds.of(metadata))


def _checksums(weights: Sequence[Path]) -> list[dict[str, str]]:
    return [{"name": _title(path), "sha256": sha256_file(tensors_file(path))} for path in weights]


def _title(weights: Path) -> str:
    """What a user calls these weights: their file, or the run, of which they may be a fold."""
    folder = weights.absolute().parent
    if weights.name != "weights.safetensors":
        return weights.stem
    return folder.parent.parent.name if folder.parent.name == "folds" else folder.name


def _described(name: str, species: str, count: int) -> str:
    """Of which species a model is; of one of the user's own, of how many networks."""
    counted = f"{count} network{'' if count == 1 else 's'}" if count > 1 or not species else ""
    return f"{name}: {', '.join(part for part in (species, counted) if part)}"


def load_predictor(
    paths: Sequence[Path],
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    threads: int | None = None,
    announce: Callable[[str], None] | None = None,
    precision: str = "fp32",
) -> Predictor:
    """Load weights files onto a device; several are an ensemble.

    Args:
        paths: of the weights.
        device: "auto", "cpu", "cuda" or "mps".
        batch_size: records in a forward pass.
        threads: that compute on a CPU; None: the cores that this process may use.
        announce: gets the device in words, before the weights are read.
        precision: "auto", "fp16" or "fp32", see `choose_precision`.

    Raises:
        UsageError: the models predict different things.
        InputError: damaged weights.
        DeviceError: the device is absent, or has no such precision.
    """
    # Torch takes seconds to import: what is wrong with the options is known before.
    from seqexpr.models.trained import load_model
    from seqexpr.prediction.device import choose_device, choose_precision, describe_device, use_threads
    from seqexpr.prediction.predictor import Predictor

    on = choose_device(device)
    numbers = choose_precision(precision, on)
    workers = use_threads(on, threads)
    if announce is not None:
        announce(describe_device(on, workers, numbers))
    return Predictor([load_model(path, on) for path in paths], on, batch_size, workers, numbers)


def start_session(
    sources: InputSources, predictor: Predictor, name: str, first: ModelMetadata, share: Share | None = None
) -> Session:
    """Open sources for models that are loaded.

    Args:
        sources: options that are checked and fit the models.
        predictor: what computes.
        name: of the (first) model, for messages.
        first: what it was trained on.
        share: of a shard, whose records alone are predicted; None: all records.

    Raises:
        InputError: a file is not as it should be.
    """
    from seqexpr.prediction.records import read_records

    needs = predictor.needs
    counts = InputCounts()
    records = read_records(sources, needs, counts, share)
    outside = None if first.input_range is None else RangeCounts(first.input_range)
    if outside is not None:
        records = _watched(records, first, needs, outside)
    return Session(sources, needs, counts, predictor, records, predictor.predict(records), name, first.species, outside)


def _watched(
    records: Iterator[InputRecord], model: ModelMetadata, needs: ModelNeeds, outside: RangeCounts
) -> Iterator[InputRecord]:
    """The same records, each compared with what the model was trained on."""
    for record in records:
        outside.add(range_features(record, model, needs))
        yield record


def range_features(
    record: InputRecord, model: ModelMetadata, needs: ModelNeeds
) -> list[tuple[Sequence[str], np.ndarray]]:
    """What of a record is compared with the genes that a model was trained on, as `RangeCounts.add` takes it."""
    config = model.config
    parts: list[tuple[Sequence[str], np.ndarray]] = []
    if record.dna is not None and config.reads_dna:
        own = record.dna[needs.upstream - config.upstream : needs.upstream + config.downstream]
        parts.append(dna_features(own[None], config.upstream))
    if record.protein is not None and config.reads_protein:
        parts.append(protein_features([record.protein[: config.protein_length]]))
    if record.half_life is not None and model.half_life is not None:
        parts.append((model.half_life.names, record.half_life[None]))
    if config.reads_coding:
        coding = np.empty(0, np.uint8) if record.coding is None else record.coding[: config.coding_length]
        parts.append(coding_features([coding]))
    return parts
