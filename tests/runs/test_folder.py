from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqexpr.errors import InputError, UsageError
from seqexpr.evaluation.tables import prediction_rows, read_table, write_table
from seqexpr.finished import is_done, mark_done
from seqexpr.manifest import read_manifest
from seqexpr.runs.folder import check_free, read_failures, read_lines, start_run, write_lines


def manifest(**options):
    return {"kind": "cv", "format": 1, "created": "now", "options": options, "device": "cpu"}


def test_manifest_is_the_first_file(tmp_path):
    start_run(tmp_path / "run", manifest(seed=1), resume=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["manifest.json"]


def test_used_folder_needs_resume(tmp_path):
    start_run(tmp_path, manifest(seed=1), resume=False)
    with pytest.raises(UsageError, match="continue it with --resume"):
        start_run(tmp_path, manifest(seed=1), resume=False)
    start_run(tmp_path, {**manifest(seed=1), "created": "later", "device": "cuda"}, resume=True)


def test_resume_with_other_options_names_the_difference(tmp_path):
    start_run(tmp_path, manifest(recipe={"seed": 1, "lr": 2}), resume=False)
    with pytest.raises(UsageError, match=r"lr was 2, now 3"):
        start_run(tmp_path, manifest(recipe={"seed": 1, "lr": 3}), resume=True)


def test_a_manifest_that_another_process_is_writing_does_not_count_as_use(tmp_path):
    """The first to come is about to rename its manifest: the second neither fails nor replaces it."""
    (tmp_path / ".manifest.json.host.17").touch()
    start_run(tmp_path, manifest(seed=1), resume=False)
    assert read_manifest(tmp_path, "cv")["options"] == {"seed": 1}


def test_the_first_of_many_processes_makes_the_manifest(tmp_path):
    """All start at once; one writes, the others agree, but for the one that asks for something else."""
    from concurrent.futures import ThreadPoolExecutor

    barrier = threading.Barrier(8)

    def start(number):
        barrier.wait()
        try:
            start_run(tmp_path / "run", manifest(seed=number // 7), resume=True)
        except UsageError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(start, range(8)))
    first = read_manifest(tmp_path / "run", "cv")["options"]["seed"]
    assert [bool(text) for text in said] == [number // 7 != first for number in range(8)]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("winner", ["mine", "theirs"])
def test_without_hard_links_the_last_of_two_wins_and_the_other_finds_out(tmp_path, monkeypatch, winner):
    """Another process renames its manifest over this one's, as soon as that is there."""

    def no_link(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", no_link)
    replace = Path.replace

    def overtaken(self, target):
        replace(self, target)
        if winner == "theirs" and target.name == "manifest.json":
            target.write_text(json.dumps(manifest(seed=2)))

    monkeypatch.setattr(Path, "replace", overtaken)
    if winner == "mine":
        start_run(tmp_path / "run", manifest(seed=1), resume=True)
    else:
        with pytest.raises(UsageError, match="seed was 2, now 1"):
            start_run(tmp_path / "run", manifest(seed=1), resume=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["manifest.json"]
    with pytest.raises(UsageError, match="exists already"):
        start_run(tmp_path / "run", manifest(seed=1), resume=False)


def test_whether_a_folder_is_free_can_be_asked_before_the_options_are_known(tmp_path):
    check_free(tmp_path / "absent", "cv", resume=False)
    check_free(tmp_path, "cv", resume=False)
    start_run(tmp_path, manifest(seed=1), resume=False)
    check_free(tmp_path, "cv", resume=True)
    with pytest.raises(UsageError, match="continue it with --resume"):
        check_free(tmp_path, "cv", resume=False)
    with pytest.raises(InputError, match="a manifest of kind 'cv'"):
        check_free(tmp_path, "train", resume=True)


def test_done_is_a_file(tmp_path):
    assert not is_done(tmp_path)
    mark_done(tmp_path)
    assert is_done(tmp_path)


def test_prediction_table_is_long_and_survives_the_disk(tmp_path):
    genes = pd.DataFrame({"id": ["g0", "g1", "NA"], "chrom": ["1", "X", ""]})
    labels = np.array([[1.0, 10.0], [2.0, np.nan], [1 / 3, 30.0]])
    table = prediction_rows(genes, np.array([2, 1]), np.array([[0.1, 0.2], [0.3, 0.4]]), labels, ("a", "b"), fold=4)
    assert table.to_dict("list") == {
        "id": ["NA", "g1", "NA", "g1"],
        "chrom": ["", "X", "", "X"],
        "fold": [4, 4, 4, 4],
        "output": ["a", "a", "b", "b"],
        "label": [1 / 3, 2.0, 30.0, pytest.approx(np.nan, nan_ok=True)],
        "prediction": [0.1, 0.3, 0.2, 0.4],
    }
    write_table(tmp_path / "p.tsv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "p.tsv"), table, check_dtype=False, check_exact=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "found no epoch"),
        ('{"epoch": 1}\n{"epoch": 1}\n', "line 2: found epoch 1 after epoch 1"),
        ('{"epoch": 2}\n{"epoch": 1}\n', "line 2: found epoch 1 after epoch 2"),
        ('{"epoch": 1}\n{"epoch": 2, "train_loss": NaN}\n', "line 2: found the number NaN"),
        ('{"epoch": 1}\n{"ep', "line 2"),
    ],
)
def test_epochs_of_a_whole_fold_are_all_there_and_in_order(content, said, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(InputError, match=said):
        read_lines(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize("content", ["{}", '["a"]', "[{}]", "[" * 100_000, "x"])
def test_a_damaged_list_of_failures_is_named(content, tmp_path):
    (tmp_path / "failed.json").write_text(content)
    with pytest.raises(InputError, match=r"failed\.json"):
        read_failures(tmp_path)


def test_lines_round_trip(tmp_path):
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}]
    write_lines(tmp_path / "m.jsonl", rows)
    assert read_lines(tmp_path / "m.jsonl") == rows
