from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from seqexpr.datasets import tasks
from seqexpr.datasets.sources import find_source
from seqexpr.datasets.synthetic import inputs_of, make_synthetic
from seqexpr.datasets.tasks import find_task, list_tasks, open_task_dataset, task_folder
from seqexpr.errors import InputError, MissingDataError, UsageError

NAMES = (
    "mrna-human", "mrna-mouse", "mrna-lung", "prot-lung", "joint-lung", "mrna-glio", "prot-glio",
    "joint-glio", "synthetic",
)  # fmt: skip


def test_all_tasks_are_there_and_whole() -> None:
    assert tuple(task.name for task in list_tasks()) == NAMES
    for task in list_tasks():
        assert task.title
        assert len(task.loss_weights) == len(task.labels)
        assert task.recipe == inputs_of(task.preset)[0]
        assert (task.folds == 1) == (task.split == "given")
        for source in task.sources:
            find_source(source)
        for preset, published in task.paper_r2.items():
            inputs_of(preset)
            assert set(published) <= set(task.labels)


def test_numbers_of_the_paper() -> None:
    lung = find_task("prot-lung")
    assert lung.paper_r2["protein-perceiver"] == {"protein": 0.085}
    assert lung.loss_weights == (100.0,)
    assert find_task("joint-glio").loss_weights == (10.0, 1.0)
    assert find_task("mrna-human").split == "given"
    with pytest.raises(FrozenInstanceError):
        lung.preset = "x"  # type: ignore[misc]


def test_an_unknown_task_gets_close_names() -> None:
    with pytest.raises(UsageError, match="no task 'prot-lungs'; did you mean prot-lung"):
        find_task("prot-lungs")
    with pytest.raises(UsageError, match="there are mrna-human"):
        find_task("zzz")
    with pytest.raises(UsageError, match="nor is there a folder"):
        open_task_dataset("prot-lungs")


def test_a_task_that_is_not_prepared_names_the_commands() -> None:
    with pytest.raises(MissingDataError, match="seqexpr fetch mrna-human && seqexpr prepare mrna-human"):
        open_task_dataset("mrna-human")


def test_a_prepared_folder_and_a_prepared_task(tmp_path: Path) -> None:
    make_synthetic(tmp_path / "mine", genes=5)
    make_synthetic(task_folder("mrna-human"), genes=6)
    assert len(open_task_dataset(tmp_path / "mine")) == 5
    assert len(open_task_dataset("mrna-human")) == 6
    with pytest.raises(InputError, match="manifest"):
        open_task_dataset(tmp_path)
    with pytest.raises(InputError, match="manifest"):
        open_task_dataset(str(tmp_path / "absent"))


def test_the_synthetic_task_is_made_on_the_spot_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def small(folder: Path, preset: str):
        made.append(preset)
        return make_synthetic(folder, preset, genes=10)

    monkeypatch.setattr(tasks, "make_synthetic", small)
    assert len(open_task_dataset("synthetic")) == 10
    assert open_task_dataset("synthetic").label_names == find_task("synthetic").labels
    assert open_task_dataset("synthetic", "protein-perceiver").has_protein
    assert made == ["dna-perceiver", "protein-perceiver"]
    (task_folder("synthetic-dna-perceiver") / "genes.tsv").unlink()
    assert len(open_task_dataset("synthetic")) == 10
    assert made[2:] == ["dna-perceiver"]
    open_task_dataset("synthetic", remake=True)
    assert made[3:] == ["dna-perceiver"]
