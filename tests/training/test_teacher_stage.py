"""A network learns to say what other models say, and a stage that was stopped goes on as if it had not been."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from safetensors.torch import load_file

from seqexpr.errors import InputError, UsageError
from seqexpr.models import kernels
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, load_model, save_model
from seqexpr.training.group_workers import GroupWorkers
from seqexpr.training.teacher import TeacherSettings
from seqexpr.training.teacher_stage import ModelTeacher, Panel, Stage, _Student, groups_of, teach
from seqexpr.training.unlabelled import Drawn, UnlabelledDna, WindowDraw

from ..small_dataset import fill_kernel, tiny_config

CPU = torch.device("cpu")


class Planted:
    """A teacher that knows the share of G and C around the TSS, in a unit of its own."""

    outputs = (Output("gc", "percent"),)

    def __init__(self, sha256: str = "planted", outputs: tuple[Output, ...] = outputs, shift: float = 0.0) -> None:
        self.sha256, self.outputs, self.shift = sha256, outputs, shift

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        share = np.isin(windows[:, 180:300], (2, 3)).mean(axis=1, keepdims=True)
        return np.repeat(100 * share + self.shift, len(self.outputs), axis=1)


class Constant(Planted):
    def __call__(self, windows: np.ndarray) -> np.ndarray:
        return np.full((len(windows), 1), 3.0)


class Silent:
    """An observer that interrupts the stage after a step, where it is asked to."""

    def __init__(self, stop_after: int = 0) -> None:
        self.stop_after, self.parts = stop_after, []

    def on_part(self, part: str, done: int, total: int) -> None:
        self.parts.append((part, done, total))
        if done + 1 == self.stop_after:
            raise KeyboardInterrupt


def settings(**changes) -> TeacherSettings:
    given = {
        **{"models": ("planted",), "steps": 8, "batch_size": 12, "group_size": 4, "warmup_steps": 2},
        **{"random_share": 0.5, "island_share": 0.0, "learning_rate": 3e-3},
    }
    return TeacherSettings(**{**given, **changes})


@pytest.fixture(scope="module")
def contigs() -> list[np.ndarray]:
    """Stretches of 60 letters, each of another GC content."""
    generator, parts = np.random.default_rng(2), []
    for _ in range(150):
        content = generator.uniform(0.1, 0.9) / 2
        parts.append(generator.choice(4, 60, p=[0.5 - content, content, content, 0.5 - content]) + 1)
    return [np.concatenate(parts).astype(np.uint8)]


@pytest.fixture
def stage(dataset, contigs):
    def make(*, teachers=(Planted(),), seed: int = 1, inputs: str = "all", config=None, **changes) -> Stage:
        config, chosen = config or tiny_config(), settings(**changes)
        dna = UnlabelledDna(contigs, config.upstream, config.downstream, chosen)
        draw = WindowDraw(chosen, dataset, dna, config.upstream, config.downstream, seed)
        return Stage(config, chosen, teachers, draw, inputs, seed)

    return make


def taught(stage: Stage, folder, observer=None) -> dict[str, torch.Tensor]:
    """The student's tensors, through its file."""
    save_model(folder / "w.safetensors", teach(stage, folder, CPU, name="w", observer=observer or Silent()))
    return load_file(folder / "w.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_the_student_learns_a_planted_teacher(stage, tmp_path):
    observer = Silent()
    model = teach(
        stage(steps=200, batch_size=32, group_size=0, warmup_steps=20), tmp_path, CPU, name="w", observer=observer
    )
    assert model.metadata.training["teacher_r2"] > 0.5
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [100, 200]
    assert rows[0]["loss"] > rows[1]["loss"] > 0
    assert rows[-1]["teacher_r2"] == model.metadata.training["teacher_r2"]
    assert [done for _, done, _ in observer.parts] == list(range(200))
    assert {total for _, _, total in observer.parts} == {200} and observer.parts[0][0].startswith("loss ")
    # What it says is in the teacher's own unit, of windows that are no part of the stage.
    windows = np.random.default_rng(5).integers(1, 5, (60, 360)).astype(np.uint8)
    windows[:30, 150:330] = np.random.default_rng(6).integers(2, 4, (30, 180))
    said, wanted = model.predict(windows, None, None)[:, 0], Planted()(windows)[:, 0]
    assert np.corrcoef(said, wanted)[0, 1] ** 2 > 0.5
    assert model.metadata.outputs[0].unit == "percent" and 20 < said.mean() < 100


@pytest.mark.parametrize("group_size", [0, 4])
def test_resumed_equals_uninterrupted(stage, tmp_path, monkeypatch, group_size):
    monkeypatch.setattr("seqexpr.training.teacher_stage.STEPS_KEPT", 3)
    own = stage(group_size=group_size)
    whole = taught(own, tmp_path / "whole")
    for stop in (2, 5, 7):  # before the first state is kept, and after
        with pytest.raises(KeyboardInterrupt):
            teach(own, tmp_path / "parts", CPU, name="w", observer=Silent(stop))
    last = Silent()
    assert same(taught(own, tmp_path / "parts", last), whole)
    assert [done for _, done, _ in last.parts] == [6, 7]  # from the state after step 6 on
    rows = [
        [{**json.loads(line), "seconds": 0} for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert rows[0] == rows[1] and [row["step"] for row in rows[0]] == [3, 6, 8]
    again = Silent()
    assert same(taught(own, tmp_path / "parts", again), whole) and not again.parts  # all of it is done


@pytest.mark.parametrize("group_size", [0, 4])
def test_the_number_of_threads_changes_no_bit(stage, tmp_path, group_size):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(taught(stage(steps=3, group_size=group_size), tmp_path / str(threads)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert same(*found)


def test_groups_in_one_pass_teach_the_same(stage, tmp_path, monkeypatch):
    """As a GPU computes them. Losses are compared, for Adam makes steps of what is but rounding."""
    monkeypatch.setattr("seqexpr.training.teacher_stage.STEPS_KEPT", 1)
    own, losses = stage(steps=4, group_size=3, twin_share=0.25), []
    with kernels.disabled():
        for on_cpu in (True, False):
            monkeypatch.setattr(_Student, "_on_cpu", on_cpu)
            taught(own, tmp_path / str(on_cpu))
            rows = (tmp_path / str(on_cpu) / "metrics.jsonl").read_text().splitlines()
            losses.append([json.loads(row)["loss"] for row in rows])
    assert len(losses[0]) == 4 and len(set(losses[0])) == 4
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


def test_as_many_groups_are_computed_at_once_as_there_are_threads(stage, tmp_path, monkeypatch):
    asked = []

    class Noting(GroupWorkers):
        def __init__(self, pool, network, workers, ranks):
            asked.append(workers)
            super().__init__(pool, network, workers, ranks)

    monkeypatch.setattr("seqexpr.training.teacher_stage.GroupWorkers", Noting)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        teach(stage(steps=1), tmp_path, CPU, name="w", observer=Silent())
    finally:
        torch.set_num_threads(before)
    assert asked == [2]


@pytest.mark.parametrize(
    "changes",
    [
        {"teachers": (Planted("another"),)},
        {"teachers": (Planted(outputs=(Output("other"),)),)},
        {"seed": 2},
        {"inputs": "others"},
        {"learning_rate": 1e-3},
        {"difference_weight": 0.0},
    ],
)
def test_a_state_of_another_stage_is_refused(stage, tmp_path, changes):
    teach(stage(steps=2), tmp_path, CPU, name="w", observer=Silent())
    with pytest.raises(InputError, match="a teacher stage with other teachers, sequences, settings or seed"):
        teach(stage(**{"steps": 2, **changes}), tmp_path, CPU, name="w", observer=Silent())


def test_a_damaged_state_is_refused(stage, tmp_path):
    teach(stage(steps=2), tmp_path, CPU, name="w", observer=Silent())
    state = tmp_path / "checkpoint/state.safetensors"
    state.write_bytes(state.read_bytes()[:900])
    with pytest.raises(InputError, match="damaged"):
        teach(stage(steps=2), tmp_path, CPU, name="w", observer=Silent())


@pytest.mark.parametrize("changes", [{"tanh": True}, {"kernel_genes": 4, "kernel_features": True, "coding_length": 9}])
def test_dropout_tanh_and_the_kernel_flow_are_no_part_of_the_student(stage, tmp_path, changes):
    config = tiny_config(dropout=0.4, **changes)
    student = teach(stage(steps=1, config=config), tmp_path, CPU, name="w", observer=Silent())
    assert student.network.kernel is None and student.metadata.half_life is None
    assert student.metadata.config == tiny_config(dropout=0.0)


@pytest.mark.parametrize(
    ("batch_size", "group_size", "twin_share"), [(7, 3, 0.3), (5, 9, 0.0), (4, 1, 0.5), (1, 4, 0.5)]
)
def test_batches_of_any_size(stage, tmp_path, batch_size, group_size, twin_share):
    own = stage(steps=2, batch_size=batch_size, group_size=group_size, twin_share=twin_share)
    assert all(tensor.isfinite().all() for tensor in taught(own, tmp_path).values())


def test_the_difference_of_twins_counts(stage, tmp_path):
    tensors = [
        taught(stage(steps=2, twin_share=0.25, difference_weight=weight), tmp_path / f"{weight}")
        for weight in (0.0, 4.0)
    ]
    assert not same(*tensors)


def test_what_cannot_be_learnt_is_said(stage, tmp_path):
    with pytest.raises(UsageError, match="the teachers give one answer for all windows as gc: nothing to learn"):
        teach(stage(teachers=(Constant(),)), tmp_path, CPU, name="w", observer=Silent())
    with pytest.raises(UsageError, match=r"lower teacher\.learning_rate or clip gradients"):
        own = stage(steps=30, learning_rate=1e30, clip_norm=0.0)
        teach(own, tmp_path, CPU, name="w", observer=Silent())


def test_an_error_of_a_teacher_ends_the_stage(stage, tmp_path):
    class Broken(Planted):
        def __call__(self, windows):
            if len(windows) == 4:
                raise OSError("the teacher is gone")
            return super().__call__(windows)

    with pytest.raises(OSError, match="the teacher is gone"):
        teach(stage(teachers=(Broken(),)), tmp_path, CPU, name="w", observer=Silent())


def test_teachers_are_averaged_where_they_predict_the_same():
    windows = np.random.default_rng(1).integers(0, 5, (6, 360)).astype(np.uint8)
    other = Planted("b", (Output("own"), Output("gc", "percent")), shift=10.0)
    panel = Panel((Planted("a"), other))
    assert (panel.names, panel.sha256) == (("gc", "own"), ("a", "b"))
    gc = Planted()(windows)[:, 0]
    np.testing.assert_allclose(panel(windows), np.stack([gc + 5, gc + 10], axis=1))


@pytest.mark.parametrize("kernel", [{}, {"kernel_genes": 4}, {"kernel_genes": 4, "sequence_flows": False}])
def test_a_model_that_reads_less_and_half_life_features_answers_for_its_part_of_the_window(kernel):
    student, narrow = tiny_config(), tiny_config(**kernel)
    narrow = replace(narrow, upstream=200, downstream=100)
    torch.manual_seed(3)
    metadata = ModelMetadata(narrow, (Output("a", mean=2.0, sd=3.0),))
    network = Perceiver(narrow).eval()
    model = TrainedModel("m", fill_kernel(network) if kernel else network, metadata)
    windows = np.random.default_rng(1).integers(0, 5, (5, 360)).astype(np.uint8)
    answered = ModelTeacher(model, student, "x")(windows)
    np.testing.assert_array_equal(answered, model.predict(windows[:, 40:340].copy(), None, None))
    windows[:, :40], windows[:, 340:] = 1, 1
    np.testing.assert_array_equal(ModelTeacher(model, student, "x")(windows), answered)


def test_the_student_can_be_loaded_as_any_model(stage, tmp_path):
    taught(stage(steps=1), tmp_path)
    model = load_model(tmp_path / "w.safetensors")
    assert model.metadata.training["teachers_sha256"] == ["planted"]
    assert model.metadata.training["windows"] == 12
    assert [output.name for output in model.metadata.outputs] == ["gc"]


@given(some.integers(1, 40), some.integers(0, 20), some.integers(0, 12))
def test_groups_hold_each_window_once_and_every_twin_with_its_window(count, twins, size):
    twins = min(twins, count // 2)
    drawn = Drawn(np.arange(count, dtype=np.uint8)[:, None], twins)
    groups = groups_of(drawn, size)
    assert sorted(place for places, _ in groups for place in places.tolist()) == list(range(count))
    sizes = [len(places) for places, _ in groups]
    assert min(sizes) > 0
    if size == 0:
        assert sizes == [count]
    elif size % 2 == 0 or not twins:
        assert max(sizes) <= size and max(sizes) - min(sizes) <= 2
    else:
        assert max(sizes) <= size + 1
    paired = []
    for places, pairs in groups:
        for window, twin in places[: 2 * pairs].reshape(-1, 2).tolist():
            assert twin - window == count - twins
            paired.append(window)
    assert sorted(paired) == list(range(twins))
