from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

import pytest
import typer

from seqexpr.cli import run_display
from seqexpr.cli.console import set_up_logging
from seqexpr.cli.run_display import RunDisplay, _duration, _live_progress, show_results
from seqexpr.cli.score_tables import side_by_side
from seqexpr.evaluation.metrics import METRICS
from seqexpr.evaluation.verdict import lead, verdicts
from seqexpr.files import write_json

ROW = {"epoch": 2, "train_loss": 0.51234, "valid_loss": 0.6, "valid_r2": 0.3456, "seconds": 30.0}


def estimate(value):
    return {
        "value": value,
        "low": None if value is None else value - 0.1,
        "high": None if value is None else value + 0.1,
    }


def test_plain_line_of_an_epoch(capsys):
    set_up_logging()
    with RunDisplay() as display:
        display.on_begin(Path("run"), 10)
        first, other = display.on_fold(0, 5), display.on_fold(3, 5)
        first.on_step(2, 1, 7)
        first.on_epoch(ROW)
        first.on_epoch({**ROW, "epoch": 3})  # too soon for another line
        other.on_epoch({**ROW, "epoch": 1})  # but each fold has its own
        display.on_fold_done(0)
        display.on_stage("intervals")
    assert capsys.readouterr().err.splitlines() == [
        "fold 0 of 5, epoch 2 of at most 10: validation r2 0.346, loss 0.5123, 30.0 s an epoch, at most 4 min left",
        "fold 3 of 5, epoch 1 of at most 10: validation r2 0.346, loss 0.5123, 30.0 s an epoch, at most 4 min left",
        "intervals",
    ]


def test_a_stopped_run_of_single_folds_goes_on_with_these(tmp_path, capsys):
    manifest = {"kind": "cv", "command": ["seqexpr", "cv", "--only-fold", "0"], "options": {"folds": 3}}
    write_json(tmp_path / "manifest.json", manifest)
    set_up_logging()
    with pytest.raises(KeyboardInterrupt), RunDisplay([2]) as display:
        display.on_begin(tmp_path, 10)
        raise KeyboardInterrupt
    assert capsys.readouterr().err.endswith(f"to go on, run: seqexpr cv --only-fold 2 --out {tmp_path}\n")


def test_a_damaged_manifest_does_not_hide_that_the_run_was_stopped(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("{")
    set_up_logging()
    with pytest.raises(KeyboardInterrupt), RunDisplay() as display:
        display.on_begin(tmp_path, 10)
        raise KeyboardInterrupt
    assert capsys.readouterr().err.startswith(f"seqexpr: warning: stopped; {tmp_path / 'manifest.json'}: found text")


def test_line_of_the_only_training(capsys):
    set_up_logging()
    with RunDisplay() as display:
        display.on_begin(Path("run"), 10)
        display.on_epoch({**ROW, "epoch": 0})
        assert capsys.readouterr().err == "before the first epoch: validation r2 0.346, loss 0.5123, 30.0 s\n"
        display.on_step(2, 1, 7)
        display.on_epoch(ROW)
    assert capsys.readouterr().err.startswith("epoch 2 of at most 10: validation r2 0.346")


def test_a_stage_says_now_and_then_how_far_it_is_until_the_training_begins(capsys, monkeypatch):
    monkeypatch.setattr("seqexpr.cli.run_display._HEARTBEAT_SECONDS", 0.05)
    set_up_logging()
    with RunDisplay() as display:
        display.on_begin(Path("run"), 10)
        display.on_stage("learning from teachers")
        for step in range(300):
            display.on_part("loss 0.112", step, 2600)
        time.sleep(0.12)
        display.on_epoch({**ROW, "epoch": 0})
        time.sleep(0.12)
    first, *beats, last = capsys.readouterr().err.splitlines()
    assert first == "learning from teachers"
    assert 1 <= len(beats) <= 3  # no line for each step, and none once the training has begun
    assert set(beats) == {"learning from teachers: loss 0.112 (300 of 2,600), 0 s so far"}
    assert last.startswith("before the first epoch: ")


def test_a_stage_has_a_bar_on_a_terminal_until_the_training_begins(monkeypatch):
    from rich.console import Console

    written = io.StringIO()
    live = _live_progress()
    live.live.console = Console(file=written, force_terminal=True, width=100)
    monkeypatch.setattr("seqexpr.cli.run_display._live_progress", lambda: live)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    set_up_logging()
    with RunDisplay() as display:
        display.on_begin(Path("run"), 10)
        display.on_stage("learning from teachers")
        display.on_part("loss 0.112", 1299, 2600)
        (task,) = live.tasks
        assert (task.description, task.completed, task.total) == ("learning from teachers: loss 0.112", 1299, 2600)
        assert task.fields["count"] == "1,300 of 2,600"
        display.on_step(1, 1, 7)
        assert [task.description for task in live.tasks] == ["epoch 1: starting"]


def test_every_running_fold_has_a_live_line(monkeypatch):
    """On a terminal: a line for each fold that is running, gone when it is done."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    written = io.StringIO()
    live = Progress(TextColumn("{task.description}"), console=Console(file=written, force_terminal=True, width=100))
    monkeypatch.setattr("seqexpr.cli.run_display._live_progress", lambda: live)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    set_up_logging()
    with RunDisplay() as display:
        display.on_begin(Path("run"), 10)
        lines = {fold: display.on_fold(fold, 3) for fold in (0, 1)}
        lines[0].on_epoch(ROW)
        for line in lines.values():
            line.on_step(3, 1, 7)
        assert [task.description for task in live.tasks] == [
            "fold 0 of 3, epoch 3: validation r2 0.346, loss 0.5123",
            "fold 1 of 3, epoch 3: starting",
        ]
        assert [(task.completed, task.total) for task in live.tasks] == [(15, 70), (15, 70)]
        display.on_fold_done(0)
        assert [task.description for task in live.tasks] == ["fold 1 of 3, epoch 3: starting"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.4, "12 s"), (89, "89 s"), (120, "2 min"), (3_600, "60 min"), (7_200, "2.0 h")]
)
def test_durations(seconds, text):
    assert _duration(seconds) == text


def run_folder(folder, rows, **options):
    write_json(folder / "metrics.json", rows)
    write_json(folder / "manifest.json", {"kind": "cv", "options": {"permute_labels": False, **options}})
    return folder


def rows_of(values, output="a", scope="all"):
    """Rows of a network and its baselines from their r2, and the network's lead."""
    return [
        {
            **{"model": model, "output": output, "scope": scope, "n": 10},
            "metrics": {name: estimate(r2) for name in METRICS},
            **(
                {}
                if ahead is None
                else {
                    "difference": {
                        name: {"value": ahead, "low": ahead - 0.02, "high": ahead + 0.01} for name in METRICS
                    }
                }
            ),
        }
        for model, r2, ahead in values
    ]


def test_the_lead_over_the_strongest_baseline_in_a_line(capsys, tmp_path):
    rows = rows_of([("seqexpr", 0.5, None), ("half_life_ridge", 0.4, 0.1), ("composition_boosted_trees", 0.45, 0.05)])
    assert lead(rows) == "seqexpr minus composition boosted trees: pearson_r2 +0.050 [+0.030, +0.060], better"
    two = [*rows, *rows_of([("seqexpr", 0.3, None), ("training_mean", 0.4, -0.1)], output="b")]
    assert verdicts(two)[3] == "b: seqexpr minus training mean: pearson_r2 -0.100 [-0.120, -0.090], worse"
    assert lead(rows_of([("seqexpr", 0.5, None), ("training_mean", None, None)])) == ""
    even = rows_of([("seqexpr", 0.5, None), ("training_mean", 0.5, 0.0)])
    assert lead(even).endswith("[-0.020, +0.010], the data cannot tell which is better")
    set_up_logging()
    show_results(run_folder(tmp_path, rows))
    assert capsys.readouterr().err.splitlines() == [
        "r2 0.500 (95 % interval 0.400 to 0.600): the predictions explain 50% of the variance between held-out genes",
        "seqexpr minus composition boosted trees: pearson_r2 +0.050 [+0.030, +0.060], better",
        f"the run is in {tmp_path}; its report is {tmp_path / 'report.html'}",
    ]


def test_a_negative_control_says_so(capsys, tmp_path, monkeypatch):
    set_up_logging()
    rows = rows_of([("seqexpr", 0.01, None)])
    show_results(run_folder(tmp_path, rows, permute_labels=True))
    assert capsys.readouterr().err.startswith("negative control: the labels were permuted among the genes")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_results(tmp_path)
    assert "10 held-out genes of all folds labels permuted, 95 %" in " ".join(capsys.readouterr().out.split())


def test_a_verdict_on_permuted_labels_never_praises(capsys, tmp_path):
    """What an r2 of a negative control means is said as such: "explains 40 %" would contradict the line above it."""
    for r2, said in ((0.4, "more than permuted labels can give: a fault of the protocol"), (0.05, "as it should be")):
        (line,) = verdicts(rows_of([("seqexpr", r2, None)]), control=True)
        assert said in line and "explain" not in line


def test_results_as_tsv_show_the_genes_of_all_folds_only(capsys, tmp_path):
    metrics = {name: estimate(0.5) for name in ("r2", "spearman", "rmse", "high_expressed_found")}
    metrics["pearson_r2"] = estimate(None)
    rows = [
        {"model": "seqexpr", "output": "a", "scope": scope, "n": n, "metrics": metrics}
        for scope, n in (("all", 10), ("fold 0", 5))
    ]
    show_results(run_folder(tmp_path, rows))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    header = ["model", "label", "scope", "n", "r2", "pearson_r2", "pearson_r2_low", "pearson_r2_high"]
    header += ["lead", "lead_low", "lead_high"]
    assert lines[0].split("\t") == header
    assert lines[1].split("\t") == ["seqexpr", "a", "all", "10", "0.5000", *[""] * 6]
    show_results(tmp_path, all_metrics=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[4:10] == ["r2", "r2_low", "r2_high", *header[5:8]]
    assert lines[1].split("\t")[:10] == ["seqexpr", "a", "all", "10", "0.5000", "0.4000", "0.6000", "", "", ""]
    assert len(lines[0].split("\t")) == len(lines[1].split("\t")) == 4 + 5 * 3 + 3


@pytest.mark.parametrize(
    ("r2", "low", "high", "scope", "said"),
    [
        (0.4, 0.3, 0.5, "all", "the predictions explain 40% of the variance between held-out genes"),
        (
            -0.006,
            -0.02,
            0.01,
            "test",
            "no better than the genes' mean for held-out genes, as far as these 10 genes",
        ),
        (0.05, -0.02, 0.1, "test", "no better than the genes' mean for held-out genes"),
        (-0.3, -0.5, -0.1, "test", "worse than the genes' mean for held-out genes: nothing was learnt"),
        (0.4, 0.3, 0.5, "valid", "40% of the variance between validation genes, which chose the epoch and flatter it"),
    ],
)
def test_what_an_r2_means(r2, low, high, scope, said):
    row = {"model": "seqexpr", "output": "a", "scope": scope, "n": 10, "metrics": {}}
    row["metrics"]["r2"] = {"value": r2, "low": low, "high": high}
    (line,) = verdicts([row])
    assert line.startswith(f"r2 {r2:.3f} (95 % interval {low:.3f} to {high:.3f}): ") and said in line


def test_a_terminal_gets_short_tables(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    rows = rows_of([("seqexpr", 0.5, None), ("half_life_ridge", 0.4, 0.1)])
    show_results(run_folder(tmp_path, rows))
    shown = capsys.readouterr().out
    assert "spearman" not in shown and "rmse" not in shown
    assert "half-life ridge" in shown and "+0.100" in shown and "+0.080 to +0.110" in shown
    show_results(tmp_path, all_metrics=True)
    assert "spearman" in capsys.readouterr().out


def test_a_failure_after_the_training_is_exit_code_1(capsys, tmp_path):
    set_up_logging()
    write_json(tmp_path / "failed.json", [{"what": "the report", "error": "ValueError: x", "trace": []}])
    with pytest.raises(typer.Exit) as ended:
        show_results(run_folder(tmp_path, rows_of([("seqexpr", 0.5, None)]), task="x"))
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    assert "seqexpr: error: failed after the training: the report; everything else is there" in said.err
    assert said.err.endswith(f"run: seqexpr cv --task x ... --out {tmp_path} --resume\n")
    manifest = {"kind": "train", "command": ["seqexpr", "train", "--task", "x"], "options": {"permute_labels": False}}
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(typer.Exit):
        show_results(tmp_path)
    assert capsys.readouterr().err.endswith(f"run: seqexpr train --task x --out {tmp_path} --resume\n")
    assert "it has no report" in said.err
    assert said.out.startswith("model\t")


def test_a_long_stage_says_where_it_is(capsys, monkeypatch):
    monkeypatch.setattr(run_display, "_HEARTBEAT_SECONDS", 0.02)
    set_up_logging()
    with RunDisplay() as display:
        display.on_stage("baselines on the same folds")
        display.on_part("half-life ridge", 1, 5)
        time.sleep(0.2)
    first, *beats = capsys.readouterr().err.splitlines()
    assert first == "baselines on the same folds"
    assert "baselines on the same folds: half-life ridge (2 of 5), 0 s so far" in beats
    time.sleep(0.1)
    assert capsys.readouterr().err == ""  # it ends with the stage


def test_a_value_and_its_interval():
    assert side_by_side(estimate(0.5)) == ("0.500", "0.400 to 0.600")
    assert side_by_side(estimate(None)) == ("-", "")
    assert side_by_side({"value": 0.25, "low": None, "high": None}, "+") == ("+0.250", "")


LONGEST = [
    ("seqexpr", -1.746, None),
    ("composition_half_life_boosted_trees", -12.34, 10.594),
    ("training_mean", None, None),
]


@pytest.mark.parametrize("all_metrics", [False, True])
def test_tables_show_all_on_80_columns(capsys, tmp_path, monkeypatch, all_metrics):
    """No model, number or interval is left out or cut on a terminal of the usual width."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    folder = run_folder(tmp_path, [*rows_of(LONGEST), *rows_of(LONGEST, scope="fold 0")])
    show_results(folder, all_metrics=all_metrics)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "\u2026" not in shown and max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    for text in (
        "10 held-out genes of all folds",
        "seqexpr",
        "composition",
        "half-life boosted",
        "training mean",
    ):
        assert text in words
    for text in ("-12.340", "-12.440 to -12.240", "-1.846 to -1.646", "+10.594", "+10.574 to +10.604"):
        assert words.count(text) == (5 if all_metrics else 1 + (not text.startswith("+")))


def test_validation_genes_are_said_to_have_chosen_the_epoch(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_results(run_folder(tmp_path, rows_of([("seqexpr", 0.5, None)], scope="valid")))
    shown = " ".join(capsys.readouterr().out.split())
    assert "10 validation genes, which chose the epoch and flatter it" in shown and "held-out" not in shown


@pytest.mark.parametrize("width", [80, 120])
def test_a_live_line_is_one_line(monkeypatch, width):
    """What is unimportant at the end of the words gives way."""
    from rich.console import Console

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    live = _live_progress()
    monkeypatch.setattr(run_display, "_live_progress", lambda: live)
    with RunDisplay() as display:
        display.on_begin(Path("run"), 2000)
        line = display.on_fold(3, 10)
        line.on_epoch({**ROW, "epoch": 112})
        line.on_step(113, 5, 25)
        display.on_stage("overlap of test and training genes (homologous proteins by MMseqs2)")
        written = io.StringIO()
        Console(file=written, width=width).print(live.make_tasks_table(live.tasks))
    lines = written.getvalue().splitlines()
    assert len(lines) == 2 and max(map(len, lines)) <= width
    assert "fold 3 of 10, epoch 113: validation r2 0.346" in lines[0]
    assert "overlap of test and training genes" in lines[1] and lines[1].rstrip().endswith("0 s")


def test_a_mistake_is_said_alone(capsys):
    """What is logged before anything long begins is said when it begins, and not at all before a mistake."""
    set_up_logging()
    with pytest.raises(ValueError), RunDisplay():
        run_display.logger.warning("the preset reads less")
        raise ValueError
    assert capsys.readouterr().err == ""
    with RunDisplay() as display:
        run_display.logger.warning("the preset reads less")
        assert capsys.readouterr().err == ""
        display.on_begin(Path("run"), 10)
        assert capsys.readouterr().err == "seqexpr: warning: the preset reads less\n"
    with RunDisplay() as display:  # a search of homologous proteins comes before the run's folder
        run_display.logger.warning("the preset reads less")
        display.on_stage("homologous proteins")
        assert capsys.readouterr().err == "seqexpr: warning: the preset reads less\nhomologous proteins\n"


def test_a_lead_in_two_metrics_that_disagree():
    """The table's last column is of the squared Pearson correlation; the last line says where r2 judges otherwise."""
    rows = rows_of([("seqexpr", 0.3, None), ("training_mean", 0.4, -0.1)])
    assert "squared Pearson" not in lead(rows)
    rows[1]["difference"]["pearson_r2"] = {"value": 0.01, "low": -0.1, "high": 0.2}
    assert lead(rows) == (
        "seqexpr minus training mean: pearson_r2 +0.010 [-0.100, +0.200], the data cannot tell which is better; "
        "r2 -0.100 [-0.120, -0.090], worse"
    )


def test_an_order_that_carries_over_is_not_nothing():
    row = rows_of([("seqexpr", -0.5, None)])[0]
    row["metrics"]["spearman"] = {"value": 0.4, "low": 0.2, "high": 0.6}
    (line,) = verdicts([row])
    assert "nothing was learnt" not in line
    assert line.endswith("their order carries over (Spearman 0.400), their scale or offset does not")
