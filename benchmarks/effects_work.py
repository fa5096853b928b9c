"""Works: substitutions and variants, as `explain` and `variants` compute them, and by predicting whole windows.

Settings of all: model (a preset for the unchanged network with random weights, or a name), threads, seconds (of a
turn). Of substitutions: input ("dna" or "protein"), positions (in one round). Of variants: genome, sites (files), genes
and SNVs of each (in one round).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle, islice
from typing import Any, NoReturn

import numpy as np
import torch

from benchmarks.serving import Turns, serve
from seqexpr.effects.gene_windows import GeneWindows
from seqexpr.effects.letters import BASES, LETTERS
from seqexpr.effects.mutagenesis import Mutagenesis
from seqexpr.effects.variant_records import VariantRecord
from seqexpr.effects.variants import VariantEffects
from seqexpr.models.config import PRESETS, PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.registry import resolve_models
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, load_model
from seqexpr.prediction.device import use_threads
from seqexpr.prediction.inputs import InputRecord
from seqexpr.prediction.predictor import Predictor
from seqexpr.sequences.annotation import read_tss
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Interval, Tss

_PART = 256
"""Substitutions that a thread computes at once."""

_RESIDUES = 450
"""Of a protein."""


def incremental(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """`explain`: one gene's substitutions; what is computed once for a gene is not in the turns."""
    model, workers = _loaded(settings)
    letters, gene = LETTERS[settings["input"]], _gene(model)
    tokens = gene.dna if letters is BASES else gene.protein
    assert tokens is not None
    beside = gene.protein if letters is BASES else gene.dna
    saturating = letters is BASES
    mutagenesis = Mutagenesis([model], model.metadata.config.upstream, changed=letters.input, saturating=saturating)
    (known,) = mutagenesis.read(tokens[None], beside=None if beside is None else beside[None])
    places, new = letters.substitutions(tokens, np.arange(len(tokens)))
    chosen = np.random.default_rng(1).permutation(len(places))[: settings["positions"]]
    places, new = places[chosen], new[chosen]
    parts = [slice(start, start + _PART) for start in range(0, len(places), _PART)]

    def do_part(part: slice) -> None:
        mutagenesis.substituted([known] * len(places[part]), places[part], new[part])

    with ThreadPoolExecutor(workers) as pool:

        def do() -> int:
            list(pool.map(do_part, parts))
            return len(places)

        serve(do, turns, settings["seconds"])


def full(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """The same substitutions, each gene predicted as a whole."""
    model, workers = _loaded(settings)
    gene, predictor = _gene(model), Predictor([model], workers=workers)

    def records() -> Iterator[InputRecord]:
        for place in range(settings["positions"]):
            dna, protein = (None if one is None else one.copy() for one in (gene.dna, gene.protein))
            changed = dna if settings["input"] == "dna" else protein
            assert changed is not None
            changed[place] = changed[place] % 4 + 1
            yield InputRecord("x", dna, protein, _unknown(predictor))

    def do() -> int:
        with closing(predictor.predict(records())) as stream:
            return sum(1 for _ in stream)

    serve(do, turns, settings["seconds"])


def variants(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """`variants`: other genes in each round."""
    model, workers = _loaded(settings)
    windows, rounds = _sources(settings, model)

    def do() -> int:
        effects = VariantEffects([model], windows, lambda gene: (windows.window(gene)[0], None), workers=workers)
        records = [record for _, record in next(rounds)]
        rows = [row for _, found in effects.stream(records) for row in found]
        return sum(row.changed is not None for row in rows) and len(records)

    serve(do, turns, settings["seconds"])


def both_windows(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """The windows with and without each variant, predicted as wholes."""
    model, workers = _loaded(settings)
    windows, rounds = _sources(settings, model)
    predictor = Predictor([model], workers=workers)

    def records() -> Iterator[InputRecord]:
        for site, record in next(rounds):
            window = windows.window(site)[0]
            changed = window.copy()
            changed[windows.upstream + _along(site, record)] = changed[windows.upstream + _along(site, record)] % 4 + 1
            for one in (window, changed):
                yield InputRecord(site.id, one, None, _unknown(predictor))

    def do() -> int:
        with closing(predictor.predict(records())) as stream:
            return sum(1 for _ in stream) // 2

    serve(do, turns, settings["seconds"])


def _along(site: Tss, record: VariantRecord) -> int:
    place = record.position - 1
    return place - site.boundary if site.strand == "+" else site.boundary - 1 - place


def _sources(
    settings: dict[str, Any], model: TrainedModel
) -> tuple[GeneWindows, Iterator[list[tuple[Tss, VariantRecord]]]]:
    """The genome's windows, and for each round SNVs of other genes."""
    config, genome, sites = model.metadata.config, Genome(settings["genome"]), read_tss(settings["sites"])
    alone: list[Tss] = []  # windows that do not overlap, so that each SNV has one row
    end = 0
    for site in sorted(sites, key=lambda site: site.boundary):
        window = site.window(config.upstream, config.downstream)
        if window.start >= end:
            alone.append(site)
            end = window.end

    def rounds() -> Iterator[list[tuple[Tss, VariantRecord]]]:
        generator, endless = np.random.default_rng(2), cycle(alone)
        while True:
            found = []
            for site in islice(endless, settings["genes"]):
                window = site.window(config.upstream, config.downstream)
                for place in generator.integers(window.start, window.end, settings["each"]).tolist():
                    ref = genome.letters(Interval(site.chrom, place, place + 1)).decode()
                    alt = "ACGT"["CGTA".index(ref)]
                    found.append((site, VariantRecord(len(found) + 1, site.chrom, place + 1, ".", ref, (alt,))))
            yield found

    return GeneWindows(genome, alone, config.upstream, config.downstream), rounds()


def _loaded(settings: dict[str, Any]) -> tuple[TrainedModel, int]:
    workers = use_threads(torch.device("cpu"), settings["threads"])
    if settings["model"] in PRESETS:
        torch.manual_seed(0)
        config = PerceiverConfig.from_preset(settings["model"])
        network = Perceiver(config).eval()
        return TrainedModel(settings["model"], network, ModelMetadata(config, (Output("level"),))), workers
    return load_model(resolve_models([settings["model"]])[0]), workers


def _gene(model: TrainedModel) -> InputRecord:
    """Random letters of what the model reads."""
    config, generator = model.metadata.config, np.random.default_rng(0)
    window = generator.integers(1, 5, config.window_length).astype(np.uint8) if config.reads_dna else None
    protein = generator.integers(1, 21, _RESIDUES).astype(np.uint8) if config.reads_protein else None
    return InputRecord("x", window, protein, None)


def _unknown(predictor: Predictor) -> np.ndarray | None:
    count = len(predictor.needs.half_life_names)
    return np.full(count, np.nan) if count else None
