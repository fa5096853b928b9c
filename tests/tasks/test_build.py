"""Datasets of named tasks, from small files in the formats of their sources (tests/source_files.py)."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seqexpr import paths
from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import InputError, MissingDataError, NetworkError, UsageError
from seqexpr.tasks.build import prepare_task
from seqexpr.tasks.catalogue import list_tasks, open_task_dataset, task_folder

from ..source_files import GENES, TEST, TRAIN, VALID, gene

REAL = [task.name for task in list_tasks() if task.sources]
LSCC = "cptac-lscc-protein/LSCC_proteomics_gene_abundance_log2_reference_intensity_normalized_Tumor.txt"


def numbers(dataset: PreparedDataset) -> set[int]:
    """The made-up genes of a dataset by their numbers."""
    return {int(name.removeprefix("ENSG")) for name in dataset.ids}


def counts(name: str) -> dict[str, int]:
    return {count.key: count.genes for count in prepare_task(name).counts}


def test_missing_sources_name_the_command(fetched: Path) -> None:
    shutil.rmtree(fetched / "uniprot-human")
    with pytest.raises(MissingDataError, match="task prot-lung needs uniprot-human; run: seqexpr fetch prot-lung"):
        prepare_task("prot-lung")
    with pytest.raises(UsageError, match="no task"):
        prepare_task("nothing")


def test_xpresso_keeps_its_split_its_letters_and_its_scores(fetched: Path) -> None:
    dataset = prepare_task("mrna-human").dataset
    assert dataset.ids == [gene(number) for number in range(1, GENES + 1)]
    assert dataset.genes["split"].tolist() == ["train"] * TRAIN + ["valid"] * VALID + ["test"] * TEST
    assert set(dataset.half_life_transforms) == {"identity"}
    with h5py.File(fetched / "xpresso-human" / "valid.h5") as file:
        rows = np.arange(TRAIN, TRAIN + VALID)
        letters = (file["promoter"][:] * np.arange(1, 5)).sum(axis=2)
        np.testing.assert_array_equal(dataset.dna(rows, 10_000, 10_000), letters)
        np.testing.assert_array_equal(dataset.labels(["mrna"])[rows, 0], file["label"][:])
        np.testing.assert_array_equal(dataset.half_life()[rows], file["data"][:])
    assert counts("mrna-human") == {"dna": GENES, "train": TRAIN, "valid": VALID, "test": TEST}


def test_proteins_levels_and_windows_are_joined_by_gene(fetched: Path) -> None:
    report = prepare_task("prot-lung")
    dataset, whole = report.dataset, open_task_dataset("mrna-human")
    assert numbers(dataset) == set(range(4, GENES + 1)) - {10}  # 3 has no level, 10 no protein
    assert {count.key: count.genes for count in report.counts} == {
        "dna": 36,
        "protein": 37,  # 4 to 40
        "labels_protein": 34,  # 4 to 38 without 10
        "labels_dna": 33,  # 4 to 36
        "all": 32,
    }
    assert {count.key: count.paper for count in report.counts if count.paper} == {
        "dna": 18_377,
        "labels_protein": 10_699,
        "all": 9_815,
    }
    levels = dict(zip(dataset.ids, dataset.labels(["protein"])[:, 0], strict=True))
    assert levels[gene(4)] == 2.5  # one case
    assert levels[gene(5)] == pytest.approx(2.5)  # 0.5, 1.5, ... 4.5: the copy on Y, 99, has no part in it
    lengths = dict(zip(dataset.ids, dataset.protein_lengths, strict=True))
    assert lengths[gene(12)] == 300  # the longer of two entries
    assert lengths[gene(20)] == lengths[gene(21)]  # one entry
    row, same = dataset.ids.index(gene(30)), whole.ids.index(gene(30))
    np.testing.assert_array_equal(dataset.dna([row], 10_000, 10_000), whole.dna([same], 10_000, 10_000))
    np.testing.assert_array_equal(dataset.half_life()[row], whole.half_life()[same])
    assert report.notes == [
        "protein level: mean over those of 5 cases that have a value; left out: genes without a value 1, "
        "copies of pseudoautosomal genes on Y 1",
        "genes with several proteins, of which the longest counts: 1",
        "half-life features are Xpresso's own z-scores",
    ]


def test_joint_tasks_hold_the_genes_with_both_levels(fetched: Path) -> None:
    dataset = prepare_task("joint-glio").dataset
    assert numbers(dataset) == set(range(4, 35))
    assert dataset.label_names == ("mrna", "protein") and not dataset.has_protein
    assert np.isfinite(dataset.labels(["mrna", "protein"])).all()
    assert counts("joint-glio") == {"dna": 36, "mrna": 35, "protein": 37, "labels": 31, "all": 31}


@pytest.mark.parametrize("name", REAL)
def test_every_task_can_be_prepared_and_opened(fetched: Path, name: str) -> None:
    report = prepare_task(name)
    dataset = open_task_dataset(name)
    task = next(task for task in list_tasks() if task.name == name)
    assert len(dataset) == report.counts[0 if task.split == "given" else -1].genes > 30
    assert dataset.label_names == task.labels
    assert dataset.manifest["label_units"] == task.units and set(task.units) == set(task.labels)
    assert dataset.has_dna and dataset.has_protein == ("uniprot-human" in task.sources)
    roles = [source["role"] for source in dataset.manifest["sources"]]
    assert {role.split("/")[0] for role in roles} == set(task.sources)
    assert all(len(source["sha256"]) == 64 for source in dataset.manifest["sources"])


def test_genes_measured_in_few_cases_can_be_left_out(fetched: Path) -> None:
    assert gene(4) not in prepare_task("prot-lung", min_cases=2).dataset.ids
    with pytest.raises(UsageError, match=r"was prepared with min_cases 2; .*: seqexpr prepare prot-lung --force"):
        prepare_task("prot-lung")
    with pytest.raises(UsageError, match=r"seqexpr prepare prot-lung --min-cases 3 --force"):
        prepare_task("prot-lung", min_cases=3)
    with pytest.raises(UsageError, match=r"--min-cases 6: .*Tumor\.txt has 5 cases"):
        prepare_task("prot-lung", min_cases=6, force=True)
    assert gene(4) in prepare_task("prot-lung", force=True).dataset.ids
    with pytest.raises(UsageError, match="--min-cases: task mrna-human has no labels that are means"):
        prepare_task("mrna-human", min_cases=2)


def test_what_is_there_is_reused(fetched: Path) -> None:
    first = prepare_task("prot-lung")
    assert not first.reused and first.base is not None and not first.base.reused
    written = {path: path.stat().st_mtime_ns for path in first.dataset.folder.iterdir()}
    again = prepare_task("prot-lung")
    assert again.reused and again.counts == first.counts and again.notes == first.notes
    assert {path: path.stat().st_mtime_ns for path in first.dataset.folder.iterdir()} == written
    other = prepare_task("mrna-glio")
    assert other.base is not None and other.base.reused  # the DNA windows, prepared for prot-lung


def test_the_same_files_give_the_same_bytes(fetched: Path) -> None:
    def content() -> list[bytes]:
        return [(task_folder("prot-lung") / name).read_bytes() for name in ("genes.tsv", "sequences.safetensors")]

    prepare_task("prot-lung")
    first = content()
    prepare_task("prot-lung", force=True)
    assert content() == first


def test_another_source_than_the_dataset_was_made_from(fetched: Path) -> None:
    prepare_task("prot-lung")
    path = fetched / LSCC
    path.write_text(path.read_text().replace("\t2.5\t", "\t3.5\t"))
    with pytest.raises(NetworkError, match=f"prepared from another {LSCC}: found SHA-256 .*; expected .*--force"):
        prepare_task("prot-lung")
    report = prepare_task("prot-lung", force=True)
    assert report.dataset.labels(["protein"])[report.dataset.ids.index(gene(4)), 0] == 3.5


def test_force_renews_windows_whose_source_changed(fetched: Path) -> None:
    prepare_task("prot-lung")
    with h5py.File(fetched / "xpresso-human" / "test.h5", "r+") as file:
        file["data"][0, 0] = 7.0
    with pytest.raises(NetworkError, match=r"xpresso-human/test\.h5"):
        prepare_task("prot-lung")
    report = prepare_task("prot-lung", force=True)
    assert report.base is not None and not report.base.reused
    assert report.dataset.half_life()[report.dataset.ids.index(gene(31)), 0] == 7.0


def test_a_source_that_is_not_what_was_fetched(fetched: Path) -> None:
    from seqexpr.sources.registry import find_source

    find_source("cptac-lscc-protein").files[0].record(sha256="0" * 64, size=1, url="https://x", fetched="")
    with pytest.raises(NetworkError, match=r"Tumor\.txt: found SHA-256 .*; expected 0{64}.*run: seqexpr fetch cptac-l"):
        prepare_task("prot-lung")
    assert not task_folder("prot-lung").exists()


def test_what_a_killed_process_left_is_cleared(fetched: Path) -> None:
    folder = task_folder("mrna-human")
    left = [folder.with_name(".mrna-human.abc.tmp"), folder.with_name(".mrna-human.def.old")]
    for path in left:
        path.mkdir(parents=True)
        (path / "genes.tsv").write_text("half")
    prepare_task("mrna-human")
    assert not any(path.exists() for path in left)


def test_a_damaged_dataset_is_prepared_again(fetched: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = prepare_task("mrna-human").dataset.folder
    genes = folder / "genes.tsv"

    def one_letter() -> None:
        genes.write_text(genes.read_text().replace("ENSG00000000007", "ENSG00000000077"))

    for damage in (one_letter, genes.unlink):
        damage()
        with caplog.at_level(logging.WARNING):
            assert not prepare_task("mrna-human").reused
        assert "it is prepared again" in caplog.messages[-1]
        assert prepare_task("mrna-human").reused


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"format": 2}, InputError, "found dataset format 2; expected format 1; a newer one needs a newer seqexpr"),
        ({"kind": "cv"}, InputError, "found a manifest of kind 'cv'"),
        ({"options": {"task": "mrna-human"}}, UsageError, "by another version of seqexpr; .*mrna-human --force"),
    ],
)
def test_what_another_version_made_is_left_as_it_is(
    fetched: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    folder = prepare_task("mrna-human").dataset.folder
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(error, match=message):
        prepare_task("mrna-human")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises((InputError, MissingDataError)):
        open_task_dataset("mrna-human")


def test_two_at_once_prepare_once(fetched: Path) -> None:
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(prepare_task("mrna-human"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.reused for report in reports) == [False, True, True]


def test_a_gene_in_two_of_xpressos_files(fetched: Path) -> None:
    shutil.copyfile(fetched / "xpresso-human" / "test.h5", fetched / "xpresso-human" / "valid.h5")
    with pytest.raises(InputError, match=rf"test\.h5, '{gene(TRAIN + VALID + 1)}': found the same gene again"):
        prepare_task("mrna-human")
    assert not task_folder("mrna-human").exists()


def test_sources_that_share_no_gene(fetched: Path) -> None:
    (fetched / LSCC).write_text("idx\tA\nENSG99999999999.1\t2\n")
    with pytest.raises(InputError, match=r"none of the 36 ids of Xpresso .* in its 1 ids of the protein level"):
        prepare_task("prot-lung")
    assert not task_folder("prot-lung").exists()
    assert open_task_dataset("mrna-human").ids  # what was done stays


def test_a_task_without_sources_is_made_on_the_spot() -> None:
    report = prepare_task("synthetic-half-life")
    assert report.dataset.has_dna and report.dataset.has_protein and report.dataset.label_names == ("planted",)
    assert open_task_dataset("synthetic-half-life").folder == report.dataset.folder


def test_a_shared_cache_that_may_only_be_read(
    fetched: Path, private_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is used; what is not is made in the user's own folder."""
    prepare_task("mrna-human")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(paths, "_writable", lambda folder: folder != private_cache)
    paths._cache_root.cache_clear()
    before = sorted(private_cache.rglob("*"))
    assert prepare_task("mrna-human").reused
    report = prepare_task("prot-lung")
    assert report.base is not None and report.base.reused and len(report.dataset) == 32
    assert private_cache not in report.dataset.folder.parents
    assert open_task_dataset("prot-lung").folder == report.dataset.folder
    assert sorted(private_cache.rglob("*")) == before
    paths._cache_root.cache_clear()
