from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from seqexpr.datasets.dataset import DatasetWriter
from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.models.config import PRESETS, PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, save_model
from seqexpr.runs.setup import _check_shift, _narrowed, resolve_experiment
from seqexpr.tasks import catalogue as tasks
from seqexpr.tasks.catalogue import RULES, find_task, open_task_dataset, task_folder
from seqexpr.tasks.synthetic import make_synthetic

from ..small_dataset import fill_kernel, make_small_dataset


def test_folder_with_everything_gets_the_two_input_preset(dataset):
    experiment = resolve_experiment(str(dataset.folder), labels=("a",))
    assert experiment.config.preset == "dna-protein-perceiver"
    assert (experiment.config.upstream, experiment.config.protein_length, experiment.config.outputs) == (240, 100, 1)
    assert experiment.recipe.name == "default-dna"


def test_two_labels_make_two_outputs(dataset):
    experiment = resolve_experiment(str(dataset.folder), labels=("b", "a"), preset="dna-perceiver")
    assert experiment.labels == ("b", "a")
    assert experiment.config.outputs == 2


@pytest.mark.parametrize(
    ("preset", "recipe", "dropout"),
    [
        ("dna-perceiver", "paper-dna", 0.2),
        ("protein-perceiver", "paper-protein", 0.3),
        ("protein-dna-perceiver", "paper-protein-dna", 0.2),
        ("dna-protein-perceiver", "paper-dna", 0.2),
    ],
)
def test_recipe_follows_the_network_and_its_dropout_reaches_it(dataset, preset, recipe, dropout):
    experiment = resolve_experiment(str(dataset.folder), labels=("a",), preset=preset, recipe="paper")
    assert (experiment.recipe.name, experiment.config.dropout) == (recipe, dropout)


def test_a_recipe_of_the_users_own_changes_the_network_and_the_manifest_holds_it_all(dataset, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "paper"\n[model]\ntanh = true\nupstream = 200\nlatents = 4\n[output_weights]\na = 3\n')
    experiment = resolve_experiment(str(dataset.folder), labels=("a", "b"), preset="dna-perceiver", recipe=str(path))
    assert (experiment.config.upstream, experiment.config.downstream) == (200, 120)
    assert (experiment.config.tanh, experiment.config.latents) == (True, 4)
    stored = experiment.to_dict()
    assert (stored["recipe"]["name"], stored["recipe"]["bases"]) == ("mine", ["paper-dna"])
    assert stored["recipe"]["model"] == {"dropout": 0.2, "tanh": True, "upstream": 200, "latents": 4}
    assert stored["recipe"]["output_weights"] == {"a": 3}
    assert stored["model"]["latents"] == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("output_weights = { c = 2.0 }", "recipe mine: output_weights name c, but the labels are a, b"),
        (
            "model = { protein_length = 9 }",
            "recipe mine, table model: dna-perceiver: a protein length is given",
        ),
    ],
)
def test_a_recipe_that_does_not_fit(dataset, tmp_path, text, said):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        resolve_experiment(
            str(dataset.folder), labels=("a",), preset="dna-perceiver", recipe=str(tmp_path / "mine.toml")
        )


@pytest.mark.parametrize("settings", [{"preset": []}, {"outputs": 7}, {"latents": -5}, {"unheard_of": 1}])
def test_odd_settings_of_a_network_in_a_datasets_manifest_are_named(tmp_path, settings):
    folder = make_small_dataset(tmp_path / "small").folder
    stored = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**stored, "model": settings}))
    with pytest.raises(InputError, match=r"manifest\.json, key 'model': found"):
        resolve_experiment(str(folder), labels=("a",), preset="dna-perceiver")


def test_an_unknown_preset_is_said_to_be_one(dataset):
    with pytest.raises(UsageError, match="no preset 'rna-perceiver'; there are dna-perceiver"):
        resolve_experiment(str(dataset.folder), labels=("a",), preset="rna-perceiver")


@pytest.mark.parametrize(
    ("task", "preset", "loss_weight", "output_weights", "tanh"),
    [
        ("mrna-human", "dna-perceiver", 1.0, {}, True),
        ("joint-lung", "dna-perceiver", 1.0, {"mrna": 10.0}, False),
        ("prot-lung", "protein-perceiver", 100.0, {}, False),
        ("prot-glio", "dna-protein-perceiver", 3000.0, {}, False),
    ],
)
def test_the_papers_recipe_of_a_task_is_its_file_alone(task, preset, loss_weight, output_weights, tanh):
    labels = find_task(task).labels
    length = {"protein_length": 500} if "protein" in preset else {}
    with DatasetWriter(task_folder(task), 7_000, 3_500, bool(length)) as writer:
        for gene in ("one", "two"):
            writer.add(gene, np.ones(10_500, np.uint8), np.ones(9, np.uint8) if length else None)
        table = pd.DataFrame({"id": ["one", "two"], **{label: [0.0, 1.0] for label in labels}})
        head = {"kind": "dataset", "format": 1, "options": {"rules": RULES}}
        writer.finish(table, {**head, "labels": list(labels), "half_life": None})
    experiment = resolve_experiment(task, preset=preset, recipe="paper")
    assert experiment.recipe.name == f"paper-{task}"
    assert (experiment.recipe.loss_weight, experiment.recipe.output_weights) == (loss_weight, output_weights)
    assert experiment.config.tanh is tanh
    assert not resolve_experiment(task, preset=preset).config.tanh


def test_epochs_and_batch_size_replace_the_recipes(dataset):
    recipe = resolve_experiment(str(dataset.folder), labels=("a",), epochs=3, batch_size=7).recipe
    assert (recipe.max_epochs, recipe.batch_size) == (3, 7)


def test_several_labels_need_a_choice(dataset):
    with pytest.raises(UsageError, match="choose with --label among a, b"):
        resolve_experiment(str(dataset.folder))
    with pytest.raises(UsageError, match="no label c; it has a, b"):
        resolve_experiment(str(dataset.folder), labels=("c",))


def test_named_task_without_data_names_the_commands():
    with pytest.raises(MissingDataError, match="seqexpr fetch prot-lung && seqexpr prepare prot-lung"):
        resolve_experiment("prot-lung")


@pytest.fixture
def four_genes(monkeypatch):
    """Synthetic datasets are of four genes."""
    monkeypatch.setattr(
        tasks, "make_synthetic", lambda folder, settings: make_synthetic(folder, replace(settings, genes=4))
    )


@pytest.mark.usefixtures("four_genes")
def test_synthetic_task_is_made_on_the_spot_for_each_preset():
    protein = resolve_experiment("synthetic", preset="protein-perceiver")
    assert protein.dataset.has_protein and not protein.dataset.has_dna
    assert resolve_experiment("synthetic").config.preset == "dna-perceiver"


@pytest.mark.usefixtures("four_genes")
@pytest.mark.parametrize("task", ["synthetic-dna", "synthetic-protein", "synthetic-half-life", "synthetic-joint"])
def test_every_preset_runs_on_every_synthetic_variant(task):
    for preset in PRESETS:
        experiment = resolve_experiment(task, preset=preset)
        assert (experiment.config.preset, experiment.recipe.name) == (preset, f"default-{task}")
        # the network reads the planted window, and the margin around it leaves room for the recipe's jitter
        read = (352, 160) if experiment.config.reads_dna else (0, 0)
        assert (experiment.config.upstream, experiment.config.downstream) == read
        assert experiment.recipe.tss_jitter <= experiment.dataset.upstream - 352


def test_narrow_windows_narrow_the_network_and_say_so(dataset, caplog):
    narrow, preset = copy.copy(dataset), PerceiverConfig.from_preset("dna-perceiver")
    narrow.upstream, narrow.downstream = 200, 100
    with pytest.raises(UsageError, match="300 letters are too few for the query tower, which pools 432 to one"):
        _narrowed(preset, narrow)
    narrow.upstream, narrow.downstream = 8_000, 1_000
    config = _narrowed(preset, narrow)
    assert (config.upstream, config.downstream) == (7_000, 1_000)
    assert "reads 7000 bp upstream and 3500 downstream of the TSS, but the dataset holds 8000 and 1000" in caplog.text


@pytest.mark.usefixtures("four_genes")
def test_preset_that_reads_what_is_not_there():
    folder = open_task_dataset("synthetic", "dna-perceiver").folder
    with pytest.raises(UsageError, match="prepare it with --proteins"):
        resolve_experiment(str(folder), preset="protein-perceiver")


def test_a_jitter_without_room_is_said(dataset, caplog):
    recipe = {"recipe": "paper", "labels": ("a",), "preset": "dna-perceiver"}
    plain = resolve_experiment(str(dataset.folder), **recipe)
    shifting = plain.recipe.changed(tss_jitter=100)
    _check_shift(dataset, plain.config, shifting)
    assert "by up to 100 bp (tss_jitter)" in caplog.text and "windows are shifted by at most 60 bp" in caplog.text
    caplog.clear()
    wide = replace(plain.config, upstream=dataset.upstream)
    _check_shift(dataset, wide, shifting)
    assert "windows are not shifted" in caplog.text
    caplog.clear()
    _check_shift(dataset, plain.config, plain.recipe.changed(tss_jitter=60))
    assert not caplog.records


def _with_columns(dataset, monkeypatch, columns):
    changed = copy.copy(dataset)
    changed.genes = dataset.genes.assign(**columns)
    monkeypatch.setattr("seqexpr.runs.setup.open_task_dataset", lambda task, preset: changed)


def test_a_skewed_label_is_said_for_those_who_learn_it(dataset, monkeypatch, caplog):
    _with_columns(dataset, monkeypatch, {"a": 10 ** np.random.default_rng(0).normal(1, 1, len(dataset))})
    resolve_experiment(str(dataset.folder), labels=("b",))
    assert "skewed" not in caplog.text
    resolve_experiment(str(dataset.folder), labels=("a",))
    assert f"{dataset.folder}: label a is heavily skewed" in caplog.text and "prepare --log10" in caplog.text


def test_half_life_features_that_no_gene_has_are_said_in_the_words_of_predict(dataset, monkeypatch, caplog):
    _with_columns(dataset, monkeypatch, dict.fromkeys(dataset.half_life_names, np.nan))
    resolve_experiment(str(dataset.folder), labels=("a",))
    assert "half-life features missing: all 8 for all 48 genes" in caplog.text


@pytest.mark.parametrize("preset", PRESETS)
def test_the_default_recipe_reads_coding_sequences_where_there_are_some(dataset, coding_dataset, preset, caplog):
    named = {"labels": ("a",), "preset": preset}
    experiment = resolve_experiment(str(coding_dataset.folder), **named)
    assert (experiment.config.coding_length, experiment.recipe.coding_dropout) == (6000, 0.2)
    assert "coding" not in caplog.text
    with caplog.at_level("INFO", logger="seqexpr"):
        assert resolve_experiment(str(dataset.folder), **named).config.coding_length == 0
    assert "the dataset holds no coding sequences (prepare --cds or --translate)" in caplog.text
    assert [record.levelname for record in caplog.records if "coding" in record.message] == ["INFO"]
    assert resolve_experiment(str(coding_dataset.folder), **named, recipe="paper").config.coding_length == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_the_kernel_flow_compares_with_no_more_genes_than_there_are(dataset, coding_dataset, preset):
    for given, codons in ((coding_dataset, 6000), (dataset, 0)):
        experiment = resolve_experiment(str(given.folder), labels=("a", "b"), preset=preset)
        assert (experiment.config.kernel_genes, experiment.config.coding_length) == (len(given), codons)
        assert experiment.config.sequence_flows


@pytest.mark.parametrize("with_coding", [False, True])
def test_weights_without_a_flow_start_with_the_kernel_flow_of_the_recipe(
    dataset, coding_dataset, tmp_path, caplog, with_coding
):
    """Which reads coding sequences only where the dataset holds some."""
    given = coding_dataset if with_coding else dataset
    named = {"labels": ("a",), "preset": "protein-perceiver"}
    config = resolve_experiment(str(given.folder), **named, recipe="paper").config
    model = TrainedModel("w", Perceiver(config), ModelMetadata(config, (Output("other"),)))
    save_model(tmp_path / "w.safetensors", model)
    with caplog.at_level("INFO", logger="seqexpr"):
        started = resolve_experiment(
            str(given.folder), labels=("a", "b"), recipe="default", start=str(tmp_path / "w.safetensors")
        )
    assert (started.config.kernel_genes, started.config.outputs) == (len(given), 2)
    assert (started.config.coding_length, started.config.coding_indices) == ((6000, 2) if with_coding else (0, 0))
    assert "kernel_genes" not in caplog.text


def test_a_kernel_flow_on_sequence_flows_that_learnt_nothing_is_refused(dataset, tmp_path):
    recipe = tmp_path / "features.toml"
    recipe.write_text('base = "default"\nmax_epochs = 0\nmodel = { kernel_features = true }\n')
    with pytest.raises(UsageError, match="kernel_features need sequence flows that learnt before: give --from"):
        resolve_experiment(str(dataset.folder), labels=("a",), preset="dna-perceiver", recipe=str(recipe))


def test_weights_that_nothing_would_be_fitted_of_are_refused(dataset, tmp_path):
    """The recipe has no epochs, and the kernel flow of the weights answers for these labels already."""
    named = {"labels": ("a",), "preset": "dna-perceiver"}
    config = resolve_experiment(str(dataset.folder), **named).config
    file = tmp_path / "w.safetensors"
    save_model(file, TrainedModel("w", fill_kernel(Perceiver(config)), ModelMetadata(config, (Output("a"),))))
    recipe = tmp_path / "none.toml"
    recipe.write_text('base = "default"\nmax_epochs = 0\n')
    with pytest.raises(UsageError, match=r"max_epochs 0, and nothing of .* would be fitted to the labels"):
        resolve_experiment(str(dataset.folder), **named, recipe=str(recipe), start=str(file))
    other = resolve_experiment(str(dataset.folder), labels=("b",), recipe=str(recipe), start=str(file))
    assert other.config.kernel_genes == len(dataset)
