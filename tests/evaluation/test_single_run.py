from __future__ import annotations

import json

import pandas as pd
import pytest
import torch

from seqexpr.evaluation.setup import resolve_setup
from seqexpr.evaluation.single_run import SingleRun, train_once
from seqexpr.models.checkpoint import read_metadata

CPU = torch.device("cpu")


@pytest.fixture
def run(dataset):
    setup = resolve_setup(str(dataset.folder), labels=("a",), preset="protein-perceiver", epochs=2, batch_size=16)
    return SingleRun(setup, "chromosome", valid_fraction=0.2, test_fraction=0.2, resamples=50)


def test_run_folder_is_whole_and_the_weights_know_their_numbers(run, tmp_path, observer):
    rows = train_once(run, tmp_path, CPU, resume=False, observer=observer)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"manifest.json", "metrics.jsonl", "checkpoint", "weights.safetensors", "predictions.tsv"} <= names
    assert {"report.html", ".done"} <= names
    assert json.loads((tmp_path / "manifest.json").read_text())["kind"] == "train"
    assert {(row["model"], row["scope"]) for row in rows} == {
        (model, scope) for model in ("seqexpr", "training mean") for scope in ("valid", "test")
    }
    training = read_metadata(tmp_path / "weights.safetensors").training
    assert training["metrics"] == [row for row in rows if row["model"] == "seqexpr"]
    table = pd.read_csv(tmp_path / "predictions.tsv", sep="\t", dtype={"chrom": str})
    assert set(table["split"]) == {"valid", "test"}
    assert not set(table.loc[table["split"] == "valid", "chrom"]) & set(table.loc[table["split"] == "test", "chrom"])


def test_without_a_test_part_only_validation_is_reported(run, tmp_path, observer):
    from dataclasses import replace

    rows = train_once(replace(run, test_fraction=0.0), tmp_path, CPU, resume=False, observer=observer)
    assert {row["scope"] for row in rows} == {"valid"}


def test_resuming_a_finished_run_changes_nothing(run, tmp_path, observer):
    train_once(run, tmp_path, CPU, resume=False, observer=observer)
    before = (tmp_path / "weights.safetensors").read_bytes()
    train_once(run, tmp_path, CPU, resume=True, observer=observer)
    assert (tmp_path / "weights.safetensors").read_bytes() == before
