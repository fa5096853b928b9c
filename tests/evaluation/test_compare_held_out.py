from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.evaluation.compare import HeldOut, read_baselines, read_held_out
from seqexpr.files import write_json

TABLE = "gene\tlabel\tprediction\ng0\t1\t1.5\ng1\t2\t2.5\n"
OUT_OF_FOLD = "id\tchrom\tfold\toutput\tlabel\tprediction\n"


def make_run(folder: Path, predictions: str | None, kind: str = "cv", **more: Any) -> Path:
    folder.mkdir()
    write_json(folder / "manifest.json", {"kind": kind, **more})
    if predictions is not None:
        (folder / "predictions.tsv").write_text(predictions)
    return folder


def rows(tested: HeldOut, output: str = "") -> list[tuple]:
    return list(tested.of(output).itertuples(index=False, name=None))


def test_a_run_s_outputs_with_the_genes_that_have_a_label(tmp_path):
    text = f"{OUT_OF_FOLD}g0\t1\t0\ta\t1\t1.5\ng1\t1\t1\ta\t\t2.5\ng0\t1\t0\tb\t3\t3.5\ng1\t1\t1\tb\t4\t4.5\n"
    tested = read_held_out(make_run(tmp_path / "run", text, options={"seed": 1}))
    assert (tested.name, tested.file) == (str(tmp_path / "run"), str(tmp_path / "run" / "predictions.tsv"))
    assert (tested.outputs, tested.names_outputs, tested.part, tested.permuted) == (["a", "b"], True, "", False)
    assert rows(tested, "a") == [("g0", 1.0, 1.5)]
    assert rows(tested, "b") == [("g0", 3.0, 3.5), ("g1", 4.0, 4.5)]
    assert tested.manifest["options"] == {"seed": 1}


@pytest.mark.parametrize("kind", ["plain", "gzip", "csv", "stdin"])
def test_a_table_of_anybody_s(tmp_path, monkeypatch, kind):
    path = {"gzip": "t.tsv.gz", "csv": "t.csv"}.get(kind, "t.tsv")
    text = TABLE.replace("\t", ",") if kind == "csv" else TABLE
    data = gzip.compress(text.encode()) if kind == "gzip" else text.encode()
    if kind == "stdin":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        tested = read_held_out("-")
    else:
        (tmp_path / path).write_bytes(data)
        tested = read_held_out(tmp_path / path)
    assert rows(tested) == [("g0", 1.0, 1.5), ("g1", 2.0, 2.5)]
    assert rows(tested, "mrna") == rows(tested)  # it has no names, and so stands for any
    assert (tested.outputs, tested.names_outputs, tested.manifest, tested.permuted) == ([""], False, {}, False)


@pytest.mark.parametrize(
    ("parts", "part", "kept"),
    [(("valid", "test", "test"), "test", ["g1", "g2"]), (("valid", "valid", "valid"), "valid", ["g0", "g1", "g2"])],
)
def test_of_a_training_the_test_part_where_there_is_one(tmp_path, parts, part, kept):
    lines = "".join(f"g{row}\t1\t{name}\ta\t{row}\t{row}\n" for row, name in enumerate(parts))
    folder = make_run(tmp_path / "run", "id\tchrom\tsplit\toutput\tlabel\tprediction\n" + lines, kind="train")
    tested = read_held_out(folder)
    assert (tested.part, tested.of("a")["id"].tolist()) == (part, kept)


def test_a_negative_control_is_known(tmp_path):
    folder = make_run(tmp_path / "run", OUT_OF_FOLD + "g0\t1\t0\ta\t1\t1\n", options={"permute_labels": True})
    assert read_held_out(folder).permuted


def test_baselines_each_under_its_name(tmp_path):
    folder = make_run(tmp_path / "run", OUT_OF_FOLD + "g0\t1\t0\ta\t1\t1.5\n")
    text = "id\tchrom\tfold\tmodel\toutput\tlabel\tprediction\n"
    text += "g0\t1\t0\tridge\ta\t1\t2.5\ng0\t1\t0\tridge\tb\t3\t4.5\ng0\t1\t0\tmean\ta\t1\t0\n"
    (folder / "baselines.tsv").write_text(text)
    ridge, mean = read_baselines(folder)
    assert (ridge.name, ridge.file, ridge.outputs) == ("ridge", str(folder / "baselines.tsv"), ["a", "b"])
    assert rows(ridge, "b") == [("g0", 3.0, 4.5)]
    assert (mean.name, rows(mean, "a")) == ("mean", [("g0", 1.0, 0.0)])
    assert mean.manifest["kind"] == "cv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gene\tprediction\ng0\t1\n", "header: found no column label; expected an id column"),
        ("label\tprediction\n1\t1\n", "header: found no column label"),  # the first column is the id, whatever its name
        ("gene\ta\tb\ng0\t1\t1\n", "header: found no column label and no column prediction"),
        (TABLE + "g0\t3\t3\n", "line 4, id 'g0': found this gene again; expected one row per gene and output"),
        (TABLE + "\t3\t3\n", "line 4, id '': found an empty id"),
        (TABLE + "g2\t3\t\n", "line 4, id 'g2': found a label and no prediction"),
        (TABLE + "g2\t3\tinf\n", "line 4, column 'prediction': found 'inf'"),
        ("gene\tlabel\tprediction\ng0\t\t1\n", "found no gene with a label"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_place(tmp_path, text, message):
    path = tmp_path / "t.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as problem:
        read_held_out(path)
    assert str(problem.value).startswith(str(path)) and message in str(problem.value)


def test_a_gene_may_come_again_for_another_output(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("id\toutput\tlabel\tprediction\ng0\ta\t1\t1\ng0\tb\t1\t1\n")
    assert read_held_out(path).outputs == ["a", "b"]


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        (["seqexpr", "cv", "--task", "t", "--out", "a b"], "seqexpr cv --task t --out FOLDER --resume"),
        (["seqexpr", "cv", "--task", "t", "--resume"], "seqexpr cv --task t --out FOLDER --resume"),
        (["seqexpr", "cv", "--task", "t", "--only-fold", "1"], "seqexpr cv --task t --only-fold 1 --out FOLDER"),
        (["seqexpr", "cv", "--task", "t", "--only-fold=1"], "seqexpr cv --task t --only-fold 1 --out FOLDER"),
    ],
)
def test_a_run_that_has_not_ended_is_told_with_the_command_that_ends_it(tmp_path, command, rest):
    folder = make_run(tmp_path / "run", None, command=command, options={"folds": 3})
    with pytest.raises(MissingDataError) as problem:
        read_held_out(folder)
    expected = f"{folder} has no predictions.tsv: the run has not ended; run: {rest}"
    assert str(problem.value) == expected.replace("FOLDER", str(folder))


def test_a_merge_that_did_not_end_is_ended_by_merging_itself(tmp_path):
    folder = make_run(tmp_path / "run", None, command=["seqexpr", "cv", "--task", "t"], merged=["a", "b"])
    with pytest.raises(MissingDataError, match=f"run: seqexpr cv --merge {folder}$"):
        read_held_out(folder)


def test_a_run_without_baselines(tmp_path):
    done = make_run(tmp_path / "cv", OUT_OF_FOLD + "g0\t1\t0\ta\t1\t1.5\n")
    with pytest.raises(MissingDataError, match=r"has no baselines.tsv; run: seqexpr cv --merge "):
        read_baselines(done)
    trained = make_run(tmp_path / "train", None, kind="train")
    with pytest.raises(UsageError, match="has no baselines, for it has no test genes; name a second run"):
        read_baselines(trained)
    with pytest.raises(
        UsageError, match=r"t\.tsv is no run folder and so has no baselines; name a second run or table"
    ):
        read_baselines(tmp_path / "t.tsv")


@pytest.mark.parametrize("read", [read_held_out, read_baselines])
def test_other_folders_are_no_runs(tmp_path, read):
    with pytest.raises(InputError, match=r"found no readable manifest.json"):
        read(tmp_path)
    with pytest.raises(InputError, match="found a folder of kind 'dataset'; expected the run folder of cv or train"):
        read(make_run(tmp_path / "data", None, kind="dataset"))
