from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from seqexpr.evaluation.compare import read_baselines
from seqexpr.evaluation.scoring import UNTRAINED
from seqexpr.evaluation.tables import metrics_table, read_metrics, read_table
from seqexpr.files import write_json

from .finished_run import make_run


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A run of version 0.1, which called the untrained network by a name with a space."""
    folder = make_run(tmp_path / "run")
    rows = json.loads((folder / "metrics.json").read_text())
    names = {"composition_ridge": "untrained model"}
    write_json(folder / "metrics.json", [{**row, "model": names.get(row["model"], row["model"])} for row in rows])
    table = folder / "baselines.tsv"
    table.write_text(table.read_text().replace("composition_ridge", "untrained model"))
    return folder


def test_models_have_names_without_spaces_in_files() -> None:
    assert re.fullmatch("[a-z_]+", UNTRAINED)


def test_an_older_run_s_untrained_model_is_read_by_its_name_of_today(old_run: Path) -> None:
    models = {"seqexpr", "training_mean", UNTRAINED}
    assert set(metrics_table(read_metrics(old_run / "metrics.json"))["model"]) == models
    assert set(read_table(old_run / "baselines.tsv")["model"]) == models - {"seqexpr"}
    assert {baseline.name for baseline in read_baselines(old_run)} == models - {"seqexpr"}
