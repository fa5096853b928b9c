"""The settings of the teacher stage."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from seqexpr.training.recipe import Recipe
from seqexpr.training.teacher import TeacherSettings

HOWTO = Path(__file__).parents[2] / "docs" / "howto.md"


def test_the_documentation_lists_every_key_with_its_default():
    rows = [line.split(" | ")[:2] for line in HOWTO.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = {row[0].strip("| `"): row[1] for row in rows}
    for setting in fields(TeacherSettings):
        assert listed[setting.name] == ("needed" if setting.name == "models" else str(setting.default))


def test_settings_survive_json():
    settings = TeacherSettings(models=("a", "b"), steps=7, tss_sd=1.5)
    assert TeacherSettings.from_dict(settings.to_dict()) == settings


def test_recipes_without_teachers_are_stored_as_they_were_before_there_were_any():
    assert "teacher" not in Recipe("r").to_dict()
    table = {"models": ["a"], "steps": 3}
    taught = Recipe("r", teacher=table)
    assert taught.to_dict()["teacher"] == table and Recipe.from_dict(taught.to_dict()) == taught
