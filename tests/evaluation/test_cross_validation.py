from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from seqexpr.errors import UsageError
from seqexpr.evaluation.cross_validation import CrossValidation, cross_validate
from seqexpr.evaluation.setup import resolve_setup
from seqexpr.models.checkpoint import load_model
from seqexpr.models.registry import resolve_models
from seqexpr.prediction.rows import predict_rows

from .conftest import SilentObserver

CPU = torch.device("cpu")


@pytest.fixture
def cv(dataset):
    setup = resolve_setup(str(dataset.folder), labels=("a", "b"), preset="dna-perceiver", epochs=2, batch_size=16)
    return CrossValidation(setup, "chromosome", 3, valid_fraction=0.2, resamples=50)


def test_run_folder_is_whole(cv, dataset, tmp_path, observer):
    rows = cross_validate(cv, tmp_path, CPU, resume=False, observer=observer)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"manifest.json", "metrics.json", "metrics.jsonl", "predictions.tsv", "report.html", ".done"} <= names
    assert observer.folds == [0, 1, 2]
    assert json.loads((tmp_path / "metrics.json").read_text()) == rows
    overall = {(row["model"], row["output"]): row for row in rows if row["scope"] == "all"}
    assert overall["seqexpr", "a"]["n"] == 48
    assert overall["seqexpr", "b"]["n"] == 47  # one label is missing
    # Out of fold, the training mean explains nothing (a little less, in fact).
    assert -0.3 < overall["training_mean", "a"]["metrics"]["r2"]["value"] <= 0
    assert {"half_life_ridge", "composition_ridge", "untrained model"} <= {model for model, _ in overall}
    assert len(resolve_models([str(tmp_path)])) == 3


def test_every_gene_is_predicted_by_the_network_that_did_not_see_its_chromosome(cv, dataset, tmp_path, observer):
    cross_validate(cv, tmp_path, CPU, resume=False, observer=observer)
    table = pd.read_csv(tmp_path / "predictions.tsv", sep="\t", dtype={"chrom": str})
    assert table.loc[table["output"] == "a", "id"].tolist() == dataset.ids
    assert (table.groupby("chrom")["fold"].nunique() == 1).all()
    for fold in range(3):
        model = load_model(tmp_path / f"folds/{fold}/weights.safetensors")
        mine = table[(table["fold"] == fold) & (table["output"] == "a")]
        rows = np.array([dataset.ids.index(gene) for gene in mine["id"]])
        np.testing.assert_allclose(predict_rows(model, dataset, rows, 8)[:, 0], mine["prediction"], atol=1e-5)


def test_test_labels_move_nothing_but_the_metrics(cv, dataset, tmp_path, observer):
    """A shift planted in the test fold's labels alone leaves its predictions as they were: nothing peeked."""
    import copy
    from dataclasses import replace

    cross_validate(cv, tmp_path / "plain", CPU, resume=False, observer=observer)
    plain = pd.read_csv(tmp_path / "plain/predictions.tsv", sep="\t")
    mine = plain.loc[(plain["fold"] == 1) & (plain["output"] == "a"), "id"]
    moved = copy.copy(dataset)
    moved.genes = dataset.genes.copy()
    moved.genes.loc[moved.genes["id"].isin(mine), ["a", "b"]] += 1_000.0
    other = replace(cv, setup=replace(cv.setup, dataset=moved))
    cross_validate(other, tmp_path / "moved", CPU, resume=False, observer=SilentObserver())
    found = pd.read_csv(tmp_path / "moved/predictions.tsv", sep="\t")
    same = plain["fold"] == 1
    pd.testing.assert_series_equal(plain.loc[same, "prediction"], found.loc[same, "prediction"])
    assert not np.allclose(plain.loc[~same, "prediction"], found.loc[~same, "prediction"])


def test_resumed_equals_uninterrupted(cv, tmp_path):
    cross_validate(cv, tmp_path / "whole", CPU, resume=False, observer=SilentObserver())
    with pytest.raises(KeyboardInterrupt):
        cross_validate(cv, tmp_path / "parts", CPU, resume=False, observer=SilentObserver((1, 2, 1)))
    second = SilentObserver()
    cross_validate(cv, tmp_path / "parts", CPU, resume=True, observer=second)
    assert second.folds == [1, 2]
    for name in ("predictions.tsv", "metrics.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_used_folder_and_impossible_folds(cv, tmp_path, observer):
    from dataclasses import replace

    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="exists already"):
        cross_validate(cv, tmp_path, CPU, resume=False, observer=observer)
    with pytest.raises(UsageError, match="6 chromosomes cannot make 7 folds"):
        cross_validate(replace(cv, folds=7), tmp_path / "new", CPU, resume=False, observer=observer)
    assert not (tmp_path / "new").exists()
