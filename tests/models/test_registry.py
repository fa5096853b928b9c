from __future__ import annotations

import pytest

from seqexpr.errors import InputError, MissingDataError
from seqexpr.files import write_json
from seqexpr.models.registry import list_models, resolve_models
from seqexpr.paths import cache_folder


def test_bundled_models_come_first_and_hide_cached_ones():
    (cache_folder("weights") / "human-mrna.safetensors").write_bytes(b"another")
    (cache_folder("weights") / "my-model.safetensors").write_bytes(b"mine")
    entries = {entry.name: entry for entry in list_models()}
    assert entries["human-mrna"].origin == "bundled"
    assert entries["human-mrna"].size > 1_000_000
    assert (entries["my-model"].origin, entries["my-model"].size) == ("cached", 4)
    assert resolve_models(["my-model"]) == [cache_folder("weights") / "my-model.safetensors"]


def test_files_and_run_folders(tmp_path):
    (tmp_path / "w.safetensors").touch()
    assert resolve_models([str(tmp_path / "w.safetensors")]) == [tmp_path / "w.safetensors"]
    run = tmp_path / "run"
    run.mkdir()
    write_json(run / "manifest.json", {"kind": "train"})
    with pytest.raises(InputError, match="finished run"):
        resolve_models([str(run)])
    (run / "weights.safetensors").touch()
    assert resolve_models([str(run)]) == [run / "weights.safetensors"]


def test_a_cv_run_stands_for_all_its_folds(tmp_path):
    write_json(tmp_path / "manifest.json", {"kind": "cv"})
    for fold in range(3):
        (tmp_path / "folds" / str(fold)).mkdir(parents=True)
        (tmp_path / "folds" / str(fold) / "weights.safetensors").touch()
    assert [path.parent.name for path in resolve_models([str(tmp_path)])] == ["0", "1", "2"]


def test_unknown_names_get_a_hint():
    with pytest.raises(MissingDataError, match=r"did you mean 'human-mrna'.*seqexpr models list"):
        resolve_models(["human-mrnaa"])


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="manifest"):
        resolve_models([str(tmp_path)])


@pytest.mark.parametrize("name", ["", "a" * 5000])
def test_names_that_no_file_can_have_are_unknown(name):
    with pytest.raises(MissingDataError):
        resolve_models([name])


def unfinished(folder, *, command, folds=3, done=(0,)):
    """A cross-validation of which some folds are trained, and one more has begun."""
    write_json(folder / "manifest.json", {"kind": "cv", "command": command, "options": {"folds": folds, "task": "t"}})
    for fold in (*done, folds - 1):
        place = folder / f"folds/{fold}"
        place.mkdir(parents=True)
        (place / "weights.safetensors").touch()
    for fold in done:
        (folder / f"folds/{fold}/.done").touch()
    return folder


@pytest.mark.parametrize(
    ("command", "finish"),
    [
        (["seqexpr", "cv", "--task", "t"], "seqexpr cv --task t --out {folder} --resume"),
        (
            ["seqexpr", "cv", "--task", "t", "--only-fold", "0"],
            "seqexpr cv --task t --only-fold 1 --only-fold 2 --out {folder}",
        ),
    ],
)
def test_an_unfinished_cross_validation_is_missing_data_with_the_command_that_ends_it(tmp_path, command, finish):
    folder = tmp_path / "run"
    folder.mkdir()
    unfinished(folder, command=command)
    with pytest.raises(MissingDataError) as caught:
        resolve_models([str(folder)], allow_partial=False)
    assert str(caught.value).startswith(f"{folder} has 1 of its 3 folds; run: {finish.format(folder=folder)} (or")
    assert len(resolve_models([str(folder)])) == 2
    assert resolve_models([str(folder / "folds/0")]) == [folder / "folds/0/weights.safetensors"]
