"""What a prediction calls its model."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqexpr.prediction.session import _title


@pytest.mark.parametrize(
    ("weights", "title"),
    [
        ("models/human-mrna.safetensors", "human-mrna"),
        ("runs/liver/weights.safetensors", "liver"),
        ("runs/liver-cv/folds/3/weights.safetensors", "liver-cv"),
    ],
)
def test_weights_of_a_run_are_called_by_the_run(weights: str, title: str, tmp_path: Path) -> None:
    assert _title(tmp_path / weights) == title


def test_weights_in_the_current_folder_are_called_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "liver").mkdir()
    monkeypatch.chdir(tmp_path / "liver")
    assert _title(Path("weights.safetensors")) == "liver"
