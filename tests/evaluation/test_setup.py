from __future__ import annotations

import pytest

from seqexpr.errors import MissingDataError, UsageError
from seqexpr.evaluation.setup import resolve_setup


def test_folder_with_everything_gets_the_two_input_preset(dataset):
    setup = resolve_setup(str(dataset.folder), labels=("a",))
    assert setup.config.preset == "dna-protein-perceiver"
    assert (setup.config.upstream, setup.config.protein_length, setup.config.outputs) == (240, 100, 1)
    assert setup.recipe.name == "default-dna"


def test_two_labels_make_two_outputs(dataset):
    setup = resolve_setup(str(dataset.folder), labels=("b", "a"), preset="dna-perceiver")
    assert setup.label_names == ("b", "a")
    assert setup.config.outputs == 2


def test_recipe_follows_the_latent_input_and_its_dropout_reaches_the_network(dataset):
    setup = resolve_setup(str(dataset.folder), labels=("a",), preset="protein-dna-perceiver", recipe="paper")
    assert setup.recipe.name == "paper-protein"
    assert setup.config.dropout == 0.3


def test_epochs_and_batch_size_replace_the_recipes(dataset):
    recipe = resolve_setup(str(dataset.folder), labels=("a",), epochs=3, batch_size=7).recipe
    assert (recipe.max_epochs, recipe.batch_size) == (3, 7)


def test_several_labels_need_a_choice(dataset):
    with pytest.raises(UsageError, match="choose with --label among a, b"):
        resolve_setup(str(dataset.folder))
    with pytest.raises(UsageError, match="no label c; it has a, b"):
        resolve_setup(str(dataset.folder), labels=("c",))


def test_named_task_without_data_names_the_commands():
    with pytest.raises(MissingDataError, match="seqexpr fetch prot-lung && seqexpr prepare prot-lung"):
        resolve_setup("prot-lung")


def test_synthetic_task_is_made_on_the_spot_for_each_preset():
    protein = resolve_setup("synthetic", preset="protein-perceiver")
    assert protein.dataset.has_protein and not protein.dataset.has_dna
    assert resolve_setup("synthetic").config.preset == "dna-perceiver"


def test_narrow_windows_narrow_the_network_and_say_so(dataset, caplog):
    import copy

    plain = copy.copy(dataset)
    plain.manifest = {key: value for key, value in dataset.manifest.items() if key != "model"}
    from seqexpr.evaluation.setup import _fit_config

    plain.upstream, plain.downstream = 200, 100
    with pytest.raises(UsageError, match="300 letters are too few for the query tower, which pools 432 to one"):
        _fit_config(plain, "dna-perceiver", 1)
    plain.upstream, plain.downstream = 8_000, 1_000
    config = _fit_config(plain, "dna-perceiver", 1)
    assert (config.upstream, config.downstream) == (7_000, 1_000)
    assert "reads 7000 bp upstream and 3500 downstream of the TSS, but the dataset holds 8000 and 1000" in caplog.text


def test_preset_that_reads_what_is_not_there():
    with pytest.raises(UsageError, match="prepare it with --proteins"):
        from seqexpr.datasets.tasks import open_task_dataset

        folder = open_task_dataset("synthetic", "dna-perceiver").folder
        resolve_setup(str(folder), preset="protein-perceiver")
