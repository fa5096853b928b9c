"""Open a prediction from a user's options; what is wrong with them is known before torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from seqexpr.models.registry import DEFAULT_DNA_MODEL, DEFAULT_PROTEIN_MODEL, resolve_models
from seqexpr.models.trained import read_metadata
from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds

if TYPE_CHECKING:
    from seqexpr.prediction.predictor import Prediction, Predictor


@dataclass
class Session:
    """A prediction that is ready to run."""

    sources: InputSources
    needs: ModelNeeds
    counts: InputCounts
    """Complete when the stream has ended."""
    predictor: Predictor
    stream: Generator[Prediction, None, None]
    """One prediction for each record, in the order of the input."""

    @property
    def columns(self) -> list[str]:
        """The columns of the result after the id: each output, and for ensembles its `_sd`."""
        suffixes = ("", "_sd") if self.needs.members > 1 else ("",)
        return [f"{name}{suffix}" for name in self.needs.outputs for suffix in suffixes]


def open_session(
    sources: InputSources | Callable[[ModelNeeds], InputSources],
    models: Sequence[str] = (),
    *,
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
    announce: Callable[[str], None] | None = None,
) -> Session:
    """Check the options, load the models and open the sources.

    Args:
        sources: what the user gave, or what makes it when the models' needs are known.
        models: names, weights files or run folders; none: the bundled model for what is given.
        device: "auto", "cpu", "cuda" or "mps".
        batch_size: records in a forward pass.
        threads: that compute on a CPU; None: the cores that this process may use.
        allow_partial: take the folds that are there of a cross-validation that is not finished.
        announce: gets a line that says which device computes, before anything long begins.

    Raises:
        UsageError: options that do not fit together or to the models.
        MissingDataError: no such model.
        InputError: a file is not as it should be.
        DeviceError: the device is absent.
    """
    if isinstance(sources, InputSources):
        sources.check()
    default = DEFAULT_DNA_MODEL
    if isinstance(sources, InputSources) and not sources.has_dna:
        default = DEFAULT_PROTEIN_MODEL
    paths = resolve_models(list(models) or [default], allow_partial=allow_partial)
    needs = ModelNeeds.of([read_metadata(path) for path in paths])
    chosen = sources if isinstance(sources, InputSources) else sources(needs)
    chosen.check_fit(needs)

    # Torch takes seconds to import: what is wrong with the options is known before.
    from seqexpr.models.trained import load_model
    from seqexpr.prediction.device import choose_device, describe_device, use_threads
    from seqexpr.prediction.predictor import Predictor
    from seqexpr.prediction.records import read_records

    on = choose_device(device)
    workers = use_threads(on, threads)
    if announce is not None:
        announce(f"device: {describe_device(on, workers)}")
    predictor = Predictor([load_model(path, on) for path in paths], on, batch_size, workers)
    counts = InputCounts()
    records = read_records(chosen, needs, counts)
    return Session(chosen, needs, counts, predictor, predictor.predict(records))
