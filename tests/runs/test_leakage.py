"""Nothing may peek at the test fold.

Labels that are changed there alone change nothing but the metrics; sequences and half-life features that are changed
there alone change what is predicted for these genes, and neither the weights nor the epochs.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqexpr.evaluation import scoring as judging
from seqexpr.evaluation.tables import read_table
from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.models.composition.flow import CompositionFlow
from seqexpr.runs import fold_run
from seqexpr.runs.cross_validation import CrossValidation, run_folds
from seqexpr.runs.folder import fold_folder, read_lines
from seqexpr.runs.setup import resolve_setup
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


def trained(cv, folder):
    """What the training of a fold leaves behind, by name, as bytes; its weights hold the scalings and their epoch."""
    run_folds(cv, folder, CPU, [FOLD], observer=SilentObserver())
    fold = fold_folder(folder, FOLD)
    epochs = [{**row, "seconds": 0} for row in read_lines(fold / "metrics.jsonl")]
    return {
        "weights": (fold / "weights.safetensors").read_bytes(),
        "epochs": json.dumps(epochs).encode(),
        "predictions": read_table(fold / "predictions.tsv")["prediction"].to_numpy().tobytes(),
    }


def traces(cv, folder):
    """The same, and what is made of the fold: baselines and metrics."""
    left = trained(cv, folder)
    plan, _ = cv.plan()
    dataset, names = plan.setup.dataset, plan.setup.label_names
    parts = judging.fold_parts(plan.fold_of, dataset.labels(names))
    trial = judging.Trial(dataset, names, cv.setup.config, 0, 0, parts)
    test = parts[FOLD].test
    baselines = {name: table[test] for name, table in judging.predict_baselines(trial, CPU).items()}
    own = np.frombuffer(left["predictions"])
    rows = judging.judge(replace(trial, parts=(parts[FOLD],)), {"seqexpr": _spread(own, test, dataset)}, "test")
    return {
        **left,
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


class Changed:
    """Sequences of some genes changed: every base and every residue is another one."""

    def __init__(self, store, rows):
        self.store, self.rows = store, rows

    def __getattr__(self, name):
        return getattr(self.store, name)

    def windows(self, indices, *sides):
        tokens = self.store.windows(indices, *sides)
        return np.where(np.isin(indices, self.rows)[:, None], tokens % 4 + 1, tokens)

    def proteins(self, indices, max_length):
        tokens = self.store.proteins(indices, max_length)
        return np.where(np.isin(indices, self.rows)[:, None] & (tokens > 0), tokens % 22 + 1, tokens)


@pytest.fixture
def composed(dataset):
    """A network that reads everything: windows, proteins, half-life features and their composition, which learns
    first."""
    named = {"labels": ("a",), "preset": "dna-protein-perceiver", "epochs": 2, "batch_size": 16}
    setup = resolve_setup(str(dataset.folder), **named)
    config = replace(setup.config, composition_dim=4)
    recipe = setup.recipe.changed(composition_epochs=2)
    return CrossValidation(replace(setup, config=config, recipe=recipe), "chromosome", 3, 0.2, resamples=0)


def with_other_inputs(cv, part):
    """The same cross-validation with other sequences or half-life features of the test genes of one fold."""
    dataset = copy.copy(cv.setup.dataset)
    test = np.flatnonzero(cv.plan()[0].fold_of == FOLD)
    if part == "sequences":
        dataset._store = Changed(dataset._store, test)
    else:
        dataset.genes = dataset.genes.copy()
        dataset.genes.loc[test, list(dataset.half_life_names)] *= 50.0
    return replace(cv, setup=replace(cv.setup, dataset=dataset))


def moved_by_inputs(cv, part, tmp_path):
    plain, other = trained(cv, tmp_path / "plain"), trained(with_other_inputs(cv, part), tmp_path / "planted")
    return {name for name in plain if plain[name] != other[name]}


@pytest.mark.parametrize("part", ["sequences", "half-life"])
def test_inputs_of_test_genes_move_nothing_but_their_predictions(composed, tmp_path, part):
    assert moved_by_inputs(composed, part, tmp_path) == {"predictions"}
    first, *_ = read_lines(fold_folder(tmp_path / "plain", FOLD) / "metrics.jsonl")
    assert first["epoch"] == 0  # the composition flow has learnt first


def test_a_half_life_scaler_that_saw_the_test_fold_is_caught(composed, tmp_path, monkeypatch):
    def leaky(job):
        dataset = job.dataset
        return HalfLifeSchema.fit(dataset.half_life(), dataset.half_life_names, dataset.half_life_transforms)

    monkeypatch.setattr(trainer, "half_life_schema", leaky)
    assert moved_by_inputs(composed, "half-life", tmp_path) >= {"weights", "epochs"}


def test_a_composition_that_was_standardised_on_the_test_fold_is_caught(composed, tmp_path, monkeypatch):
    honest, fit = trainer.train_composition, CompositionFlow.fit

    def leaky(flow, loader, *rest):
        everything = [
            (batch.latent_tokens, batch.query_tokens) for batch in loader.batches(np.arange(len(loader.labels)), 16)
        ]
        with monkeypatch.context() as patch:
            patch.setattr(CompositionFlow, "fit", lambda flow, _: fit(flow, everything))
            return honest(flow, loader, *rest)

    monkeypatch.setattr(trainer, "train_composition", leaky)
    assert moved_by_inputs(composed, "sequences", tmp_path) >= {"weights", "epochs"}
