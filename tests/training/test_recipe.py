from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from seqexpr.errors import InputError, UsageError
from seqexpr.models.config import PerceiverConfig
from seqexpr.training.recipe import Recipe, check_settings, stored_recipe
from seqexpr.training.trainer import _Trainer, train


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": "sgd"}, "must be one of adam, adamw, lamb"),
        ({"schedule": "linear"}, "must be one of noam, cosine, constant"),
        ({"stop_metric": "r2"}, "must be one of valid_loss, valid_r2"),
        ({"max_epochs": -1}, "max_epochs must not be negative"),
        ({"patience": -1}, "patience must not be negative"),
        ({"average_decay": 1.0}, r"average_decay must be in \[0, 1\)"),
        ({"schedule": "noam"}, "needs warmup_steps"),
        ({"betas": (0.9,)}, r"betas must be two numbers in \[0, 1\), not \[0.9\]"),
        ({"output_weights": {"a": -1.0}}, "output_weights must not be negative"),
        ({"model": {"stem_pool": 0}}, "model.stem_pool must be at least 1, not 0"),
        ({"model": {"tower_channels": [32, 0]}}, r"model.tower_channels must be at least 1, not \[32, 0\]"),
    ],
)
def test_settings_that_make_no_sense(changes, said):
    with pytest.raises(UsageError, match=f"recipe r: .*{said}"):
        Recipe("r", **changes)
    with pytest.raises(UsageError, match=said):
        Recipe("r").changed(**changes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimiser": "adam"}, "key 'optimiser': found an unknown setting; expected optimizer, learning_rate"),
        ({"name": "x"}, "key 'name': found an unknown setting"),
        ({"batch_size": "big"}, "key 'batch_size': found 'big'; expected a value like 128"),
        ({"batch_size": 1.5}, "key 'batch_size'"),
        ({"batch_size": True}, "key 'batch_size'"),
        ({"bf16": 1}, "key 'bf16'"),
        ({"betas": [0.9, "x"]}, r"key 'betas': found .*expected a value like \[0.9, 0.999\]"),
        ({"model": 3}, "key 'model'"),
        ({"model": {"drop": 0.1}}, "key 'model.drop': found an unknown setting; expected upstream"),
        ({"model": {"outputs": 2}}, "key 'model.outputs': found an unknown setting"),
        ({"model": {"preset": "x"}}, "key 'model.preset': found an unknown setting"),
        ({"model": {"latents": "many"}}, "key 'model.latents': found 'many'; expected a value like 128"),
        ({"model": {"tower_channels": [32, 1.5]}}, "key 'model.tower_channels'"),
        ({"output_weights": {"mrna": "ten"}}, "key 'output_weights.mrna': found 'ten'; expected a value like 1.0"),
    ],
)
def test_keys_and_types_are_checked(settings, said):
    with pytest.raises(InputError, match=f"^mine.toml, {said}"):
        check_settings(settings, "mine.toml")


def test_whole_numbers_pass_for_fractions():
    check_settings({"learning_rate": 1, "betas": [0, 0.9], "model": {"dropout": 0, "tower_channels": [8, 8]}}, "f")


def test_changes_of_the_network():
    config = PerceiverConfig.from_preset("dna-perceiver")
    fitted = Recipe("r", model={"tanh": True, "dropout": 0.5, "tower_channels": [8, 8]}).fit(config)
    assert (fitted.tanh, fitted.dropout, fitted.tower_channels) == (True, 0.5, (8, 8))
    assert Recipe("r").fit(config) == config


@pytest.mark.parametrize(
    ("model", "said"),
    [({"protein_length": 100}, "a protein length is given exactly when"), ({"stem_kernel": 4}, "kernels must be odd")],
)
def test_changes_that_the_network_cannot_take_name_the_recipe(model, said):
    with pytest.raises(UsageError, match=f"recipe mine, table model: .*{said}"):
        Recipe("mine", model=model).fit(PerceiverConfig.from_preset("dna-perceiver"))


def test_a_manifest_holds_the_whole_recipe():
    recipe = Recipe("r", ("a", "b"), betas=(0.8, 0.9), model={"tower_channels": [8, 8]}, output_weights={"x": 2.0})
    stored = json.loads(json.dumps(recipe.to_dict()))
    assert stored["bases"] == ["a", "b"]
    assert Recipe.from_dict(stored) == recipe


@pytest.mark.parametrize(
    ("settings", "epochs", "best"),
    [
        ({"stop_metric": "valid_loss", "patience": 2}, 4, 2),
        ({"stop_metric": "valid_loss", "patience": 3}, 5, 2),
        ({"stop_metric": "valid_r2", "patience": 2}, 5, 3),
        ({"stop_metric": "valid_r2", "patience": 0}, 6, 6),
        ({"stop_metric": "valid_loss", "patience": 0}, 6, 2),
    ],
)
def test_stop_metric_and_patience_mean_what_they_say(experiment, split, tmp_path, monkeypatch, settings, epochs, best):
    """Six epochs whose validations are told beforehand: the loss is best at the second, r2 at the third and sixth."""
    told = iter([(0.9, 0.1), (0.5, 0.2), (0.7, 0.6), (0.6, 0.3), (0.6, 0.3), (0.6, 0.7)])
    monkeypatch.setattr(_Trainer, "_evaluate", lambda self, genes: (*next(told), torch.zeros(4)))
    monkeypatch.setattr(_Trainer, "_train_epoch", lambda self, epoch: 1.0)
    recipe = experiment.recipe.changed(max_epochs=6, **settings)
    result = train(replace(experiment, recipe=recipe), split, tmp_path, torch.device("cpu"), name="w")
    assert (len(result.rows), result.best_epoch) == (epochs, best)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_epochs": 5}, "max_epochs must be 0, and the table teacher absent"),
        ({"teacher": {"models": ["human-mrna"]}}, "or from a teacher"),
        ({"model": {"kernel_features": True}}, "kernel_features need kernel_genes and sequence_flows"),
        ({"model": {"tanh": True}}, "kernel_genes and tanh"),
        ({"model": {"kernel_genes": 0}}, "or there is no network"),
    ],
)
def test_what_a_network_without_sequence_flows_cannot_learn_is_refused(changes, said):
    config = PerceiverConfig.from_preset("dna-perceiver")
    alone = Recipe("r", max_epochs=0, model={"kernel_genes": 8, "sequence_flows": False})
    assert not alone.fit(config).sequence_flows
    model = {**alone.model, **changes.get("model", {})}
    with pytest.raises(UsageError, match=f"recipe r.*{said}"):
        alone.changed(**{**changes, "model": model}).fit(config)


def test_epochs_after_a_kernel_flow_that_reads_the_sequence_flows_are_refused():
    recipe = Recipe("r", model={"kernel_genes": 8, "kernel_features": True})
    with pytest.raises(UsageError, match="kernel_features need max_epochs 0"):
        recipe.fit(PerceiverConfig.from_preset("dna-perceiver"))


OF_0_1 = {
    "composition_epochs": 40,
    "composition_learning_rate": 0.001,
    "composition_bootstrap": True,
    "word_penalty": 3.0,
    "towers_from": "human-mrna",
}


def test_a_stored_recipe_of_an_earlier_version_is_read():
    recipe = Recipe("r", ("default-dna",), betas=(0.8, 0.9), model={"kernel_genes": 8})
    stored = json.loads(json.dumps({**recipe.to_dict(), **OF_0_1}))
    assert stored_recipe(stored, "manifest.json") == recipe
    for model in ({"composition_dim": 0, "word_buckets": 0}, {"composition_members": 1}):
        assert stored_recipe({**stored, "model": {**recipe.model, **model}}, "manifest.json") == recipe


def test_a_stored_recipe_with_the_flow_of_an_earlier_version_is_refused_in_a_line():
    stored = Recipe("r").to_dict() | {"model": {"composition_dim": 16, "composition_members": 8}}
    with pytest.raises(InputError) as refused:
        stored_recipe(stored, "manifest.json")
    assert str(refused.value) == (
        "manifest.json, key 'model.composition_dim': found a network with the composition flow of an earlier version, "
        "which this version does not have; expected the recipe of a run"
    )


@pytest.mark.parametrize("key", OF_0_1)
def test_a_users_recipe_has_no_settings_of_an_earlier_version(key):
    with pytest.raises(InputError, match=f"key '{key}': found an unknown setting"):
        check_settings({key: OF_0_1[key]}, "mine.toml")
    with pytest.raises(InputError, match=r"key 'model\.composition_dim': found an unknown setting"):
        check_settings({"model": {"composition_dim": 4}}, "mine.toml")


def test_no_epochs_are_for_networks_with_a_flow_that_learns_before():
    config = PerceiverConfig.from_preset("dna-perceiver")
    with pytest.raises(UsageError, match="nothing is learnt"):
        Recipe("r", max_epochs=0).fit(config)
    assert Recipe("r", max_epochs=0, model={"kernel_genes": 8}).fit(config).kernel_genes == 8
