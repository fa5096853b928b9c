"""A run whose network learns from other models first: once for all folds, and exactly so when it is resumed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.files import sha256_file
from seqexpr.finished import fold_folder, mark_done
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, load_model, read_metadata, save_model, save_view
from seqexpr.runs.cross_validation import cross_validate, run_folds
from seqexpr.runs.folder import read_lines
from seqexpr.runs.setup import RunOptions, resolve_experiment
from seqexpr.runs.train_run import train_once

from ..small_dataset import tiny_config
from .conftest import SilentObserver

CPU = torch.device("cpu")
OPTIONS = RunOptions("chromosome", folds=2, valid_fraction=0.2, resamples=0)
TABLE = """
[teacher]
models = {models}
steps = 6
batch_size = 8
warmup_steps = 2
island_pairs = 1
{more}
"""


def save_teacher(path, *outputs: Output, seed: int = 0, **changes):
    config = replace(tiny_config("dna-perceiver", outputs=len(outputs)), **changes)
    torch.manual_seed(seed)
    save_model(path, TrainedModel(path.stem, Perceiver(config), ModelMetadata(config, outputs)))
    return path


@pytest.fixture
def files(tmp_path):
    """Two teachers, unlabelled DNA and a recipe that asks for them."""
    save_teacher(tmp_path / "one.safetensors", Output("x"), Output("y"), upstream=200, downstream=100)
    save_teacher(tmp_path / "two.safetensors", Output("x"), seed=1)
    letters = np.array(list("ACGT"))[np.random.default_rng(3).integers(0, 4, 3000)]
    (tmp_path / "genome.fa").write_text(">c1\n" + "".join(letters) + "\n>c2\nACGT\n")
    write_recipe(tmp_path)
    return tmp_path


def write_recipe(folder, *names: str, more: str = "") -> None:
    models = [str(folder / name) for name in names or ("one.safetensors", "two.safetensors")]
    (folder / "r.toml").write_text("max_epochs = 2\nbatch_size = 16\n" + TABLE.format(models=models, more=more))


def experiment_of(dataset, files, unlabelled="genome.fa", **options):
    named = {"labels": ("a",), "preset": "dna-perceiver", "recipe": str(files / "r.toml")}
    given = None if unlabelled is None else files / unlabelled
    return resolve_experiment(str(dataset.folder), **{**named, **options}, unlabelled=given)


class Stopping(SilentObserver):
    """Stops the teacher stage after so many steps."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def on_part(self, part: str, done: int, total: int) -> None:
        super().on_part(part, done, total)
        if self.stages[-1] == "learning from teachers" and done + 1 == self.after:
            raise KeyboardInterrupt


def steps_of(observer: SilentObserver) -> int:
    return sum(stage == "learning from teachers" for stage, _ in observer.parts)


def same(one, other) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
def test_all_folds_start_from_one_stage_and_the_manifest_names_its_files(dataset, files, tmp_path, observer, no_audit):
    experiment = experiment_of(dataset, files)
    run = tmp_path / "run"
    cross_validate(experiment, OPTIONS, run, CPU, resume=False, observer=observer)
    assert steps_of(observer) == 6  # once
    assert observer.stages.index("learning from teachers") == 0
    student = read_metadata(run / "teacher/weights.safetensors")
    assert [output.name for output in student.outputs] == ["x", "y"]
    described = json.loads((run / "manifest.json").read_text())["options"]["teaching"]
    assert described == {
        "teachers": [
            {"file": str(files / name), "sha256": sha256_file(files / name), "outputs": outputs}
            for name, outputs in (("one.safetensors", ["x", "y"]), ("two.safetensors", ["x"]))
        ],
        "unlabelled": {"file": str(files / "genome.fa"), "sha256": sha256_file(files / "genome.fa")},
    }
    digest = sha256_file(run / "teacher/weights.safetensors")
    for fold in range(2):
        trained = read_metadata(fold_folder(run, fold) / "weights.safetensors")
        assert trained.training["start"] == {"sha256": digest, "outputs": ["x", "y"]}
        assert [output.name for output in trained.outputs] == ["a"]
        assert read_lines(fold_folder(run, fold) / "metrics.jsonl")[0]["epoch"] == 0


@pytest.mark.slow
def test_a_run_that_was_stopped_in_the_stage_goes_on_as_if_it_had_not_been(
    dataset, files, tmp_path, monkeypatch, no_audit
):
    monkeypatch.setattr("seqexpr.training.teacher_stage.STEPS_KEPT", 2)
    experiment = experiment_of(dataset, files)
    cross_validate(experiment, OPTIONS, tmp_path / "whole", CPU, resume=False, observer=SilentObserver())
    with pytest.raises(KeyboardInterrupt):
        cross_validate(experiment, OPTIONS, tmp_path / "parts", CPU, resume=False, observer=Stopping(5))
    assert not (tmp_path / "parts/folds").exists()
    last = SilentObserver()
    cross_validate(experiment, OPTIONS, tmp_path / "parts", CPU, resume=True, observer=last)
    assert steps_of(last) == 2  # of six, four were kept
    for name in ("teacher/weights.safetensors", "folds/0/weights.safetensors", "folds/1/weights.safetensors"):
        assert same(tmp_path / "whole" / name, tmp_path / "parts" / name)
    for name in ("predictions.tsv", "metrics.tsv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


@pytest.mark.slow
def test_processes_with_a_fold_each_share_the_stage(dataset, files, tmp_path, no_audit):
    experiment, observers = experiment_of(dataset, files), (SilentObserver(), SilentObserver())
    cross_validate(experiment, OPTIONS, tmp_path / "whole", CPU, resume=False, observer=SilentObserver())
    for fold, observer in enumerate(observers):
        run_folds(experiment, OPTIONS, tmp_path / "run", CPU, [fold], observer=observer)
    assert [steps_of(observer) for observer in observers] == [6, 0]
    for fold in range(2):
        assert same(*(fold_folder(tmp_path / run, fold) / "weights.safetensors" for run in ("whole", "run")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: (files / "genome.fa").write_text(">c1\n" + "ACGGT" * 500), "it had other unlabelled DNA"),
        (lambda files: save_teacher(files / "two.safetensors", Output("x"), seed=9), "it had other teachers"),
        (lambda files: write_recipe(files, "one.safetensors"), "it had other teachers"),
        (lambda files: write_recipe(files, more="tss_sd = 9.0"), "tss_sd was None, now 9.0"),
    ],
)
def test_other_files_do_not_resume(dataset, files, tmp_path, change, said):
    first = experiment_of(dataset, files)
    with pytest.raises(KeyboardInterrupt):
        train_once(first, OPTIONS, tmp_path / "run", CPU, resume=False, observer=Stopping(1))
    change(files)
    with pytest.raises(UsageError, match=rf"was started with other options \({said}"):
        train_once(
            experiment_of(dataset, files), OPTIONS, tmp_path / "run", CPU, resume=True, observer=SilentObserver()
        )


def test_files_may_be_moved_between_a_run_and_its_resumption(dataset, files, tmp_path, no_audit):
    with pytest.raises(KeyboardInterrupt):
        train_once(experiment_of(dataset, files), OPTIONS, tmp_path / "run", CPU, resume=False, observer=Stopping(1))
    (files / "genome.fa").rename(files / "moved.fa")
    moved = experiment_of(dataset, files, unlabelled="moved.fa")
    train_once(moved, OPTIONS, tmp_path / "run", CPU, resume=True, observer=SilentObserver())


def test_weights_of_the_stage_that_were_changed_are_refused(dataset, files, tmp_path, no_audit):
    experiment = experiment_of(dataset, files)
    run_folds(experiment, OPTIONS, tmp_path / "run", CPU, [0], observer=SilentObserver())
    save_teacher(tmp_path / "run/teacher/weights.safetensors", Output("x"))
    with pytest.raises(InputError, match="as it was written by the run"):
        run_folds(experiment, OPTIONS, tmp_path / "run", CPU, [1], observer=SilentObserver())


def test_models_of_all_folds_teach_and_views_teach_their_outputs(dataset, files):
    for fold in "01":
        (files / "cv/folds" / fold).mkdir(parents=True)
        save_teacher(files / "cv/folds" / fold / "weights.safetensors", Output("x"), seed=int(fold))
        mark_done(files / "cv/folds" / fold)
    (files / "cv/manifest.json").write_text('{"kind": "cv", "options": {"folds": 2}}')
    save_view(files / "view.safetensors", "one.safetensors", ["y"])
    write_recipe(files, "cv", "view.safetensors")
    teachers = experiment_of(dataset, files).teaching.teachers
    assert [teacher.outputs for teacher in teachers] == [("x",), ("x",), ("y",)]
    assert teachers[2].sha256 == sha256_file(files / "one.safetensors")
    (files / "cv/folds/1/.done").unlink()
    with pytest.raises(MissingDataError, match="has 1 of its 2 folds"):
        experiment_of(dataset, files)


def test_names_of_the_same_teachers_may_change_between_a_run_and_its_resumption(dataset, files, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_once(experiment_of(dataset, files), OPTIONS, tmp_path / "run", CPU, resume=False, observer=Stopping(1))
    for name in ("one", "two"):
        (files / f"{name}.safetensors").rename(files / f"renamed-{name}.safetensors")
    write_recipe(files, "renamed-one.safetensors", "renamed-two.safetensors")
    train_once(experiment_of(dataset, files), OPTIONS, tmp_path / "run", CPU, resume=True, observer=SilentObserver())
    assert (tmp_path / "run/weights.safetensors").exists()


def test_a_teacher_stage_goes_on_from_sequence_flows_and_keeps_no_other_flow(dataset, files):
    start = str(files / "two.safetensors")
    assert experiment_of(dataset, files, start=start).start.file == files / "two.safetensors"
    config = replace(load_model(files / "two.safetensors").metadata.config, kernel_genes=8)
    model = TrainedModel("w", Perceiver(config), ModelMetadata(config, (Output("x"),)))
    save_model(files / "kernel.safetensors", model)
    with pytest.raises(UsageError, match="which a teacher stage would not keep"):
        experiment_of(dataset, files, start=str(files / "kernel.safetensors"))


def test_the_datasets_own_windows_suffice_where_the_recipe_says_so(dataset, files, tmp_path, observer, no_audit):
    write_recipe(files, more="random_share = 0.0\nisland_share = 0.0")
    train_once(
        experiment_of(dataset, files, unlabelled=None), OPTIONS, tmp_path / "run", CPU, resume=False, observer=observer
    )
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert "unlabelled" not in manifest["options"]["teaching"] and steps_of(observer) == 6


def test_dna_without_islands_or_without_room_for_a_window(dataset, files, tmp_path, observer):
    (files / "genome.fa").write_text(">c1\n" + "A" * 3000)
    with pytest.raises(UsageError, match=r"genome.fa has no place with 1 CpG pairs in 600 bp: lower teacher.island_pa"):
        train_once(experiment_of(dataset, files), OPTIONS, tmp_path / "1", CPU, resume=False, observer=observer)
    (files / "genome.fa").write_text(">c1\nACGT\n")
    with pytest.raises(UsageError, match="no known stretch of the unlabelled DNA is as long as a window, 360 bp"):
        train_once(experiment_of(dataset, files), OPTIONS, tmp_path / "2", CPU, resume=False, observer=observer)


def test_what_does_not_fit_is_said_before_anything_begins(dataset, files):
    def refused(kind, said, **options):
        with pytest.raises(kind, match=said):
            experiment_of(dataset, files, **options)

    refused(UsageError, "draws windows from unlabelled DNA: give it with --unlabelled", unlabelled=None)
    refused(UsageError, "goes with a recipe that has a table .teacher.", recipe="default")
    refused(UsageError, "for networks that read DNA alone, and protein-perceiver does not", preset="protein-perceiver")
    (files / "p.fa").write_text(">p\nMKLVWWQEIPMKLVWWQEIP\n")
    refused(InputError, "p.fa, record 1 'p': found 'L' at position 3 of 20, which looks", unlabelled="p.fa")
    (files / "empty.fa").write_text("")
    refused(InputError, "empty.fa: found an empty file; expected FASTA records", unlabelled="empty.fa")
    refused(InputError, "absent.fa", unlabelled="absent.fa")
    write_recipe(files, more="random_share = 0.0\nisland_share = 0.0")
    refused(UsageError, "--unlabelled has no effect: the recipe sets")
    write_recipe(files, "absent")
    refused(MissingDataError, "no model, weights file or run folder '.*absent'")
    save_teacher(files / "wide.safetensors", Output("x"), upstream=241)
    write_recipe(files, "wide.safetensors")
    refused(
        UsageError, r"wide.safetensors reads DNA 361 bp \(241 upstream, 120 downstream\), which is not within the D"
    )
    save_teacher(files / "other.safetensors", Output("x", "log2"))
    write_recipe(files, "two.safetensors", "other.safetensors")
    refused(UsageError, "cannot be averaged: x is in no unit and in log2")


@pytest.mark.parametrize(
    ("table", "kind", "said"),
    [
        ("models = []", InputError, "'teacher.models': found .*; expected a list of names, one at least"),
        ("models = [1]", InputError, "'teacher.models': found .1.; expected a list of names, one at least"),
        ("steps = 3", UsageError, "teacher.models must name the teachers, one at least"),
        ("models = ['x']\nstep = 3", InputError, "'teacher.step': found an unknown setting; expected random_share, "),
        ("models = ['x']\nsteps = 2.5", InputError, "'teacher.steps': found 2.5; expected a value like 3000"),
        ("models = ['x']\ntss_sd = nan", InputError, "'teacher.tss_sd': found nan; expected a finite number"),
        ("models = ['x']\nsteps = 0", UsageError, "teacher.steps must be above 0, not 0"),
        ("models = ['x']\ntwin_share = 0.6", UsageError, "teacher.twin_share must be from 0 to 0.5, not 0.6"),
        ("models = ['x']\nrandom_share = 0.9", UsageError, "must not add up to more than 1"),
        ("models = ['x']\nclip_norm = -1.0", UsageError, "teacher.clip_norm must not be negative, but is -1.0"),
    ],
)
def test_a_table_that_makes_no_sense(dataset, files, table, kind, said):
    (files / "r.toml").write_text(f"[teacher]\n{table}\n")
    with pytest.raises(kind, match=said):
        experiment_of(dataset, files)
