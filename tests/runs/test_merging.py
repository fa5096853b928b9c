from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.files import sha256_file
from seqexpr.runs import finish, merging
from seqexpr.runs.cross_validation import cross_validate, run_folds
from seqexpr.runs.fold_run import torch_threads
from seqexpr.runs.merging import merge_runs
from seqexpr.runs.setup import RunOptions, resolve_experiment

from ..small_dataset import make_small_dataset
from .conftest import SilentObserver

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def own_dataset(tmp_path_factory):
    """A dataset that a test may change, and put back."""
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="module")
def experiment(own_dataset):
    named = {"labels": ("a", "b"), "preset": "dna-perceiver"}
    return resolve_experiment(str(own_dataset.folder), **named, epochs=1, batch_size=16)


@pytest.fixture(scope="module")
def options():
    return RunOptions("random", folds=3, valid_fraction=0.2, resamples=20, permute_labels=True)


@pytest.fixture(scope="module")
def folds(experiment, options, tmp_path_factory):
    """All folds, run one by one into one folder, and not merged."""
    folder = tmp_path_factory.mktemp("folds") / "run"
    assert run_folds(experiment, options, folder, CPU, [2], observer=SilentObserver()) == [2]
    assert run_folds(experiment, options, folder, CPU, [0, 1], observer=SilentObserver()) == [0, 1, 2]
    assert not (folder / "predictions.tsv").exists()
    return folder


def part(folds, target, *kept):
    """A run folder with some of the folds."""
    shutil.copytree(folds, target)
    for fold in {0, 1, 2} - set(kept):
        shutil.rmtree(target / f"folds/{fold}")
    return target


def merge(sources, out=None):
    return merge_runs(sources, out, CPU, observer=SilentObserver())


def test_merged_equals_uninterrupted(experiment, options, folds, tmp_path):
    """One shared folder, or two with some folds each: the same bytes as a run in one go, labels permuted or not."""
    rows = cross_validate(experiment, options, tmp_path / "whole", CPU, resume=False, observer=SilentObserver())
    shared, *apart = (
        part(folds, tmp_path / "shared", 0, 1, 2),
        *(part(folds, tmp_path / name, *kept) for name, kept in (("x", (1,)), ("y", (0, 2)))),
    )
    assert merge([shared]) == (shared, rows)
    assert merge(apart, tmp_path / "merged") == (tmp_path / "merged", rows)
    for folder in (shared, tmp_path / "merged"):
        assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
        for name in ("predictions.tsv", "baselines.tsv", "metrics.json", "metrics.tsv", "audit.json"):
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
        for fold in range(3):
            name = f"folds/{fold}/weights.safetensors"
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    stored = json.loads((tmp_path / "merged/manifest.json").read_text())
    assert stored["merged"] == [str(folder) for folder in apart]
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["folds", "manifest.json"]  # left as it was


def test_missing_folds_are_named_with_their_command(folds, tmp_path):
    folder = part(folds, tmp_path / "my run", 1)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["command"] = [
        *("seqexpr", "cv", "--task", "x", "--only-fold", "1", "--only-fold=0", "-q", "--folds", "3", "--quiet"),
        *("--out", "old", "--out=old", "--resume", "--label", "a b"),
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MissingDataError) as caught:
        merge([folder])
    assert str(caught.value) == (
        f"{folder}: folds 0, 2 of 3 missing; run: seqexpr cv --task x --folds 3 --label 'a b' "
        f"--only-fold 0 --only-fold 2 --out '{folder}'"
    )


def test_a_fold_twice_and_other_options_are_errors_that_name_both(experiment, options, folds, tmp_path):
    one, other = part(folds, tmp_path / "one", 0, 1), part(folds, tmp_path / "other", 1, 2)
    with pytest.raises(UsageError, match=rf"fold 1 is in both {one} and {other}"):
        merge([one, other], tmp_path / "out")
    third = tmp_path / "third"
    run_folds(experiment, replace(options, resamples=30), third, CPU, [], observer=SilentObserver())
    with pytest.raises(UsageError, match=rf"{one} and {third} were run with different options \(resamples was 20"):
        merge([one, third], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_the_whole_run_goes(folds, tmp_path):
    one, other = part(folds, tmp_path / "one", 0, 1), part(folds, tmp_path / "other", 2)
    with pytest.raises(UsageError, match="say with --out where it goes"):
        merge([one, other])
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine.txt").touch()
    with pytest.raises(UsageError, match="used exists already; choose another --out"):
        merge([one, other], used)
    assert [path.name for path in used.iterdir()] == ["mine.txt"]


def test_another_dataset_is_found_out(own_dataset, folds, tmp_path):
    table = own_dataset.folder / "genes.tsv"
    before = table.read_text()
    manifest = own_dataset.folder / "manifest.json"
    described = manifest.read_text()

    def prepare_again(row: str) -> None:
        table.write_text("\n".join([first, row, *rest]) + "\n")
        stored = json.loads(described)
        stored["content"]["genes.tsv"] = sha256_file(table)
        manifest.write_text(json.dumps(stored))

    first, second, *rest = before.splitlines()
    cells = second.split("\t")
    place = first.split("\t").index("a")
    cells[place] = str(float(cells[place]) + 1)
    try:
        prepare_again("\t".join(cells))
        with pytest.raises(InputError, match="found other genes or labels than when the folds were run"):
            merge([folds], tmp_path / "out")
        place = first.split("\t").index("cds_len")
        cells = second.split("\t")
        cells[place] = str(float(cells[place]) + 1)
        prepare_again("\t".join(cells))
        with pytest.raises(InputError, match="found other sequences or half-life features than when the folds were"):
            merge([folds], tmp_path / "out")
    finally:
        table.write_text(before)
        manifest.write_text(described)
    away = own_dataset.folder.with_name("away")
    own_dataset.folder.rename(away)
    try:
        with pytest.raises(MissingDataError, match=r"the dataset of .* is not at .*small any more"):
            merge([folds], tmp_path / "out")
    finally:
        away.rename(own_dataset.folder)


def test_folds_of_machines_with_the_dataset_in_different_places(own_dataset, options, tmp_path, no_audit):
    """Each node has the dataset and the groups in a folder of its own, and the first node's is gone by now."""
    runs = []
    for node, kept in (("node1", [0]), ("node2", [1, 2])):
        scratch = tmp_path / node
        shutil.copytree(own_dataset.folder, scratch / "data")
        (scratch / "groups.tsv").write_text("".join(f"g{row}\tfamily{row // 5}\n" for row in range(48)))
        named = {"labels": ("a",), "preset": "dna-perceiver"}
        experiment = resolve_experiment(str(scratch / "data"), **named, epochs=1, batch_size=16)
        grouped = replace(options, split="group", groups_file=scratch / "groups.tsv")
        run_folds(experiment, grouped, scratch / "run", CPU, kept, observer=SilentObserver())
        runs.append(scratch / "run")
    shutil.rmtree(tmp_path / "node1/data")
    out, rows = merge(runs, tmp_path / "merged")
    assert {row["n"] for row in rows if row["scope"] == "all"} == {48}
    stored = json.loads((out / "manifest.json").read_text())["options"]
    assert stored["dataset"]["folder"] == str(tmp_path / "node2/data")
    shutil.rmtree(tmp_path / "node2/data")
    with pytest.raises(MissingDataError, match=r"the dataset of .*node1/run is not at .*node1/data any more"):
        merge(runs, tmp_path / "again")


def test_a_merge_that_was_interrupted_is_ended_by_merging_what_it_made(folds, tmp_path, monkeypatch, no_audit):
    one, other, out = part(folds, tmp_path / "one", 0, 1), part(folds, tmp_path / "other", 2), tmp_path / "out"

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(merging, "finish_cv", interrupted)
        merge([one, other], out)
    with pytest.raises(UsageError, match=f"from a merge that did not end; run: seqexpr cv --merge {out}$"):
        merge([one, other], out)
    with pytest.raises(UsageError, match="out exists already; choose another --out"):
        merge([other, one], out)
    merge([out])
    with pytest.raises(UsageError, match="out exists already; choose another --out"):
        merge([one, other], out)


def test_the_untrained_network_has_the_threads_of_a_fold_and_the_audit_all(folds, tmp_path, monkeypatch):
    folder, used = part(folds, tmp_path / "run", 0, 1, 2), []
    honest = finish.predict_baselines

    def predict_baselines(*arguments, **options):
        used.append(torch.get_num_threads())
        return honest(*arguments, **options)

    def audit_overlap(*_, threads, **__):
        used.append(threads)
        return []

    monkeypatch.setattr(finish, "predict_baselines", predict_baselines)
    monkeypatch.setattr(finish, "audit_overlap", audit_overlap)
    with torch_threads(3):
        merge_runs([folder], None, CPU, observer=SilentObserver(), threads=2)
    assert used == [2, 3]


def test_damaged_folds_are_found_out(folds, tmp_path):
    folder = part(folds, tmp_path / "run", 0, 1, 2)
    shutil.copy(folder / "folds/0/predictions.tsv", folder / "folds/1/predictions.tsv")
    with pytest.raises(InputError, match=r"folds/1/predictions.tsv, line 2, id .*: found fold 0; expected fold 1"):
        merge([folder])
    run_of_old = json.loads((folder / "manifest.json").read_text())
    del run_of_old["options"]["digests"]
    (folder / "manifest.json").write_text(json.dumps(run_of_old))
    with pytest.raises(InputError, match="a run without digests of its data"):
        merge([folder])


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("id", "g999", "a gene that the dataset does not have"),
        ("fold", "2", "found fold 2; expected fold 1"),
        ("output", "c", "found output 'c'; expected one of a, b"),
        ("label", "77", "found label 77.0; expected .* as in the dataset"),
        ("chrom", "9", "found chrom '9'"),
        ("prediction", "1e300", "found prediction 1e.300"),
        ("prediction", "", "found prediction nan"),
        ("prediction", "0.5", "found SHA-256"),
    ],
)
def test_each_cell_of_a_folds_predictions_is_checked(folds, tmp_path, column, cell, said):
    folder = part(folds, tmp_path / "run", 0, 1, 2)
    path = folder / "folds/1/predictions.tsv"
    head, first, *rest = path.read_text().splitlines()
    cells = first.split("\t")
    cells[head.split("\t").index(column)] = cell
    path.write_text("\n".join([head, "\t".join(cells), *rest]) + "\n")
    with pytest.raises(InputError, match=rf"folds/1/predictions\.tsv.*{said}"):
        merge([folder])


@pytest.mark.parametrize(("sd", "said"), [("-1", "-1.0"), ("0", "0.0"), ("1e300", "1e.300"), ("", "nan")])
def test_each_sd_of_a_folds_predictions_is_checked(folds, tmp_path, sd, said):
    folder = part(folds, tmp_path / "run", 0, 1, 2)
    path = folder / "folds/1/predictions.tsv"
    head, first, *rest = path.read_text().splitlines()
    rest = [f"{row}\t0.5" for row in rest]
    path.write_text("\n".join([f"{head}\tsd", f"{first}\t{sd}", *rest]) + "\n")
    with pytest.raises(InputError, match=rf"folds/1/predictions\.tsv, line 2, .*: found sd {said}; expected a number"):
        merge([folder])


def test_the_epochs_of_a_fold_are_as_it_wrote_them(folds, tmp_path):
    folder, out = part(folds, tmp_path / "run", 0, 1, 2), tmp_path / "out"
    path = folder / "folds/1/metrics.jsonl"
    path.write_text(path.read_text().replace('"valid_r2": ', '"valid_r2": 1'))
    with pytest.raises(InputError, match=r"folds/1/metrics\.jsonl: found SHA-256 .* as it was written by the run"):
        merge([folder], out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("recipe",), {}),
        (("recipe", "batch_size"), "x"),
        (("recipe", "betas"), [0.9]),
        (("recipe", "model"), []),
        (("recipe", "unheard_of"), 1),
        (("dataset",), {}),
        (("digests",), {}),
    ],
)
def test_a_damaged_manifest_is_named(folds, tmp_path, keys, value):
    folder = part(folds, tmp_path / "run", 0, 1, 2)
    stored = json.loads((folder / "manifest.json").read_text())
    inner = stored["options"]
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (folder / "manifest.json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match=rf"manifest\.json.*{keys[-1]}"):
        merge([folder])
