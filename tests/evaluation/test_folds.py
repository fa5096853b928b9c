from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqexpr.errors import UsageError
from seqexpr.evaluation.folds import inner_validation, make_folds, split_once


def genes_on(chroms: list[str], groups: list[str] | None = None, split: list[str] | None = None) -> pd.DataFrame:
    n = len(chroms)
    return pd.DataFrame(
        {
            "id": [f"gene{i}" for i in range(n)],
            "chrom": chroms,
            "group": groups or [f"g{i}" for i in range(n)],
            "split": split or [""] * n,
        }
    )


some_chroms = st.lists(st.sampled_from(["chr1", "chr2", "3", "4", "X"]), min_size=12, max_size=80).filter(
    lambda chroms: len(set(chroms)) >= 4
)
seeds = st.integers(0, 2**31)


def sides_share_a_unit(genes: pd.DataFrame, column: str, left: np.ndarray, right: np.ndarray) -> bool:
    return bool(set(genes[column].iloc[left]) & set(genes[column].iloc[right]))


@given(n=st.integers(5, 60), folds=st.integers(2, 5), seed=seeds)
def test_random_folds_are_balanced_and_repeatable(n, folds, seed):
    genes = genes_on([""] * n)
    fold_of = make_folds(genes, "random", folds, seed)
    sizes = np.bincount(fold_of, minlength=folds)
    assert len(sizes) == folds and sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(fold_of, make_folds(genes, "random", folds, seed))


def test_random_folds_follow_the_seed():
    genes = genes_on([""] * 50)
    assert (make_folds(genes, "random", 5, 0) != make_folds(genes, "random", 5, 1)).any()


@given(
    chroms=some_chroms, kind=st.sampled_from(["chromosome", "homology", "group"]), folds=st.integers(2, 4), seed=seeds
)
def test_no_chromosome_or_group_is_ever_cut(chroms, kind, folds, seed):
    genes = genes_on(chroms, groups=chroms)
    column = "chrom" if kind == "chromosome" else "group"
    fold_of = make_folds(genes, kind, folds, seed)
    assert set(fold_of) == set(range(folds))
    assert (genes.assign(fold=fold_of).groupby(column)["fold"].nunique() == 1).all()


@settings(deadline=None, max_examples=50)
@given(chroms=some_chroms, kind=st.sampled_from(["random", "chromosome", "homology", "group"]), seed=seeds)
def test_inner_validation_divides_the_training_folds_by_whole_units(chroms, kind, seed):
    genes = genes_on(chroms, groups=chroms)
    fold_of = make_folds(genes, kind, 2, seed)
    for test_fold in range(2):
        if kind != "random" and len(set(np.array(chroms)[fold_of != test_fold])) == 1:
            with pytest.raises(UsageError, match="1 indivisible group"):
                inner_validation(fold_of, test_fold, genes, kind, 0.2, seed)
            continue
        train, valid = inner_validation(fold_of, test_fold, genes, kind, 0.2, seed)
        assert len(train) and len(valid)
        assert sorted([*train, *valid]) == np.flatnonzero(fold_of != test_fold).tolist()
        if kind != "random":
            test = np.flatnonzero(fold_of == test_fold)
            column = "chrom" if kind == "chromosome" else "group"
            assert not sides_share_a_unit(genes, column, train, valid)
            assert not sides_share_a_unit(genes, column, np.append(train, valid), test)


@given(chroms=some_chroms, kind=st.sampled_from(["random", "chromosome", "homology", "group"]), seed=seeds)
def test_split_once_covers_all_genes_without_leakage(chroms, kind, seed):
    genes = genes_on(chroms, groups=chroms)
    train, valid, test = split_once(genes, kind, 0.15, 0.2, seed)
    assert sorted([*train, *valid, *test]) == list(range(len(chroms)))
    assert len(train) and len(valid) and len(test)
    if kind != "random":
        for left, right in ((train, valid), (train, test), (valid, test)):
            assert not sides_share_a_unit(genes, "chrom", left, right)


def test_chromosomes_are_dealt_largest_first_to_the_emptiest_fold():
    genes = genes_on(["1"] * 5 + ["2"] * 4 + ["3"] * 3 + ["4"] * 2)
    # 5 -> fold 0; 4 -> fold 1; 3 -> fold 1 (4 < 5); 2 -> fold 0 (5 < 7)
    assert make_folds(genes, "chromosome", 2, 7).tolist() == [0] * 5 + [1] * 4 + [1] * 3 + [0] * 2


def test_chromosome_folds_are_the_same_for_every_seed():
    genes = genes_on([str(i % 7) for i in range(70)])
    np.testing.assert_array_equal(make_folds(genes, "chromosome", 3, 0), make_folds(genes, "chromosome", 3, 99))


def test_both_names_of_a_chromosome_are_one_unit():
    fold_of = make_folds(genes_on(["chr1", "1", "Chr1", "2", "chr3"]), "chromosome", 2, 0)
    assert len(set(fold_of[:3])) == 1


def test_sizes_of_random_parts_are_the_fractions_asked_for():
    train, valid, test = split_once(genes_on([""] * 200), "random", 0.1, 0.2, 3)
    assert (len(train), len(valid), len(test)) == (140, 20, 40)
    train, valid = inner_validation(np.repeat([0, 1], 100), 1, genes_on([""] * 200), "random", 0.1, 0)
    assert (len(train), len(valid)) == (90, 10)


def test_no_test_part_when_its_fraction_is_zero():
    train, valid, test = split_once(genes_on([""] * 20), "random", 0.1, 0, 3)
    assert (len(train), len(valid), len(test)) == (18, 2, 0)


def test_inner_validation_differs_between_test_folds():
    genes = genes_on([""] * 300)
    fold_of = make_folds(genes, "random", 3, 0)
    parts = [set(inner_validation(fold_of, fold, genes, "random", 0.3, 0)[1]) for fold in (0, 1)]
    shared = [row for row in range(300) if fold_of[row] == 2]
    assert parts[0] & set(shared) != parts[1] & set(shared)


def test_given_split_is_taken_as_it_is():
    genes = genes_on(["1"] * 4, split=["test", "train", "valid", "train"])
    train, valid, test = split_once(genes, "given", 0.1, 0.1, 0)
    assert (train.tolist(), valid.tolist(), test.tolist()) == ([1, 3], [2], [0])


@pytest.mark.parametrize(
    ("chroms", "kind", "folds", "message"),
    [
        (["1", "", "2", ""], "chromosome", 2, "2 of 4 have none (the first is gene1)"),
        (["1", None, "2", "3"], "chromosome", 2, "1 of 4 have none"),
        (["1", "1", "2", "2"], "chromosome", 3, "2 chromosomes cannot make 3 folds"),
        (["1", "1"], "random", 3, "2 genes cannot make 3 folds; use --folds 2 or fewer"),
        (["1", "1"], "chromosome", 2, "all genes are of 1 chromosome: no folds can be made; choose another --split"),
        (["1", "2"], "random", 1, "at least 2"),
        (["1", "2"], "homolgy", 2, "unknown kind of split 'homolgy'"),
    ],
)
def test_folds_that_cannot_be_made_say_why(chroms, kind, folds, message):
    with pytest.raises(UsageError) as problem:
        make_folds(genes_on(chroms), kind, folds, 0)
    assert message in str(problem.value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "group",
            "group folds need a group for every gene, but 3 of 3 have none (the first is gene0); "
            "use random folds, or add the column 'group' to the dataset or give --groups FILE",
        ),
        (
            "homology",
            "homology folds need a cluster of homologous proteins for every gene, but 3 of 3 have none "
            "(the first is gene0); use random folds, or give clusters of your own with --groups FILE",
        ),
    ],
)
def test_genes_without_a_group_say_what_to_do(kind, message):
    with pytest.raises(UsageError) as problem:
        make_folds(genes_on(["1", "2", "3"]).drop(columns="group"), kind, 2, 0)
    assert str(problem.value) == message


def test_homology_folds_deal_out_the_clusters_in_the_group_column():
    genes = genes_on([""] * 8, groups=["a", "a", "a", "b", "b", "c", "c", "d"])
    fold_of = make_folds(genes, "homology", 2, 3)
    # 3 (a) -> fold 0; both pairs follow, the first to fold 1 (0 < 3), the second to fold 1 (2 < 3); d -> fold 0 (3 < 4)
    assert fold_of.tolist() == [0, 0, 0, 1, 1, 1, 1, 0]


def test_too_few_clusters_are_called_clusters():
    with pytest.raises(UsageError, match="2 clusters of homologous proteins cannot make 3 folds; use --folds 2"):
        make_folds(genes_on([""] * 4, groups=["a", "a", "b", "b"]), "homology", 3, 0)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (["train", "valid", ""], "1 of 3 have something else (the first is gene2: '')"),
        (["train", "train", "test"], "2 genes for training and 0 for validation"),
    ],
)
def test_incomplete_given_split_is_an_error(split, message):
    with pytest.raises(UsageError) as problem:
        split_once(genes_on(["1"] * 3, split=split), "given", 0.1, 0.1, 0)
    assert message in str(problem.value)


@pytest.mark.parametrize(("valid", "test"), [(0.0, 0.1), (0.5, 0.5), (0.1, -0.1), (1.2, 0.0)])
def test_fractions_that_leave_nothing_are_an_error(valid, test):
    with pytest.raises(UsageError, match="were asked for"):
        split_once(genes_on(["1"] * 30), "random", valid, test, 0)


def test_one_chromosome_cannot_be_divided():
    with pytest.raises(UsageError, match="1 indivisible group"):
        split_once(genes_on(["1"] * 30), "chromosome", 0.1, 0, 0)


NAMED = pd.DataFrame({"id": [f"g{i}" for i in range(24)], "chrom": ["chr1", "2", "chrX", "MT"] * 6})


def on(*chromosomes):
    return np.flatnonzero(NAMED["chrom"].isin(chromosomes)).tolist()


def test_named_chromosomes_are_the_test_and_the_validation_part():
    """chr1 and 1 are one chromosome, and so are MT and chrM."""
    named = {"test_chromosomes": ["1", "chrM"], "valid_chromosomes": ["chr2"]}
    train, valid, test = split_once(NAMED, "chromosome", 0.1, 0.1, 0, **named)
    assert (train.tolist(), valid.tolist(), test.tolist()) == (on("chrX"), on("2"), on("chr1", "MT"))
    train, valid, test = split_once(NAMED, "chromosome", 0.1, 0.1, 0, test_chromosomes=["1"])
    assert test.tolist() == on("chr1")
    assert valid.tolist() in (on("2"), on("chrX"), on("MT"))  # drawn as usual, a whole chromosome
    assert sorted([*train, *valid, *test]) == list(range(24))
    train, valid, test = split_once(NAMED, "chromosome", 0.1, 0, 0, valid_chromosomes=["x"])
    assert (valid.tolist(), len(test), len(train)) == (on("chrX"), 0, 18)


def test_named_chromosomes_make_folds_and_other_genes_are_never_tested():
    fold_of = make_folds(NAMED, "chromosome", 2, 0, [["1", "2"], ["M"]])
    assert [np.flatnonzero(fold_of == fold).tolist() for fold in (0, 1, -1)] == [on("chr1", "2"), on("MT"), on("chrX")]
    train, valid = inner_validation(fold_of, 0, NAMED, "chromosome", valid_chromosomes=["X"])
    assert (train.tolist(), valid.tolist()) == (on("MT"), on("chrX"))


@pytest.mark.parametrize(
    ("lists", "folds", "kind", "said"),
    [
        (
            [["9"]],
            1,
            "chromosome",
            "no gene lies on 9; chromosomes .and their genes.: chr1 .6., 2 .6., MT .6.",
        ),
        ([["1"], ["chr1"]], 2, "chromosome", "chr1 is tested in fold 0 and in fold 1"),
        ([["1"]], 5, "chromosome", "5 folds were asked for, but --test-chromosomes names those of 1"),
        ([["1"]], 1, "random", "cannot go with --split random"),
    ],
)
def test_test_chromosomes_that_make_no_folds(lists, folds, kind, said):
    with pytest.raises(UsageError, match=said):
        make_folds(NAMED, kind, folds, 0, lists)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"test_chromosomes": ["1"], "valid_chromosomes": ["chr1"]}, "chr1 cannot be both tested and used for valid"),
        ({"test_chromosomes": ["1", "2", "X", "M"]}, "leave no gene to train on"),
    ],
)
def test_named_chromosomes_that_leave_nothing(named, said):
    with pytest.raises(UsageError, match=said):
        split_once(NAMED, "chromosome", 0.1, 0.1, 0, **named)
