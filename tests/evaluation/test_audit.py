from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqexpr.datasets.dataset import DatasetWriter, PreparedDataset
from seqexpr.evaluation import overlap_pairs
from seqexpr.evaluation.audit import audit_overlap
from seqexpr.evaluation.folds import inner_validation, make_folds
from seqexpr.evaluation.homology import grouped_genes
from seqexpr.sequences.alphabet import reverse_complement
from seqexpr.sequences.windows import Tss
from seqexpr.training.experiment import Experiment, Split
from seqexpr.training.recipe import Recipe

from ..small_dataset import tiny_config

UPSTREAM, DOWNSTREAM = 240, 120
FAMILIES, COPIES = 20, 3


@pytest.fixture
def no_mmseqs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


def family_proteins() -> list[np.ndarray]:
    """20 unrelated proteins of 150 residues, each followed by two copies at 97 % identity."""
    generator = np.random.default_rng(1)
    proteins = []
    for _ in range(FAMILIES):
        first = generator.integers(1, 21, 150).astype(np.uint8)
        for copy in range(COPIES):
            changed = first.copy()
            changed[10 + copy :: 40] = changed[10 + copy :: 40] % 20 + 1
            proteins.append(changed)
    return proteins


def make_dataset(
    folder: Path, genes: pd.DataFrame, *, proteins: list[np.ndarray] | None = None, windows: np.ndarray | None = None
) -> PreparedDataset:
    sides = (0, 0) if windows is None else (UPSTREAM, DOWNSTREAM)
    with DatasetWriter(folder, *sides, with_protein=proteins is not None) as writer:
        for row, id in enumerate(genes["id"]):
            writer.add(id, None if windows is None else windows[row], None if proteins is None else proteins[row])
        writer.finish(genes, {"kind": "dataset", "format": 1, "labels": [], "half_life": None})
    return PreparedDataset.open(folder)


@pytest.fixture
def families(tmp_path) -> PreparedDataset:
    ids = [f"g{row}" for row in range(FAMILIES * COPIES)]
    return make_dataset(tmp_path / "families", pd.DataFrame({"id": ids}), proteins=family_proteins())


def window_genes(tmp_path: Path, placed: list[bool]) -> PreparedDataset:
    """Five genes. 0: boundary 1000, +. 1: one base with 0. 2: adjacent to 0. 3: boundary 1000, on the other strand.

    4: the same place as 0 on another chromosome, with other bases.
    """
    random = np.random.default_rng(2)
    chromosomes = {"1": random.integers(1, 5, 4000).astype(np.uint8), "2": random.integers(1, 5, 4000).astype(np.uint8)}
    sites = [
        Tss("g0", "chr1", 1000, "+"),
        Tss("g1", "1", 1000 + UPSTREAM + DOWNSTREAM - 1, "+"),
        Tss("g2", "1", 1000 - UPSTREAM - DOWNSTREAM, "+"),
        Tss("g3", "1", 1000, "-"),
        Tss("g4", "2", 1000, "+"),
    ]
    windows = []
    for site in sites:
        place = site.window(UPSTREAM, DOWNSTREAM)
        bases = chromosomes[place.chrom[-1]][place.start : place.end]
        windows.append(bases if site.strand == "+" else reverse_complement(bases))
    genes = pd.DataFrame(
        {
            "id": [site.id for site in sites],
            "chrom": [site.chrom for site in sites],
            "tss": [str(site.boundary) if known else "" for site, known in zip(sites, placed, strict=True)],
            "strand": [site.strand for site in sites],
        }
    )
    return make_dataset(tmp_path / "windows", genes, windows=np.stack(windows))


def parts_of(fold_of: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Of each fold its number, its test genes and all others."""
    folds = range(fold_of.max() + 1)
    return [(fold, np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)) for fold in folds]


class Labelled:
    """A dataset with labels of the test's own."""

    def __init__(self, dataset, labels):
        self._dataset, self._labels = dataset, labels

    def __getattr__(self, name):
        return getattr(self._dataset, name)

    def __len__(self):
        return len(self._dataset)

    def labels(self, names):
        return self._labels


def audit(dataset, parts, config=None, labels=None, predicted=None, names=("a",)):
    labels = np.zeros((len(dataset), len(names))) if labels is None else labels
    predicted = np.full((len(dataset), len(names)), np.nan) if predicted is None else predicted
    config = config or tiny_config("protein-perceiver" if dataset.has_protein else "dna-perceiver")
    config = replace(config, outputs=len(names))
    experiment = Experiment(Labelled(dataset, labels), names, config, Recipe("r"), 0)
    splits = [Split(fold, seen, np.empty(0, np.int64), test) for fold, test, seen in parts]
    found = audit_overlap(experiment, splits, predicted, threads=1, resamples=50)
    return {entry["overlap"]: entry for entry in found}


def test_copies_count_where_a_random_split_divides_them(families, no_mmseqs):
    fold_of = make_folds(families.genes, "random", 5, 0)
    entry = audit(families, parts_of(fold_of))["near-identical protein"]
    family = np.arange(len(families)) // COPIES
    divided = np.array([(fold_of[family == family[row]] != fold_of[row]).any() for row in range(len(families))])
    assert entry["tested"] == 60 and entry["overlapping"] == divided.sum() > 40
    assert entry["by_fold"] == [
        {"fold": fold, "tested": 12, "overlapping": int(divided[fold_of == fold].sum())} for fold in range(5)
    ]


def test_nothing_overlaps_where_the_families_are_groups(families, no_mmseqs):
    genes = families.genes.assign(group=[str(row // COPIES) for row in range(len(families))])
    entry = audit(families, parts_of(make_folds(genes, "homology", 5, 0)))["near-identical protein"]
    assert (entry["tested"], entry["overlapping"]) == (60, 0)


@pytest.mark.skipif(shutil.which("mmseqs") is None, reason="MMseqs2 is not installed")
def test_nothing_overlaps_in_homology_folds_and_much_in_random_ones(families):
    genes, _ = grouped_genes(families, "homology", None, 1)
    for kind, overlapping in (("homology", False), ("random", True)):
        fold_of = make_folds(genes, kind, 4, 0)
        parts = [
            (f, np.flatnonzero(fold_of == f), np.concatenate(inner_validation(fold_of, f, genes, kind)))
            for f in range(4)
        ]
        entries = audit(families, parts)
        counts = [entries[name]["overlapping"] for name in ("near-identical protein", "homologous protein")]
        assert all(count > 40 for count in counts) if overlapping else counts == [0, 0]


def test_without_mmseqs_homologous_proteins_are_skipped_with_the_reason(families, no_mmseqs):
    entry = audit(families, parts_of(make_folds(families.genes, "random", 2, 0)))["homologous protein"]
    assert entry.keys() == {"overlap", "skipped"}
    assert entry["skipped"].startswith("homologous proteins are found by MMseqs2, which is absent: install it with")
    assert "--groups" not in entry["skipped"]  # groups of one's own would not count them either


def test_genes_of_no_part_are_neither_tested_nor_trained_on(families, no_mmseqs):
    # Gene 1 is a copy of gene 0, but takes no part; gene 4 is a copy of gene 3, and trained on.
    parts = [(2, np.array([0, 3]), np.array([4, 9]))]
    entry = audit(families, parts)["near-identical protein"]
    assert entry["by_fold"] == [{"fold": 2, "tested": 2, "overlapping": 1}]


def test_metrics_are_those_of_each_part(families, no_mmseqs):
    """Genes whose copy was trained on are predicted exactly, the others with a known error."""
    first_two = np.arange(len(families)) % COPIES < 2
    family = np.arange(len(families)) // COPIES
    # Of 11 families two copies are tested and the third trained on; the other families are tested whole.
    test = np.flatnonzero(first_two | (family >= 11))
    training = np.flatnonzero(~first_two & (family < 11))
    labels = np.random.default_rng(3).normal(size=(len(families), 2))
    predicted = np.full_like(labels, np.nan)
    predicted[test] = np.where(family[test, None] < 11, labels[test], 2 * labels[test] + 1)
    labels[family == 0, 1] = np.nan
    entry = audit(families, [(0, test, training)], labels=labels, predicted=predicted, names=("a", "b"))
    metrics = entry["near-identical protein"]["metrics"]
    whole = metrics["a"]["overlapping"]
    assert whole["n"] == 22 and whole["r2"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    others = metrics["a"]["others"]
    actual = labels[test[family[test] >= 11], 0]
    assert others.keys() == {"n", "pearson_r2", "r2"} and others["n"] == 27
    assert others["pearson_r2"]["value"] == pytest.approx(1)
    assert others["r2"]["value"] == pytest.approx(1 - ((actual + 1) ** 2).sum() / ((actual - actual.mean()) ** 2).sum())
    assert others["r2"]["low"] < others["r2"]["value"] < others["r2"]["high"]
    assert metrics["b"]["overlapping"]["n"] == 20  # two genes of family 0 have no label


def test_fewer_than_20_labelled_genes_get_no_metrics(families, no_mmseqs):
    labels = np.random.default_rng(4).normal(size=(len(families), 1))
    labels[22:] = np.nan
    # 10 genes have their copies in training; of the 12 genes 10 to 21 none has.
    entry = audit(families, [(0, np.arange(0, 60, 3), np.arange(1, 30, 3))], labels=labels, predicted=labels)[
        "near-identical protein"
    ]
    assert entry["metrics"] == {"a": {"overlapping": None, "others": None}}


def test_genes_without_any_label_are_not_counted(families, no_mmseqs):
    labels = np.zeros((len(families), 2))
    labels[:6, 0], labels[3:9, 1] = np.nan, np.nan  # rows 3 to 5 have none
    # Of each family the first copy is tested; the second copies of the first ten were trained on.
    parts = [(0, np.arange(0, 60, 3), np.arange(1, 30, 3))]
    entry = audit(families, parts, labels=labels, names=("a", "b"))["near-identical protein"]
    assert (entry["tested"], entry["overlapping"]) == (19, 9)
    assert entry["by_fold"] == [{"fold": 0, "tested": 19, "overlapping": 9}]


def test_windows_are_read_in_blocks(tmp_path, monkeypatch):
    dataset = window_genes(tmp_path, [False] * 5)
    whole = audit(dataset, parts_of(np.arange(5)))
    read = []
    honest = PreparedDataset.dna

    def noted(self, indices, *sides):
        read.append(len(indices))
        return honest(self, indices, *sides)

    monkeypatch.setattr(PreparedDataset, "dna", noted)
    monkeypatch.setattr(overlap_pairs, "_BLOCK_TOKENS", 2 * (UPSTREAM + DOWNSTREAM))
    assert audit(dataset, parts_of(np.arange(5))) == whole
    assert max(read) == 2


@pytest.mark.parametrize("placed", [[True] * 5, [False] * 5, [True, True, False, True, False]])
def test_windows_that_share_bases_by_position_or_by_sequence(tmp_path, placed):
    dataset = window_genes(tmp_path, placed)
    entry = audit(dataset, [(row, np.array([row]), np.delete(np.arange(5), row)) for row in range(5)])
    overlapping = [bool(fold["overlapping"]) for fold in entry["overlapping window"]["by_fold"]]
    # 3 covers 880 to 1240: 240 bases with 0 (760 to 1120), and with 1 (1119 to 1479) 121, which are too few to be
    # told by sequence. 2 (400 to 760) only touches 0.
    assert overlapping == [True, placed[1], False, True, False]


def test_only_the_bases_that_the_network_reads_count(tmp_path):
    dataset = window_genes(tmp_path, [True] * 5)
    parts = [(0, np.array([1]), np.array([0]))]
    assert audit(dataset, parts)["overlapping window"]["overlapping"] == 1
    less = replace(tiny_config(), upstream=UPSTREAM - 1)
    assert audit(dataset, parts, less)["overlapping window"]["overlapping"] == 0


def test_the_definition_says_how_many_genes_were_compared_how(tmp_path):
    dataset = window_genes(tmp_path, [True, True, True, False, False])
    entry = audit(dataset, parts_of(np.array([0, 0, 1, 1, 1])))["overlapping window"]
    assert entry["definition"] == (
        "the gene's window of 360 bp shares bases, on either strand, with a training gene's window (by position for 3 "
        "genes; by sequence for 2 genes without a position: at least 128 bases at an end of one window lie in the "
        "other, and 95% of all from there on are the same)"
    )


def test_a_network_that_reads_no_dna_has_no_windows_to_compare(tmp_path, no_mmseqs):
    genes = pd.DataFrame({"id": ["a", "b"]})
    windows = np.random.default_rng(0).integers(1, 5, (2, UPSTREAM + DOWNSTREAM)).astype(np.uint8)
    dataset = make_dataset(tmp_path / "both", genes, proteins=family_proteins()[:2], windows=windows)
    parts = [(0, np.array([0]), np.array([1]))]
    assert audit(dataset, parts)["overlapping window"] == {
        "overlap": "overlapping window",
        "skipped": "protein-perceiver reads no DNA",
    }
    both = audit(dataset, parts, tiny_config("dna-protein-perceiver"))
    assert list(both) == ["near-identical protein", "homologous protein", "overlapping window"]
    assert both["near-identical protein"]["overlapping"] == 1


def test_a_dataset_of_dna_alone_is_audited_for_windows_alone(tmp_path):
    dataset = window_genes(tmp_path, [True] * 5)
    assert list(audit(dataset, parts_of(np.array([0, 0, 1, 1, 1])))) == ["overlapping window"]
