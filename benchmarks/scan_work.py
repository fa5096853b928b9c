"""Works: the bundled model at neighbouring positions of a genome, as `scan` computes them and as `predict` does.

Settings of both: genome (a file of one contig, chr1), step, positions (of each strand, in one round of the work), bases
(of the contig), threads and seconds (of a turn).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from typing import Any, NoReturn

import torch

from benchmarks.serving import Turns, serve
from seqexpr.effects.scan import Scanner
from seqexpr.models.registry import DEFAULT_DNA_MODEL
from seqexpr.models.trained import TrainedModel, load_model
from seqexpr.prediction.device import use_threads
from seqexpr.prediction.inputs import InputRecord
from seqexpr.prediction.predictor import Predictor
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import STRANDS, Interval, Tss


def shared(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """`scan`: overlapping windows share work."""
    model, workers = _loaded(settings)
    scanner, genome, regions = Scanner([model], workers=workers), Genome(settings["genome"]), _regions(settings)

    def do() -> int:
        with closing(scanner.scan(genome, [next(regions)], settings["step"])) as stream:
            return sum(len(levels.starts) for levels in stream)

    serve(do, turns, settings["seconds"])


def one_by_one(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """`predict`: the same windows, each cut from the genome and computed by itself."""
    model, workers = _loaded(settings)
    predictor, genome, regions = Predictor([model], workers=workers), Genome(settings["genome"]), _regions(settings)
    up, down = predictor.needs.upstream, predictor.needs.downstream
    unknown = torch.full((len(predictor.needs.half_life_names),), torch.nan, dtype=torch.float64).numpy()

    def records(region: Interval) -> Iterator[InputRecord]:
        for strand in STRANDS:
            for at in range(region.start, region.end, settings["step"]):
                site = Tss("x", region.chrom, at + (strand == "-"), strand)
                yield InputRecord("x", genome.placed_window(site, up, down)[0], None, unknown)

    def do() -> int:
        with closing(predictor.predict(records(next(regions)))) as stream:
            return sum(1 for _ in stream)

    serve(do, turns, settings["seconds"])


def _loaded(settings: dict[str, Any]) -> tuple[TrainedModel, int]:
    workers = use_threads(torch.device("cpu"), settings["threads"])
    return load_model(DEFAULT_DNA_MODEL), workers


def _regions(settings: dict[str, Any]) -> Iterator[Interval]:
    """Neighbouring parts of the contig, again and again."""
    size = settings["step"] * settings["positions"]
    return cycle([Interval("chr1", at, at + size) for at in range(0, settings["bases"] - size + 1, size)])
