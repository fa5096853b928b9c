"""How large is large: differences that random substitutions in promoters of a model's species make.

A difference of 0.05 means nothing by itself. Its percentile among differences of random substitutions near TSSs does.
The background of weights is a JSON file: of one network beside its weights and named after them, of a `cv` run in the
run's folder, of networks from several places in the cache. It holds the SHA-256 of the weights, for others have other
differences.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.errors import InputError, UsageError
from seqexpr.files import atomic_path, sha256_file
from seqexpr.own_files import check_shape, list_of, mapping, number, parse_json, record, text, whole
from seqexpr.paths import cached_path

if TYPE_CHECKING:
    from seqexpr.models.trained import TrainedModel

logger = logging.getLogger(__name__)

QUANTILES = 1_000
"""Steps in which the distribution is stored."""

_GENES = 16
"""Whose substitutions are computed together."""

_SUFFIX = ".background.json"
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
    """Of the weights; of several files, of their sorted checksums, a line for each."""
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


def background_file(weights: Sequence[Path]) -> Path:
    """Where the background of an ensemble, or of a single weights file, lies."""
    if len(weights) == 1:
        return weights[0].with_name(f"{weights[0].stem}{_SUFFIX}")
    folds = weights[0].absolute().parent.parent
    if folds.name == "folds" and sorted(folds.glob("*/weights.safetensors")) == sorted(map(Path.absolute, weights)):
        return folds.with_name(_SUFFIX[1:])
    return cached_path("weights", f"{_digest(weights)}{_SUFFIX}")


def _digest(weights: Sequence[Path]) -> str:
    """As `Background.sha256`."""
    sums = sorted(map(sha256_file, weights))
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(f"{one}\n" for one in sums).encode()).hexdigest()


def read_background(weights: Sequence[Path], title: str | None = None) -> Background | None:
    """The background of weights; None where there is none, or it is of other weights, which a warning says.

    Args:
        weights: one file, or those of an ensemble, in any order.
        title: what the user calls them; None: as the (first) file.

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
    if background.sha256 != _digest(weights):
        logger.warning("%s is of other weights than %s: no percentiles", file, title or weights[0].name)
        return None
    return background


def write_background(weights: Sequence[Path], background: Background) -> None:
    """Write the background of weights where `read_background` looks for it."""
    with atomic_path(background_file(weights)) as temporary:
        temporary.write_text(json.dumps(background.__dict__) + "\n", encoding="utf-8")


def make_background(
    models: Sequence[TrainedModel],
    weights: Sequence[Path],
    upstream: int,
    windows: Iterable[np.ndarray],
    per_gene: int,
    seed: int,
    workers: int = 1,
) -> Background:
    """Differences of substitutions at random places of windows.

    Args:
        models: that read DNA alone and predict the same; several are an ensemble.
        weights: their files.
        upstream: where the TSS boundary lies in windows.
        windows: of genes, uint8 (letters,) each, as wide as the widest of the models' windows.
        per_gene: substitutions in each window.
        seed: of places and letters.
        workers: threads that compute; the background is the same with any number.

    Raises:
        UsageError: no window has a known letter.
    """
    from seqexpr.effects.mutagenesis import Mutagenesis
    from seqexpr.prediction.device import computing_threads

    generator, mutagenesis = np.random.default_rng(seed), Mutagenesis(models, upstream)

    def drawn() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for window in windows:
            known = np.flatnonzero(window)
            if len(known):
                positions = generator.choice(known, per_gene)
                yield window, positions, (window[positions] - 1 + generator.integers(1, 4, per_gene)) % 4 + 1

    def differences_of(genes: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        """(per_gene, outputs) of each gene."""
        known = mutagenesis.read(np.stack([window for window, _, _ in genes]))
        positions, letters = (np.concatenate([one[part] for one in genes]) for part in (1, 2))
        each = [one for one in known for _ in range(per_gene)]
        changed = mutagenesis.substituted(each, positions, letters.astype(np.uint8)).mean(axis=0)
        before = np.stack([one.reference.mean(axis=0) for one in each])
        return np.split(np.abs(changed - before), len(genes))

    found: list[np.ndarray] = []
    genes = drawn()
    batches = iter(lambda: list(islice(genes, _GENES)), [])
    with computing_threads(models[0].network.device, workers) as pool:
        while some := list(islice(batches, 2 * workers)):  # so that not all windows are in memory
            found += [one for differences in pool.map(differences_of, some) for one in differences]
    if not found:
        raise UsageError("a background needs windows with letters, and there are none")
    steps = np.quantile(np.concatenate(found), np.linspace(0, 1, QUANTILES + 1), axis=0)
    return Background(
        _digest(weights),
        per_gene * len(found),
        len(found),
        seed,
        {output.name: _rounded(steps[:, place]) for place, output in enumerate(models[0].metadata.outputs)},
    )


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
