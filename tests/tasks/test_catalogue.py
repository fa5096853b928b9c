import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.sources.registry import find_source
from seqexpr.tasks import catalogue as tasks
from seqexpr.tasks.catalogue import find_task, list_tasks, open_task_dataset, synthetic_settings, task_folder
from seqexpr.tasks.synthetic import INPUTS, SyntheticSettings, inputs_of, make_synthetic

VARIANTS = ("synthetic-dna", "synthetic-protein", "synthetic-half-life", "synthetic-joint")
NAMES = (
    "mrna-human", "mrna-mouse", "mrna-lung", "prot-lung", "joint-lung", "mrna-glio", "prot-glio",
    "joint-glio", "synthetic", *VARIANTS,
)  # fmt: skip


def test_all_tasks_are_there_and_whole() -> None:
    assert tuple(task.name for task in list_tasks()) == NAMES
    for task in list_tasks():
        assert task.title
        assert (task.folds == 1) == (task.split == "given")
        inputs_of(task.preset)
        for source in task.sources:
            find_source(source)
        for preset, published in task.paper_r2.items():
            inputs_of(preset)
            assert set(published) <= set(task.labels)


def test_numbers_of_the_paper() -> None:
    lung = find_task("prot-lung")
    assert lung.paper_r2["protein-perceiver"] == {"protein": 0.085}
    assert find_task("joint-glio").paper_r2 == {"dna-perceiver": {"mrna": 0.150, "protein": 0.026}}
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
    make_synthetic(tmp_path / "mine", SyntheticSettings(genes=5))
    named = task_folder("mrna-human")
    make_synthetic(named, SyntheticSettings(genes=6))
    assert len(open_task_dataset(tmp_path / "mine")) == 5
    with pytest.raises(
        MissingDataError, match="by another version of seqexpr; run: seqexpr prepare mrna-human --force"
    ):
        open_task_dataset("mrna-human")
    manifest = json.loads((named / "manifest.json").read_text())
    manifest["options"]["rules"] = tasks.RULES
    (named / "manifest.json").write_text(json.dumps(manifest))
    assert len(open_task_dataset("mrna-human")) == 6
    with pytest.raises(InputError, match="manifest"):
        open_task_dataset(tmp_path)
    with pytest.raises(InputError, match="manifest"):
        open_task_dataset(str(tmp_path / "absent"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the synthetic datasets that are made, each of ten genes."""
    folders = []

    def small(folder: Path, settings: SyntheticSettings):
        folders.append(folder)
        return make_synthetic(folder, replace(settings, genes=10))

    monkeypatch.setattr(tasks, "make_synthetic", small)
    return folders


def test_the_synthetic_task_is_made_on_the_spot_once(made: list[Path]) -> None:
    assert len(open_task_dataset("synthetic")) == 10
    assert open_task_dataset("synthetic").label_names == find_task("synthetic").labels
    assert open_task_dataset("synthetic", "protein-perceiver").has_protein
    dna, protein = made
    assert dna != protein
    (dna / "genes.tsv").unlink()
    assert len(open_task_dataset("synthetic")) == 10
    assert made[2:] == [dna]
    open_task_dataset("synthetic", remake=True)
    assert made[3:] == [dna]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_holds_all_inputs_whatever_the_preset(made: list[Path], name: str) -> None:
    dataset = open_task_dataset(name)
    assert dataset.has_dna and dataset.has_protein and dataset.half_life() is not None
    assert open_task_dataset(name, "protein-perceiver").folder == dataset.folder
    assert len(made) == 1


def test_what_carries_the_signal_of_each_variant() -> None:
    carried = {name: find_task(name).planted for name in VARIANTS}
    assert carried == {
        "synthetic-dna": {"dna": 1.0},
        "synthetic-protein": {"protein": 1.0},
        "synthetic-half-life": {"half-life": 1.0},
        "synthetic-joint": {"dna": 0.5, "protein": 0.5},
    }
    for name, planted in carried.items():
        settings = synthetic_settings(find_task(name), "dna-perceiver")
        assert (settings.inputs, settings.shares, settings.dna_signal) == (INPUTS, planted, "gc")
    assert synthetic_settings(find_task("synthetic"), "protein-perceiver").shares == {"protein": 1.0}
    with pytest.raises(UsageError, match="no preset 'rna-perceiver'"):
        synthetic_settings(find_task("synthetic-dna"), "rna-perceiver")


def test_other_settings_of_the_generator_are_another_folder(made: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    open_task_dataset("synthetic-dna")
    monkeypatch.setattr("seqexpr.tasks.synthetic.GENERATOR", 999)
    open_task_dataset("synthetic-dna")
    assert len(set(made)) == 2
