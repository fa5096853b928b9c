"""`seqexpr compare` as a whole command."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from seqexpr.cli.compare import Metric, _verdict
from seqexpr.evaluation.metrics import METRICS
from seqexpr.files import write_json

from ..evaluation.finished_run import make_run

HEADER = "run\tlabel\tn\tmetric\tfirst\tother\tdifference\tlow\thigh\tfirst_better"
QUICK = ("--resamples", 100)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Ninety genes; the first has no label."""
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(autouse=True)
def folder_of_runs(run, monkeypatch) -> None:
    """Names as short as a user's."""
    monkeypatch.chdir(run.parent)


@pytest.fixture
def worse(run, tmp_path) -> Path:
    """The same run with larger errors, and without three of its genes."""
    folder = tmp_path / "worse"
    shutil.copytree(run, folder)
    table = pd.read_csv(folder / "predictions.tsv", sep="\t")
    table["prediction"] += table["prediction"] - table["label"]
    table.iloc[:-3].to_csv(folder / "predictions.tsv", sep="\t", index=False)
    return folder


def test_a_run_against_its_baselines(seqexpr, run):
    done = seqexpr("compare", "run", "--resamples", 1000)
    assert done.code == 0
    against_mean, against_ridge = done.err.splitlines()
    assert against_mean.startswith("mrna: run is better than training mean (r2 +")
    assert against_ridge.startswith("mrna: run is better than composition ridge (pearson_r2 +")
    assert against_ridge.endswith("; 89 genes)") and "95 % interval +" in against_ridge
    header, *lines = done.out.splitlines()
    assert header == HEADER
    rows = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
    assert [(row["run"], row["metric"]) for row in rows] == [
        (baseline, metric) for baseline in ("training_mean", "composition_ridge") for metric in METRICS
    ]
    assert {(row["label"], row["n"]) for row in rows} == {("mrna", "89")}
    undefined = [row for row in rows if row["run"] == "training_mean" and row["metric"] in ("pearson_r2", "spearman")]
    assert all(row["first"] and not row["other"] + row["difference"] + row["low"] for row in undefined)
    ridge = rows[len(METRICS)]
    assert float(ridge["first"]) - float(ridge["other"]) == pytest.approx(float(ridge["difference"]), abs=2e-4)
    assert float(ridge["low"]) < float(ridge["difference"]) < float(ridge["high"])
    assert float(ridge["first_better"]) > 0.95


def test_a_second_run_over_the_genes_that_both_tested(seqexpr, worse):
    done = seqexpr("compare", "run", worse, "--metric", "rmse", *QUICK)
    counted, verdict = done.err.splitlines()
    assert (done.code, counted) == (0, "mrna: 86 genes in both, 3 only in run (left out)")
    assert verdict.startswith(f"mrna: run is better than {worse} (rmse -")
    header, line = done.out.splitlines()
    row = dict(zip(header.split("\t"), line.split("\t"), strict=True))
    assert (row["run"], row["n"], row["metric"], row["first_better"]) == (str(worse), "86", "rmse", "1.0000")
    assert float(row["other"]) == pytest.approx(2 * float(row["first"]), abs=2e-4)  # every error is doubled
    assert float(row["difference"]) == pytest.approx(-float(row["first"]), abs=2e-4)


def test_every_further_run_is_compared_with_the_first_and_json_says_how(seqexpr, worse):
    done = seqexpr("compare", worse, "run", "run", "--metric", "r2", "--json", "--seed", 4, "--quiet", *QUICK)
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert {name: told[name] for name in ("first", "resamples", "seed")} == {
        "first": str(worse),
        "resamples": 100,
        "seed": 4,
    }
    one, two = told["comparisons"]
    assert one == two and list(one) == HEADER.split("\t")
    assert (one["run"], one["n"], one["metric"], one["first_better"]) == ("run", 86, "r2", 0.0)
    assert one["difference"] == pytest.approx(one["first"] - one["other"])


def test_a_value_that_is_not_defined_is_null_in_json(seqexpr):
    told = json.loads(seqexpr("compare", "run", "--metric", "spearman", "--json", *QUICK).out)
    mean = told["comparisons"][0]
    assert [mean[name] for name in ("other", "difference", "low", "high", "first_better")] == [None] * 5


def test_a_table_from_standard_input_without_a_name_of_its_output(seqexpr, run):
    table = pd.read_csv(run / "predictions.tsv", sep="\t").dropna()
    text = table[["id", "label", "prediction"]].to_csv(sep="\t", index=False)
    done = seqexpr("compare", "run", "-", "--metric", "r2", *QUICK, stdin=text.encode())
    said = "mrna: these 89 genes cannot tell whether run or - is better (r2 +0.000, 95 % interval +0.000 to +0.000)\n"
    assert (done.code, done.err) == (0, said)
    name, output, n, _, first, other, *difference = done.out.splitlines()[1].split("\t")
    assert (name, output, n) == ("-", "mrna", "89")
    assert first == other and difference == ["0.0000", "0.0000", "0.0000", "0.5000"]


def test_different_splits_and_negative_controls_are_warned_of(seqexpr, run, tmp_path):
    control = tmp_path / "control"
    shutil.copytree(run, control)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["options"] |= {"split": "chromosome", "permute_labels": True}
    write_json(control / "manifest.json", manifest)
    done = seqexpr("compare", "run", control, "--metric", "r2", "--quiet", *QUICK)
    assert done.code == 0
    assert done.err == (
        f"seqexpr: warning: {control} is a negative control: its labels were permuted among the genes\n"
        f"seqexpr: warning: run and {control} used different splits (split random and chromosome): they learnt from "
        "different genes, so the comparison is not one of models alone\n"
    )


def test_validation_genes_are_warned_of(seqexpr, run, tmp_path):
    trained = tmp_path / "trained"
    shutil.copytree(run, trained)
    write_json(trained / "manifest.json", {"kind": "train", "options": {}})
    table = pd.read_csv(run / "predictions.tsv", sep="\t")
    table.rename(columns={"fold": "split"}).assign(split="valid").to_csv(
        trained / "predictions.tsv", sep="\t", index=False
    )
    done = seqexpr("compare", trained, trained, "--metric", "r2", *QUICK)
    assert done.code == 0
    assert "has no test genes: its validation genes chose the epoch, and flatter it\n" in done.err


def test_outputs_of_one_run_alone_are_told(seqexpr, tmp_path):
    for name, outputs in (("both", ("mrna", "protein")), ("one", ("mrna",))):
        make_run(tmp_path / name, outputs=outputs)
    done = seqexpr("compare", tmp_path / "both", tmp_path / "one", "--metric", "r2", *QUICK)
    assert (done.code, done.err.splitlines()[0]) == (0, f"only in {tmp_path / 'both'} (left out): protein")
    assert [line.split("\t")[1] for line in done.out.splitlines()[1:]] == ["mrna"]
    for option in ("--label", "--output"):  # the second is the name in version 0.1
        chosen = seqexpr("compare", tmp_path / "both", option, "protein", "--metric", "r2", *QUICK)
        assert [line.split("\t")[1] for line in chosen.out.splitlines()[1:]] == ["protein", "protein"]
    assert "--output" not in seqexpr("compare", "--help").out
    assert seqexpr("compare", tmp_path / "both", "--label", "mrna", "--output", "protein").code == 2


def test_a_terminal_gets_one_narrow_table(seqexpr, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")  # for rich that means 80 columns and no codes
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    done = seqexpr("compare", "run", "--metric", "r2", "--metric", "high_expressed_found", *QUICK)
    lines = [line.strip() for line in done.out.splitlines() if line.strip()]
    assert done.code == 0
    assert lines[0] == "mrna: run (first) over 89 genes"
    assert lines[1] == "paired bootstrap, 95 % intervals"
    assert lines[2].split() == ["first", "first"]
    assert re.split("  +", lines[3]) == ["other", "metric", "first", "other", "- other", "95 % interval", "better"]
    number, signed = r"-?\d\.\d{3}", r"[+-]\d\.\d{3}"
    rows = [rf"{name} +{number} +{number} +{signed} +{signed} to {signed} +\d+\.\d%" for name in ("r2", "high")]
    (mean, mean_found, ridge, ridge_found) = (line for line in lines[5:] if "%" in line)
    assert re.fullmatch(f"training mean +{rows[0]}", mean) and re.fullmatch(f"composition +{rows[0]}", ridge)
    assert re.fullmatch(rows[1], mean_found) and re.fullmatch(rows[1], ridge_found)
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "absent.tsv"], 3, "absent.tsv"),
        (["run", "other.tsv"], 3, "other.tsv: found 0 of the 89 genes of run for 'mrna'"),
        (["run", "changed.tsv"], 3, "changed.tsv, 'g7': found label 'mrna' 99, and other labels than there for 1 of 2"),
        (["changed.tsv"], 2, "changed.tsv is no run folder and so has no baselines; name a second run or table"),
        (["run", "run", "--label", "x"], 2, "run has no label 'x'; it has mrna"),
        (["unfinished", "run"], 4, "the run has not ended; run: seqexpr cv --task t --out unfinished --resume"),
        (
            ["run", "run", "--metric", "auc"],
            2,
            "Invalid value for '--metric': 'auc' is not one of 'r2', 'pearson_r2', 'spearman', 'rmse'",
        ),
        ([], 2, "Missing argument 'RUN'"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_its_code(seqexpr, run, arguments, code, said):
    first = pd.read_csv(run / "predictions.tsv", sep="\t").loc[7:8, ["id", "label", "prediction"]]
    first.assign(label=[99, first["label"].iloc[1]]).to_csv("changed.tsv", sep="\t", index=False)
    Path("other.tsv").write_text("id\tlabel\tprediction\nx\t1\t1\ny\t2\t2\n")
    Path("unfinished").mkdir(exist_ok=True)
    write_json("unfinished/manifest.json", {"kind": "cv", "command": ["seqexpr", "cv", "--task", "t"]})
    done = seqexpr("compare", *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("seqexpr: error: ") and said in done.err
    assert done.err.count("\n") == 1


def test_the_options_are_the_metrics_there_are():
    assert tuple(metric.value for metric in Metric) == METRICS


def test_a_sentence_names_both_metrics_where_they_disagree():
    """`cv` judges by r2: what `compare` says of the same run must not contradict it."""
    row = {"n": 9, "low": -0.1, "high": 0.2, "difference": 0.02}
    rows = [{**row, "metric": "pearson_r2"}, {**row, "metric": "r2"}]
    assert _verdict("mine", "other", "", rows).endswith("(pearson_r2 +0.020, 95 % interval -0.100 to +0.200)")
    rows[1] = {**rows[1], "difference": -0.5, "low": -0.7, "high": -0.3}
    assert _verdict("mine", "other", "", rows).endswith("; r2 -0.500, 95 % interval -0.700 to -0.300: worse")
