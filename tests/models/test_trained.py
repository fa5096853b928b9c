from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from seqexpr.errors import InputError, MissingDataError
from seqexpr.inputs.half_life import FEATURES, TRANSFORMS, HalfLifeSchema
from seqexpr.models.calibration import Calibration
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.registry import resolve_models
from seqexpr.models.trained import (
    ModelMetadata,
    Output,
    TrainedModel,
    add_checksums,
    load_model,
    read_metadata,
    save_model,
    save_view,
)

from ..small_dataset import fill_kernel
from .test_config import RETIRED


@pytest.fixture
def model(small_config):
    raw = np.abs(np.random.default_rng(0).normal(500, 100, (20, 8)))
    raw[:, 4:7] = 0.5
    schema = HalfLifeSchema.fit(raw, FEATURES, TRANSFORMS)
    metadata = ModelMetadata(
        small_config, (Output("mrna", "log10(RPKM + 0.1)", 0.5, 2.0),), schema, {"seed": 3}, {"title": "test"}
    )
    torch.manual_seed(0)
    return TrainedModel("small", Perceiver(small_config).eval(), metadata)


@pytest.fixture
def dna():
    return np.random.default_rng(1).integers(1, 5, (3, 360), dtype=np.uint8)


def test_saved_model_predicts_the_same(model, dna, tmp_path):
    half_life = np.full((3, 8), 400.0)
    save_model(tmp_path / "m.safetensors", model)
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.name == "m"
    assert loaded.metadata == model.metadata
    np.testing.assert_array_equal(loaded.predict(dna, None, half_life), model.predict(dna, None, half_life))


def test_predictions_are_in_the_unit_of_the_label(model, dna):
    scaled = TrainedModel("", model.network, replace(model.metadata, outputs=(Output("mrna"),)))
    np.testing.assert_allclose(model.predict(dna, None, None), scaled.predict(dna, None, None) * 2.0 + 0.5)


def test_unknown_half_life_is_the_training_mean(model, dna):
    schema = model.metadata.half_life
    # The raw value whose transform is the mean: the inverse of log10(x + 0.1), or the mean itself for GC.
    raw = np.where([t != "identity" for t in TRANSFORMS], 10 ** np.array(schema.mean) - 0.1, schema.mean)
    average = model.predict(dna, None, np.tile(raw, (3, 1)))
    np.testing.assert_allclose(model.predict(dna, None, np.full((3, 8), np.nan)), average, atol=1e-5)
    np.testing.assert_allclose(model.predict(dna, None, None), average, atol=1e-5)


def test_metadata_is_read_without_torch(model, tmp_path):
    save_model(tmp_path / "m.safetensors", model)
    code = (
        "import sys; from seqexpr.models.trained import read_metadata;"
        f"print(read_metadata({str(tmp_path / 'm.safetensors')!r}).outputs[0].name, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "mrna False\n"


def _header(path):
    with safe_open(str(path), framework="np") as handle:
        return handle.metadata()


def rewrite(path, change):
    """The same tensors with other metadata."""

    with safe_open(str(path), framework="np") as handle:
        stored = json.loads(handle.metadata()["seqexpr"])
    change(stored)
    save_file(load_file(path), path, metadata={"seqexpr": json.dumps(stored)})


def test_bad_files_are_named_with_what_is_wrong(model, tmp_path):
    path = tmp_path / "m.safetensors"

    def refused(found: str) -> None:
        for read in (read_metadata, load_model):
            with pytest.raises(InputError, match=found) as caught:
                read(path)
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)

    with pytest.raises(InputError, match="No such file"):
        load_model(path)
    save_model(path, model)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("damaged or foreign")
    path.write_bytes(b"\0" * 100)
    refused("damaged or foreign")
    path.write_bytes(b"")
    refused("damaged or foreign")
    save_file({"x": torch.zeros(1)}, path)
    refused("without seqexpr's metadata")
    save_file({"x": torch.zeros(1)}, path, metadata={"seqexpr": "{}"})
    refused("did not write")
    save_model(path, model)
    rewrite(path, lambda stored: stored.update(format=1))
    refused("format 1; expected seqexpr weights of format 2; another version")
    save_model(path, model)
    rewrite(path, lambda stored: stored["alphabets"].update(dna="TGCA"))
    refused("TGCA")
    save_model(path, model)
    rewrite(path, lambda stored: stored["config"].update(wheels=4))
    refused("wheels")


def test_tensors_of_another_network_are_refused(model, tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, model)
    rewrite(path, lambda stored: stored["config"].update(latents=9))
    with pytest.raises(InputError, match=r"'latents': found shape \(8, 16\) of floats; expected shape \(9, 16\)"):
        load_model(path)


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(InputError):
        load_model(tmp_path)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_a_listed_name_is_not_what_lies_in_the_working_folder(tmp_path, monkeypatch, make):
    make(tmp_path / "human-mrna")
    monkeypatch.chdir(tmp_path)
    assert load_model("human-mrna").metadata.outputs == read_metadata(resolve_models(["human-mrna"])[0]).outputs


def test_a_text_may_be_a_run_of_one_model(model, tmp_path):
    for fold in (0, 1):
        (tmp_path / f"folds/{fold}").mkdir(parents=True)
        save_model(tmp_path / f"folds/{fold}/weights.safetensors", model)
    (tmp_path / "manifest.json").write_text('{"kind": "cv"}')
    with pytest.raises(InputError, match="found 2 models; expected one"):
        load_model(str(tmp_path))
    assert load_model(str(tmp_path / "folds/0")).metadata == model.metadata


def test_a_failed_write_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    save_model(path, model)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(path, model)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda stored: stored["outputs"].append({"name": "more"}), "2 outputs are named, 1 computed"),
        (lambda stored: stored["outputs"][0].update(sd=float("nan")), "the number NaN"),
        (lambda stored: stored["outputs"][0].update(sd="1"), "does not fit"),
        (lambda stored: stored.update(training="long"), "key 'training': found 'long'"),
        (
            lambda stored: stored.update(
                half_life={"names": ["a"], "transforms": ["identity"], "mean": [0], "sd": [1]}
            ),
            "1 half-life features, not 8",
        ),
    ],
)
def test_metadata_that_contradict_themselves_are_refused(change, found, model, tmp_path):
    save_model(tmp_path / "m.safetensors", model)
    rewrite(tmp_path / "m.safetensors", change)
    with pytest.raises(InputError, match=found):
        read_metadata(tmp_path / "m.safetensors")


def with_kernel(config: PerceiverConfig) -> Perceiver:
    torch.manual_seed(0)
    return fill_kernel(Perceiver(config).eval())


@pytest.fixture
def three(small_config, model):
    """Three outputs, two members."""
    config = replace(small_config, outputs=3, kernel_genes=10, kernel_members=2)
    outputs = tuple(Output(name, mean=float(i), sd=1.0 + i) for i, name in enumerate("abc"))
    return TrainedModel("three", with_kernel(config), replace(model.metadata, config=config, outputs=outputs))


def test_members_are_told_apart_and_their_mean_is_predicted(three, dna):
    members = three.predict_members(dna, None, None)
    assert members.shape == (2, 3, 3)
    assert (members[0] != members[1]).all()
    np.testing.assert_array_equal(three.predict(dna, None, None), members.mean(axis=0))


def test_a_view_gives_some_outputs_of_the_weights_beside_it(three, dna, tmp_path):
    half_life = np.full((3, 8), 400.0)
    save_model(tmp_path / "all.safetensors", three)
    save_view(tmp_path / "part.safetensors", "all.safetensors", ["c", "a"])
    assert (tmp_path / "part.safetensors").stat().st_size < 300
    part = load_model(tmp_path / "part.safetensors")
    assert [output.name for output in part.metadata.outputs] == ["c", "a"]
    assert part.metadata == read_metadata(tmp_path / "part.safetensors")
    expected = three.predict_members(dna, None, half_life)[:, :, [2, 0]]
    np.testing.assert_allclose(part.predict_members(dna, None, half_life), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("file", "outputs"), [("all.safetensors", ["d"]), ("../all.safetensors", ["a"]), ("absent.safetensors", ["a"])]
)
def test_views_that_lead_nowhere_or_out_of_their_folder_are_refused(three, tmp_path, file, outputs):
    folder = tmp_path / "inner"
    folder.mkdir()
    for place in (tmp_path, folder):
        save_model(place / "all.safetensors", three)
    save_view(folder / "part.safetensors", file, outputs)
    for read in (read_metadata, load_model):
        with pytest.raises(InputError, match="a view that does not fit"):
            read(folder / "part.safetensors")


def test_a_view_of_weights_that_lack_a_tensor_is_refused(three, tmp_path):
    save_model(tmp_path / "all.safetensors", three)
    save_view(tmp_path / "part.safetensors", "all.safetensors", ["a"])
    with safe_open(tmp_path / "all.safetensors", framework="pt") as handle:
        metadata = handle.metadata()
    tensors = load_file(tmp_path / "all.safetensors")
    del tensors["output.weight"]
    save_file(tensors, tmp_path / "all.safetensors", metadata=metadata)
    with pytest.raises(InputError, match=r"output\.weight"):
        load_model(tmp_path / "part.safetensors")


def test_half_precision_is_half_the_size_and_nearly_the_same(three, dna, tmp_path):
    save_model(tmp_path / "full.safetensors", three)
    save_model(tmp_path / "half.safetensors", three, half=True)
    stored = load_file(tmp_path / "half.safetensors")
    matrices = [part for key, part in stored.items() if part.ndim > 1 and not key.startswith("kernel.")]
    assert {part.dtype for part in matrices} == {torch.float16}
    assert stored["kernel.mean"].dtype == stored["output.bias"].dtype == torch.float32
    loaded = load_model(tmp_path / "half.safetensors")
    assert all(part.dtype == torch.float32 for part in loaded.network.parameters())
    np.testing.assert_allclose(loaded.predict(dna, None, None), three.predict(dna, None, None), atol=0.02)


def test_a_calibration_travels_with_the_weights(three, tmp_path):
    calibration = Calibration((0.0, 1.0), (0.5, 1.0), 0.1, 0.5)
    outputs = tuple(replace(output, calibration=calibration) for output in three.metadata.outputs[:2])
    three.metadata = replace(three.metadata, outputs=(*outputs, three.metadata.outputs[2]))
    save_model(tmp_path / "m.safetensors", three)
    assert read_metadata(tmp_path / "m.safetensors") == three.metadata
    rewrite(tmp_path / "m.safetensors", lambda stored: stored["outputs"][0]["calibration"].update(errors=[-1, 1]))
    with pytest.raises(InputError, match="found -1; expected a number above 0"):
        read_metadata(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda stored: stored["outputs"][0].update(name="a\tb\n"), "name: found"),
        (lambda stored: stored["outputs"][0].update(name="m\x1b]0;x\x07"), "name: found"),
        (lambda stored: stored["outputs"][0].update(name=""), "name: found ''"),
        (lambda stored: stored["outputs"][0].update(sd=-1.2), "sd: found -1.2"),
        (lambda stored: stored["outputs"][0].update(sd=0), "sd: found 0"),
        (lambda stored: stored["outputs"][0].update(mean=1e300), "mean: found 1e"),
        (lambda stored: stored["outputs"][0].update(calibration=[1]), "calibration: found a list"),
        (lambda stored: stored["outputs"].append(stored["outputs"][0]), "2 outputs|are named"),
        (lambda stored: stored["config"].update(self_heads=-1), "self_heads must be a whole number"),
        (lambda stored: stored["config"].update(depth=10**9), "depth must be a whole number"),
        (lambda stored: stored["config"].update(tower_channels=[]), "tower_channels must be"),
        (lambda stored: stored["config"].update(tower_channels=3), "tower_channels must be"),
        (lambda stored: stored["config"].update(latents=10**15), "latents must be"),
        (lambda stored: stored["config"].update(tanh="no"), "tanh must be true or false"),
        (lambda stored: stored["config"].update(dropout="x"), "dropout must be a finite number"),
        (lambda stored: stored.update(config=None), "key 'config': found null"),
        (lambda stored: stored.update(outputs={"a": 1}), "key 'outputs': found an object"),
        (lambda stored: stored.pop("half_life"), "key 'half_life': found no such key"),
    ],
)
def test_metadata_of_odd_values_name_the_key(change, said, model, tmp_path):
    save_model(tmp_path / "m.safetensors", model)
    rewrite(tmp_path / "m.safetensors", change)
    with pytest.raises(InputError, match=said):
        load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{}", "[]", '{"format": 2}', '{"format": [2]}', "", '{"format": 2, "format": 2}']
)
def test_metadata_that_are_no_metadata_are_refused(text, model, tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "m.safetensors", metadata={"seqexpr": text})
    with pytest.raises(InputError, match=r"m\.safetensors"):
        load_model(tmp_path / "m.safetensors")


def test_a_small_file_that_describes_a_huge_network_allocates_nothing(model, tmp_path):
    save_model(tmp_path / "m.safetensors", model)
    rewrite(tmp_path / "m.safetensors", lambda stored: stored["config"].update(latents=2**14, latent_dim=2**14))
    with pytest.raises(InputError, match="numbers; expected the tensors that its own config describes"):
        load_model(tmp_path / "m.safetensors")


def test_later_versions_may_add_keys(model, tmp_path):
    """They are ignored: what a version does not know, it does not need."""
    save_model(tmp_path / "m.safetensors", model)

    def add(stored):
        stored["species"] = "human"
        stored["outputs"][0]["colour"] = "red"

    rewrite(tmp_path / "m.safetensors", add)
    assert read_metadata(tmp_path / "m.safetensors").outputs == model.metadata.outputs


def test_nan_in_the_weights_is_refused(model, tmp_path):
    model.network.output.bias.data[0] = float("nan")
    save_model(tmp_path / "m.safetensors", model)
    with pytest.raises(InputError, match=r"tensor 'output\.bias': found NaN"):
        load_model(tmp_path / "m.safetensors")


def test_a_flipped_bit_is_found(model, tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, model)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"tensor '.*': found other numbers than were written"):
        load_model(path)


def test_old_files_get_checksums_and_stay_what_they_were(model, dna, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "m.safetensors"
    save_file(model.network.state_dict(), path, metadata={"seqexpr": model.metadata.to_json()})
    before = load_model(path).predict(dna, None, None)
    assert add_checksums(path)
    assert not add_checksums(path)
    np.testing.assert_array_equal(load_model(path).predict(dna, None, None), before)


def test_the_bundled_weights_hold_checksums():
    from seqexpr.models.registry import list_models
    from seqexpr.models.trained import tensors_file
    from seqexpr.tensor_files import CHECKSUMS
    from seqexpr.tensor_files import read_metadata as header

    assert all(CHECKSUMS in header(tensors_file(entry.path), "weights") for entry in list_models())


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("names", lambda values: values[::-1]),
        ("names", lambda values: ["x", *values[1:]]),
        ("transforms", lambda values: values[::-1]),
    ],
)
def test_half_life_features_of_another_order_are_refused(model, tmp_path, key, change):
    save_model(tmp_path / "m.safetensors", model)
    path = tmp_path / "m.safetensors"
    rewrite(path, lambda stored: stored["half_life"].update({key: change(stored["half_life"][key])}))
    with pytest.raises(InputError, match=f"half-life {'features' if key == 'names' else key}"):
        read_metadata(tmp_path / "m.safetensors")


@pytest.mark.parametrize("numbers", [5, [5], [{"metrics": 5}], [{"metrics": {"pearson_r2": {"value": "x"}}}]])
def test_numbers_of_a_run_that_are_none_are_refused(model, tmp_path, numbers):
    save_model(tmp_path / "m.safetensors", model)
    rewrite(tmp_path / "m.safetensors", lambda stored: stored["training"].update(metrics=numbers))
    with pytest.raises(InputError, match=r"key 'training\.metrics"):
        read_metadata(tmp_path / "m.safetensors")


def test_whole_numbers_are_no_weights(model, tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, model)
    header = {key: value for key, value in _header(path).items() if key != "sha256"}
    tensors = load_file(path)
    save_file({**tensors, "output.bias": tensors["output.bias"].int()}, path, metadata=header)
    with pytest.raises(InputError, match=r"'output.bias': found shape \(\d\) of whole numbers"):
        load_model(path)


def test_weights_are_loaded_by_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_model("human-prot-paxdb").metadata.config.reads_protein
    with pytest.raises(MissingDataError, match="did you mean 'human-mrna'"):
        load_model("human-mrn")


def test_weights_that_read_codons_say_so_and_a_view_asks_all_their_indices(three, dna, tmp_path):
    config = PerceiverConfig.from_dict({**three.metadata.config.to_dict(), "coding_length": 50})
    model = TrainedModel("codons", with_kernel(config), replace(three.metadata, config=config))
    assert model.metadata.describe_inputs()[-1] == "coding sequence up to 50 codons (optional)"
    save_model(tmp_path / "all.safetensors", model)
    assert json.loads(read_metadata(tmp_path / "all.safetensors").to_json())["alphabets"].keys() == {
        "dna",
        "protein",
        "coding",
    }
    save_view(tmp_path / "part.safetensors", "all.safetensors", ["c", "a"])
    part = load_model(tmp_path / "part.safetensors")
    coding = np.random.default_rng(0).integers(1, 65, (3, 50)).astype(np.uint8)
    expected = model.predict_members(dna, None, None, coding)
    np.testing.assert_allclose(part.predict_members(dna, None, None, coding), expected[:, :, [2, 0]], atol=1e-6)
    assert not np.allclose(model.predict_members(dna, None, None), expected)
    np.testing.assert_array_equal(
        model.predict_members(dna, None, None), model.predict_members(dna, None, None, np.zeros((3, 0), np.uint8))
    )


def test_weights_without_codons_name_the_alphabets_that_they_always_named(three):
    assert json.loads(three.metadata.to_json())["alphabets"].keys() == {"dna", "protein"}


@pytest.fixture
def likeness(three, model):
    """A kernel flow of three outputs, whose weights are large and cancel, as those of a fit are."""
    config = replace(three.metadata.config, kernel_genes=30, kernel_members=4, coding_length=50)
    network = with_kernel(config)
    flow = network.kernel
    flow.landmarks[15:] = flow.landmarks[:15]
    flow.weights[:15] = 100 * torch.randn(15, 4, 3)
    flow.weights[15:] = torch.randn(15, 4, 3) - flow.weights[:15]
    return TrainedModel("likeness", network, replace(three.metadata, config=config))


def test_weights_with_a_kernel_flow_come_back_as_they_were(likeness, dna, tmp_path):
    save_model(tmp_path / "all.safetensors", likeness)
    stored, kept = load_file(tmp_path / "all.safetensors"), likeness.network.state_dict()
    assert stored["kernel.landmarks"].dtype == torch.int8
    assert all(torch.equal(stored[key], kept[key]) for key in kept)
    loaded = load_model(tmp_path / "all.safetensors")
    half_life = np.full((3, 8), 400.0)
    assert loaded.predict_members(dna, None, half_life).shape == (4, 3, 3)
    np.testing.assert_array_equal(
        loaded.predict_members(dna, None, half_life), likeness.predict_members(dna, None, half_life)
    )


def test_a_view_of_a_kernel_flow(likeness, dna, tmp_path):
    save_model(tmp_path / "all.safetensors", likeness)
    save_view(tmp_path / "part.safetensors", "all.safetensors", ["c", "a"])
    part = load_model(tmp_path / "part.safetensors")
    coding = np.random.default_rng(0).integers(1, 65, (3, 50)).astype(np.uint8)
    for codons in (coding, None):
        expected = likeness.predict_members(dna, None, None, codons)[:, :, [2, 0]]
        np.testing.assert_allclose(part.predict_members(dna, None, None, codons), expected, rtol=1e-5, atol=1e-2)
    assert np.ptp(expected) > 1


def test_half_precision_leaves_a_kernel_flow_s_weights_and_landmarks_whole(likeness, dna, tmp_path):
    save_model(tmp_path / "half.safetensors", likeness, half=True)
    stored = load_file(tmp_path / "half.safetensors")
    assert stored["kernel.landmarks"].dtype == torch.int8
    assert torch.equal(stored["kernel.weights"], likeness.network.kernel.weights)
    assert stored["output.weight"].dtype == torch.float16
    found = load_model(tmp_path / "half.safetensors").predict(dna, None, None)
    np.testing.assert_allclose(found, likeness.predict(dna, None, None), atol=0.05)


def test_a_small_file_that_describes_a_huge_kernel_flow_allocates_nothing(likeness, tmp_path):
    save_model(tmp_path / "m.safetensors", likeness)
    rewrite(tmp_path / "m.safetensors", lambda stored: stored["config"].update(kernel_genes=2**16))
    with pytest.raises(InputError, match="numbers; expected the tensors that its own config describes"):
        load_model(tmp_path / "m.safetensors")


@pytest.fixture
def alone(likeness):
    """The same without sequence flows."""
    config = replace(likeness.metadata.config, sequence_flows=False)
    return TrainedModel("alone", with_kernel(config), replace(likeness.metadata, config=config))


@pytest.mark.parametrize("half", [False, True])
def test_weights_of_a_kernel_flow_alone_hold_nothing_else(alone, dna, tmp_path, half):
    save_model(tmp_path / "all.safetensors", alone, half=half)
    stored, kept = load_file(tmp_path / "all.safetensors"), alone.network.state_dict()
    assert stored.keys() == kept.keys() and all(key.startswith("kernel.") for key in stored)
    loaded = load_model(tmp_path / "all.safetensors")
    assert loaded.metadata == alone.metadata and not loaded.metadata.config.sequence_flows
    half_life = np.full((3, 8), 400.0)
    expected = alone.predict_members(dna, None, half_life)
    assert expected.shape == (4, 3, 3) and np.ptp(expected, axis=1).min() > 0
    found = loaded.predict_members(dna, None, half_life)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05 if half else 0)


def test_a_view_of_a_kernel_flow_alone(alone, dna, tmp_path):
    save_model(tmp_path / "all.safetensors", alone)
    save_view(tmp_path / "part.safetensors", "all.safetensors", ["c", "a"])
    part = load_model(tmp_path / "part.safetensors")
    coding = np.random.default_rng(0).integers(1, 65, (3, 50)).astype(np.uint8)
    expected = alone.predict_members(dna, None, None, coding)[:, :, [2, 0]]
    np.testing.assert_allclose(part.predict_members(dna, None, None, coding), expected, rtol=1e-5, atol=1e-4)
    assert part.network.config.coding_indices == 3


@pytest.mark.parametrize(("stored", "said"), [(True, "alone"), (False, "with sequence flows")])
def test_whether_there_are_sequence_flows_and_the_tensors_go_together(likeness, alone, tmp_path, stored, said):
    save_model(tmp_path / "m.safetensors", alone if said == "alone" else likeness)
    rewrite(tmp_path / "m.safetensors", lambda metadata: metadata["config"].update(sequence_flows=stored))
    with pytest.raises(InputError, match="the tensors that its own config describes"):
        load_model(tmp_path / "m.safetensors")


def of_earlier(stored, **changes):
    """Metadata as earlier versions wrote them."""
    del stored["config"]["sequence_flows"]
    stored["config"].update(RETIRED | changes)


def test_weights_of_an_earlier_version_without_its_composition_flow_load(likeness, dna, tmp_path):
    save_model(tmp_path / "all.safetensors", likeness)
    rewrite(tmp_path / "all.safetensors", of_earlier)
    save_view(tmp_path / "part.safetensors", "all.safetensors", ["b"])
    loaded = load_model(tmp_path / "all.safetensors")
    assert loaded.metadata == likeness.metadata
    np.testing.assert_array_equal(loaded.predict(dna, None, None), likeness.predict(dna, None, None))
    assert load_model(tmp_path / "part.safetensors").predict(dna, None, None).shape == (3, 1)


def test_weights_of_an_earlier_version_with_its_composition_flow_are_refused_in_a_line(model, tmp_path):
    save_model(tmp_path / "all.safetensors", model)
    rewrite(tmp_path / "all.safetensors", lambda stored: of_earlier(stored, composition_dim=16, word_buckets=64))
    save_view(tmp_path / "part.safetensors", "all.safetensors", ["mrna"])
    for file in ("all.safetensors", "part.safetensors"):
        for read in (read_metadata, load_model):
            with pytest.raises(InputError) as refused:
                read(tmp_path / file)
            assert str(refused.value).startswith(f"{tmp_path / file}: found ") and "\n" not in str(refused.value)
            assert str(refused.value).count("a network with the composition flow of an earlier version") == 1
