from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from seqexpr.errors import UsageError
from seqexpr.evaluation.tables import read_table
from seqexpr.models.trained import load_model, read_metadata
from seqexpr.prediction.rows import predict_members
from seqexpr.runs.setup import RunOptions, resolve_experiment
from seqexpr.runs.train_run import train_once

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture
def experiment(dataset):
    named = {"labels": ("a",), "preset": "protein-perceiver"}
    return resolve_experiment(str(dataset.folder), **named, epochs=2, batch_size=16)


@pytest.fixture
def options():
    return RunOptions("chromosome", valid_fraction=0.2, test_fraction=0.2, resamples=50)


def test_run_folder_is_whole_and_the_weights_know_their_numbers(experiment, options, tmp_path, observer):
    rows = train_once(experiment, options, tmp_path, CPU, resume=False, observer=observer)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"manifest.json", "metrics.jsonl", "checkpoint", "weights.safetensors", "predictions.tsv"} <= names
    assert {"report.html", ".done"} <= names
    assert json.loads((tmp_path / "manifest.json").read_text())["kind"] == "train"
    scopes = {(row["model"], row["scope"]) for row in rows}
    assert {model for model, scope in scopes if scope == "valid"} == {"seqexpr", "training_mean"}
    # The dataset has proteins, DNA and half-life: composition is that of what the network reads.
    assert {model for model, scope in scopes if scope == "test"} == {
        *("seqexpr", "training_mean", "half_life_ridge", "composition_ridge", "composition_half_life_ridge"),
        *("composition_boosted_trees", "composition_half_life_boosted_trees", "untrained_model"),
    }
    assert all(("difference" in row) == (row["scope"] == "test" and row["model"] != "seqexpr") for row in rows)
    training = read_metadata(tmp_path / "weights.safetensors").training
    assert training["metrics"] == [row for row in rows if row["model"] == "seqexpr"]
    table = pd.read_csv(tmp_path / "predictions.tsv", sep="\t", dtype={"chrom": str})
    assert set(table["split"]) == {"valid", "test"}
    assert not set(table.loc[table["split"] == "valid", "chrom"]) & set(table.loc[table["split"] == "test", "chrom"])
    baselines = pd.read_csv(tmp_path / "baselines.tsv", sep="\t", dtype={"chrom": str})
    assert list(baselines) == ["id", "chrom", "split", "model", "output", "label", "prediction"]
    tested = table.loc[table["split"] == "test", "id"].tolist()
    assert baselines.loc[baselines["model"] == "composition_ridge", "id"].tolist() == tested
    audited = json.loads((tmp_path / "audit.json").read_text())
    assert {(entry["overlap"], entry.get("tested", len(tested))) for entry in audited} >= {
        ("near-identical protein", len(tested))
    }


def test_training_mean_of_the_test_part_counts_the_validation_genes_too(
    experiment, options, dataset, tmp_path, observer, no_audit
):
    train_once(experiment, options, tmp_path, CPU, resume=False, observer=observer)
    baselines = pd.read_csv(tmp_path / "baselines.tsv", sep="\t")
    tested = set(baselines["id"])
    others = dataset.genes.loc[~dataset.genes["id"].isin(tested), "a"]
    found = baselines.loc[baselines["model"] == "training_mean", "prediction"].unique()
    assert found == pytest.approx([others.mean()])


def test_negative_control_and_groups_land_in_the_manifest(experiment, options, dataset, tmp_path, observer, no_audit):
    table = tmp_path / "groups.tsv"
    table.write_text("".join(f"{gene}\tfamily{row // 5}\n" for row, gene in enumerate(dataset.ids)))
    other = replace(options, split="group", groups_file=table, permute_labels=True)
    train_once(experiment, other, tmp_path / "run", CPU, resume=False, observer=observer)
    options = json.loads((tmp_path / "run/manifest.json").read_text())["options"]
    assert (options["permute_labels"], options["groups"]["source"]) == (True, str(table))
    labels = pd.read_csv(tmp_path / "run/predictions.tsv", sep="\t").set_index("id")["label"]
    assert not (dataset.genes.set_index("id").loc[labels.index, "a"] == labels).all()


def test_a_folder_in_use_is_found_out_before_groups_are_looked_for(experiment, options, tmp_path, observer):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="exists already"):
        train_once(
            experiment,
            replace(options, groups_file=tmp_path / "absent"),
            tmp_path,
            CPU,
            resume=False,
            observer=observer,
        )


def test_without_a_test_part_only_validation_is_reported(experiment, options, tmp_path, observer):
    rows = train_once(experiment, replace(options, test_fraction=0.0), tmp_path, CPU, resume=False, observer=observer)
    assert {row["scope"] for row in rows} == {"valid"}
    assert not (tmp_path / "baselines.tsv").exists()
    assert not (tmp_path / "audit.json").exists()


def test_resuming_a_finished_run_changes_nothing(experiment, options, tmp_path, observer, no_audit):
    train_once(experiment, options, tmp_path, CPU, resume=False, observer=observer)
    before = (tmp_path / "weights.safetensors").read_bytes()
    train_once(experiment, options, tmp_path, CPU, resume=True, observer=observer)
    assert (tmp_path / "weights.safetensors").read_bytes() == before


def test_errors_to_expect_are_calibrated_on_the_validation_genes(experiment, tmp_path, observer, no_audit):
    """The network of the default recipe has members: their spread and the validation genes' errors give an sd."""
    assert experiment.config.members > 1
    many = RunOptions("random", valid_fraction=0.7, test_fraction=0.1, resamples=50)
    train_once(experiment, many, tmp_path, CPU, resume=False, observer=observer)
    table = read_table(tmp_path / "predictions.tsv")
    model = load_model(tmp_path / "weights.safetensors")
    (output,) = model.metadata.outputs
    assert output.calibration is not None
    valid = table[table["split"] == "valid"]
    errors = valid["label"] - valid["prediction"]
    assert np.mean((errors / valid["sd"]) ** 2) == pytest.approx(1, abs=0.01)  # as large as said, on these genes
    # `predict` with the weights says the same of the test genes.
    test = table[table["split"] == "test"]
    dataset = experiment.dataset
    rows = [dataset.ids.index(gene) for gene in test["id"]]
    members = predict_members(model, dataset, np.array(rows), 16)[:, :, 0]
    expected = output.calibration.sd(members.mean(axis=0), members.std(axis=0, ddof=1))
    np.testing.assert_allclose(test["sd"], expected, rtol=1e-4)
    assert "Calibration of the predicted sd" in (tmp_path / "report.html").read_text()


def test_too_few_validation_genes_calibrate_nothing(experiment, options, tmp_path, observer, no_audit):
    train_once(experiment, options, tmp_path, CPU, resume=False, observer=observer)
    assert "sd" not in read_table(tmp_path / "predictions.tsv")
    assert read_metadata(tmp_path / "weights.safetensors").outputs[0].calibration is None
