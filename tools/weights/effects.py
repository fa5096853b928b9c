"""How well models predict what single substitutions do to a promoter, beside trivial baselines.

    python -m tools.weights effects --windows windows.fa.gz --measured LDLR.tsv TERT.tsv F9.tsv --xpresso FOLDER

prints Pearson's r of predicted (ALT - REF) with measured effects (log2) for each experiment, over all substitutions
and over confident ones (10 tags or more, p below 1e-5), and the mean over one experiment of each promoter and cell
line; then all figures as JSON. Intervals are 95 % bootstrap intervals over positions. Deletions are left out. No model
is given half-life features. `tools.weights.measured_effects` says what the tables hold, and does the same for models
that are in memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.tables import table, tell
from tools.weights.measured_effects import (
    ALL,
    CONFIDENT,
    MEAN,
    SUBSETS,
    Correlation,
    Measured,
    PromoterModel,
    distinct,
    measured_effects,
    of_mean,
    predicted_effects,
    read_windows,
    score,
)
from tools.weights.xpresso_windows import DOWNSTREAM, UPSTREAM, Xpresso

from seqexpr.api import load
from seqexpr.errors import MissingDataError, SeqexprError, UsageError
from seqexpr.evaluation.metrics import Estimate
from seqexpr.prediction.inputs import InputRecord
from seqexpr.sequences.alphabet import DNA

BATCH = 32
"""Windows that a published network reads at once."""
C, G = DNA.encode("CG")


def seqexpr_model(name: str, threads: int | None = None) -> PromoterModel:
    """A model by name, weights file or run folder, as `seqexpr.load` finds it, without half-life features.

    Raises:
        UsageError: it reads no DNA, or proteins too.
        MissingDataError, InputError: as `seqexpr.load`.
    """
    predictor = load(name, threads=threads).predictor
    needs = predictor.needs
    if not needs.window_length or needs.protein_length:
        raise UsageError(f"--model {name} does not predict from DNA alone, as substitutions in promoters need")
    unknown = np.full(len(needs.half_life_names), np.nan) if needs.half_life_names else None

    def levels(windows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        records = (InputRecord(str(number), dna, None, unknown) for number, dna in enumerate(windows))
        with closing(predictor.predict(records)) as predictions:
            for one in predictions:
                yield one.values

    several = len(needs.outputs) > 1
    titles = tuple(f"{name}: {output}" if several else name for output in needs.outputs)
    return PromoterModel(titles, needs.upstream, needs.downstream, levels)


def xpresso_models(folder: Path) -> list[PromoterModel]:
    """The published networks of a folder, from human and mouse.

    Raises:
        MissingDataError: the folder lacks one.
    """
    found = []
    for species in ("human", "mouse"):
        if not (file := folder / f"{species}_median.h5").is_file():
            raise MissingDataError(f"{file} is not there; --xpresso is the folder of Xpresso's published networks")
        found.append(PromoterModel((f"Xpresso {species}",), UPSTREAM, DOWNSTREAM, in_batches(Xpresso(file))))
    return found


def letter_counts(upstream: int, downstream: int) -> PromoterModel:
    """The trivial baselines: the number of G and C in the window, and of CG pairs, so that effects are their change."""

    def counts(tokens: np.ndarray) -> np.ndarray:
        is_c, is_g = tokens == C, tokens == G
        return np.stack([(is_c | is_g).sum(1), (is_c[:, :-1] & is_g[:, 1:]).sum(1)], axis=1)

    return PromoterModel(("GC change", "CpG pairs gained"), upstream, downstream, in_batches(counts))


def in_batches(
    function: Callable[[np.ndarray], np.ndarray],
) -> Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]:
    """A `PromoterModel.levels` of a function from uint8 (batch, letters) to (batch, outputs), or to (batch,)."""

    def levels(windows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        windows = iter(windows)
        with torch.inference_mode():
            while batch := list(islice(windows, BATCH)):
                yield from function(np.stack(batch)).reshape(len(batch), -1)

    return levels


def show(experiments: Sequence[Measured], scores: Mapping[str, Mapping[str, Mapping[str, Correlation]]]) -> str:
    """A table for each experiment with a line for each model, then one for the mean.

    Args:
        experiments: what was measured.
        scores: what `score` gives, by the names of models; the first is the one that others are compared with.
    """
    shown = []
    for one in experiments:
        confident, deletions = int(one.confident.sum()), one.deletions
        counted = f"{len(one.effects):,} substitutions, {confident:,} confident; {deletions:,} deletions left out"
        rows = [
            [model, *(_text(found[one.name][part].estimate) for part in SUBSETS)] for model, found in scores.items()
        ]
        shown.append(table(f"{one.name} ({one.symbol} in {one.cell}): {counted}", ["Pearson's r", *SUBSETS], rows))
    (first, best), *_ = scores.items()
    rows = [
        [
            model,
            *(_text(found[MEAN][part].estimate) for part in SUBSETS),
            "" if model == first else _text(found[MEAN][CONFIDENT].lead(best[MEAN][CONFIDENT])),
        ]
        for model, found in scores.items()
    ]
    headers = ["Pearson's r", *SUBSETS, f"{CONFIDENT}, difference to {first}"]
    shown.append(table(f"mean over {', '.join(of_mean(experiments))}", headers, rows))
    return "\n\n".join(shown)


def figures(
    experiments: Sequence[Measured], scores: Mapping[str, Mapping[str, Mapping[str, Correlation]]]
) -> dict[str, Any]:
    """The same as JSON can hold it."""
    (_, first), *_ = scores.items()
    return {
        "experiments": {
            one.name: {
                "symbol": one.symbol,
                "cell_line": one.cell,
                "n": {ALL: len(one.effects), CONFIDENT: int(one.confident.sum())},
                "deletions_left_out": one.deletions,
                "r": _estimates(scores, one.name),
            }
            for one in experiments
        },
        "mean": {
            "experiments": of_mean(experiments),
            "r": _estimates(scores, MEAN),
            "difference_to_first": {
                model: {part: found[MEAN][part].lead(first[MEAN][part]).to_dict() for part in SUBSETS}
                for model, found in list(scores.items())[1:]
            },
        },
    }


def _estimates(scores: Mapping[str, Mapping[str, Mapping[str, Correlation]]], name: str) -> dict[str, Any]:
    return {model: {part: found[name][part].estimate.to_dict() for part in SUBSETS} for model, found in scores.items()}


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.weights effects",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--windows", type=Path, required=True, help="FASTA of stretches around each TSS")
    parser.add_argument("--tss-at", type=int, default=10_000, help="offset of the TSS in every record (default 10000)")
    parser.add_argument("--measured", type=Path, nargs="+", required=True, metavar="TSV", help="measured effects")
    parser.add_argument("--model", action="append", help="name, weights file or run folder; repeatable")
    parser.add_argument("--xpresso", type=Path, help="folder of Xpresso's two networks")
    parser.add_argument("--threads", type=int, help="that compute on a CPU; default: the cores that may be used")
    return parser.parse_args(arguments)


def evaluate_effects(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The tables and the figures.

    Raises:
        SeqexprError: a table, the windows or a model is not as it should be.
    """
    experiments = measured_effects(options.measured)
    models = [seqexpr_model(name, options.threads) for name in dict.fromkeys(options.model or ["human-mrna"])]
    models += xpresso_models(options.xpresso) if options.xpresso else []
    upstream, downstream = (max(getattr(model, side) for model in models) for side in ("upstream", "downstream"))
    windows = read_windows(options.windows, options.tss_at, experiments, upstream, downstream)
    whole = len(next(iter(windows.tokens.values())))
    substitutions = distinct(experiments)
    scores = {}
    for model in [*models, letter_counts(windows.tss_at, whole - windows.tss_at)]:
        tell(f"{', '.join(model.outputs)}: {len(substitutions):,} substitutions")
        for name, effects in predicted_effects(model, windows, substitutions).items():
            scores[name] = score(experiments, effects)
    return show(experiments, scores), figures(experiments, scores)


def main(arguments: Sequence[str]) -> None:
    """Print the tables, then the JSON; what is wrong with a file is said in one line."""
    options = parse(arguments)
    try:
        shown, found = evaluate_effects(options)
    except SeqexprError as problem:
        tell(f"error: {problem}")
        sys.exit(problem.exit_code)
    print(shown, end="\n\n")
    print(json.dumps(found))
