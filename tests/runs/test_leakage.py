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
from safetensors.numpy import load_file

from seqexpr.errors import UsageError
from seqexpr.evaluation import scoring
from seqexpr.evaluation.tables import read_table
from seqexpr.finished import fold_folder
from seqexpr.inputs.half_life import HalfLifeSchema
from seqexpr.models.composition.codons import CodonUse, codon_counts
from seqexpr.models.composition.kernel import KernelFlow
from seqexpr.models.trained import Output, read_metadata
from seqexpr.runs import setup
from seqexpr.runs.cross_validation import run_folds
from seqexpr.runs.folder import read_lines
from seqexpr.runs.setup import RunOptions, divide_into_folds, permute_labels, resolve_experiment
from seqexpr.runs.teaching import FOLDER
from seqexpr.training import teacher_stage, trainer
from seqexpr.training.experiment import Split
from seqexpr.training.teacher import Teaching

from .conftest import SilentObserver
from .test_teaching import save_teacher

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
FOLD = 1
PLANTED = {"shift": lambda values: values + 1_000.0, "scale": lambda values: values * 50.0}


OPTIONS = RunOptions("chromosome", folds=3, valid_fraction=0.2, resamples=0)


@pytest.fixture
def experiment(dataset):
    named = {"labels": ("a", "b"), "preset": "dna-perceiver"}
    return resolve_experiment(str(dataset.folder), **named, epochs=3, batch_size=16)


def planted(experiment, change):
    """The same experiment with the labels of the test genes of one fold changed."""
    dataset = copy.copy(experiment.dataset)
    test = divide_into_folds(experiment, OPTIONS)[1][FOLD].test
    dataset.genes = dataset.genes.copy()
    dataset.genes.loc[test, ["a", "b"]] = change(dataset.genes.loc[test, ["a", "b"]])
    return replace(experiment, dataset=dataset)


def trained(experiment, folder):
    """What the training of a fold leaves behind, by name, as bytes; its weights hold the scalings and their epoch."""
    run_folds(experiment, OPTIONS, folder, CPU, [FOLD], observer=SilentObserver())
    fold = fold_folder(folder, FOLD)
    epochs = [{**row, "seconds": 0} for row in read_lines(fold / "metrics.jsonl")]
    return {
        "weights": weights(fold / "weights.safetensors"),
        "epochs": json.dumps(epochs).encode(),
        "predictions": read_table(fold / "predictions.tsv")["prediction"].to_numpy().tobytes(),
    }


def weights(path):
    """All that a file of weights holds, but for the scores of the test genes."""
    metadata = read_metadata(path)
    kept = [row for row in metadata.training["metrics"] if row["scope"] != f"fold {FOLD}"]
    assert 0 < len(kept) < len(metadata.training["metrics"])
    described = replace(metadata, training={**metadata.training, "metrics": kept}).to_json()
    tensors = load_file(path)
    return described.encode() + b"".join(tensors[name].tobytes() for name in sorted(tensors))


def traces(experiment, folder):
    """The same, and what is made of the fold: baselines and metrics."""
    left = trained(experiment, folder)
    settled, splits = divide_into_folds(experiment, OPTIONS)
    test = splits[FOLD].test
    baselines, failed = scoring.predict_baselines(settled, splits, CPU)
    assert not failed
    own = _spread(np.frombuffer(left["predictions"]), test, settled.dataset)
    rows, _ = scoring.score(settled, [splits[FOLD]], {"seqexpr": own}, scope="test", resamples=0)
    return {
        **left,
        **{name: values[test].tobytes() for name, values in baselines.items()},
        "metrics": json.dumps(rows).encode(),
    }


def _spread(own, test, dataset):
    values = np.full((len(dataset), 2), np.nan)
    values[test] = own.reshape(2, -1).T
    return values


def moved(experiment, change, tmp_path):
    plain, other = traces(experiment, tmp_path / "plain"), traces(planted(experiment, change), tmp_path / "planted")
    assert {"weights", "epochs", "predictions", "training_mean", "untrained_model", "metrics"} < set(plain)
    return {name for name in plain if plain[name] != other[name]}


@pytest.mark.parametrize("change", PLANTED)
def test_test_labels_move_nothing_but_the_metrics(experiment, tmp_path, change):
    assert moved(experiment, PLANTED[change], tmp_path) == {"metrics"}


def test_a_label_scaler_that_saw_the_test_fold_is_caught(experiment, tmp_path, monkeypatch):
    def leaky(experiment, split):
        labels = experiment.values()
        return np.nanmean(labels, axis=0), np.nanstd(labels, axis=0)

    monkeypatch.setattr(trainer, "label_scaling", leaky)
    assert moved(experiment, PLANTED["shift"], tmp_path) >= {"weights", "epochs", "predictions"}


def test_an_early_stop_that_saw_the_test_fold_is_caught(experiment, tmp_path, monkeypatch):
    honest = setup.inner_validation

    def leaky(fold_of, fold, *rest):
        chosen, _ = honest(fold_of, fold, *rest)
        return chosen, np.flatnonzero(fold_of == fold)

    monkeypatch.setattr(setup, "inner_validation", leaky)
    with pytest.raises(UsageError, match="the validation and the test part share genes"):
        divide_into_folds(experiment, OPTIONS)
    monkeypatch.setattr(Split, "__post_init__", lambda split: None)  # and without this check it shows all the same
    assert moved(experiment, PLANTED["scale"], tmp_path) >= {"weights", "epochs"}


def test_baselines_that_saw_the_test_fold_are_caught(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(Split, "seen", np.arange(48))
    assert moved(experiment, PLANTED["shift"], tmp_path) >= {"training_mean", "composition_ridge", "untrained_model"}


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

    def coding(self, indices, max_length):
        tokens = self.store.coding(indices, max_length)
        return np.where(np.isin(indices, self.rows)[:, None] & (tokens > 0), tokens % 64 + 1, tokens)


@pytest.fixture
def alone(dataset):
    """A network that reads everything: windows, proteins and half-life features, and is a kernel flow alone."""
    named = {"labels": ("a", "b"), "preset": "dna-protein-perceiver", "epochs": 0}
    plain = resolve_experiment(str(dataset.folder), **named)
    assert plain.config.kernel_genes
    return replace(plain, config=replace(plain.config, sequence_flows=False))


def with_other_inputs(experiment, part):
    """The same experiment with other sequences or half-life features of the test genes of one fold."""
    dataset = copy.copy(experiment.dataset)
    test = divide_into_folds(experiment, OPTIONS)[1][FOLD].test
    if part == "sequences":
        dataset._store = Changed(dataset._store, test)
    else:
        dataset.genes = dataset.genes.copy()
        dataset.genes.loc[test, list(dataset.half_life_names)] *= 50.0
    return replace(experiment, dataset=dataset)


def moved_by_inputs(experiment, part, tmp_path):
    plain, other = (
        trained(experiment, tmp_path / "plain"),
        trained(with_other_inputs(experiment, part), tmp_path / "planted"),
    )
    return {name for name in plain if plain[name] != other[name]}


@pytest.mark.parametrize("change", PLANTED)
def test_test_labels_move_nothing_of_a_kernel_flow_alone(alone, tmp_path, change):
    assert moved(alone, PLANTED[change], tmp_path) == {"metrics"}


@pytest.mark.parametrize("part", ["sequences", "half-life"])
def test_inputs_of_test_genes_move_nothing_but_their_predictions(alone, tmp_path, part):
    assert moved_by_inputs(alone, part, tmp_path) == {"predictions"}
    (only,) = read_lines(fold_folder(tmp_path / "plain", FOLD) / "metrics.jsonl")
    assert only["epoch"] == 0


def test_a_half_life_scaler_that_saw_the_test_fold_is_caught(alone, tmp_path, monkeypatch):
    def leaky(experiment, split):
        dataset = experiment.dataset
        return HalfLifeSchema.fit(dataset.half_life(), dataset.half_life_names, dataset.half_life_transforms)

    monkeypatch.setattr(trainer, "half_life_schema", leaky)
    assert moved_by_inputs(alone, "half-life", tmp_path) >= {"weights", "epochs"}


def test_features_that_were_standardised_on_the_test_fold_are_caught(alone, tmp_path, monkeypatch):
    honest, standardise = trainer.fit_kernel, KernelFlow.standardise

    def leaky(network, loader, *rest):
        everything = torch.cat(
            [
                network.kernel.features(batch.latent_tokens, batch.query_tokens, batch.half_life)
                for batch in loader.batches(np.arange(len(loader.labels)), 16)
            ]
        )
        with monkeypatch.context() as patch:
            patch.setattr(KernelFlow, "standardise", lambda flow, _: standardise(flow, everything))
            return honest(network, loader, *rest)

    monkeypatch.setattr(trainer, "fit_kernel", leaky)
    assert moved_by_inputs(alone, "sequences", tmp_path) >= {"weights", "epochs"}


@pytest.fixture
def codons(coding_dataset):
    """A network whose kernel flow reads coding sequences too."""
    named = {"labels": ("a", "b"), "preset": "dna-perceiver", "epochs": 1, "batch_size": 16}
    experiment = resolve_experiment(str(coding_dataset.folder), **named)
    assert experiment.config.reads_coding
    return experiment


@pytest.mark.parametrize("change", PLANTED)
def test_test_labels_move_no_adaptation_index(codons, tmp_path, change):
    assert moved(codons, PLANTED[change], tmp_path) == {"metrics"}


def test_coding_sequences_of_test_genes_move_nothing_but_their_predictions(codons, tmp_path):
    assert moved_by_inputs(codons, "sequences", tmp_path) == {"predictions"}


def test_an_adaptation_index_that_saw_the_test_fold_is_caught(codons, tmp_path, monkeypatch):
    fit = CodonUse.fit

    def leaky(use, counts, labels):
        dataset = codons_of_all.dataset
        counted = codon_counts(torch.from_numpy(dataset.coding(np.arange(len(dataset)), codons.config.coding_length)))
        fit(use, counted, torch.tensor(dataset.labels(("a", "b"))))

    monkeypatch.setattr(CodonUse, "fit", leaky)
    codons_of_all = codons
    plain = trained(codons, tmp_path / "plain")
    codons_of_all = planted(codons, lambda values: values[::-1].to_numpy() * 50)
    other = trained(codons_of_all, tmp_path / "planted")
    assert {name for name in plain if plain[name] != other[name]} >= {"weights", "epochs", "predictions"}


@pytest.fixture
def likeness(coding_dataset):
    """A network whose kernel flow compares with training genes, in their codons too."""
    named = {"labels": ("a", "b"), "preset": "dna-protein-perceiver", "epochs": 2, "batch_size": 16}
    experiment = resolve_experiment(str(coding_dataset.folder), **named, recipe="default")
    assert experiment.config.kernel_genes and experiment.config.reads_coding
    return experiment


@pytest.mark.parametrize("change", PLANTED)
def test_test_labels_move_no_kernel_flow(likeness, tmp_path, change):
    assert moved(likeness, PLANTED[change], tmp_path) == {"metrics"}


@pytest.mark.parametrize("change", ["sequences", "half-life"])
def test_inputs_of_test_genes_are_no_landmarks(likeness, tmp_path, change):
    assert moved_by_inputs(likeness, change, tmp_path) == {"predictions"}


def test_a_kernel_flow_that_was_fitted_to_the_test_fold_is_caught(likeness, tmp_path, monkeypatch):
    honest = trainer.fit_kernel

    def leaky(network, loader, train, *rest):
        return honest(network, loader, np.arange(len(loader.labels)), *rest)

    monkeypatch.setattr(trainer, "fit_kernel", leaky)
    assert moved(likeness, PLANTED["scale"], tmp_path) >= {"weights", "epochs", "predictions"}


@pytest.fixture
def taught(experiment, tmp_path):
    """A network that learns from a teacher on the dataset's own windows first."""
    file = save_teacher(tmp_path / "teacher.safetensors", Output("a"))
    table = {"models": [str(file)], "steps": 4, "batch_size": 8, "random_share": 0.0, "island_share": 0.0}
    return replace(experiment, teaching=Teaching.of(table, None, experiment.config))


def stage(folder):
    """The weights of a run's teacher stage, byte for byte."""
    return (folder / FOLDER / "weights.safetensors").read_bytes()


def test_no_label_moves_the_teacher_stage_and_those_of_test_genes_move_nothing_after_it(taught, tmp_path):
    assert moved(taught, PLANTED["shift"], tmp_path) == {"metrics"}
    permuted = replace(taught, dataset=permute_labels(taught.dataset, 5))
    assert (permuted.values() != taught.values()).mean() > 0.8
    other = trained(permuted, tmp_path / "permuted")
    assert stage(tmp_path / "plain") == stage(tmp_path / "planted") == stage(tmp_path / "permuted")
    assert other["weights"] != trained(taught, tmp_path / "again")["weights"]  # which learn from the labels


def test_a_teacher_stage_that_saw_labels_is_caught(taught, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        teacher_stage.Panel,
        "__call__",
        lambda panel, windows: np.tile(seen[-1], (len(windows), 1)) + (windows == 2).mean(axis=1, keepdims=True),
    )
    for name, own in (("a", taught), ("b", replace(taught, dataset=permute_labels(taught.dataset, 5)))):
        seen.append(own.values()[0, 0] * np.ones((1, 1)))
        run_folds(own, OPTIONS, tmp_path / name, CPU, [FOLD], observer=SilentObserver())
    assert stage(tmp_path / "a") != stage(tmp_path / "b")


@pytest.mark.parametrize("output", ["a", "other"])
def test_test_labels_move_nothing_of_a_training_that_starts_from_weights(dataset, tmp_path, output):
    """Neither where outputs are kept, nor where the output layer is fitted to the labels first."""
    file = save_teacher(tmp_path / "w.safetensors", *(Output(name) for name in (output, "b")))
    named = {"labels": ("a", "b"), "preset": "dna-perceiver", "epochs": 2, "batch_size": 16}
    experiment = resolve_experiment(str(dataset.folder), **named, start=str(file))
    assert moved(experiment, PLANTED["scale"], tmp_path) == {"metrics"}


def test_an_output_layer_that_was_fitted_to_the_test_fold_is_caught(dataset, tmp_path, monkeypatch):
    file = save_teacher(tmp_path / "w.safetensors", Output("other"), Output("b"))
    named = {"labels": ("a", "b"), "preset": "dna-perceiver", "epochs": 2, "batch_size": 16}
    experiment = resolve_experiment(str(dataset.folder), **named, start=str(file), recipe="paper")
    honest = trainer._Trainer._start

    def leaky(self):
        split, self.split = self.split, replace(self.split, train=np.arange(48), valid=np.arange(0), test=np.arange(0))
        with monkeypatch.context() as patch:
            patch.setattr(trainer._Trainer, "_end_epoch", lambda *_: None)
            honest(self)
        self.split, self.unfitted_output = split, False
        honest(self)

    monkeypatch.setattr(trainer._Trainer, "_start", leaky)
    assert moved(experiment, PLANTED["shift"], tmp_path) >= {"weights", "epochs"}
