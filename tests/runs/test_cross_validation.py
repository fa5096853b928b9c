from __future__ import annotations

import json
import multiprocessing
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import InputError, UsageError
from seqexpr.files import sha256_file, write_json
from seqexpr.models.config import PRESETS
from seqexpr.models.registry import resolve_models
from seqexpr.models.trained import load_model
from seqexpr.prediction.rows import predict_rows
from seqexpr.runs import cross_validation
from seqexpr.runs import setup as protocol
from seqexpr.runs.cross_validation import cross_validate, run_folds
from seqexpr.runs.fold_run import torch_threads
from seqexpr.runs.setup import RunOptions, divide_into_folds, resolve_experiment

from .conftest import SilentObserver

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
RESULTS = ("predictions.tsv", "baselines.tsv", "metrics.json", "metrics.tsv", "audit.json")


@pytest.fixture
def experiment(dataset):
    named = {"labels": ("a", "b"), "preset": "dna-perceiver"}
    return resolve_experiment(str(dataset.folder), **named, epochs=2, batch_size=16)


@pytest.fixture
def options():
    return RunOptions("chromosome", folds=3, valid_fraction=0.2, resamples=50)


def fold_of(splits, genes):
    """The fold in which each gene is tested."""
    folds = np.full(genes, -1)
    for split in splits:
        folds[split.test] = split.number
    return folds


def same_results(one, other):
    return [name for name in RESULTS if (one / name).read_bytes() != (other / name).read_bytes()] == []


def test_run_folder_is_whole(experiment, options, dataset, tmp_path, observer):
    rows = cross_validate(experiment, options, tmp_path, CPU, resume=False, observer=observer)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*RESULTS, "manifest.json", "metrics.jsonl", "report.html", "folds", ".done"}
    assert observer.folds == observer.done == [0, 1, 2]
    assert json.loads((tmp_path / "metrics.json").read_text()) == rows
    overall = {(row["model"], row["output"]): row for row in rows if row["scope"] == "all"}
    assert overall["seqexpr", "a"]["n"] == 48
    assert overall["seqexpr", "b"]["n"] == 47  # one label is missing
    # Out of fold, the training mean explains nothing (a little less, in fact).
    assert -0.3 < overall["training_mean", "a"]["metrics"]["r2"]["value"] <= 0
    assert {"half_life_ridge", "composition_ridge", "untrained_model"} <= {model for model, _ in overall}
    audited = {entry["overlap"]: entry for entry in json.loads((tmp_path / "audit.json").read_text())}
    assert audited["near-identical protein"]["tested"] == 48
    assert len(resolve_models([str(tmp_path)])) == 3


@pytest.mark.parametrize("preset", PRESETS)
def test_the_default_recipe_of_every_preset_goes_to_the_end(dataset, preset, tmp_path, observer, no_audit):
    experiment = resolve_experiment(str(dataset.folder), labels=("a",), preset=preset, epochs=1, batch_size=16)
    rows = cross_validate(
        experiment,
        RunOptions("chromosome", folds=2, valid_fraction=0.2, resamples=20),
        tmp_path,
        CPU,
        resume=False,
        observer=observer,
    )
    overall = {row["model"]: row["metrics"]["r2"]["value"] for row in rows if row["scope"] == "all"}
    assert {"seqexpr", "untrained_model", "composition_boosted_trees"} <= set(overall)
    assert all(np.isfinite(list(overall.values())))
    flow = load_model(next(tmp_path.glob("folds/*/weights.safetensors"))).metadata.config
    assert flow.members > 1 and flow.kernel_genes == len(dataset)


def test_every_gene_is_predicted_by_the_network_that_did_not_see_its_chromosome(
    experiment, options, dataset, tmp_path, observer, no_audit
):
    cross_validate(experiment, options, tmp_path, CPU, resume=False, observer=observer)
    table = pd.read_csv(tmp_path / "predictions.tsv", sep="\t", dtype={"chrom": str})
    assert table.loc[table["output"] == "a", "id"].tolist() == dataset.ids
    assert (table.groupby("chrom")["fold"].nunique() == 1).all()
    for fold in range(3):
        model = load_model(tmp_path / f"folds/{fold}/weights.safetensors")
        mine = table[(table["fold"] == fold) & (table["output"] == "a")]
        rows = np.array([dataset.ids.index(gene) for gene in mine["id"]])
        np.testing.assert_allclose(predict_rows(model, dataset, rows, 8)[:, 0], mine["prediction"], atol=1e-5)


def test_resumed_equals_uninterrupted(experiment, options, tmp_path, no_audit):
    cross_validate(experiment, options, tmp_path / "whole", CPU, resume=False, observer=SilentObserver())
    with pytest.raises(KeyboardInterrupt):
        cross_validate(experiment, options, tmp_path / "parts", CPU, resume=False, observer=SilentObserver((1, 2, 1)))
    second = SilentObserver()
    cross_validate(experiment, options, tmp_path / "parts", CPU, resume=True, observer=second)
    assert second.folds == [1, 2]
    assert same_results(tmp_path / "whole", tmp_path / "parts")


def test_used_folder_and_impossible_folds(experiment, options, tmp_path, observer):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="exists already"):
        cross_validate(experiment, options, tmp_path, CPU, resume=False, observer=observer)
    with pytest.raises(UsageError, match="6 chromosomes cannot make 7 folds"):
        cross_validate(experiment, replace(options, folds=7), tmp_path / "new", CPU, resume=False, observer=observer)
    with pytest.raises(UsageError, match="there is no fold 3; 3 folds are numbered from 0 to 2"):
        run_folds(experiment, options, tmp_path / "new", CPU, [3], observer=observer)
    assert not (tmp_path / "new").exists()


def test_folds_in_processes_give_the_same_and_go_on_after_a_failure(experiment, options, tmp_path, no_audit):
    """One fold's checkpoint is damaged: it is named, the fold before it stays, and nothing is left running."""
    cross_validate(experiment, options, tmp_path / "one", CPU, resume=False, observer=SilentObserver())
    out, damaged = tmp_path / "many", tmp_path / "many/folds/2/checkpoint/state.safetensors"
    run_folds(experiment, options, out, CPU, [0], observer=SilentObserver())
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no state")
    with pytest.raises(InputError, match=r"^fold 2: .*state.safetensors: found a damaged or foreign file"):
        cross_validate(experiment, options, out, CPU, resume=True, observer=SilentObserver(), jobs=2)
    assert multiprocessing.active_children() == []
    assert (out / "folds/0/.done").exists()
    assert not (out / ".done").exists()
    damaged.unlink()
    observer = SilentObserver()
    cross_validate(experiment, options, out, CPU, resume=True, observer=observer, jobs=2)
    assert set(observer.folds) == set(observer.done) >= {2}
    assert 0 not in observer.folds
    assert {(fold, row["epoch"]) for fold, row in observer.epochs} >= {(2, 1), (2, 2)}
    assert same_results(tmp_path / "one", out)


def test_a_fold_of_another_process_is_left_to_it(experiment, options, tmp_path):
    out = tmp_path / "run"
    (out / "folds").mkdir(parents=True)
    observer = SilentObserver()
    run_folds(experiment, options, tmp_path / "made", CPU, [], observer=observer)
    (tmp_path / "made/manifest.json").rename(out / "manifest.json")
    with FileLock(out / "folds/.1.lock"):
        assert run_folds(experiment, options, out, CPU, [1, 2], observer=observer) == [2]
    assert observer.folds == [2]
    assert observer.stages == ["left to the process that is running them: folds 1"]


def test_folds_of_other_options_are_refused(experiment, options, tmp_path, observer):
    run_folds(experiment, options, tmp_path, CPU, [], observer=observer)
    with pytest.raises(UsageError, match=r"started with other options \(valid_fraction was 0.2, now 0.3\)"):
        run_folds(experiment, replace(options, valid_fraction=0.3), tmp_path, CPU, [0], observer=observer)


def test_other_labels_and_other_folds_are_other_options(experiment, options, dataset, tmp_path, observer):
    """What decides the result without being an option: the dataset's labels, and where a gene falls."""
    import copy

    run_folds(experiment, options, tmp_path, CPU, [], observer=observer)
    changed = copy.copy(dataset)
    changed.genes = dataset.genes.copy()
    changed.genes.loc[7, "a"] += 1e-9
    with pytest.raises(UsageError, match=r"\(the dataset has other genes or labels now\)"):
        run_folds(replace(experiment, dataset=changed), options, tmp_path, CPU, [0], observer=observer)
    changed.genes = dataset.genes.copy()
    changed.genes.loc[[0, 1], "chrom"] = ["2", "1"]
    with pytest.raises(UsageError, match=r"\(the genes are divided otherwise now\)"):
        run_folds(replace(experiment, dataset=changed), options, tmp_path, CPU, [0], observer=observer)


def test_other_sequences_are_another_dataset(experiment, options, tmp_path, observer):
    """The manifest of the small dataset lists no sources, by which a change could be seen."""
    run_folds(experiment, options, tmp_path / "run", CPU, [], observer=observer)
    moved = tmp_path / "moved"
    shutil.copytree(experiment.dataset.folder, moved)
    other = replace(experiment, task=str(moved), dataset=PreparedDataset.open(moved))
    assert run_folds(other, options, tmp_path / "run", CPU, [], observer=observer) == []
    sequences = moved / "sequences.safetensors"
    content = bytearray(sequences.read_bytes())
    content[2000] = content[2000] % 4 + 1
    sequences.write_bytes(content)
    other = replace(other, dataset=PreparedDataset.open(moved))
    with pytest.raises(InputError, match=r"sequences\.safetensors: found SHA-256"):
        run_folds(other, options, tmp_path / "run", CPU, [], observer=observer)
    described = json.loads((moved / "manifest.json").read_text())  # as if it had been prepared so
    described["content"]["sequences.safetensors"] = sha256_file(sequences)
    write_json(moved / "manifest.json", described)
    other = replace(other, dataset=PreparedDataset.open(moved))
    with pytest.raises(UsageError, match=r"\(the dataset has other sequences or half-life features now\)"):
        run_folds(other, options, tmp_path / "run", CPU, [], observer=observer)


def test_a_folder_in_use_is_found_out_before_homologous_proteins_are_searched(
    experiment, options, tmp_path, observer, monkeypatch
):
    searched = []

    def grouped_genes(dataset, *_):
        searched.append(observer.stages[-1])
        return dataset.genes.assign(group=dataset.genes["chrom"]), {"source": "test"}

    monkeypatch.setattr(protocol, "grouped_genes", grouped_genes)
    (tmp_path / "notes.txt").touch()
    homology = replace(options, split="homology")
    with pytest.raises(UsageError, match="exists already"):
        cross_validate(experiment, homology, tmp_path, CPU, resume=False, observer=observer)
    with pytest.raises(InputError, match="no readable manifest"):
        run_folds(experiment, homology, tmp_path, CPU, [], observer=observer)
    assert searched == []
    run_folds(experiment, homology, tmp_path / "new", CPU, [], observer=observer)
    assert searched == ["homologous proteins (MMseqs2)"]


@pytest.mark.parametrize(("jobs", "only", "threads"), [(4, [2], 4), (4, [1, 2, 1], 2), (1, [0, 1], 4), (9, [], 4)])
def test_threads_are_divided_among_the_folds_that_run(
    experiment, options, tmp_path, observer, monkeypatch, jobs, only, threads
):
    used = []

    def run_fold(*_, **__):
        used.append(torch.get_num_threads())
        return True

    def run_in_workers(*_, threads, **__):
        used.append(threads)
        return []

    monkeypatch.setattr(cross_validation, "run_fold", run_fold)
    monkeypatch.setattr(cross_validation, "run_in_workers", run_in_workers)
    with torch_threads(4):
        run_folds(experiment, options, tmp_path, CPU, only, observer=observer, jobs=jobs)
        assert torch.get_num_threads() == 4
    assert set(used) <= {threads}
    assert len(used) == (len(set(only)) if jobs == 1 or len(set(only)) < 2 else 1)
    assert json.loads((tmp_path / "manifest.json").read_text())["threads"] == threads


def test_groups_of_a_file(experiment, options, dataset, tmp_path, observer):
    table = tmp_path / "groups.tsv"
    table.write_text("".join(f"{gene}\tfamily{row // 5}\n" for row, gene in enumerate(dataset.ids)))
    grouped = replace(options, split="group", groups_file=table)
    settled, splits = divide_into_folds(experiment, grouped)
    family = pd.Series(fold_of(splits, 48)).groupby(np.arange(48) // 5).nunique()
    assert (family == 1).all()
    assert settled.options["groups"]["source"] == str(table)
    with pytest.raises(UsageError, match="--groups has no effect on a random split"):
        divide_into_folds(experiment, replace(grouped, split="random"))


def test_negative_control_permutes_whole_rows_of_labels_everywhere(
    experiment, options, dataset, tmp_path, observer, no_audit
):
    options = replace(options, permute_labels=True)
    settled, _ = divide_into_folds(experiment, options)
    assert settled.options["permute_labels"] is True
    before, after = experiment.values(), settled.values()
    assert not np.array_equal(before, after, equal_nan=True)
    assert {tuple(row) for row in before.tolist() if row[1] == row[1]} == {
        tuple(row) for row in after.tolist() if row[1] == row[1]
    }
    lone = after[np.isnan(after[:, 1]), 0]
    assert lone.tolist() == [before[5, 0]]  # the gene without b took its a along
    rows = cross_validate(experiment, options, tmp_path, CPU, resume=False, observer=observer)
    table = pd.read_csv(tmp_path / "predictions.tsv", sep="\t")
    np.testing.assert_array_equal(table.loc[table["output"] == "a", "label"], after[:, 0])
    strong = next(row for row in rows if (row["model"], row["output"]) == ("composition_ridge", "a"))
    assert strong["metrics"]["r2"]["value"] < 0.2  # 0.93 with the labels in place
