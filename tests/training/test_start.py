"""Weights that a training starts from keep what they know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.files import sha256_file
from seqexpr.inputs.half_life import FEATURES, IDENTITY, TRANSFORMS, HalfLifeSchema
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, load_model, save_model, save_view
from seqexpr.prediction.rows import predict_rows
from seqexpr.training.batches import Batch
from seqexpr.training.experiment import fingerprint, half_life_schema
from seqexpr.training.start import Start, fit_output
from seqexpr.training.trainer import _Trainer, train

from ..small_dataset import fill_kernel, tiny_config
from .test_trainer import StopAfter, StopAt, interrupt_and_resume

CPU = torch.device("cpu")
SCHEMA = HalfLifeSchema(FEATURES, TRANSFORMS, (2.0,) * 4 + (0.5,) * 3 + (3.0,), (0.7,) * 4 + (0.2,) * 3 + (2.0,))


def weights(path, config, *outputs: Output, schema: HalfLifeSchema | None = None, seed: int = 0):
    """A file of random weights, whose every tensor says something."""
    torch.manual_seed(seed)
    network = Perceiver(config)
    if network.kernel is not None:
        fill_kernel(network, seed)
    save_model(path, TrainedModel(path.stem, network, ModelMetadata(config, outputs, schema)))
    return path


def from_weights(experiment, file, **changes):
    """The experiment as `train --from` makes it."""
    start = Start.of(file)
    changed = replace(experiment, **changes)
    return replace(changed, start=start, config=start.network(changed.config, changed.labels))


def epoch_zero(experiment, split, folder):
    """The network before it has seen a step, with its line of metrics."""
    trainer = _Trainer(experiment, split, folder, CPU, None)
    trainer._start()
    assert [row["epoch"] for row in trainer.epochs.rows] == [0]
    return TrainedModel("w", trainer.best_network(), trainer.metadata()), trainer.epochs.rows[0]


A = Output("a", "x", mean=-3.0, sd=40.0)


FLOWS = {
    "none": {},
    "kernel": {"kernel_genes": 30, "kernel_members": 4},
}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("scaling", ["zscore", "none"])
@pytest.mark.parametrize(
    ("preset", "schema"),
    [
        ("dna-perceiver", SCHEMA),
        ("dna-protein-perceiver", SCHEMA),
        ("protein-dna-perceiver", None),
        ("protein-perceiver", None),
    ],
)
def test_outputs_of_the_same_name_are_kept(experiment, split, tmp_path, preset, schema, scaling, flow):
    """In the labels' own units, whatever the scale of the weights and of the new labels; half-life features too."""
    config = tiny_config(preset, **FLOWS[flow])
    file = weights(tmp_path / "w.safetensors", config, A, schema=schema)
    recipe = experiment.recipe.changed(label_scaling=scaling)
    own = from_weights(experiment, file, recipe=recipe, config=tiny_config(preset))
    model, row = epoch_zero(own, split, tmp_path / "run")
    rows = np.arange(48)
    before, after = (predict_rows(one, experiment.dataset, rows, 8) for one in (load_model(file), model))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-3)
    assert np.std(before) > 0.1
    sd = 1.0 if scaling == "none" else experiment.values()[split.train].std()
    errors = (before[split.valid] - experiment.values()[split.valid]) / sd
    assert row["valid_loss"] == pytest.approx(float((errors**2).mean()), rel=1e-3)
    errors = (before[split.train] - experiment.values()[split.train]) / sd
    assert row["train_loss"] == pytest.approx(float((errors**2).mean()), rel=1e-3)
    assert model.metadata.training["start"] == {"sha256": sha256_file(file), "outputs": ["a"]}
    assert model.metadata.half_life == (schema or half_life_schema(own, split))


@pytest.mark.parametrize("given", [Output("other"), None])
def test_other_outputs_begin_with_a_regression_on_what_the_flows_make_of_the_genes(experiment, split, tmp_path, given):
    """Better than the mean of the labels from the start, and so for each of several labels, with gaps."""
    outputs = (A, Output("other")) if given is None else (given,)
    config = tiny_config(outputs=len(outputs))
    file = weights(tmp_path / "w.safetensors", config, *outputs, schema=SCHEMA)
    for labels in (("a",), ("a", "b")):
        own = from_weights(experiment, file, labels=labels, config=tiny_config(outputs=len(labels)))
        model, row = epoch_zero(own, split, tmp_path / f"run-{len(labels)}")
        assert row["valid_r2"] > 0.3 and 0 < row["train_loss"] < 0.7
        found, source = model.network.state_dict(), load_file(file)
        kept = [key for key in found if not key.startswith("output.") and found[key].is_floating_point()]
        for key in kept:
            torch.testing.assert_close(found[key], source[key], rtol=1e-5, atol=1e-6, msg=key)


def test_a_view_starts_with_its_own_outputs(experiment, split, tmp_path):
    weights(tmp_path / "both.safetensors", tiny_config("protein-perceiver", outputs=2), Output("b"), A)
    save_view(tmp_path / "a.safetensors", "both.safetensors", ["a"])
    one, other = Start.of(tmp_path / "a.safetensors"), Start.of(tmp_path / "both.safetensors")
    assert one.sha256 == other.sha256 and one.digests != other.digests
    own = from_weights(experiment, tmp_path / "a.safetensors", config=tiny_config("protein-perceiver"))
    model, _ = epoch_zero(own, split, tmp_path / "run")
    before = predict_rows(load_model(tmp_path / "both.safetensors"), experiment.dataset, split.valid, 8)[:, 1:]
    np.testing.assert_allclose(predict_rows(model, experiment.dataset, split.valid, 8), before, rtol=1e-4, atol=1e-3)
    prints = [fingerprint(replace(own, start=start), split) for start in (one, other, None)]
    assert len(set(prints)) == 3


@pytest.mark.parametrize(
    ("before", "scaling", "kept"), [(True, "none", True), (False, "none", False), (True, "zscore", False)]
)
def test_behind_tanh_outputs_are_kept_only_where_nothing_is_scaled(experiment, split, tmp_path, before, scaling, kept):
    file = weights(tmp_path / "w.safetensors", tiny_config("protein-perceiver", tanh=before), Output("b"))
    recipe = experiment.recipe.changed(label_scaling=scaling)
    wanted = tiny_config("protein-perceiver", tanh=True)
    own = from_weights(experiment, file, labels=("b",), recipe=recipe, config=wanted)
    assert own.config.tanh
    complete = replace(split, train=split.train[split.train != 5])
    model, row = epoch_zero(own, complete, tmp_path / "run")
    same = np.allclose(
        predict_rows(model, experiment.dataset, split.valid, 8),
        predict_rows(load_model(file), experiment.dataset, split.valid, 8),
        atol=1e-4,
    )
    assert same == kept
    if not kept:
        assert row["train_loss"] < (1.0 if scaling == "zscore" else experiment.values().var() + 1)


def test_behind_tanh_the_regression_is_of_what_comes_before_it():
    found = []
    tokens, labels = torch.randint(1, 21, (40, 60), dtype=torch.uint8), torch.randn(40, 1).clamp(-2, 2)
    for tanh in (False, True):
        torch.manual_seed(1)
        network = Perceiver(tiny_config("protein-perceiver", tanh=tanh))
        fit_output(network, [Batch(tokens, tokens, None, labels.tanh() if tanh else labels)])
        with torch.no_grad():
            found.append(network(tokens, tokens))
    torch.testing.assert_close(found[1], found[0].tanh(), rtol=1e-3, atol=1e-3)


def test_the_output_layer_is_the_regression_of_each_output_on_its_own_genes():
    """As scikit-learn's ridge with the same penalty; a gene without a label has no part in that output."""
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    torch.manual_seed(2)
    network = Perceiver(tiny_config("protein-perceiver", outputs=2))
    tokens = torch.randint(1, 21, (50, 60), dtype=torch.uint8)
    labels = torch.randn(50, 2)
    labels[:9, 1] = float("nan")
    fit_output(
        network,
        [Batch(part, part, None, label) for part, label in zip(tokens.split(20), labels.split(20), strict=True)],
    )
    with torch.no_grad():
        x, said = network.features(tokens, tokens).double().numpy(), network(tokens, tokens).numpy()
    for column, first in ((0, 0), (1, 9)):
        scaler = StandardScaler().fit(x[first:])
        ridge = RidgeCV(np.logspace(-2, 5, 15)).fit(
            scaler.transform(x[first:]), labels[first:, column].double().numpy()
        )
        np.testing.assert_allclose(said[:, column], ridge.predict(scaler.transform(x)), atol=1e-3)


def test_half_life_features_are_scaled_as_the_weights_know_them(experiment, split, tmp_path):
    own = replace(experiment, start=Start.of(weights(tmp_path / "w.safetensors", tiny_config(), A, schema=SCHEMA)))
    assert half_life_schema(own, split) == SCHEMA
    other = replace(SCHEMA, transforms=(IDENTITY,) * 8)  # z-scores, which the dataset's lengths are not
    file = weights(tmp_path / "z.safetensors", tiny_config(), A, schema=other)
    fitted = half_life_schema(experiment, split)
    assert half_life_schema(replace(experiment, start=Start.of(file)), split) == fitted
    file = weights(tmp_path / "n.safetensors", tiny_config(), A)
    assert half_life_schema(replace(experiment, start=Start.of(file)), split) == fitted != SCHEMA


def test_the_network_is_that_of_the_weights_and_dropout_that_of_the_recipe(tmp_path):
    file = weights(tmp_path / "w.safetensors", tiny_config("protein-perceiver", query_dim=24, dropout=0.1), A)
    found = Start.of(file).network(tiny_config("protein-perceiver", outputs=3, dropout=0.4, tanh=True), tuple("abc"))
    assert (found.query_dim, found.outputs, found.dropout, found.tanh) == (24, 3, 0.4, True)
    with pytest.raises(UsageError, match="holds a protein-perceiver, so no dna-perceiver can start from it"):
        Start.of(file).network(tiny_config(), ("a",))


def test_what_no_training_can_start_from(tmp_path):
    with pytest.raises(MissingDataError, match="no model, weights file or run folder 'absent'"):
        Start.named("absent")
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="expected a safetensors file of seqexpr weights"):
        Start.named(str(tmp_path / "w.safetensors"))
    run = tmp_path / "run"
    for fold in "01":
        (run / "folds" / fold).mkdir(parents=True)
        weights(run / "folds" / fold / "weights.safetensors", tiny_config("protein-perceiver"), A)
    (run / "manifest.json").write_text('{"kind": "cv", "options": {"folds": 2}}')
    with pytest.raises(InputError, match="found 2 models; expected one, from which a training can start"):
        Start.named(str(run))
    assert Start.named(str(run / "folds/1")).outputs == ("a",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "flow"),
    [("a", "none"), ("other", "none"), ("a", "kernel"), ("other", "kernel")],
)
def test_resumed_equals_uninterrupted(experiment, split, tmp_path, output, flow):
    config = tiny_config(**FLOWS[flow])
    file = weights(tmp_path / "w.safetensors", config, Output(output), schema=SCHEMA)
    interrupt_and_resume(from_weights(experiment, file), split, tmp_path, StopAt(1, 1), StopAt(2, 3))


def test_other_weights_do_not_resume(experiment, split, tmp_path):
    files = [weights(tmp_path / f"{seed}.safetensors", tiny_config(), A, seed=seed) for seed in (1, 2)]
    train(from_weights(experiment, files[0]), split, tmp_path / "run", CPU, name="w")
    with pytest.raises(InputError, match="other data, options, recipe or seed"):
        train(from_weights(experiment, files[1]), split, tmp_path / "run", CPU, name="w")


@pytest.mark.parametrize("outputs", [("other",), ("b", "a"), ("view",)])
def test_a_kernel_flow_of_other_outputs_is_fitted_anew(experiment, coding_dataset, split, tmp_path, outputs):
    """As in a training from nothing, its codon indices too; the sequence flows are those of the weights."""
    kernel = {"kernel_genes": 30, "kernel_members": 4, "coding_length": 60}
    names = ("x", "view", "y") if outputs == ("view",) else outputs
    file = weights(tmp_path / "w.safetensors", tiny_config(outputs=len(names), **kernel), *map(Output, names))
    if len(names) > len(outputs):
        file = tmp_path / "v.safetensors"
        save_view(file, "w.safetensors", outputs)
    given = replace(experiment, dataset=coding_dataset)
    own = from_weights(given, file, config=tiny_config())
    assert own.config.kernel_genes == 30 and own.config.coding_indices == 1
    model, row = epoch_zero(own, split, tmp_path / "own")
    plain, plain_row = epoch_zero(replace(given, config=tiny_config(**kernel)), split, tmp_path / "plain")
    found, expected = model.network.state_dict(), plain.network.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected if key.startswith("kernel."))
    assert row["train_loss"] == plain_row["train_loss"] and row["valid_loss"] == pytest.approx(plain_row["valid_loss"])
    assert torch.equal(model.network.latents, load_model(file).network.latents)
    assert not model.network.output.weight.any()


@pytest.mark.parametrize("features", [False, True])
def test_weights_without_a_flow_get_the_kernel_flow_of_the_recipe(experiment, split, tmp_path, features):
    """With `kernel_features` nothing follows: the sequence flows stay what they are."""
    file = weights(tmp_path / "w.safetensors", tiny_config(), Output("other"), schema=SCHEMA)
    wanted = tiny_config(kernel_genes=40, kernel_features=features)
    own = from_weights(experiment, file, config=wanted)
    assert (own.config.kernel_genes, own.config.kernel_features) == (40, features)
    result = train(own, split, tmp_path / "run", CPU, name="w")
    assert [row["epoch"] for row in result.rows] == ([0] if features else [0, 1, 2, 3])
    assert result.rows[0]["valid_r2"] > 0.3
    same = weights(tmp_path / "same.safetensors", tiny_config(), A, schema=SCHEMA)
    assert from_weights(experiment, same, config=wanted).config.kernel_genes == 0  # they answer as they are
    if features:
        kept, source = result.model.network.state_dict(), load_file(file)
        trunk = [key for key in source if not key.startswith("output.")]
        assert all(torch.equal(kept[key], source[key]) for key in trunk)


def test_a_kernel_of_what_the_sequence_flows_make_of_the_genes_is_always_fitted_anew(experiment, split, tmp_path):
    file = informed(tmp_path / "w.safetensors", experiment, split, "a")
    result = train(from_weights(experiment, file), split, tmp_path / "run", CPU, name="w")
    assert [row["epoch"] for row in result.rows] == [0] and result.rows[0]["valid_r2"] > 0.3
    assert not torch.equal(result.model.network.kernel.landmarks, load_model(file).network.kernel.landmarks)


def test_weights_with_a_flow_keep_it_and_no_tanh_comes_behind_it(tmp_path):
    kernel = weights(tmp_path / "k.safetensors", tiny_config(kernel_genes=8), A)
    assert Start.of(kernel).network(tiny_config(kernel_genes=30), ("a",)).kernel_genes == 8
    assert Start.of(kernel).network(tiny_config(), ("a",)).kernel_genes == 8
    with pytest.raises(UsageError, match="kernel_genes and tanh"):
        Start.of(kernel).network(tiny_config(tanh=True), ("a",))


def read(network, tokens) -> tuple[np.ndarray, np.ndarray]:
    """What the output layer reads of proteins, and what it says."""
    with torch.inference_mode():
        features = network.eval().features(tokens, tokens)
        return features.double().numpy(), network.output(features).double().numpy()


@pytest.mark.parametrize("outputs", [1, 2])
def test_before_a_kernel_flow_the_labels_are_regressed_on_what_the_weights_predict(tmp_path, outputs):
    """An exact linear relation is found, for each label on its own genes, and the rest of the network stays."""
    given = tuple(Output(name) for name in "xy"[:outputs])
    file = weights(tmp_path / "w.safetensors", tiny_config("protein-perceiver", outputs=outputs), *given)
    torch.manual_seed(3)
    network = Perceiver(tiny_config("protein-perceiver", outputs=2))
    trunk = {key: value for key, value in load_file(file).items() if not key.startswith("output.")}
    network.load_state_dict({**network.state_dict(), **trunk})
    tokens = torch.randint(1, 21, (60, 60), dtype=torch.uint8)
    said = read(load_model(file).network, tokens)[1]
    scaled = (said - said.mean(axis=0)) / said.std(axis=0)
    labels = np.stack([3 * scaled[:, 0] - 1, scaled @ np.array([0.5, -2.0])[:outputs] + 4], axis=1)
    labels[:9, 1] = np.nan
    y = torch.from_numpy(labels).float()
    batches = [Batch(part, part, None, label) for part, label in zip(tokens.split(25), y.split(25), strict=True)]
    fit_output(network, batches, Start.of(file))
    found = read(network, tokens)[1]
    known = ~np.isnan(labels)
    np.testing.assert_allclose(found[known], labels[known], atol=0.01)
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in trunk.items())
    layer = Start.of(file).output_layer()
    assert layer.shape == (outputs, after["output.weight"].shape[1])
    assert np.linalg.matrix_rank(np.vstack([layer, after["output.weight"].numpy()]), tol=1e-4) == outputs


def test_on_the_one_output_of_the_weights_less_noise_is_learnt_by_heart_than_on_all_features(tmp_path):
    file = weights(tmp_path / "w.safetensors", tiny_config("protein-perceiver"), Output("x"))
    torch.manual_seed(4)
    tokens, labels = torch.randint(1, 21, (40, 60), dtype=torch.uint8), torch.randn(40, 1)
    errors = []
    for before in (None, Start.of(file)):
        network = load_model(file).network
        fit_output(network, [Batch(tokens, tokens, None, labels)], before)
        errors.append(float(np.mean((read(network, tokens)[1] - labels.numpy()) ** 2)))
    assert errors[0] < errors[1] <= float(labels.var(correction=0)) * 1.001


def informed(path, experiment, split, output: str):
    """Weights with a kernel flow that reads the sequence flows, and whose output layer knows something of the genes."""
    config = tiny_config(kernel_genes=30, kernel_features=True)
    source = load_model(weights(path, config, Output(output, mean=8.0, sd=1.2), schema=SCHEMA))
    trainer = _Trainer(replace(experiment, config=config), split, path.parent / "informed", CPU, None)
    fit_output(source.network, [trainer.loader.batch(split.train)])
    save_model(path, source)
    return path


@pytest.mark.parametrize("output", ["a", "other"])
def test_a_kernel_flow_that_reads_the_sequence_flows_learns_what_the_output_layer_leaves_over(
    experiment, split, tmp_path, output
):
    """The output layer is kept for outputs of the same names, to the same predictions, and fitted for others; the loss
    of epoch 0 is that of left-out genes by both together."""
    file = informed(tmp_path / "w.safetensors", experiment, split, output)
    own = from_weights(experiment, file, config=tiny_config(kernel_genes=30, kernel_features=True))
    trainer = _Trainer(own, split, tmp_path / "run", CPU, None)
    trainer._start()
    network, source = trainer.best_network(), load_model(file)
    batch = trainer.loader.batch(np.arange(48))
    inputs = (batch.latent_tokens, batch.query_tokens, batch.half_life)
    labels = batch.labels.numpy()[:, 0]
    with torch.inference_mode():
        said, kept = (one.output(one.features(*inputs))[:, 0].numpy() for one in (network, source.network.eval()))
    if output == "a":
        scale = source.metadata.outputs[0]
        np.testing.assert_allclose(said * trainer.sd + trainer.mean, kept * scale.sd + scale.mean, rtol=1e-4)
    else:
        slope = np.polyfit(kept[split.train], said[split.train], 1)
        np.testing.assert_allclose(said, np.polyval(slope, kept), atol=1e-3)  # a regression on the one old output
    told = trainer.loader.told[split.train, 0]
    errors = labels[split.train] - said[split.train] - told
    assert trainer.epochs.rows[0]["train_loss"] == pytest.approx(float((errors**2).mean()), rel=1e-2)
    assert said.std() > 0.2 and np.abs(told).max() > 0.05 and trainer.epochs.rows[0]["valid_r2"] > 0.3


@pytest.mark.parametrize("output", ["a", "other"])
@pytest.mark.parametrize("scaling", ["zscore", "none"])
def test_weights_of_a_kernel_flow_alone_are_fitted_to_the_new_genes(experiment, split, tmp_path, output, scaling):
    """Whatever they predicted before, for there would be nothing else to learn: as in a training from nothing."""
    config = tiny_config(kernel_genes=30, kernel_members=4, sequence_flows=False)
    file = weights(tmp_path / "w.safetensors", config, replace(A, name=output), schema=SCHEMA)
    start = Start.of(file)
    assert (start.has_kernel, start.keeps_kernel, start.flow_is_trained((output,))) == (True, False, False)
    given = replace(experiment, recipe=experiment.recipe.changed(label_scaling=scaling))
    own = from_weights(given, file)
    assert own.config == config
    result = train(own, split, tmp_path / "run", CPU, name="w")
    assert [row["epoch"] for row in result.rows] == [0] and result.rows[0]["valid_r2"] > 0.3
    assert result.model.metadata.half_life == SCHEMA
    plain = train(replace(given, config=config), split, tmp_path / "plain", CPU, name="w")
    own_schema = replace(own, start=replace(start, half_life=None))
    again = train(own_schema, split, tmp_path / "again", CPU, name="w").model.network.state_dict()
    for key, value in plain.model.network.state_dict().items():
        assert torch.equal(again[key], value), key


def test_a_training_from_a_kernel_flow_alone_resumes(experiment, split, tmp_path):
    config = tiny_config(kernel_genes=30, kernel_members=4, sequence_flows=False)
    file = weights(tmp_path / "w.safetensors", config, A, schema=SCHEMA)
    interrupt_and_resume(from_weights(experiment, file), split, tmp_path, StopAfter(0))


@pytest.mark.parametrize("labels", [("a", "b"), ("other",), ("a",)])
def test_words_of_promoters_are_kept_with_the_weight_that_the_config_gives(tmp_path, labels):
    """Their table is of no label; what it adds is in the units of the labels that are learnt now."""
    config = tiny_config(promoter_words=0.2)
    torch.manual_seed(0)
    network = Perceiver(config)
    network.words.fit(torch.from_numpy(np.random.default_rng(0).integers(1, 5, (50, 360), np.uint8)), 240)
    file = tmp_path / "w.safetensors"
    save_model(file, TrainedModel("w", network, ModelMetadata(config, (A,))))
    start = Start.of(file)
    found = Perceiver(start.network(tiny_config(outputs=len(labels)), labels))
    same = start.load(found, labels, np.zeros(len(labels)), np.full(len(labels), 20.0))
    assert same == (labels == ("a",))
    assert torch.equal(found.words.scores, network.words.scores)
    expected = 0.2 * 40.0 / 20.0 if same else 0.2
    torch.testing.assert_close(found.words.weight, torch.full((len(labels),), expected))
