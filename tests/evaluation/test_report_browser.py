"""The page of a run as its readers see it, in a browser."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqexpr.evaluation.report import write_report
from seqexpr.files import write_json

from ..browser import Tab
from .finished_run import make_run

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

PHONE = {"width": 390, "height": 844, "touch": True}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>" + "0123456789" * 12

MEASURED = 60
"""Labels, those of the first figures."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run whose label, genes, task and failure have a hostile and very long name; tests leave it as it is."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "run", outputs=(HOSTILE,), task=HOSTILE)
    table = pd.read_csv(folder / "predictions.tsv", sep="\t")
    table.assign(id=HOSTILE + table["id"]).to_csv(folder / "predictions.tsv", sep="\t", index=False)
    write_json(folder / "failed.json", [{"what": HOSTILE, "error": HOSTILE}])
    return write_report(folder)


@pytest.mark.parametrize("window", [{}, {"width": 820}, PHONE], ids=["desktop", "tablet", "phone"])
def test_the_page_fits_its_window_and_is_legible_in_light_and_dark(
    window: dict[str, Any], report: Path, open_page: Callable[..., Tab]
) -> None:
    tab = open_page(report, **window)
    assert tab.overflow() == 0
    assert tab.evaluate("[...document.querySelectorAll('.keep')].every((one) => one.scrollWidth <= one.clientWidth)")
    cards = []
    for dark in (False, True):
        tab.prefer(dark)
        texts = tab.contrasts()
        assert len(texts) > 100
        assert [found for found in texts if found[1] < 4.5] == []
        cards.append(tab.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor"))
    assert cards == ["rgb(255, 255, 255)", "rgb(27, 33, 41)"]


def test_labels_of_figures_are_legible_in_light_and_dark(report: Path, open_page: Callable[..., Tab]) -> None:
    import matplotlib.image

    tab = open_page(report)
    boxes = tab.evaluate("""[...document.querySelectorAll(".drawing text")].flatMap((one) => {
      const whole = one.closest("svg").getBoundingClientRect();
      const { left, top, right, bottom } = one.getBoundingClientRect();
      // Very long names are cut at the figure's edge.
      const inside = left >= whole.left && right <= whole.right && top >= whole.top && bottom <= whole.bottom;
      return inside ? [[left, top, right, bottom].map(Math.round)] : [];
    })""")
    width, height = max(box[2] for box in boxes[:MEASURED]), max(box[3] for box in boxes[:MEASURED])
    for dark in (False, True):
        tab.prefer(dark)
        tab.settle()
        picture = matplotlib.image.imread(io.BytesIO(tab.picture(width, height)), format="png")[..., :3]
        for left, top, right, bottom in boxes[:MEASURED]:
            shares = picture[top:bottom, left:right]
            linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
            label = linear @ (0.2126, 0.7152, 0.0722)
            background = float(np.median(label))
            assert background < 0.1 if dark else background > 0.8
            contrast = (np.maximum(label, background) + 0.05) / (np.minimum(label, background) + 0.05)
            assert contrast.max() >= 4.5, (left, top)


def test_what_is_called_like_markup_is_shown_as_text(report: Path, open_page: Callable[..., Tab]) -> None:
    tab = open_page(report)
    assert tab.evaluate("[document.scripts.length, document.images.length]") == [0, 0]
    assert tab.evaluate("document.body.innerText").count(HOSTILE) > 5
    drawings = tab.call("Accessibility.getFullAXTree")["nodes"]
    names = [node["name"]["value"] for node in drawings if node["role"]["value"] == "image"]
    assert len(names) > 5 and all(names)


def test_the_manifest_is_opened_by_the_keyboard(report: Path, open_page: Callable[..., Tab]) -> None:
    tab = open_page(report)
    tab.evaluate("document.querySelector('summary').focus()")
    assert tab.evaluate("document.querySelector('pre').checkVisibility()") is False
    tab.key(" ")
    assert tab.evaluate("document.querySelector('pre').checkVisibility()") is True
    assert json.loads(tab.evaluate("document.querySelector('pre').textContent"))["options"]["task"] == HOSTILE
