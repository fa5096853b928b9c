"""How large is large: differences that random substitutions in promoters of a model's species make.

A difference of 0.05 means nothing by itself. Its percentile among differences of random substitutions near TSSs does.
The background of weights is a JSON file beside them, named after them; it holds their SHA-256, for other weights have
other differences.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.errors import InputError, UsageError
from seqexpr.files import atomic_path, sha256_file
from seqexpr.own_files import check_shape, list_of, mapping, number, parse_json, record, text, whole

if TYPE_CHECKING:
    from seqexpr.models.trained import TrainedModel

logger = logging.getLogger(__name__)

QUANTILES = 1_000
"""Steps in which the distribution is stored."""

_EXPECTED = "a background of differences, which seqexpr wrote"
_SHAPE = record(
    {
        "sha256": text,
        "substitutions": whole(1),
        "genes": whole(1),
        "seed": whole(0),
        "differences": mapping(list_of(number)),
    }
)


@dataclass(frozen=True)
class Background:
    """Absolute differences of random substitutions."""

    sha256: str
    """Of the weights."""
    substitutions: int
    genes: int
    seed: int
    differences: dict[str, list[float]]
    """Quantiles in equal steps from 0 to 1, ascending, by output."""

    def percentile(self, output: str, delta: float) -> float | None:
        """The percentage of random substitutions that change an output less than this; None for an unknown output."""
        quantiles = self.differences.get(output)
        if quantiles is None:
            return None
        size = abs(delta)
        place = int(np.searchsorted(quantiles, size))  # the first step that is not less
        if place in (0, len(quantiles)):
            return 100.0 if place else 0.0
        below, above = quantiles[place - 1], quantiles[place]
        return 100 * (place - 1 + (size - below) / (above - below)) / (len(quantiles) - 1)


def background_file(weights: Path) -> Path:
    """Where the background of weights lies."""
    return weights.with_name(f"{weights.stem}.background.json")


def read_background(weights: Path) -> Background | None:
    """The background of weights; None where there is none, or it is of other weights, which a warning says.

    Raises:
        InputError: a damaged file.
    """
    file = background_file(weights)
    if not file.is_file():
        return None
    stored = parse_json(file.read_bytes().decode("utf-8", "replace"), file, _EXPECTED, "background")
    check_shape(stored, _SHAPE, file, _EXPECTED, "background")
    for output, quantiles in stored["differences"].items():
        if len(quantiles) < 2 or sorted(quantiles) != quantiles:
            raise InputError(
                file,
                record=f"key {output!r}",
                found=f"{len(quantiles)} quantiles that do not ascend",
                expected=_EXPECTED,
            )
    background = Background(**{name: stored[name] for name in Background.__dataclass_fields__})
    if background.sha256 != sha256_file(weights):
        logger.warning("%s is of other weights than %s: no percentiles", file, weights.name)
        return None
    return background


def write_background(weights: Path, background: Background) -> None:
    """Write the background of weights beside them."""
    with atomic_path(background_file(weights)) as temporary:
        temporary.write_text(json.dumps(background.__dict__) + "\n", encoding="utf-8")


def make_background(
    model: TrainedModel, weights: Path, windows: Iterable[np.ndarray], per_gene: int, seed: int, workers: int = 1
) -> Background:
    """Differences of substitutions at random places of windows.

    Args:
        model: that reads DNA alone.
        weights: its file.
        windows: of genes, uint8 (letters,) each, of the model's length.
        per_gene: substitutions in each window.
        seed: of places and letters.
        workers: threads that compute; the background is the same with any number.

    Raises:
        UsageError: no window has a known letter.
    """
    from seqexpr.effects.mutagenesis import Mutagenesis

    generator, mutagenesis = np.random.default_rng(seed), Mutagenesis([model], model.metadata.config.upstream)

    def drawn() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for window in windows:
            known = np.flatnonzero(window)
            if len(known):
                positions = generator.choice(known, per_gene)
                yield window, positions, (window[positions] - 1 + generator.integers(1, 4, per_gene)) % 4 + 1

    def differences_of(one: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        window, positions, letters = one
        (known,) = mutagenesis.read(window[None])
        changed = mutagenesis.substituted([known] * per_gene, positions, letters.astype(np.uint8)).mean(axis=0)
        return np.abs(changed - known.reference.mean(axis=0))

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(differences_of, drawn()))
    if not found:
        raise UsageError("a background needs windows with letters, and there are none")
    steps = np.quantile(np.concatenate(found), np.linspace(0, 1, QUANTILES + 1), axis=0)
    return Background(
        sha256_file(weights),
        per_gene * len(found),
        len(found),
        seed,
        {output.name: _rounded(steps[:, place]) for place, output in enumerate(model.metadata.outputs)},
    )


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
