"""Who is tested when: folds, their inner validation parts, and single splits.

Four kinds of folds. `random` deals the genes out as the paper does. `chromosome`, `group` and `homology` never
cut a chromosome, a group of the user's, or a cluster of homologous proteins: the unit that is dealt out is the
whole group, so its genes cannot stand on both sides, whatever the seed. Groups and clusters are both read from
the genes' column `group`; `homology.grouped_genes` fills it. The user may also name the chromosomes that are tested,
and those that choose the epoch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd

from seqexpr.errors import UsageError

FoldKind = Literal["random", "chromosome", "homology", "group"]
SplitKind = Literal["random", "chromosome", "homology", "group", "given"]

_COLUMN = {"chromosome": "chrom", "homology": "group", "group": "group"}
_NEEDED = {
    "chromosome": ("a chromosome", "add the column 'chrom' to the dataset"),
    "homology": ("a cluster of homologous proteins", "give clusters of your own with --groups FILE"),
    "group": ("a group", "add the column 'group' to the dataset or give --groups FILE"),
}
"""What each kind that deals out whole groups needs of every gene, and what to do about genes that lack it."""

_SPLIT_PARTS = ("train", "valid", "test")


def make_folds(
    genes: pd.DataFrame, kind: FoldKind, folds: int, seed: int, test_chromosomes: Sequence[Sequence[str]] = ()
) -> np.ndarray:
    """The fold in which each gene is tested.

    Args:
        genes: the genes (n rows) with the columns `id` and, by kind, `chrom` or `group`.
        kind: "random" gives folds whose sizes differ by one gene at most. "chromosome", "homology" and "group"
            deal out whole groups, the largest first, each to the fold with the fewest genes so far.
        folds: number of folds, at least 2.
        seed: shuffles the genes ("random"), or the groups of equal size ("homology", "group"). Chromosome folds
            do not depend on it, so that they are the same in every study of the same genes.
        test_chromosomes: for the kind "chromosome", the chromosomes that each fold tests, one list for each fold. Genes
            on chromosomes in no list are never tested: every fold trains on them.

    Returns:
        int64 (n,), values 0 to folds - 1; every fold occurs. -1 for genes that are never tested.

    Raises:
        UsageError: fewer than 2 folds, fewer genes or groups than folds, genes without a chromosome or group, or
            test chromosomes that hold no gene, are in two folds, or leave nothing to train on.
    """
    _check_kind(kind, get_args(FoldKind))
    if test_chromosomes:
        return _named_folds(genes, kind, folds, test_chromosomes)
    if folds < 2:
        raise UsageError(f"{folds} folds were asked for; at least 2 are needed")
    units = _units(genes, kind)
    count = int(units.max()) + 1 if len(units) else 0
    if count < folds:
        unit = {
            "random": "genes",
            "chromosome": "chromosomes",
            "homology": "clusters of homologous proteins",
            "group": "groups",
        }[kind]
        if count < 2:
            raise UsageError(
                f"all genes are of {count} {unit.rstrip('s')}: no folds can be made; choose another --split"
            )
        raise UsageError(f"{count} {unit} cannot make {folds} folds; use --folds {count} or fewer")
    if kind == "random":
        dealt = np.empty(len(genes), np.int64)
        dealt[np.random.default_rng(seed).permutation(len(genes))] = np.arange(len(genes)) % folds
        return dealt
    return _deal_out(np.bincount(units), folds, None if kind == "chromosome" else seed)[units]


def inner_validation(
    fold_of: np.ndarray,
    test_fold: int,
    genes: pd.DataFrame,
    kind: FoldKind,
    fraction: float = 0.1,
    seed: int = 0,
    valid_chromosomes: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """The training and the validation genes of one outer fold; the test fold has no part in either.

    Args:
        fold_of: int (n,), the outcome of `make_folds` with the same genes and kind.
        test_fold: the fold that is tested.
        genes: as for `make_folds`.
        kind: as for `make_folds`; whole chromosomes or groups go to the validation part.
        fraction: size of the validation part as a share of the genes outside the test fold. With whole
            groups, the nearest size that a random order of the groups reaches; never empty and never
            everything.
        seed: chooses the genes or groups, with a random stream for each test fold. That of fold 0 is the one that
            `make_folds` draws from, and so its choice is not independent of how the genes were dealt out; it is blind
            to labels and sequences all the same, and the test fold has no part in it.
        valid_chromosomes: the validation part is these chromosomes; then fraction and seed have no effect.

    Returns:
        (train, valid): ascending int64 row numbers.

    Raises:
        UsageError: the genes outside the test fold cannot be divided, or lack a chromosome or group.
    """
    _check_kind(kind, get_args(FoldKind))
    if valid_chromosomes:
        valid = genes_on(genes, valid_chromosomes, "--valid-chromosomes")
        return _apart(genes, np.asarray(fold_of) == test_fold, valid)[:2]
    pool = np.flatnonzero(np.asarray(fold_of) != test_fold)
    generator = np.random.default_rng([seed, test_fold])
    return _take(pool, _units(genes, kind), fraction, generator, "validation")


def split_once(
    genes: pd.DataFrame,
    kind: SplitKind,
    valid_fraction: float,
    test_fraction: float,
    seed: int,
    *,
    test_chromosomes: Sequence[str] = (),
    valid_chromosomes: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One division into training, validation and test genes.

    Args:
        genes: as for `make_folds`, plus the column `split` for the kind "given".
        kind: "random", "chromosome", "homology", "group", or "given": the dataset's own `split` column (train, valid,
            test).
        valid_fraction: share of all genes for validation, above 0; no effect with "given".
        test_fraction: share of all genes for the test, 0 for none; no effect with "given".
        seed: chooses the genes or groups; no effect with "given".
        test_chromosomes: for the kind "chromosome", those whose genes are the test part, whatever `test_fraction`.
        valid_chromosomes: likewise for the validation part and `valid_fraction`.

    Returns:
        (train, valid, test): ascending int64 row numbers; only `test` may be empty.

    Raises:
        UsageError: fractions that leave nothing to train on, genes that cannot be divided so, or a `split`
            column that is incomplete.
    """
    _check_kind(kind, get_args(SplitKind))
    if kind == "given":
        return _given_split(genes)
    if test_chromosomes or valid_chromosomes:
        test, valid = (
            genes_on(genes, names, option) if names else np.zeros(len(genes), bool)
            for names, option in (
                (test_chromosomes, "--test-chromosomes"),
                (valid_chromosomes, "--valid-chromosomes"),
            )
        )
        return _split_named(genes, kind, test, valid, valid_fraction, test_fraction, seed)
    if not 0 < valid_fraction < 1 or not 0 <= test_fraction < 1 or valid_fraction + test_fraction >= 1:
        raise UsageError(
            f"a validation share of {valid_fraction:g} and a test share of {test_fraction:g} were asked for; "
            "the former must be above 0 and their sum below 1"
        )
    generator = np.random.default_rng(seed)
    units = _units(genes, kind)
    pool = np.arange(len(genes))
    test = pool[:0]
    if test_fraction > 0:
        pool, test = _take(pool, units, test_fraction, generator, "test")
    train, valid = _take(pool, units, valid_fraction / (1 - test_fraction), generator, "validation")
    return train, valid, test


def genes_on(genes: pd.DataFrame, chromosomes: Sequence[str], option: str) -> np.ndarray:
    """Which genes lie on some chromosomes: bool (n,). "chr1" and "1" are one chromosome, and so are "chrM" and "MT".

    Args:
        genes: with the columns `id` and `chrom`.
        chromosomes: as the user names them.
        option: where they were named, for the error.

    Raises:
        UsageError: a chromosome without genes; the error lists those that there are.
    """
    _units(genes, "chromosome")  # which refuses genes without one
    own = _texts(genes, "chrom")
    plain = np.array([_plain_chromosome(name) for name in own])
    if unknown := [name for name in chromosomes if _plain_chromosome(name) not in plain]:
        names, counts = np.unique(own, return_counts=True)
        order = sorted(range(len(names)), key=lambda place: _natural(str(names[place])))
        there = ", ".join(f"{names[place]} ({counts[place]:,})" for place in order)
        raise UsageError(f"{option}: no gene lies on {', '.join(unknown)}; chromosomes (and their genes): {there}")
    return np.isin(plain, [_plain_chromosome(name) for name in chromosomes])


def _plain_chromosome(name: str) -> str:
    plain = re.sub(r"^chr", "", name.strip(), flags=re.IGNORECASE).upper()
    return "M" if plain in ("MT", "MITO") else plain


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts chromosome 2 before 10."""
    parts = re.split(r"(\d+)", _plain_chromosome(name))
    return [(int(part), "") if part.isdigit() else (10**9, part) for part in parts if part]


def _named_folds(genes: pd.DataFrame, kind: str, folds: int, lists: Sequence[Sequence[str]]) -> np.ndarray:
    if kind != "chromosome":
        raise UsageError(f"--test-chromosomes divides by chromosome and cannot go with --split {kind}")
    if folds != len(lists):
        raise UsageError(
            f"{folds} folds were asked for, but --test-chromosomes names those of {len(lists)}; "
            "give it once for each fold, or leave out --folds"
        )
    fold_of = np.full(len(genes), -1)
    for fold, names in enumerate(lists):
        here = genes_on(genes, names, "--test-chromosomes")
        if (fold_of[here] >= 0).any():
            first = _texts(genes, "chrom")[here & (fold_of >= 0)][0]
            raise UsageError(f"--test-chromosomes: {first} is tested in fold {fold_of[here].max()} and in fold {fold}")
        fold_of[here] = fold
    return fold_of


def _apart(genes: pd.DataFrame, test: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers of (training, validation, test) genes from two masks (n,) that must not overlap."""
    if (test & valid).any():
        first = _texts(genes, "chrom")[test & valid][0]
        raise UsageError(f"chromosome {first} cannot be both tested and used for validation")
    train = ~test & ~valid
    if not train.any():
        raise UsageError("the test and validation chromosomes leave no gene to train on")
    return np.flatnonzero(train), np.flatnonzero(valid), np.flatnonzero(test)


def _split_named(
    genes: pd.DataFrame,
    kind: str,
    test: np.ndarray,
    valid: np.ndarray,
    valid_fraction: float,
    test_fraction: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One division of which the test or the validation chromosomes are given; the other part is drawn as usual."""
    if kind != "chromosome":
        raise UsageError(
            f"--test-chromosomes and --valid-chromosomes divide by chromosome and cannot go with --split {kind}"
        )
    rest, valid_rows, test_rows = _apart(genes, test, valid)
    generator = np.random.default_rng(seed)
    units = _units(genes, "chromosome")
    share = len(genes) / len(rest)  # fractions are of all genes
    if not len(test_rows) and test_fraction > 0:
        rest, test_rows = _take(rest, units, test_fraction * share, generator, "test")
    elif not len(valid_rows):
        rest, valid_rows = _take(rest, units, valid_fraction * share, generator, "validation")
    return rest, valid_rows, test_rows


def _check_kind(kind: str, known: Sequence[str]) -> None:
    if kind not in known:
        raise UsageError(f"unknown kind of split {kind!r}; there are {', '.join(known)}")


def _units(genes: pd.DataFrame, kind: FoldKind) -> np.ndarray:
    """The number of the indivisible unit that each gene belongs to: int64 (n,), numbered by sorted name."""
    if kind == "random":
        return np.arange(len(genes))
    names = _texts(genes, _COLUMN[kind])
    missing = names == ""
    if missing.any():
        named, remedy = _NEEDED[kind]
        example = genes["id"].iloc[int(np.argmax(missing))]
        raise UsageError(
            f"{kind} folds need {named} for every gene, but {missing.sum()} of {len(genes)} have none "
            f"(the first is {example}); use random folds, or {remedy}"
        )
    if kind == "chromosome":  # "chr1" and "1" are one chromosome, also where a dataset mixes them
        names = np.array([re.sub(r"^chr", "", name, flags=re.IGNORECASE) for name in names])
    return np.unique(names, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _texts(genes: pd.DataFrame, column: str) -> np.ndarray:
    """A text column as str (n,), "" where it is missing or the whole column is."""
    if column not in genes:
        return np.full(len(genes), "")
    present = genes[column].notna().to_numpy()
    return np.where(present, genes[column].astype(str).str.strip().to_numpy(dtype=str), "")


def _deal_out(sizes: np.ndarray, folds: int, seed: int | None) -> np.ndarray:
    """Largest unit first, each to the emptiest fold (the first of several): folds, int64 (units,)."""
    order = np.arange(len(sizes)) if seed is None else np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load = np.zeros(folds, np.int64)
    fold = np.empty(len(sizes), np.int64)
    for unit in order:
        fold[unit] = np.argmin(load)
        load[fold[unit]] += sizes[unit]
    return fold


def _take(
    pool: np.ndarray, units: np.ndarray, fraction: float, generator: np.random.Generator, purpose: str
) -> tuple[np.ndarray, np.ndarray]:
    """Divide `pool` (row numbers) by whole units into (rest, taken), with about `fraction` of it taken."""
    if not 0 < fraction < 1:
        raise UsageError(f"a {purpose} share of {fraction:g} was asked for; it must lie between 0 and 1")
    present, sizes = np.unique(units[pool], return_counts=True)
    if len(present) < 2:
        raise UsageError(
            f"{len(pool)} genes in {len(present)} indivisible group(s) cannot be divided into a {purpose} "
            "part and the rest"
        )
    target = fraction * len(pool)
    order = generator.permutation(len(present))
    taken: list[int] = []
    total = 0
    for unit in order:
        if abs(total + sizes[unit] - target) < abs(total - target) and len(taken) < len(present) - 1:
            taken.append(unit)
            total += sizes[unit]
    if not taken:  # every unit is more than twice the target: the smallest one errs the least
        taken = [int(order[np.argmin(sizes[order])])]
    chosen = np.isin(units[pool], present[taken])
    return pool[~chosen], pool[chosen]


def _given_split(genes: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    parts = _texts(genes, "split")
    unknown = ~np.isin(parts, _SPLIT_PARTS)
    if unknown.any():
        first = int(np.argmax(unknown))
        raise UsageError(
            "the given split needs train, valid or test in the column 'split' of every gene, but "
            f"{unknown.sum()} of {len(genes)} have something else (the first is {genes['id'].iloc[first]}: "
            f"{str(parts[first])!r})"
        )
    train, valid, test = (np.flatnonzero(parts == part) for part in _SPLIT_PARTS)
    if not len(train) or not len(valid):
        raise UsageError(
            f"the given split has {len(train)} genes for training and {len(valid)} for validation; both are needed"
        )
    return train, valid, test
