"""What fails after a training takes nothing away from it, and is all that is computed again."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from seqexpr.evaluation import baselines, scoring
from seqexpr.models.registry import resolve_models
from seqexpr.models.trained import read_metadata
from seqexpr.runs import finish
from seqexpr.runs.cross_validation import cross_validate
from seqexpr.runs.folder import read_failures
from seqexpr.runs.setup import RunOptions, resolve_experiment
from seqexpr.runs.train_run import train_once

from .conftest import SilentObserver

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
RESULTS = ("predictions.tsv", "baselines.tsv", "metrics.json", "metrics.tsv", "audit.json")


@pytest.fixture(scope="module")
def experiment(dataset):
    named = {"labels": ("a",), "preset": "dna-perceiver", "recipe": "paper"}
    return resolve_experiment(str(dataset.folder), **named, epochs=1, batch_size=16)


OPTIONS = RunOptions("chromosome", folds=2, valid_fraction=0.2, test_fraction=0.2, resamples=20)


@pytest.fixture(scope="module")
def whole(experiment, tmp_path_factory):
    """A training in which nothing fails."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train_once(experiment, OPTIONS, folder, CPU, resume=False, observer=SilentObserver())
    return folder


def broken(*_, **__):
    raise ValueError("it broke")


def breaks(step, patch):
    """Let one step fail; gives its name."""
    if step == "baseline":
        patch.setattr(baselines, "half_life_ridge", broken)
        return "the baseline half_life_ridge"
    if step == "audit":
        patch.setattr(finish, "audit_overlap", broken)
        return "the overlap audit"
    if step == "scores":
        honest = scoring.metrics_row

        def row(model, *rest, **options):
            return broken() if model == "composition_ridge" else honest(model, *rest, **options)

        patch.setattr(scoring, "metrics_row", row)
        return "the scores of composition_ridge"
    patch.setattr(finish, "write_report", broken)
    return "the report"


@pytest.mark.parametrize("step", ["baseline", "audit", "scores", "report"])
def test_what_fails_is_named_and_resuming_computes_that_alone(step, experiment, whole, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        name = breaks(step, patch)
        train_once(experiment, OPTIONS, folder, CPU, resume=False, observer=SilentObserver())
    assert read_failures(folder) == [name]
    assert f"{name} failed (ValueError: it broke)" in caplog.text
    assert not (folder / ".done").exists()
    if step != "report":
        assert f"<strong>{name}</strong>: ValueError: it broke" in (folder / "report.html").read_text()
    assert json.loads((folder / "failed.json").read_text())[0]["trace"][-1] == "ValueError: it broke"
    assert {"weights.safetensors", "predictions.tsv", "metrics.json", "metrics.tsv"} <= {
        path.name for path in folder.iterdir()
    }
    observer, computed = SilentObserver(), []
    honest = finish.predict_baselines
    monkeypatch.setattr(
        finish, "predict_baselines", lambda *a, known, **k: computed.append(set(known)) or honest(*a, known=known, **k)
    )
    train_once(experiment, OPTIONS, folder, CPU, resume=True, observer=observer)
    assert observer.epochs == []
    assert ("half_life_ridge" in computed[0]) == (step != "baseline")
    assert ("composition_ridge" in computed[0]) and len(computed[0]) >= 4
    scored = {part for stage, part in observer.parts if stage.startswith("overlap")}
    assert bool(scored) == (step == "audit")
    assert read_failures(folder) == [] and not (folder / "failed.json").exists()
    assert (folder / ".done").exists() and (folder / "report.html").exists()
    for result in RESULTS:
        assert (folder / result).read_bytes() == (whole / result).read_bytes(), result


def test_a_full_disk_ends_the_run(experiment, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(finish, "write_report", full)
    monkeypatch.setattr(finish, "audit_overlap", lambda *_, **__: [])
    with pytest.raises(OSError, match="No space left"):
        train_once(experiment, OPTIONS, tmp_path / "run", CPU, resume=False, observer=SilentObserver())
    assert not (tmp_path / "run/.done").exists()


def test_weights_of_a_fold_tell_what_those_of_train_tell(experiment, whole, tmp_path, no_audit):
    cross_validate(experiment, OPTIONS, tmp_path, CPU, resume=False, observer=SilentObserver())
    (fold,) = resolve_models([str(tmp_path / "folds/1")])
    own, of_train = read_metadata(fold).training, read_metadata(whole / "weights.safetensors").training
    assert own.keys() == of_train.keys()
    assert [row["scope"] for row in own["metrics"]] == ["valid", "fold 1"]
    assert [row["scope"] for row in of_train["metrics"]] == ["valid", "test"]
    rows = json.loads((tmp_path / "metrics.json").read_text())
    assert own["metrics"][1] in rows


def test_predictions_that_changed_make_all_else_stale(experiment, whole, tmp_path, no_audit):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    text = (folder / "predictions.tsv").read_text()
    (folder / "predictions.tsv").write_text(text.replace("\ttest\t", "\ttest\t", 1)[:-2] + "9\n")
    (folder / "baselines.tsv").write_text("damaged")
    train_once(experiment, OPTIONS, folder, CPU, resume=True, observer=SilentObserver())
    for result in ("predictions.tsv", "baselines.tsv", "metrics.json", "metrics.tsv"):
        assert (folder / result).read_bytes() == (whole / result).read_bytes(), result


def test_chromosomes_that_are_tested_and_those_that_choose_the_epoch(experiment, tmp_path, no_audit):
    import pandas as pd

    options = RunOptions(
        "chromosome",
        folds=2,
        resamples=0,
        test_chromosomes=(("chr1", "2"), ("3",)),
        valid_chromosomes=(("4",),),
    )
    rows = cross_validate(experiment, options, tmp_path, CPU, resume=False, observer=SilentObserver())
    table = pd.read_csv(tmp_path / "predictions.tsv", sep="\t", dtype={"chrom": str})
    assert set(zip(table["chrom"], table["fold"], strict=True)) == {("1", 0), ("2", 0), ("3", 1)}
    assert {row["n"] for row in rows if row["scope"] == "all"} == {24}
    stored = json.loads((tmp_path / "manifest.json").read_text())["options"]
    assert stored["test_chromosomes"] == [["chr1", "2"], ["3"]]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("metrics.json", '"value": ', '"value": 0.'),
        ("metrics.json", '"value": ', '"value": "x", "was": '),
        ("metrics.json", '"metrics": {', '"metrics": null, "was": {'),
        ("metrics.json", "[", "[" * 100_000),
        ("audit.json", '"tested": ', '"tested": 1'),
        ("audit.json", '"tested": ', '"tested": -'),
        ("baselines.tsv", "\ttraining_mean\t", "\tx\t"),
        ("metrics.jsonl", '"epoch": ', '"epoch": "x", "was": '),
    ],
)
def test_results_that_were_changed_are_computed_again(name, old, new, experiment, whole, tmp_path, caplog):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / name).write_text((folder / name).read_text().replace(old, new, 1))
    train_once(experiment, OPTIONS, folder, CPU, resume=True, observer=SilentObserver())
    if name != "metrics.jsonl":
        assert f"{name}" in caplog.text and "it is computed again" in caplog.text
    for result in (*RESULTS, "metrics.jsonl", ".done"):
        assert (folder / result).read_bytes() == (whole / result).read_bytes(), result
