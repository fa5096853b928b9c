from __future__ import annotations

import pytest

from seqexpr.errors import InputError, UsageError
from seqexpr.models.config import PRESETS, PerceiverConfig
from seqexpr.tasks.catalogue import list_tasks
from seqexpr.tasks.synthetic import inputs_of
from seqexpr.training.recipe import Recipe
from seqexpr.training.recipe_files import load_recipe, packaged_recipes

TASKS = [task.name for task in list_tasks()]
PAPER_TASKS = [name for name in TASKS if not name.startswith("synthetic")]


def test_paper_recipes_are_those_of_sections_2_3_and_2_4():
    dna = load_recipe("paper", "dna")
    assert (dna.optimizer, dna.betas, dna.schedule, dna.noam_width) == ("adam", (0.9, 0.98), "noam", 32)
    assert (dna.warmup_steps, dna.weight_decay, dna.batch_size, dna.model) == (8_000, 0.2, 128, {"dropout": 0.2})
    protein = load_recipe("paper", "protein")
    assert (protein.optimizer, protein.learning_rate, protein.schedule) == ("lamb", 5e-4, "cosine")
    assert (protein.warmup_steps, protein.batch_size, protein.model) == (8_000, 128, {"dropout": 0.3})


@pytest.mark.parametrize("inputs", ["dna-protein", "protein-dna"])
def test_the_paper_trains_both_two_input_networks_as_section_2_5_says(inputs):
    recipe, dna = load_recipe("paper", inputs), load_recipe("paper", "dna")
    assert recipe.changed(name=dna.name, bases=()) == dna
    assert "paper-dna" in (recipe.name, *recipe.bases)


@pytest.mark.parametrize(
    ("task", "inputs", "changed"),
    [
        ("mrna-human", "dna", {"model": {"dropout": 0.2, "tanh": True}}),
        ("mrna-mouse", "dna", {"model": {"dropout": 0.2, "tanh": True}}),
        ("mrna-lung", "dna", {}),
        ("mrna-glio", "dna", {}),
        ("joint-lung", "dna", {"output_weights": {"mrna": 10.0}}),
        ("joint-glio", "dna", {"output_weights": {"mrna": 10.0}}),
        ("prot-lung", "protein", {"loss_weight": 100.0}),
        ("prot-glio", "protein", {"loss_weight": 3000.0}),
        ("prot-lung", "protein-dna", {"loss_weight": 100.0}),
        ("prot-glio", "dna", {"loss_weight": 3000.0}),
    ],
)
def test_what_the_paper_does_for_a_task(task, inputs, changed):
    recipe, plain = load_recipe("paper", inputs, task), load_recipe("paper", inputs)
    assert recipe == plain.changed(name=f"paper-{task}", bases=(plain.name, *plain.bases), **changed)


@pytest.mark.parametrize("task", PAPER_TASKS)
@pytest.mark.parametrize("name", ["paper", "default"])
def test_every_task_of_the_paper_has_both_recipes_of_its_own(task, name):
    assert f"{name}-{task}" in packaged_recipes()


def test_every_packaged_recipe_loads_and_belongs_to_a_network_or_a_task():
    purposes = {*TASKS, *(preset.removesuffix("-perceiver") for preset in PRESETS)}
    for name in packaged_recipes():
        if name.startswith("human-"):  # of a bundled model
            continue
        assert name.split("-", 1)[1] in purposes
        for preset in PRESETS:
            recipe = load_recipe(name, preset.removesuffix("-perceiver"))
            assert recipe.name == name
            recipe.fit(PerceiverConfig.from_preset(preset))


@pytest.mark.parametrize("name", [name for name in packaged_recipes() if name.startswith("human-")])
def test_the_recipes_of_bundled_models_set_no_gene_aside(name):
    preset = "protein-perceiver" if "prot" in name else "dna-perceiver"
    recipe = load_recipe(name, preset.removesuffix("-perceiver"))
    config = recipe.fit(PerceiverConfig.from_preset(preset))
    assert (recipe.stop_metric, recipe.patience) == ("none", 0)
    assert config.reads_half_life and config.members > 1


@pytest.mark.parametrize("task", TASKS)
def test_defaults_scale_the_labels_and_need_no_weights(task):
    for preset in PRESETS:
        recipe = load_recipe("default", "-".join(dict.fromkeys(inputs_of(preset))), task)
        assert recipe.name == f"default-{task}"
        assert (recipe.label_scaling, recipe.loss_weight, recipe.output_weights) == ("zscore", 1.0, {})
        assert not recipe.model.get("tanh")


def test_a_full_name_is_taken_before_a_longer_one():
    # not "paper-protein-dna", though the network reads DNA
    assert load_recipe("paper-protein", "dna").name == "paper-protein"


def test_a_task_without_its_own_gets_the_networks():
    assert load_recipe("paper", "dna", "synthetic").name == "paper-dna"
    assert load_recipe("default", "dna", "no-task").name == "default-dna"
    assert load_recipe("default", "dna-protein").name == "default-dna"
    assert load_recipe("default", "protein-dna").name == "default-protein"


def test_a_users_own_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('optimizer = "adam"\nlearning_rate = 1\noutput_weights = {mrna = 10}\n')
    recipe = load_recipe(str(path), "dna", "mrna-human")
    assert recipe == Recipe("mine", optimizer="adam", learning_rate=1, output_weights={"mrna": 10})


def test_a_users_own_file_on_a_base(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "paper"\nmax_epochs = 3\n[model]\nlatents = 64\n')
    # the base is what --recipe paper would be: the task's own, with its loss weight
    recipe = load_recipe(str(path), "protein", "prot-lung")
    paper = load_recipe("paper", "protein", "prot-lung")
    model = {"dropout": 0.3, "latents": 64}
    bases = ("paper-prot-lung", "paper-protein")
    assert recipe == paper.changed(name="mine", bases=bases, max_epochs=3, model=model)
    assert recipe.loss_weight == 100
    assert load_recipe(str(path), "protein").bases == ("paper-protein",)
    path.write_text('base = "paper-prot-lung"\n')
    assert load_recipe(str(path), "protein").bases == ("paper-prot-lung", "paper-protein")


def test_files_start_from_files_beside_them(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "outer.toml").write_text('base = "inner/middle.toml"\npatience = 1\nmodel = { latents = 8 }\n')
    (tmp_path / "inner" / "middle.toml").write_text('base = "last.toml"\npatience = 2\nmodel = { depth = 2 }\n')
    (tmp_path / "inner" / "last.toml").write_text("patience = 3\nwarmup_steps = 4\nmodel = { latents = 16 }\n")
    recipe = load_recipe(str(tmp_path / "outer.toml"), "dna")
    assert recipe.bases == ("middle", "last")
    assert (recipe.patience, recipe.warmup_steps, recipe.model) == (1, 4, {"latents": 8, "depth": 2})


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("batch_size = 'big'", InputError, "bad.toml, key 'batch_size': found 'big'"),
        ("batch_size = 0", UsageError, "recipe bad: batch_size must be above 0"),
        ("[model]\nlatent = 3", InputError, "bad.toml, key 'model.latent': found an unknown setting"),
        ("= 3", InputError, "bad.toml: found text that is not TOML"),
        ("base = 3", InputError, "bad.toml, key 'base': found 3; expected the name of a recipe"),
        (
            "base = 'papers'",
            InputError,
            "bad.toml, key 'base': found 'papers'; expected default, paper",
        ),
        ("base = 'absent.toml'", InputError, "absent.toml: found No such file"),
        ("base = 'bad.toml'", InputError, "bad.toml, key 'base': found a circle"),
    ],
)
def test_bad_files(tmp_path, text, error, said):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(error, match=said):
        load_recipe(str(path), "dna")


def test_a_long_circle_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the names of deep folders would be clipped
    for name, base in (("a", "b"), ("b", "c"), ("c", "b")):
        (tmp_path / f"{name}.toml").write_text(f'base = "{base}.toml"\n')
    with pytest.raises(InputError, match=r"a circle, a\.toml -> b\.toml -> c\.toml -> b\.toml;"):
        load_recipe("a.toml", "dna")


def test_a_fault_in_a_base_names_the_base(tmp_path):
    (tmp_path / "a.toml").write_text('base = "b.toml"\n')
    (tmp_path / "b.toml").write_text("epochs = 3\n")
    with pytest.raises(InputError, match=r"b.toml, key 'epochs': found an unknown setting"):
        load_recipe(str(tmp_path / "a.toml"), "dna")


def test_unknown_names_and_absent_files():
    with pytest.raises(UsageError, match=r"no recipe 'best'; there are default, paper, or name a \.toml file"):
        load_recipe("best", "dna")
    with pytest.raises(InputError, match="No such file"):
        load_recipe("absent.toml", "dna")


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("clip_norm = nan", "clip_norm"),
        ("learning_rate = inf", "learning_rate"),
        ("learning_rate = 1e-400", "learning_rate"),
        ("weight_decay = -inf", "weight_decay"),
        ("betas = []", "betas"),
        ("betas = [nan, 0.9]", "betas"),
        ("betas = [0.9]", "betas"),
        ("max_epochs = " + "9" * 400, "max_epochs"),
        ("learning_rate = " + "9" * 5000, "learning_rate"),
        ("betas = " + "[" * 1000 + "]" * 1000, "betas"),
        ("[output_weights]\nlung = inf", "output_weights.lung"),
        ("[output_weights]\nlung = true", "output_weights.lung"),
        ("model = 3", "model"),
        ("[[model]]\na = 1", "model"),
        ("[model]\ntower_channels = []", "model.tower_channels"),
        ("[model]\ntower_channels = [0]", "model.tower_channels"),
        ("[model]\ndropout = 1.0", "dropout"),
        ("[model]\nembedding_dim = 7", "embedding_dim"),
        ("[model]\nself_heads = -1", "self_heads"),
        ("[model]\nlatents = 1000000000000", "latents"),
        ("[model]\nlatents = 60000\nlatent_dim = 60000", "numbers"),
        ("[model]\ntanh = 1", "model.tanh"),
        ("learning_rate = 1979-05-27", "learning_rate"),
    ],
)
def test_values_that_no_training_can_have_name_their_key(tmp_path, content, key):
    (tmp_path / "r.toml").write_text(content)
    with pytest.raises((InputError, UsageError), match=key):
        load_recipe(str(tmp_path / "r.toml"), "dna").fit(PerceiverConfig.from_preset("dna-perceiver"))


@pytest.mark.parametrize("task", ["", *TASKS])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_default_has_a_kernel_flow_that_reads_codons_and_the_synthetic_tasks_show_the_network_alone(preset, task):
    recipe = load_recipe("default", preset.removesuffix("-perceiver"), task)
    config = recipe.fit(PerceiverConfig.from_preset(preset))
    assert config.kernel_genes == (0 if task.startswith("synthetic") else 4096)
    assert config.reads_coding == bool(config.kernel_genes)
    assert not config.kernel_features and config.sequence_flows
