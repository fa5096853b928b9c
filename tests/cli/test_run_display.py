from __future__ import annotations

import pytest

from seqexpr.cli.console import set_up_logging
from seqexpr.cli.run_display import RunDisplay, _cell, _duration, show_results

ROW = {"epoch": 2, "train_loss": 0.51234, "valid_loss": 0.6, "valid_r2": 0.3456, "seconds": 30.0}


def estimate(value):
    return {
        "value": value,
        "low": None if value is None else value - 0.1,
        "high": None if value is None else value + 0.1,
    }


def test_plain_line_of_an_epoch(capsys):
    set_up_logging()
    with RunDisplay(10) as display:
        display.on_fold(0, 5)
        display.on_step(2, 1, 7)
        display.on_epoch(ROW)
        display.on_epoch({**ROW, "epoch": 3})  # too soon for another line
    assert capsys.readouterr().err.splitlines() == [
        "fold 1 of 5, epoch 2 of at most 10: loss 0.5123, validation r2 0.346, 30.0 s an epoch, at most 4 min left"
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.4, "12 s"), (89, "89 s"), (120, "2 min"), (3_600, "60 min"), (7_200, "2.0 h")]
)
def test_durations(seconds, text):
    assert _duration(seconds) == text


def test_results_as_tsv_show_the_genes_of_all_folds_only(capsys, tmp_path):
    metrics = {name: estimate(0.5) for name in ("r2", "spearman", "rmse", "high_expressed_found")}
    metrics["pearson_r2"] = estimate(None)
    rows = [
        {"model": "seqexpr", "output": "a", "scope": scope, "n": n, "metrics": metrics}
        for scope, n in (("all", 10), ("fold 0", 5))
    ]
    show_results(rows, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].split("\t")[:10] == ["seqexpr", "a", "all", "10", "0.5000", "0.4000", "0.6000", "", "", ""]


def test_a_cell_of_the_table_on_a_terminal():
    assert _cell(estimate(0.5)) == "0.500\n0.400 to 0.600"
    assert _cell(estimate(None)) == "-"
    assert _cell({"value": 0.25, "low": None, "high": None}) == "0.250"
