"""The bundled weights' evaluation on a toy dataset, and Xpresso's networks as towers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tools.weights import __main__ as weights
from tools.weights import cards as weights_cards
from tools.weights import recard
from tools.weights.evaluation import (
    WATCHED,
    calibrate,
    folds_of,
    judge,
    predict_baselines,
    predict_folds,
    split_for,
    spread,
    strongest,
)
from tools.weights.towers import PromoterTowers
from tools.weights.xpresso_towers import towers_of
from tools.weights.xpresso_windows import Xpresso

from seqexpr.models.trained import load_model, read_metadata
from seqexpr.training.experiment import Experiment
from seqexpr.training.recipe import Recipe

from ..small_dataset import make_small_dataset, tiny_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    dataset = make_small_dataset(tmp_path_factory.mktemp("data") / "small")
    recipe = Recipe("toy", max_epochs=1, stop_metric="none")
    return Experiment(dataset, ("a",), tiny_config(kernel_genes=30, kernel_members=4), recipe, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def predicted(toy, folder):
    return predict_folds(toy, ("a",), folder, 3, [0, 1, 2], CPU)


def test_every_gene_is_predicted_by_a_network_that_never_saw_its_chromosome(toy, predicted):
    fold_of = folds_of(toy, 3)
    chromosomes = toy.dataset.genes["chrom"].to_numpy()
    for fold in range(3):
        split = split_for(toy, ("a",), np.flatnonzero(fold_of != fold))
        seen = set(chromosomes[np.concatenate([split.train, split.valid])])
        assert not seen & set(chromosomes[fold_of == fold])
        assert len(split.valid) == WATCHED
    assert predicted.shape == (2, 4, len(toy.dataset), 1)
    assert np.isfinite(predicted).all()
    assert (predicted[0] != predicted[1]).any()  # with the half-life features, and without


def test_an_evaluation_goes_on_where_it_stopped(toy, folder, predicted, monkeypatch):
    monkeypatch.setattr("tools.weights.evaluation.train", None)
    np.testing.assert_array_equal(predict_folds(toy, ("a",), folder, 3, [0, 1, 2], CPU), predicted)


@pytest.mark.slow
def test_rows_compare_with_each_baseline_on_the_same_genes(toy, folder, predicted):
    baselines = predict_baselines(toy, ("a",), folder / "baselines.npz", 3)
    again = predict_baselines(toy, ("a",), folder / "baselines.npz", 3)
    assert all(np.array_equal(baselines[name], again[name], equal_nan=True) for name in baselines)
    rows = judge(toy, ("a",), predicted, baselines, 3)
    assert [(row["output"], row["inputs"]) for row in rows] == [("a", "half_life"), ("a", "sequence")]
    actual = toy.dataset.labels(("a",))[:, 0]
    own = np.corrcoef(actual, predicted[0, :, :, 0].mean(axis=0))[0, 1] ** 2
    ridge = np.corrcoef(actual, baselines["composition_ridge"][:, 0])[0, 1] ** 2
    assert rows[0]["metrics"]["pearson_r2"]["value"] == pytest.approx(own)
    compared = rows[0]["baselines"]["composition_ridge"]
    assert compared["pearson_r2"] == pytest.approx(ridge)
    assert compared["lead"]["value"] == pytest.approx(own - ridge)
    assert "training_mean" not in rows[0]["baselines"]
    named = [strongest(row)[0] for row in rows]
    assert "half_life" not in named[1]  # from the sequence alone, beside baselines that have no more
    assert all(name in line for name, line in zip(named, weights.show("toy", rows).splitlines()[-2:], strict=True))


def test_spread_is_judged_on_folds_that_calibrated_nothing():
    """Errors grow with the level: the calibrated sd finds that, the members' own sd, which is noise here, does not."""
    generator = np.random.default_rng(0)
    predicted, fold_of = generator.uniform(0, 3, 1200), np.arange(1200) % 4
    actual = predicted + generator.normal(size=1200) * (0.2 + predicted)
    own = generator.uniform(0.1, 0.3, 1200)
    found = spread(actual, predicted, own, fold_of)
    assert abs(found["spearman_members"]) < 0.1 < 0.3 < found["spearman"]
    assert found["rmse_smallest"] < 0.9 < 2.5 < found["rmse_largest"]
    assert found["rms_ratio"] == pytest.approx(1, abs=0.08)
    assert found["within_one"] == pytest.approx(0.683, abs=0.05) and found["within_two"] == pytest.approx(
        0.954, abs=0.03
    )
    far = actual.copy()
    far[fold_of == 0] += 100  # a fold's labels do not move its own calibration
    assert spread(far, predicted, own, fold_of)["within_one"] < 0.8


def test_weights_are_written_with_card_views_and_page(toy, folder, predicted, tmp_path, monkeypatch):
    rows = judge(toy, ("a",), predicted, {"composition_ridge": predicted[1, 0]}, 3)
    calibrations = calibrate(toy, ("a",), predicted)
    for name, place in (("WEIGHTS", "weights"), ("PAGES", "pages"), ("CARDS", "cards")):
        (tmp_path / place).mkdir()
        monkeypatch.setattr(weights_cards, name, tmp_path / place)
    words = '[outputs]\na = ["level", "log2"]\n[views]\npart = ["level"]\n[card]\ntitle = "levels"\nlimits = "a toy"\n'
    (tmp_path / "cards/toy-all.toml").write_text(words)
    files = weights_cards.make("toy-all", toy, ("a",), rows, calibrations, folder, 3, CPU)
    assert [file.name for file in files] == ["toy-all.safetensors", "part.safetensors"]
    metadata = read_metadata(files[1])
    assert (metadata.outputs[0].name, metadata.outputs[0].unit) == ("level", "log2")
    assert metadata.outputs[0].calibration == calibrations["a"]
    assert metadata.training["train_genes"] == len(toy.dataset) - WATCHED
    assert metadata.training["command"] == "python -m tools.weights toy --make --folds 3 --seed 0"
    told = metadata.card["held_out"]["level, with half-life features"]
    value = rows[0]["metrics"]["pearson_r2"]["value"]
    assert f"squared Pearson {value:.3f} [" in told and "composition ridge" in told
    page = (tmp_path / "pages/toy.md").read_text()
    assert page.startswith("# toy\n\nLevels.\n\nNames for `--model`: `part`; `toy-all` gives all outputs at once.")
    assert told in page and "- **Limits**: a toy." in page
    assert load_model(files[0]).network.config.kernel_members == 4

    tensors = load_file(files[0])
    (tmp_path / "cards/toy-all.toml").write_text(words.replace("a toy", "a mere toy"))
    recard.main()
    assert read_metadata(files[0]).card == {**metadata.card, "limits": "a mere toy"}
    again = load_file(files[0])
    assert again.keys() == tensors.keys() and all(torch.equal(again[key], tensors[key]) for key in tensors)


def published_networks() -> list[Xpresso]:
    """Two networks of Xpresso's form with random weights."""
    generator = torch.Generator().manual_seed(0)
    networks = []
    for _ in range(2):
        shapes = {
            "conv1d_1": (6, 4, 128),
            "conv1d_2": (9, 128, 32),
            "dense_1": (35 * 32 + 6, 64),
            "dense_2": (64, 2),
            "dense_3": (2, 1),
        }
        network = Xpresso.__new__(Xpresso)
        network.weights = {}
        for name, shape in shapes.items():
            scale = int(np.prod(shape[:-1])) ** -0.5
            network.weights[name, "kernel"] = torch.randn(shape, generator=generator) * scale
            network.weights[name, "bias"] = torch.rand(shape[-1], generator=generator)
        networks.append(network)
    return networks


def test_towers_say_what_the_published_networks_say():
    networks = published_networks()
    towers = PromoterTowers(2)
    towers.load_state_dict(towers_of(networks))
    windows = np.random.default_rng(0).integers(0, 5, (3, 10_500), np.uint8)
    expected = np.stack([network(windows) for network in networks], axis=1)
    np.testing.assert_allclose(towers(torch.from_numpy(windows)).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_options_that_miss_a_dataset_are_refused(tmp_path: Path, capsys):
    with pytest.raises(SystemExit):
        weights.parse(["human-prot", "--out", str(tmp_path)])
    assert "--protein is needed for human-prot" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        weights.parse(["human-fat", "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--make", "--only", "0"], "--make needs all folds"),
        (["--make", "--recipe", "r.toml"], "--make needs all folds"),
    ],
)
def test_weights_are_made_of_all_folds_and_their_own_recipe(options, said, tmp_path, capsys):
    with pytest.raises(SystemExit):
        weights.parse(["human-prot", "--protein", "p", "--out", str(tmp_path / "o"), *options])
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
