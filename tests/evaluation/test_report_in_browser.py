"""The report as a reader's browser shows it: figures drawn, nothing complained of, nothing asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from seqexpr.evaluation.report import write_report

from .finished_run import make_run
from .headless_browser import PROGRAMS, Browser, Seen, find_browser

FEWEST_MARKS = 5
LEAST_PAINTED = 0.01
"""Share of a figure's pixels: the emptiest one, a forest of two baselines, has nearly four times as much."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip(f"none of {', '.join(PROGRAMS)} is here")
    with Browser(program, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_run(tmp_path_factory.mktemp("report") / "run", n=1800))


def faults(seen: Seen) -> list[str]:
    """All that is wrong with a page, in words."""
    found = [*seen.complaints, *(f"asked for {url}" for url in seen.requests)]
    for place, figure in enumerate(seen.figures):
        if not (figure.width > 0 and figure.height > 0):
            found.append(f"figure {place} has no size")
        elif figure.marks < FEWEST_MARKS:
            found.append(f"figure {place} has {figure.marks} marks")
        elif figure.painted < LEAST_PAINTED:
            found.append(f"figure {place} is empty")
    return found + ([f"{seen.overhang} pixels too wide"] if seen.overhang > 0 else [])


@pytest.mark.parametrize("width", [1280, 400])
def test_all_figures_are_drawn_and_nothing_is_complained_of_or_asked_for(browser, report, width):
    seen = browser.look(report, width)
    assert faults(seen) == []
    assert len(seen.figures) == 6
    assert min(figure.width for figure in seen.figures) > 300
    tops = [figure.top for figure in seen.figures]
    assert all(below > above + 50 for above, below in pairwise(tops))  # none lies on another


def test_the_page_of_a_network_without_any_metrics_is_sound(browser, tmp_path):
    folder = make_run(tmp_path / "run")
    for name in ("metrics.json", "metrics.jsonl", "predictions.tsv", "audit.json"):
        (folder / name).unlink()
    seen = browser.look(write_report(folder))
    assert seen.figures == [] and faults(seen) == []


def squares(paint: str) -> str:
    square = f'<rect width="40" height="40" fill="{paint}"/>'
    return f'<svg width="90" height="50">{5 * square}</svg>'


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ('<svg width="0" height="50"></svg>', "figure 0 has no size"),
        ('<div style="display: none"><svg width="90" height="50"></svg></div>', "figure 0 has no size"),
        ('<svg width="90" height="50"><text x="9" y="20">loss</text></svg>', "figure 0 has 0 marks"),
        (squares("none"), "figure 0 has 0 marks"),
        (squares("white"), "figure 0 is empty"),
        ("<script>console.error('no such figure')</script>", "console error: no such figure"),
        ("<script>nothing.at.all</script>", "exception: ReferenceError: nothing is not defined"),
        ('<img src="https://seqexpr.invalid/logo.png">', "asked for https://seqexpr.invalid/logo.png"),
        ('<link rel="stylesheet" href="missing.css">', "missing.css"),
        ('<div style="width: 3000px">wide</div>', "1720 pixels too wide"),
    ],
)
def test_a_fault_is_found(browser, tmp_path, fault, found):
    page = tmp_path / "page.html"
    icon = '<link rel="icon" href="data:,">'
    page.write_text(f'<!DOCTYPE html><html><head>{icon}</head><body style="margin: 0">{fault}</body></html>')
    words = faults(browser.look(page))
    assert any(found in word for word in words), words


def test_a_figure_that_was_damaged_in_the_report_is_found(browser, report, tmp_path):
    text = report.read_text(encoding="utf-8")
    begin = text.index("<svg")
    damaged = tmp_path / "report.html"
    damaged.write_text(text[:begin] + '<svg width="600" height="200">' + text[text.index("</svg>") :], encoding="utf-8")
    assert faults(browser.look(damaged)) == ["figure 0 has 0 marks"]
