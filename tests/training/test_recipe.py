from __future__ import annotations

import pytest

from seqexpr.errors import InputError, UsageError
from seqexpr.training.recipe import Recipe, load_recipe


def test_paper_recipes_are_those_of_sections_2_3_and_2_4():
    dna = load_recipe("paper", "dna")
    assert (dna.optimizer, dna.betas, dna.schedule, dna.noam_width) == ("adam", (0.9, 0.98), "noam", 32)
    assert (dna.warmup_steps, dna.weight_decay, dna.batch_size, dna.dropout) == (8_000, 0.2, 128, 0.2)
    protein = load_recipe("paper", "protein")
    assert (protein.optimizer, protein.learning_rate, protein.schedule) == ("lamb", 5e-4, "cosine")
    assert (protein.warmup_steps, protein.dropout) == (8_000, 0.3)


@pytest.mark.parametrize("latent_input", ["dna", "protein"])
def test_default_recipes_say_what_they_are(latent_input):
    assert load_recipe("default", latent_input).name == f"default-{latent_input}"


def test_a_tasks_own_recipe_comes_first():
    assert load_recipe("default", "dna", "synthetic").name == "default-synthetic"
    assert load_recipe("paper", "dna", "synthetic").name == "paper-dna"


def test_a_users_own_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('optimizer = "adam"\nlearning_rate = 1\noutput_weights = {mrna = 10}\n')
    recipe = load_recipe(str(path), "dna")
    assert (recipe.name, recipe.optimizer, recipe.output_weights) == ("mine", "adam", {"mrna": 10})


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("optimiser = 1", InputError, "key 'optimiser': found an unknown setting"),
        ("batch_size = 'big'", InputError, "key 'batch_size': found 'big'; expected a value like 128"),
        ("batch_size = 1.5", InputError, "key 'batch_size'"),
        ("bf16 = 1", InputError, "key 'bf16'"),
        ("optimizer = 'sgd'", UsageError, "must be one of adam, adamw, lamb"),
        ("batch_size = 0", UsageError, "batch_size must be above 0"),
        ("patience = -1", UsageError, "patience must not be negative"),
        ("dropout = 1.0", UsageError, r"dropout must be in \[0, 1\)"),
        ("schedule = 'noam'", UsageError, "needs warmup_steps"),
        ("= 3", InputError, "not TOML"),
    ],
)
def test_bad_files(tmp_path, text, error, said):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(error, match=said):
        load_recipe(str(path), "dna")


def test_unknown_names_and_absent_files():
    with pytest.raises(UsageError, match=r"no recipe 'best'; there are default, paper, or name a \.toml file"):
        load_recipe("best", "dna")
    with pytest.raises(InputError, match="No such file"):
        load_recipe("absent.toml", "dna")


def test_changes_are_checked():
    with pytest.raises(UsageError, match="max_epochs"):
        Recipe("r").changed(max_epochs=0)
