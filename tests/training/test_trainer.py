from __future__ import annotations

import copy
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seqexpr.errors import InputError, UsageError
from seqexpr.models import kernels
from seqexpr.models.composition.codons import adaptation_weights, codon_counts
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import TrainedModel, load_model, save_model
from seqexpr.prediction.rows import predict_rows
from seqexpr.threads import READER_NAME
from seqexpr.training import trainer
from seqexpr.training.batches import genes_of, joined
from seqexpr.training.trainer import TrainingResult
from seqexpr.training.trainer import train as train_alone

from ..small_dataset import NETWORK, tiny_config

CPU = torch.device("cpu")


class StopAt:
    """An observer that interrupts a training in the middle of an epoch."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        if (epoch, step) == self.at:
            raise KeyboardInterrupt

    def on_epoch(self, row) -> None:
        pass


def train(experiment, split, folder, device, **options) -> TrainingResult:
    """Train, and write the weights as their owner does."""
    result = train_alone(experiment, split, folder, device, **options)
    save_model(folder / "weights.safetensors", result.model)
    return result


def same_tensors(one, other) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def interrupt_and_resume(experiment, split, folder, *stops) -> None:
    """Trained without a pause in `folder`/whole and interrupted at `stops` in `folder`/parts: the same weights."""
    train(experiment, split, folder / "whole", CPU, name="w")
    for at in stops:
        with pytest.raises(KeyboardInterrupt):
            train(experiment, split, folder / "parts", CPU, name="w", observer=at)
    train(experiment, split, folder / "parts", CPU, name="w")
    assert same_tensors(folder / "whole/weights.safetensors", folder / "parts/weights.safetensors")


def test_run_leaves_weights_and_a_line_of_metrics_an_epoch(experiment, split, tmp_path):
    result = train(experiment, split, tmp_path, CPU, name="small")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows == result.rows
    model = load_model(tmp_path / "weights.safetensors")
    assert model.metadata.outputs[0].unit == "log10(RPKM + 0.1)"
    assert model.metadata.training["train_genes"] == 36
    expected = predict_rows(result.model, experiment.dataset, split.valid, 5)
    np.testing.assert_allclose(predict_rows(model, experiment.dataset, split.valid, 12), expected, atol=1e-5)


def test_kept_weights_are_those_of_the_best_epoch(experiment, split, tmp_path):
    """The stored validation loss is reached again by the stored weights."""
    result = train(experiment, split, tmp_path, CPU, name="small")
    best = min(result.rows, key=lambda row: row["valid_loss"])
    assert result.best_epoch == best["epoch"]
    labels = experiment.values()
    predicted = predict_rows(result.model, experiment.dataset, split.valid, 8)
    scaled = (predicted - labels[split.valid]) / result.model.metadata.outputs[0].sd
    assert float((scaled**2).mean()) == pytest.approx(best["valid_loss"], rel=1e-4)


@pytest.mark.parametrize("recipe", ["adam", "adamw", "lamb"])
def test_resumed_equals_uninterrupted(experiment, split, tmp_path, recipe):
    experiment = replace(
        experiment, recipe=experiment.recipe.changed(optimizer=recipe, average_decay=0.0 if recipe == "adam" else 0.9)
    )
    interrupt_and_resume(
        experiment, split, tmp_path, StopAt(1, 2), StopAt(2, 3), StopAt(3, 1)
    )  # also before the first checkpoint


@pytest.mark.slow
def test_resumed_equals_uninterrupted_with_the_compiled_kernels_too(experiment, split, tmp_path):
    wide = {**NETWORK, "latents": 64, "embedding_dim": 32, "stem_channels": 64, "dropout": 0.3}
    experiment = replace(
        experiment, config=PerceiverConfig.from_preset("dna-perceiver", upstream=240, downstream=120, **wide)
    )
    interrupt_and_resume(experiment, split, tmp_path, StopAt(2, 3))


def test_same_seed_same_weights_other_seed_other_weights(experiment, split, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(replace(experiment, seed=seed), split, tmp_path / name, CPU, name="w")
    assert same_tensors(tmp_path / "a/weights.safetensors", tmp_path / "b/weights.safetensors")
    assert not same_tensors(tmp_path / "a/weights.safetensors", tmp_path / "c/weights.safetensors")


def test_checkpoint_of_another_training_is_refused(experiment, split, tmp_path):
    train(experiment, split, tmp_path, CPU, name="w")
    with pytest.raises(InputError, match="other data, options, recipe or seed"):
        train(replace(experiment, seed=9), split, tmp_path, CPU, name="w")


def test_damaged_checkpoint_is_refused(experiment, split, tmp_path):
    train(experiment, split, tmp_path, CPU, name="w")
    state = tmp_path / "checkpoint/state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged"):
        train(experiment, split, tmp_path, CPU, name="w")


def test_only_the_owner_writes_the_weights(experiment, split, tmp_path):
    train_alone(experiment, split, tmp_path, CPU, name="w")
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "checkpoint"}


@pytest.mark.slow
def test_learns_a_planted_signal(experiment, split, tmp_path):
    """The label is the GC content of the window: within some epochs most of it is explained."""
    recipe = experiment.recipe.changed(max_epochs=25, average_decay=0.0, half_life_dropout=0.9)
    result = train(replace(experiment, recipe=recipe), split, tmp_path, CPU, name="w")
    assert max(row["valid_r2"] for row in result.rows) > 0.5


def test_patience_ends_the_training(experiment, split, tmp_path):
    recipe = experiment.recipe.changed(learning_rate=1e-12, average_decay=0.0, max_epochs=50, patience=2)
    rows = train(replace(experiment, recipe=recipe), split, tmp_path, CPU, name="w").rows
    assert len(rows) < 50
    best = min(range(len(rows)), key=lambda i: rows[i]["valid_loss"])
    assert len(rows) == best + 1 + 2


@pytest.mark.parametrize("preset", ["protein-perceiver", "protein-dna-perceiver", "dna-protein-perceiver"])
def test_other_presets_and_two_outputs_with_missing_labels(experiment, split, tmp_path, preset):
    config = tiny_config(preset, outputs=2)
    recipe = experiment.recipe.changed(max_epochs=1, output_weights={"a": 10.0})
    result = train(replace(experiment, config=config, recipe=recipe, labels=("a", "b")), split, tmp_path, CPU, name="w")
    predicted = predict_rows(load_model(tmp_path / "weights.safetensors"), experiment.dataset, split.valid, 4)
    assert predicted.shape == (12, 2)
    assert np.isfinite(predicted).all()
    assert np.isfinite(result.rows[0]["train_loss"])


def test_running_mean_goes_on_after_a_validation_of_short_proteins(experiment, split, tmp_path):
    """Short proteins make the validated network remember the features of an empty sequence."""
    config = PerceiverConfig.from_dict({**tiny_config("protein-perceiver").to_dict(), "protein_length": 900})
    rows = train(replace(experiment, config=config), split, tmp_path, CPU, name="w").rows
    assert len(rows) == 3


def test_missing_labels_have_no_part_in_the_loss(experiment, split):
    from seqexpr.training.trainer import _Trainer

    predicted = torch.tensor([[1.0, 5.0], [2.0, 100.0]])
    labels = torch.tensor([[0.0, 3.0], [4.0, float("nan")]])
    trainer = object.__new__(_Trainer)
    trainer.output_weights = torch.tensor([10.0, 1.0])
    # (10 x 1 + 10 x 4 + 1 x 4) / 3 labels
    assert float(trainer._loss(predicted, labels, 3)) == pytest.approx(54 / 3)


def test_scalings_come_from_training_genes_alone(experiment, split, tmp_path, dataset):
    """They are those of the training genes by hand, and validation genes that are moved far away leave them there."""
    far = copy.copy(dataset)
    far.genes = dataset.genes.copy()
    far.genes.loc[split.valid, "a"] += 1_000.0
    far.genes.loc[split.valid, list(dataset.half_life_names)] *= 50.0
    near, other = (
        train(replace(experiment, dataset=part), split, tmp_path / name, CPU, name="w").model.metadata
        for name, part in (("near", dataset), ("far", far))
    )
    assert other.outputs == near.outputs
    assert other.half_life == near.half_life
    labels = dataset.labels(("a",))[split.train]
    assert near.outputs[0].mean == pytest.approx(labels.mean())
    assert near.outputs[0].sd == pytest.approx(labels.std())
    raw = dataset.genes.iloc[split.train]
    lengths, shares = np.log10(raw["cds_len"] + 0.1), raw["cds_gc"]
    places = [near.half_life.names.index(name) for name in ("cds_len", "cds_gc")]
    assert [near.half_life.mean[place] for place in places] == pytest.approx([lengths.mean(), shares.mean()])
    assert [near.half_life.sd[place] for place in places] == pytest.approx([lengths.std(ddof=0), shares.std(ddof=0)])


@pytest.mark.parametrize("preset", ["dna-perceiver", "protein-perceiver"])
def test_groups_add_up_to_the_gradient_of_the_batch(experiment, split, tmp_path, preset):
    """With BatchNorm's statistics fixed and no dropout, groups of 5 give the step of one batch of 16."""
    from seqexpr.training.trainer import _Trainer

    gradients = []
    for size in (0, 5):
        config = tiny_config(preset, outputs=2, dropout=0.0)
        recipe = experiment.recipe.changed(group_size=size, clip_norm=0.0)
        own = replace(experiment, config=config, recipe=recipe, labels=("a", "b"))
        trainer = _Trainer(own, split, tmp_path / f"{size}", CPU, None)
        trainer.network.eval()
        trainer._step(trainer.steps.load(np.arange(16), 0, np.zeros(16, bool)), 1)
        gradients.append([parameter.grad.clone() for parameter in trainer.network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("preset", ["dna-perceiver", "protein-dna-perceiver", "dna-protein-perceiver"])
def test_groups_in_one_pass_are_the_same_function(experiment, split, tmp_path, preset):
    """As a GPU computes them: gradients and running statistics are those of one group after the other."""
    from seqexpr.training.trainer import _Trainer

    found = []
    for add in (
        lambda net, groups, loss: trainer.add_gradients_at_once(net, groups, genes_of, joined, loss),
        lambda net, groups, loss: trainer.add_gradients(net, None, groups, loss),
    ):
        recipe = experiment.recipe.changed(group_size=3)
        own = replace(experiment, config=tiny_config(preset, dropout=0.0), recipe=recipe)
        made = _Trainer(own, split, tmp_path / preset / str(len(found)), CPU, None)
        made.network.train()
        groups = made.steps.load(np.arange(16), 0, np.zeros(16, bool)).groups

        def loss(network: Perceiver, batch) -> torch.Tensor:
            said = network(batch.latent_tokens, batch.query_tokens, batch.half_life)
            return (said - batch.labels).square().sum()

        with kernels.disabled():
            total = add(made.network, groups, loss)
        gradients = [parameter.grad for parameter in made.network.parameters()]
        found.append([total, *gradients, *made.network.buffers()])
        assert made.network.tower.residual.norm.num_batches_tracked == 6
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_an_error_while_reading_ahead_ends_the_training(experiment, split, tmp_path):
    """Batches are made on another thread: what goes wrong there is raised here, and the thread ends."""
    broken = copy.copy(experiment.dataset)
    broken.dna = lambda *arguments: (_ for _ in ()).throw(OSError("the disk is gone"))
    with pytest.raises(OSError, match="the disk is gone"):
        train(replace(experiment, dataset=broken), split, tmp_path, CPU, name="w")
    assert not [thread for thread in threading.enumerate() if thread.name == READER_NAME]


def test_diverging_training_says_so(experiment, split, tmp_path):
    recipe = experiment.recipe.changed(learning_rate=1e9, clip_norm=0.0, optimizer="adam", average_decay=0.0)
    with pytest.raises(UsageError, match="lower the recipe's learning rate"):
        train(replace(experiment, recipe=recipe), split, tmp_path, CPU, name="w")


def test_what_cannot_be_trained(experiment, split, tmp_path):
    with pytest.raises(UsageError, match="the training and the validation part share genes"):
        replace(split, valid=np.arange(30, 48))
    with pytest.raises(UsageError, match="the validation and the test part share genes"):
        replace(split, test=np.array([40]))
    with pytest.raises(UsageError, match="36 genes to train on and 0 to validate on are too few"):
        train(experiment, replace(split, valid=np.arange(0)), tmp_path / "run", CPU, name="w")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="2 outputs for 1 labels"):
        replace(experiment, config=tiny_config(outputs=2))


def test_constant_label_is_refused(experiment, split, tmp_path, dataset):
    constant = object.__new__(type(dataset))
    constant.__dict__ = {**dataset.__dict__, "genes": dataset.genes.assign(a=1.0)}
    with pytest.raises(UsageError, match="nothing to learn"):
        train(replace(experiment, dataset=constant), split, tmp_path, CPU, name="w")


def test_the_last_epoch_is_kept_where_nothing_chooses(experiment, split, tmp_path):
    result = train(
        replace(experiment, recipe=experiment.recipe.changed(stop_metric="none")), split, tmp_path, CPU, name="w"
    )
    assert result.best_epoch == 3


def test_codons_are_learnt_from_training_genes(likeness, split, tmp_path):
    result = train(likeness, split, tmp_path, CPU, name="m")
    known, labels = likeness.dataset.coding(split.train, 60), likeness.values()[split.train]
    expected = adaptation_weights(codon_counts(torch.from_numpy(known)), torch.from_numpy(labels))
    torch.testing.assert_close(result.model.network.kernel.codons.adaptation, expected.float())
    ranges = result.model.metadata.input_range
    assert ranges.names[-2:] == ("codons of the coding sequence", "GC of third codon positions")


class StopAfter:
    """An observer that interrupts a training when an epoch is done."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        pass

    def on_epoch(self, row) -> None:
        if row["epoch"] == self.epoch:
            raise KeyboardInterrupt


@pytest.fixture
def likeness(experiment, coding_dataset):
    """A network with a kernel flow that reads codons too, two outputs, one label missing."""
    config = tiny_config(kernel_genes=40, kernel_members=4, coding_length=60, outputs=2)
    recipe = experiment.recipe.changed(coding_dropout=0.2)
    return replace(experiment, dataset=coding_dataset, labels=("a", "b"), config=config, recipe=recipe)


def test_a_kernel_flow_is_fitted_first_and_stays(likeness, split, tmp_path):
    result = train(likeness, split, tmp_path, CPU, name="w")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3] and rows == result.rows
    assert rows[0]["valid_r2"] > 0.5 and 0 < rows[0]["train_loss"] < 0.5  # the labels are the windows' GC content
    none = replace(likeness, recipe=likeness.recipe.changed(stop_metric="none"))
    last, alone = (
        train(one, split, tmp_path / name, CPU, name="w")
        for name, one in (("last", none), ("one", replace(none, recipe=none.recipe.changed(max_epochs=1))))
    )
    flows = [one.model.network.kernel.state_dict() for one in (last, alone, result)]
    assert all(torch.equal(flows[0][key], one[key]) for one in flows[1:] for key in flows[0])
    assert last.model.network.output.weight.abs().max() > 0  # which began with nothing to say
    loaded = load_model(tmp_path / "weights.safetensors")
    found, expected = (predict_rows(model, likeness.dataset, split.valid, 5) for model in (loaded, result.model))
    np.testing.assert_array_equal(found, expected)
    assert loaded.predict_members(likeness.dataset.dna([0, 1], 240, 120), None, None).shape == (4, 2, 2)


def test_without_epochs_the_kernel_flow_is_all_that_learns(likeness, split, tmp_path):
    none = likeness.recipe.changed(max_epochs=0, stop_metric="none")
    result = train(replace(likeness, recipe=none), split, tmp_path, CPU, name="w")
    assert [row["epoch"] for row in result.rows] == [0] and result.best_epoch == 0
    network = result.model.network
    assert network.kernel.weights.abs().max() > 0 and not network.output.weight.any()


def test_epoch_0_is_the_kernel_flow_alone_and_its_loss_that_of_left_out_genes(likeness, split, tmp_path):
    kept = replace(likeness, recipe=likeness.recipe.changed(max_epochs=1, learning_rate=1e3, clip_norm=0.0))
    training = trainer._Trainer(kept, split, tmp_path, CPU, None)
    training._start()
    row, told, labels = training.epochs.rows[0], training.loader.told, training.loader.labels
    assert np.isnan(told[split.valid]).all() and not np.isnan(told[split.train]).any()
    errors = (told - labels)[split.train]
    assert row["train_loss"] == pytest.approx(float(np.nanmean(errors**2)), rel=1e-4)
    model = TrainedModel("w", training.best_network(), training.metadata())
    scaled = (predict_rows(model, kept.dataset, split.valid, 8) - training.mean) / training.sd
    assert row["valid_loss"] == pytest.approx(float(np.nanmean((scaled - labels[split.valid]) ** 2)), rel=1e-3)
    assert not model.network.output.weight.any() and not model.network.output.bias.any()


def test_errors_before_the_first_epoch_are_remembered_by_a_resumed_training(likeness, split, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(likeness, split, tmp_path, CPU, name="w", observer=StopAfter(1))
    epochs = trainer._Trainer(likeness, split, tmp_path, CPU, None).epochs
    labels = likeness.values()[split.valid]
    total, present = float(epochs.errors_before.sum()), int((~np.isnan(labels)).sum())
    assert total / present == pytest.approx(epochs.rows[0]["valid_loss"], rel=1e-5)
    assert len(epochs.errors_before) == len(split.valid) and len(epochs.rows) == 2


@pytest.mark.slow
@pytest.mark.parametrize("group_size", [0, 4])
def test_a_kernel_flow_resumes_too_and_what_genes_are_told_with_it(likeness, split, tmp_path, monkeypatch, group_size):
    told, forward = [], Perceiver.forward

    def noting(*given, **named):
        told.append(given[4:5])
        return forward(*given, **named)

    monkeypatch.setattr(Perceiver, "forward", noting)
    grouped = replace(likeness, recipe=likeness.recipe.changed(group_size=group_size))
    interrupt_and_resume(grouped, split, tmp_path, StopAfter(0), StopAt(1, 2), StopAfter(1), StopAt(3, 1))
    given = [answers[0] for answers in told if answers]
    assert len(given) > 20 and not any(one.isnan().any() for one in given)  # training steps alone are told


@pytest.mark.parametrize("words", [True, False])
def test_a_kernel_of_what_the_sequence_flows_make_of_the_genes_ends_the_training(likeness, split, tmp_path, words):
    config = replace(likeness.config, kernel_features=True, kernel_words=words)
    one = replace(likeness, config=config)
    result = train(one, split, tmp_path / "a", CPU, name="w")
    assert [row["epoch"] for row in result.rows] == [0] and result.best_epoch == 0
    assert result.model.metadata.training["epochs"] == 0
    with pytest.raises(KeyboardInterrupt):
        train(one, split, tmp_path / "b", CPU, name="w", observer=StopAfter(0))
    train(one, split, tmp_path / "b", CPU, name="w")
    assert same_tensors(*(tmp_path / name / "weights.safetensors" for name in "ab"))


@pytest.fixture
def alone(likeness):
    """The same without sequence flows."""
    config = replace(likeness.config, sequence_flows=False)
    return replace(likeness, config=config, recipe=likeness.recipe.changed(max_epochs=0))


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_without_sequence_flows_the_fit_is_the_training(alone, split, tmp_path, decay):
    one = replace(alone, recipe=alone.recipe.changed(average_decay=decay))
    result = train(one, split, tmp_path, CPU, name="w")
    assert [row["epoch"] for row in result.rows] == [0] and result.best_epoch == 0
    assert result.model.metadata.training["epochs"] == 0 and result.rows[0]["valid_r2"] > 0.5
    assert result.choice() == "kept epoch 0 (before the first epoch): none followed"
    stored = load_file(tmp_path / "weights.safetensors")
    assert stored and all(key.startswith("kernel.") for key in stored)
    loaded = load_model(tmp_path / "weights.safetensors")
    found, expected = (predict_rows(model, one.dataset, split.valid, 5) for model in (loaded, result.model))
    np.testing.assert_array_equal(found, expected)
    labels = one.values()[split.valid]
    scaled = (found - labels) / [output.sd for output in loaded.metadata.outputs]
    assert result.rows[0]["valid_loss"] == pytest.approx(float(np.nanmean(scaled**2)), rel=1e-3)


def test_without_sequence_flows_the_kernel_flow_is_that_of_a_network_with_them(alone, likeness, split, tmp_path):
    both = replace(likeness, recipe=alone.recipe)
    one, other = (
        train(own, split, tmp_path / name, CPU, name="w").model.network.kernel.state_dict()
        for name, own in (("alone", alone), ("both", both))
    )
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "lamb"])
def test_without_sequence_flows_a_training_resumes_too(alone, split, tmp_path, optimizer):
    own = replace(alone, recipe=alone.recipe.changed(optimizer=optimizer, group_size=4))
    interrupt_and_resume(own, split, tmp_path, StopAfter(0))
    state = tmp_path / "parts/checkpoint/state.safetensors"
    state.write_bytes(state.read_bytes()[:-40])
    with pytest.raises(InputError, match="remove the folder checkpoint"):
        train(own, split, tmp_path / "parts", CPU, name="w")
