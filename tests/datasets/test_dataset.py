import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqexpr.datasets.dataset import DatasetWriter, PreparedDataset
from seqexpr.errors import InputError, UsageError
from seqexpr.inputs.half_life import FEATURES, TRANSFORMS
from seqexpr.manifest import describe_run

from ..small_dataset import make_small_dataset

IDS = ["g1", "NA", "g3"]
HALF_LIFE = {"names": list(FEATURES), "transforms": list(TRANSFORMS)}


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {"id": IDS, "chrom": ["1", "X", ""], "tss": ["10", "", "30"], "level": [0.1, np.nan, 1 / 3]}
        | {name: [1.0, np.nan, 0.25] for name in FEATURES}
    )


def manifest() -> dict[str, object]:
    return {**describe_run("dataset", {"seed": 1}), "labels": ["level"], "half_life": HALF_LIFE}


def write(folder: Path, force: bool = False, value: int = 1) -> None:
    with DatasetWriter(folder, 6, 4, True, force) as writer:
        for i, gene in enumerate(IDS):
            writer.add(gene, np.arange(10, dtype=np.uint8) % 5 * value, np.full(i + 1, i + 1, np.uint8))
        writer.finish(table(), manifest())


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "set")
    dataset = PreparedDataset.open(tmp_path / "deep" / "set")
    assert len(dataset) == 3
    assert dataset.ids == IDS
    assert (dataset.upstream, dataset.downstream, dataset.has_dna, dataset.has_protein) == (6, 4, True, True)
    assert dataset.label_names == ("level",)
    assert dataset.half_life_names == FEATURES
    assert dataset.half_life_transforms == TRANSFORMS
    np.testing.assert_array_equal(dataset.labels(["level"])[:, 0], [0.1, np.nan, 1 / 3])
    np.testing.assert_array_equal(dataset.half_life(), np.repeat([[1.0], [np.nan], [0.25]], 8, axis=1))
    assert dataset.genes["chrom"].tolist() == ["1", "X", ""]
    assert dataset.genes["tss"].tolist() == [10, pd.NA, 30]
    assert dataset.genes["symbol"].tolist() == ["", "", ""]
    np.testing.assert_array_equal(dataset.protein_lengths, [1, 2, 3])
    assert dataset.manifest["records"] == 3
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["set"]


def test_a_model_crops_the_part_that_it_reads(tmp_path: Path) -> None:
    write(tmp_path / "set")
    dataset = pickle.loads(pickle.dumps(PreparedDataset.open(tmp_path / "set")))
    np.testing.assert_array_equal(dataset.dna([2, 0], 2, 3), [[4, 0, 1, 2, 3]] * 2)
    assert dataset.dna([1], 6, 4).shape == (1, 10)
    np.testing.assert_array_equal(dataset.proteins([2, 0], 2), [[3, 3], [1, 0]])
    with pytest.raises(InputError, match="windows of 6 bp upstream and 4 bp downstream; expected at least 7 and 4"):
        dataset.dna([0], 7, 4)
    with pytest.raises(InputError, match="no label 'x'; expected one of level"):
        dataset.labels(["x"])


def test_a_dataset_without_dna_or_proteins_says_so(tmp_path: Path) -> None:
    bare = {**describe_run("dataset", {}), "labels": [], "half_life": None}
    with DatasetWriter(tmp_path / "p", 0, 0, True) as writer:
        writer.add("g", None, np.ones(3, np.uint8))
        writer.finish(pd.DataFrame({"id": ["g"]}), bare)
    with DatasetWriter(tmp_path / "d", 2, 0, False) as writer:
        writer.add("g", np.ones(2, np.uint8))
        writer.finish(pd.DataFrame({"id": ["g"]}), bare)
    proteins, dna = PreparedDataset.open(tmp_path / "p"), PreparedDataset.open(tmp_path / "d")
    assert proteins.half_life() is None
    assert (dna.upstream, dna.downstream) == (2, 0)
    with pytest.raises(InputError, match="found no DNA"):
        proteins.dna([0], 1, 0)
    with pytest.raises(InputError, match="found no proteins"):
        dna.proteins([0], 10)
    with pytest.raises(InputError, match="--labels"):
        dna.labels(["x"])


def test_an_existing_folder_is_replaced_only_by_force_and_only_when_the_new_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder)  # an empty folder is as good as none
    with pytest.raises(UsageError, match="--force"):
        write(folder)
    with pytest.raises(KeyboardInterrupt), DatasetWriter(folder, 6, 4, True, force=True) as writer:
        writer.add("new", np.zeros(10, np.uint8), np.ones(1, np.uint8))
        raise KeyboardInterrupt
    assert PreparedDataset.open(folder).dna([0], 6, 4).max() == 4
    write(folder, force=True, value=0)
    assert PreparedDataset.open(folder).dna([0], 6, 4).max() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_force_never_removes_what_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(UsageError, match="not a prepared dataset"):
        write(tmp_path, force=True)
    with pytest.raises(UsageError, match="is a file"):
        write(tmp_path / "notes.txt", force=True)
    assert (tmp_path / "notes.txt").read_text() == "precious"


def test_nothing_is_left_behind_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space"), DatasetWriter(tmp_path / "set", 2, 2, True) as writer:
        writer.add("g", np.ones(4, np.uint8), np.ones(4, np.uint8))
        raise OSError(28, "No space left on device")
    with (
        pytest.raises(ValueError, match="not the ones"),
        DatasetWriter(tmp_path / "set", 2, 2, False) as writer,
    ):
        writer.add("g", np.ones(4, np.uint8))
        writer.finish(pd.DataFrame({"id": ["other"]}), manifest())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["format", "kind", "window", "gene", "labels", "sequences"])
def test_a_damaged_folder_is_named(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "set"
    write(folder)
    head = json.loads((folder / "manifest.json").read_text())
    genes = (folder / "genes.tsv").read_text()
    if damage == "format":
        head["format"] = 99
    elif damage == "kind":
        head["kind"] = "train"
    elif damage == "window":
        head["window"] = {"upstream": 9}
    elif damage == "gene":
        (folder / "genes.tsv").write_text("".join(genes.splitlines(keepends=True)[:-1]))
    elif damage == "labels":
        (folder / "genes.tsv").write_text(genes.replace("level", "other"))
    else:
        (folder / "sequences.safetensors").unlink()
    (folder / "manifest.json").write_text(json.dumps(head))
    with pytest.raises(InputError, match="set"):
        PreparedDataset.open(folder)


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no readable manifest\.json"):
        PreparedDataset.open(tmp_path)


def test_parents_of_a_dataset_that_fails_are_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RuntimeError), DatasetWriter(tmp_path / "mine" / "a" / "b", 2, 2, with_protein=False):
        assert (tmp_path / "mine" / "a").is_dir()
        raise RuntimeError
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_a_place_that_cannot_be_written_is_named_as_given(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/set'$"), DatasetWriter(tmp_path / "file" / "set", 2, 2, False):
        pass


def _edit(folder: Path, column: str, cell: str) -> None:
    head, *rows = (folder / "genes.tsv").read_text().splitlines()
    cells = rows[0].split("\t")
    cells[head.split("\t").index(column)] = cell
    (folder / "genes.tsv").write_text("\n".join([head, "\t".join(cells), *rows[1:]]) + "\n")


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("level", "99", "SHA-256"),
        ("level", "1_0", "column 'level': found '1_0'"),
        ("level", "nan", "column 'level': found 'nan'"),
        ("level", "1e300", "line 2, column 'level': found 1e\\+300"),
        ("tss", "1.5", "column 'tss': found '1.5'"),
        ("tss", "1e30", "column 'tss'"),
        ("id", "g3", "the id 'g3' again"),
        ("id", "", "line 2: found the id ''"),
        ("id", "\x1b[2J", "line 2"),
    ],
)
def test_genes_that_were_edited_are_refused(tmp_path: Path, column: str, cell: str, said: str) -> None:
    write(tmp_path / "set")
    _edit(tmp_path / "set", column, cell)
    with pytest.raises(InputError, match=said):
        PreparedDataset.open(tmp_path / "set")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", "level"),
        ("labels", ["level", "level"]),
        ("labels", ["id"]),
        ("labels", ["a\tb"]),
        ("window", {"upstream": -6, "downstream": 4}),
        ("window", {"upstream": "6", "downstream": 4}),
        ("window", {"upstream": 10**30, "downstream": 4}),
        ("proteins", "yes"),
        ("half_life", {"names": ["a"], "transforms": []}),
        ("half_life", {"names": ["a"], "transforms": ["square"]}),
        ("content", {"genes.tsv": 3}),
        ("options", None),
    ],
)
def test_a_manifest_of_odd_types_is_refused(tmp_path: Path, key: str, value: object) -> None:
    write(tmp_path / "set")
    path = tmp_path / "set" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(InputError, match=r"manifest\.json"):
        PreparedDataset.open(tmp_path / "set")


def test_letters_that_were_changed_are_found(tmp_path: Path) -> None:
    write(tmp_path / "set")
    path = tmp_path / "set" / "sequences.safetensors"
    data = bytearray(path.read_bytes())
    data[1024] ^= 1
    path.write_bytes(data)
    dataset = PreparedDataset.open(tmp_path / "set")
    with pytest.raises(InputError, match=r"sequences\.safetensors: found SHA-256"):
        dataset.check_content(required=False)
    data[1024] = 200
    path.write_bytes(data)
    with pytest.raises(InputError, match="record 1: found token 200; expected dna tokens from 0 to 4"):
        PreparedDataset.open(tmp_path / "set").dna([0, 1], 6, 4)


@pytest.mark.parametrize("id", ["", "a\tb", "g\x1b[31m", "a\nb"])
def test_ids_that_command_a_terminal_are_refused(tmp_path: Path, id: str) -> None:
    with pytest.raises(InputError, match="id"), DatasetWriter(tmp_path / "set", 6, 4, False) as writer:
        writer.add(id, np.ones(10, np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_store_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "set")
    path = tmp_path / "set" / "sequences.safetensors"
    for change in (b'"shape":[3,10]', b'"data_offsets":[0,30]'):
        data = path.read_bytes()
        assert change in data
        for odd in (b'"shape":[10000000000000,10]', b'"shape":null', b'"shape":["x",10]', b'"data_offsets":[null,1]'):
            longer = data.replace(change, odd)
            header = longer[8 : 1024 + len(odd) - len(change)].rstrip()
            path.write_bytes(data[:8] + header.ljust(1016)[:1016] + data[1024:])
            with pytest.raises(InputError, match=r"sequences\.safetensors"):
                PreparedDataset.open(tmp_path / "set")
        path.write_bytes(data)


def test_a_number_of_records_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "set")
    path = tmp_path / "set" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "records": 77}))
    with pytest.raises(InputError, match=r"genes.tsv; expected 77"):
        PreparedDataset.open(tmp_path / "set")


def test_a_feature_below_zero_has_no_logarithm(tmp_path: Path) -> None:
    dataset = make_small_dataset(tmp_path / "set")
    _edit(dataset.folder, dataset.half_life_names[0], "-1")
    with pytest.raises(InputError, match=f"line 2, column '{dataset.half_life_names[0]}': found -1; expected a number"):
        PreparedDataset.open(dataset.folder)


def test_coding_sequences_of_a_dataset(tmp_path: Path) -> None:
    dataset = make_small_dataset(tmp_path / "with", with_coding=True)
    assert dataset.has_coding and dataset.manifest["coding"] is True
    assert dataset.coding_lengths[:5].tolist() == [0, 60, 60, 60, 0]
    assert dataset.coding([0, 1], 20).shape == (2, 20)
    assert not dataset.coding([0, 1], 20)[0].any() and dataset.coding([0, 1], 20)[1].all()
    without = make_small_dataset(tmp_path / "without")
    assert not without.has_coding and not without.coding_lengths.any() and len(without.coding_lengths) == 48
    with pytest.raises(InputError, match="no coding sequences; expected a dataset prepared with --cds or --translate"):
        without.coding([0], 20)


def test_a_dataset_of_a_version_without_coding_sequences_opens(tmp_path: Path) -> None:
    folder = make_small_dataset(tmp_path / "set").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["coding"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert not PreparedDataset.open(folder).has_coding
    (folder / "manifest.json").write_text(json.dumps({**manifest, "coding": True}))
    with pytest.raises(InputError, match="sequences of another kind than the manifest says"):
        PreparedDataset.open(folder)
