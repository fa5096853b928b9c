"""Who is tested when: folds, their inner validation parts, and single splits.

Four kinds of folds. `random` deals the genes out as the paper does. `chromosome`, `group` and `homology` never
cut a chromosome, a group of the user's, or a cluster of homologous proteins: the unit that is dealt out is the
whole group, so its genes cannot stand on both sides, whatever the seed. Groups and clusters are both read from
the genes' column `group`; `homology.grouped_genes` fills it.
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


def make_folds(genes: pd.DataFrame, kind: FoldKind, folds: int, seed: int) -> np.ndarray:
    """The fold in which each gene is tested.

    Args:
        genes: the genes (n rows) with the columns `id` and, by kind, `chrom` or `group`.
        kind: "random" gives folds whose sizes differ by one gene at most. "chromosome", "homology" and "group"
            deal out whole groups, the largest first, each to the fold with the fewest genes so far.
        folds: number of folds, at least 2.
        seed: shuffles the genes ("random"), or the groups of equal size ("homology", "group"). Chromosome folds
            do not depend on it, so that they are the same in every study of the same genes.

    Returns:
        int64 (n,), values 0 to folds - 1; every fold occurs.

    Raises:
        UsageError: fewer than 2 folds, fewer genes or groups than folds, or genes without a chromosome or
            group.
    """
    _check_kind(kind, get_args(FoldKind))
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

    Returns:
        (train, valid): ascending int64 row numbers.

    Raises:
        UsageError: the genes outside the test fold cannot be divided, or lack a chromosome or group.
    """
    _check_kind(kind, get_args(FoldKind))
    pool = np.flatnonzero(np.asarray(fold_of) != test_fold)
    generator = np.random.default_rng([seed, test_fold])
    return _take(pool, _units(genes, kind), fraction, generator, "validation")


def split_once(
    genes: pd.DataFrame, kind: SplitKind, valid_fraction: float, test_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One division into training, validation and test genes.

    Args:
        genes: as for `make_folds`, plus the column `split` for the kind "given".
        kind: "random", "chromosome", "homology", "group", or "given": the dataset's own `split` column (train, valid,
            test).
        valid_fraction: share of all genes for validation, above 0; no effect with "given".
        test_fraction: share of all genes for the test, 0 for none; no effect with "given".
        seed: chooses the genes or groups; no effect with "given".

    Returns:
        (train, valid, test): ascending int64 row numbers; only `test` may be empty.

    Raises:
        UsageError: fractions that leave nothing to train on, genes that cannot be divided so, or a `split`
            column that is incomplete.
    """
    _check_kind(kind, get_args(SplitKind))
    if kind == "given":
        return _given_split(genes)
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
