"""Measured effects of substitutions in promoters, what models predict for them, and how well the two agree.

    experiments = measured_effects(["LDLR.tsv", "TERT.tsv"])
    windows = read_windows("windows.fa.gz", 10_000, experiments, model.upstream, model.downstream)
    for output, effects in predicted_effects(model, windows, distinct(experiments)).items():
        print(output, score(experiments, effects)[MEAN][CONFIDENT].estimate)

Tables are separated by tabs, one row for a variant, with the columns of `COLUMNS`. Letters are those of the gene's
strand; offset 0 is the first transcribed base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqexpr.errors import InputError
from seqexpr.evaluation.metrics import Estimate, interval, resampled_weights
from seqexpr.inputs.tables import TextTable, parse_number, read_table
from seqexpr.inputs.windows import FastaWindows
from seqexpr.sequences.alphabet import DNA

GENE, SYMBOL, OFFSET, REF, ALT = "gene_id", "symbol", "offset_from_tss_boundary", "ref", "alt"
EFFECT, P_VALUE, TAGS, CELL, EXPERIMENT = "log2_effect", "p_value_or_confidence", "n_tags", "cell_line", "experiment"
COLUMNS = (GENE, SYMBOL, OFFSET, REF, ALT, EFFECT, P_VALUE, TAGS, CELL, EXPERIMENT)
DELETION = "-"
"""The `alt` of a base that was deleted; such rows are counted and left out."""

FEWEST_TAGS, LARGEST_P = 10, 1e-5
"""An effect is confident with this many tags or more, and a p-value below this one."""

ALL, CONFIDENT = "all", "confident"
SUBSETS = (ALL, CONFIDENT)
MEAN = "mean over promoters"
"""In place of an experiment's name: the mean over one experiment of each promoter and cell line."""


class Substitution(NamedTuple):
    """One base of a gene's window replaced by another."""

    gene: str
    offset: int
    """From the TSS boundary, on the gene's strand: 0 is the first transcribed base."""
    ref: str
    alt: str


Effects = Mapping[Substitution, float]
"""ALT - REF of each substitution, in the unit of what predicts."""


@dataclass(frozen=True)
class Measured:
    """The substitutions of one experiment and their effects."""

    name: str
    symbol: str
    cell: str
    file: str
    substitutions: list[Substitution]
    lines: list[int]
    """Of the file, (substitutions,)."""
    effects: np.ndarray
    """float64 (substitutions,): log2 of ALT's activity over REF's."""
    confident: np.ndarray
    """bool (substitutions,)."""
    deletions: int
    """Rows that were left out."""

    def chosen(self, subset: str) -> np.ndarray:
        """Which substitutions are of a subset: bool (substitutions,)."""
        return np.ones_like(self.confident) if subset == ALL else self.confident


@dataclass(frozen=True)
class Windows:
    """The genes' reference windows: uint8 (letters,) tokens by gene, all with the TSS boundary at one offset."""

    tokens: dict[str, np.ndarray]
    tss_at: int


@dataclass(frozen=True)
class PromoterModel:
    """Whatever predicts from a promoter: a model of seqexpr, a published network, a count of letters."""

    outputs: tuple[str, ...]
    """What tables call each number that it gives."""
    upstream: int
    downstream: int
    levels: Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]]
    """From windows, each uint8 (upstream + downstream,), to float (outputs,) for each, in their order."""


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of predicted with measured effects."""

    n: int
    """Substitutions; of a mean, experiments."""
    estimate: Estimate
    samples: np.ndarray
    """(resamples,): r of each resample; the same positions were drawn for every model."""

    def lead(self, other: Correlation) -> Estimate:
        """The difference to another model's, paired over the resamples."""
        return interval(self.estimate.value - other.estimate.value, self.samples - other.samples)


def measured_effects(tables: Sequence[str | Path]) -> list[Measured]:
    """Read tables; one may hold several experiments, but each experiment is in one table.

    Raises:
        InputError: a column is missing, a cell is not as it should be, or a substitution or an experiment comes twice.
    """
    found: dict[str, Measured] = {}
    for file in tables:
        table = read_table(file)
        if missing := [name for name in COLUMNS if name not in table.columns]:
            columns = f"columns {', '.join(table.columns)}"
            raise InputError(file, record="header", found=columns, expected=f"a column {missing[0]!r}")
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(table.column(EXPERIMENT)):
            rows.setdefault(name, []).append(row)
        for name, of_experiment in rows.items():
            if name in found:
                other = found[name].file
                problem = f"experiment {name!r}, which {other} holds too"
                raise InputError(file, found=problem, expected="each experiment in one table")
            found[name] = _measured(table, name, of_experiment)
    return list(found.values())


def distinct(experiments: Sequence[Measured]) -> list[Substitution]:
    """The substitutions of all experiments, each once: what models must predict."""
    return list(dict.fromkeys(one for experiment in experiments for one in experiment.substitutions))


def read_windows(
    file: str | Path, tss_at: int, experiments: Sequence[Measured], upstream: int, downstream: int
) -> Windows:
    """Read the windows of the experiments' genes, cut as `predict --tss-at` cuts them.

    Args:
        file: FASTA of stretches around each TSS.
        tss_at: offset of the TSS boundary in every record.
        experiments: whose genes are read, and whose substitutions the windows hold, however far they lie.
        upstream, downstream: the widest window of the models; what the records do not hold of it is padded.

    Raises:
        InputError: the file is bad, it lacks a gene, or a table's REF is not the window's letter.
    """
    wanted = distinct(experiments)
    upstream = max(upstream, *(-one.offset for one in wanted))
    downstream = max(downstream, *(one.offset + 1 for one in wanted))
    genes = {one.gene for one in wanted}
    reader = FastaWindows(file, tss_at, upstream, downstream)
    windows = Windows(dict(reader.stream(wanted=genes.__contains__)), upstream)
    for experiment in experiments:
        for one, line in zip(experiment.substitutions, experiment.lines, strict=True):
            if one.gene not in windows.tokens:
                expected = f"a gene of {file}"
                raise InputError(experiment.file, record=_cell(line, GENE), found=repr(one.gene), expected=expected)
            at = upstream + one.offset
            if (own := DNA.decode(windows.tokens[one.gene][at : at + 1])) != one.ref:
                expected = f"{own!r}, the letter of {one.gene} at {one.offset:+} in {file} with its TSS at {tss_at:,}"
                raise InputError(experiment.file, record=_cell(line, REF), found=repr(one.ref), expected=expected)
    return windows


def predicted_effects(
    model: PromoterModel, windows: Windows, substitutions: Sequence[Substitution]
) -> dict[str, Effects]:
    """What a model makes of substitutions: ALT - REF of each, by the names of its outputs.

    A substitution outside the model's window has no effect on it: 0.

    Args:
        model: whose window is no wider than `windows`.
        windows: with the REF letters.
        substitutions: each once.
    """
    genes = list(dict.fromkeys(one.gene for one in substitutions))
    seen = [one for one in substitutions if -model.upstream <= one.offset < model.downstream]
    kept = slice(windows.tss_at - model.upstream, windows.tss_at + model.downstream)
    own = {gene: windows.tokens[gene][kept] for gene in genes}

    def stream() -> Iterator[np.ndarray]:
        yield from own.values()
        for one in seen:
            mutated = own[one.gene].copy()
            mutated[model.upstream + one.offset] = DNA.encode(one.alt)[0]
            yield mutated

    levels = np.stack(list(model.levels(stream()))).astype(np.float64)
    reference = dict(zip(genes, levels, strict=False))  # the levels of ALT follow
    found = {one: np.zeros(len(model.outputs)) for one in substitutions}
    for one, level in zip(seen, levels[len(genes) :], strict=True):
        found[one] = level - reference[one.gene]
    return {name: {one: float(effects[k]) for one, effects in found.items()} for k, name in enumerate(model.outputs)}


def score(
    experiments: Sequence[Measured], effects: Effects, *, resamples: int = 1000, seed: int = 0
) -> dict[str, dict[str, Correlation]]:
    """How well predicted effects agree with measured ones: by experiment and `MEAN`, by `ALL` and `CONFIDENT`.

    Intervals are 95 % bootstrap intervals over the positions of each promoter, because the three substitutions of a
    position are no independent measurements. Experiments with the same promoter are resampled together.

    Args:
        experiments: what was measured.
        effects: predicted, of each substitution of the experiments.
        resamples: of the bootstrap.
        seed: the same seed draws the same positions for any effects.
    """
    drawn = _drawn_positions(distinct(experiments), resamples, seed)
    found: dict[str, dict[str, Correlation]] = {}
    for experiment in experiments:
        predicted = np.array([effects[one] for one in experiment.substitutions])
        weights = np.stack([drawn[one.gene, one.offset] for one in experiment.substitutions], axis=1)
        found[experiment.name] = {
            subset: _correlation(experiment.effects[chosen], predicted[chosen], weights[:, chosen])
            for subset in SUBSETS
            for chosen in [experiment.chosen(subset)]
        }
    judged = [found[name] for name in of_mean(experiments)]
    found[MEAN] = {subset: _mean([one[subset] for one in judged]) for subset in SUBSETS}
    return found


def of_mean(experiments: Sequence[Measured]) -> list[str]:
    """Names of the experiments that a mean is of: the first of each promoter and cell line, no replicates."""
    first: dict[tuple[str, str], str] = {}
    for experiment in experiments:
        first.setdefault((experiment.symbol, experiment.cell), experiment.name)
    return list(first.values())


def _measured(table: TextTable, name: str, rows: Sequence[int]) -> Measured:
    """The experiment in these rows of a table."""
    columns = {column: table.column(column) for column in COLUMNS}
    kept = [row for row in rows if columns[ALT][row] != DELETION]
    if not kept:
        problem = f"experiment {name!r} without substitutions"
        raise InputError(table.file, found=problem, expected="one base for another in some rows")
    numbers = {column: _numbers(table, columns, column, kept) for column in (OFFSET, EFFECT, P_VALUE, TAGS)}
    line_of: dict[Substitution, int] = {}
    for row, offset, p_value in zip(kept, numbers[OFFSET], numbers[P_VALUE], strict=True):
        ref, alt = columns[REF][row], columns[ALT][row]
        if not offset.is_integer():
            raise table.cell_error(row, OFFSET, repr(columns[OFFSET][row]), "a whole number")
        if not 0 <= p_value <= 1:
            raise table.cell_error(row, P_VALUE, repr(columns[P_VALUE][row]), "a p-value, 0 to 1")
        if ref not in tuple(DNA.letters):
            raise table.cell_error(row, REF, repr(ref), f"one of {', '.join(DNA.letters)}")
        if alt == ref or alt not in tuple(DNA.letters):
            others = ", ".join(letter for letter in DNA.letters if letter != ref)
            raise table.cell_error(row, ALT, repr(alt), f"one of {others}, or {DELETION} for a deletion")
        one = Substitution(columns[GENE][row], int(offset), ref, alt)
        if one in line_of:
            problem = f"{ref} to {alt} at {one.offset:+} of {one.gene} again (first on line {line_of[one]})"
            expected = f"each substitution once in experiment {name!r}"
            raise InputError(table.file, record=f"line {table.lines[row]}", found=problem, expected=expected)
        line_of[one] = table.lines[row]
    return Measured(
        name=name,
        symbol=columns[SYMBOL][kept[0]],
        cell=columns[CELL][kept[0]],
        file=table.file,
        substitutions=list(line_of),
        lines=list(line_of.values()),
        effects=np.array(numbers[EFFECT]),
        confident=(np.array(numbers[TAGS]) >= FEWEST_TAGS) & (np.array(numbers[P_VALUE]) < LARGEST_P),
        deletions=len(rows) - len(kept),
    )


def _numbers(table: TextTable, columns: Mapping[str, list[str]], name: str, rows: Iterable[int]) -> list[float]:
    """A column's cells in these rows, none of which may be missing."""
    found = []
    for row in rows:
        value = parse_number(columns[name][row])
        if value is None:
            raise table.cell_error(row, name, repr(columns[name][row]), "a finite number")
        found.append(value)
    return found


def _cell(line: int, column: str) -> str:
    return f"line {line}, column {column!r}"


def _drawn_positions(
    substitutions: Iterable[Substitution], resamples: int, seed: int
) -> dict[tuple[str, int], np.ndarray]:
    """How often each resample drew a position: float64 (resamples,) by gene and offset; each gene draws its own."""
    offsets: dict[str, set[int]] = {}
    for one in substitutions:
        offsets.setdefault(one.gene, set()).add(one.offset)
    found = {}
    for number, gene in enumerate(sorted(offsets)):
        positions = sorted(offsets[gene])
        weights = np.concatenate(list(resampled_weights(len(positions), resamples, seed + number)))
        found.update({(gene, offset): drawn for offset, drawn in zip(positions, weights.T, strict=True)})
    return found


def _correlation(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> Correlation:
    value = float(_pearson(actual, predicted, np.ones((1, len(actual))))[0])
    samples = _pearson(actual, predicted, weights)
    return Correlation(len(actual), interval(value, samples), samples)


def _mean(correlations: Sequence[Correlation]) -> Correlation:
    value = float(np.mean([one.estimate.value for one in correlations]))
    samples = np.mean([one.samples for one in correlations], axis=0)
    return Correlation(len(correlations), interval(value, samples), samples)


def _pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's r (resamples,) of weighted values; NaN where one side has one value only."""
    if not len(x) or not np.ptp(x) or not np.ptp(y):
        return np.full(len(weights), np.nan)
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    total = np.maximum(weights.sum(1), 1)  # a resample may have drawn none of these positions
    mean_x, mean_y = weights @ x / total, weights @ y / total
    of_x, of_y = weights @ x**2 / total - mean_x**2, weights @ y**2 / total - mean_y**2
    product = weights @ (x * y) / total - mean_x * mean_y
    defined = np.minimum(of_x, of_y) > _ROUNDING
    r = np.full(len(weights), np.nan)
    r[defined] = product[defined] / np.sqrt(of_x[defined] * of_y[defined])
    return np.clip(r, -1.0, 1.0)


_ROUNDING = 1e-12
"""Share of the whole variance below which a resample's is nothing but rounding."""
