"""Nothing may peek at the test fold: labels that are changed there alone change nothing but the metrics."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqexpr.evaluation import fold_run, judging
from seqexpr.evaluation.cross_validation import CrossValidation, run_folds
from seqexpr.evaluation.run_folder import fold_folder, read_lines, read_table
from seqexpr.evaluation.setup import resolve_setup
from seqexpr.training import trainer

from .conftest import SilentObserver

CPU = torch.device("cpu")
FOLD = 1
PLANTED = {"shift": lambda values: values + 1_000.0, "scale": lambda values: values * 50.0}


@pytest.fixture
def cv(dataset):
    setup = resolve_setup(str(dataset.folder), labels=("a", "b"), preset="dna-perceiver", epochs=3, batch_size=16)
    return CrossValidation(setup, "chromosome", 3, valid_fraction=0.2, resamples=0)


def planted(cv, change):
    """The same cross-validation with the labels of the test genes of one fold changed."""
    dataset = copy.copy(cv.setup.dataset)
    test = cv.plan()[0].fold_of == FOLD
    dataset.genes = dataset.genes.copy()
    dataset.genes.loc[test, ["a", "b"]] = change(dataset.genes.loc[test, ["a", "b"]])
    return replace(cv, setup=replace(cv.setup, dataset=dataset))


def traces(cv, folder):
    """All that a fold leaves behind, by name, as bytes; the weights file holds the scalings and the chosen epoch."""
    run_folds(cv, folder, CPU, [FOLD], observer=SilentObserver())
    fold = fold_folder(folder, FOLD)
    plan, _ = cv.plan()
    dataset, names = plan.setup.dataset, plan.setup.label_names
    parts = judging.fold_parts(plan.fold_of, dataset.labels(names))
    trial = judging.Trial(dataset, names, cv.setup.config, 0, 0, parts)
    test = parts[FOLD].test
    baselines = {name: table[test] for name, table in judging.predict_baselines(trial, CPU).items()}
    own = read_table(fold / "predictions.tsv")["prediction"].to_numpy()
    rows = judging.judge(replace(trial, parts=(parts[FOLD],)), {"seqexpr": _spread(own, test, dataset)}, "test")
    epochs = [{**row, "seconds": 0} for row in read_lines(fold / "metrics.jsonl")]
    return {
        "weights": (fold / "weights.safetensors").read_bytes(),
        "epochs": json.dumps(epochs).encode(),
        "predictions": own.tobytes(),
        **{name: values.tobytes() for name, values in baselines.items()},
        "metrics": json.dumps(rows).encode(),
    }


def _spread(own, test, dataset):
    values = np.full((len(dataset), 2), np.nan)
    values[test] = own.reshape(2, -1).T
    return values


def moved(cv, change, tmp_path):
    plain, other = traces(cv, tmp_path / "plain"), traces(planted(cv, change), tmp_path / "planted")
    assert {"weights", "epochs", "predictions", "training_mean", "untrained model", "metrics"} < set(plain)
    return {name for name in plain if plain[name] != other[name]}


@pytest.mark.parametrize("change", PLANTED)
def test_test_labels_move_nothing_but_the_metrics(cv, tmp_path, change):
    assert moved(cv, PLANTED[change], tmp_path) == {"metrics"}


def test_a_label_scaler_that_saw_the_test_fold_is_caught(cv, tmp_path, monkeypatch):
    def leaky(job):
        labels = job.dataset.labels(job.label_names)
        return np.nanmean(labels, axis=0), np.nanstd(labels, axis=0)

    monkeypatch.setattr(trainer, "label_scaling", leaky)
    assert moved(cv, PLANTED["shift"], tmp_path) >= {"weights", "epochs", "predictions"}


def test_an_early_stop_that_saw_the_test_fold_is_caught(cv, tmp_path, monkeypatch):
    honest = fold_run.inner_validation

    def leaky(fold_of, fold, *rest):
        chosen, _ = honest(fold_of, fold, *rest)
        return chosen, np.flatnonzero(fold_of == fold)

    monkeypatch.setattr(fold_run, "inner_validation", leaky)
    assert moved(cv, PLANTED["scale"], tmp_path) >= {"weights", "epochs"}


def test_baselines_that_saw_the_test_fold_are_caught(cv, tmp_path, monkeypatch):
    honest = judging.fold_parts

    def leaky(fold_of, labels):
        return tuple(part._replace(train=np.arange(len(fold_of))) for part in honest(fold_of, labels))

    monkeypatch.setattr(judging, "fold_parts", leaky)
    assert moved(cv, PLANTED["shift"], tmp_path) >= {"training_mean", "composition_ridge", "untrained model"}
