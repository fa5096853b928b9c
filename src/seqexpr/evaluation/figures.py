"""The figures of a report, drawn by matplotlib's SVG backend and made fit for an HTML page."""

from __future__ import annotations

import hashlib
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from seqexpr.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODEL_COLOUR = "#1f5fa8"
BASELINE_COLOUR = "#8a94a3"
ACCENT_COLOUR = "#c8553d"
GRID_COLOUR = "#e3e7ec"
TEXT_COLOUR = "#3b4552"

MAX_POINTS = 1500
"""More genes than this are drawn as a density of hexagons: the page stays small and the figure readable."""

FARTHEST = 1.0
"""An r² is at most 1. One below minus this, or such an end of an interval, would squeeze all others into a corner: it
is cut off, and an arrow says where it lies."""

ARROWS = (
    "Where a figure's axis ends before a value or an interval does, an arrow points to it, and the number beside the "
    "arrow is the value, or the end of the interval where a dot shows the value."
)
"""What `forest` and `differences` leave out, in words for those who look at them."""

MAX_BOXES = 40
"""Chromosomes that have a box each; the smallest of a draft assembly with more share one."""

_WIDTH = 4.8
"""Of a drawing in inches: on a phone it shrinks to three quarters of that, and its letters can still be read."""

_STYLE: Any = {
    "axes.edgecolor": "#b4bcc7",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": TEXT_COLOUR,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titlecolor": TEXT_COLOUR,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": GRID_COLOUR,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "none",  # letters stay letters: the page can be searched and uses the reader's font
    "svg.hashsalt": "seqexpr",  # the same run gives the same bytes
    "text.parse_math": False,  # a "$" in a label's name is a dollar sign
    "xtick.color": TEXT_COLOUR,
    "ytick.color": TEXT_COLOUR,
}


def with_interval(estimate: Mapping[str, float | None]) -> tuple[float, float, float]:
    """(value, low, high) of an estimate that has a value; its ends are the value where there is no interval."""
    value, low, high = estimate["value"], estimate.get("low"), estimate.get("high")
    assert value is not None
    return value, value if low is None else low, value if high is None else high


def forest(rows: Sequence[tuple[str, float, float, float]], highlighted: str, label: str) -> str:
    """One estimate a line with its interval.

    Args:
        rows: (name, value, low, high), the first on top; a NaN value is left out.
        highlighted: the name that is drawn in the model's colour.
        label: of the horizontal axis.
    """
    return _estimates(rows, [MODEL_COLOUR if name == highlighted else BASELINE_COLOUR for name, *_ in rows], label)


def differences(rows: Sequence[tuple[str, float, float, float, str]], label: str) -> str:
    """One difference a line with its interval, and a line at zero.

    Args:
        rows: (name, value, low, high, standing), the first on top. Standing "ahead" is drawn in the model's colour,
            "behind" in the accent colour, anything else in grey.
        label: of the horizontal axis.
    """
    colours = {"ahead": MODEL_COLOUR, "behind": ACCENT_COLOUR}
    return _estimates([row[:4] for row in rows], [colours.get(row[4], BASELINE_COLOUR) for row in rows], label)


def _estimates(rows: Sequence[tuple[str, float, float, float]], colours: Sequence[str], label: str) -> str:
    """Draw estimates; what lies outside of `_axis_range` is an arrow at the edge with its number."""
    with _figure(_WIDTH, 0.75 + 0.4 * len(rows)) as figure:
        axes = figure.add_subplot()
        left, right = _axis_range(rows)
        for place, ((_, value, low, high), colour) in enumerate(zip(rows, colours, strict=True)):
            if not np.isfinite(value):
                continue
            axes.plot(
                np.clip([low, high], left, right), [place, place], color=colour, linewidth=2.2, solid_capstyle="round"
            )
            if left <= value <= right:
                axes.plot([value], [place], "o", color=colour, markersize=6.5)
            if min(value, low) < left:
                _arrow(axes, "<", left, place, value if value < left else low, colour)
            if max(value, high) > right:
                _arrow(axes, ">", right, place, value if value > right else high, colour)
        axes.axvline(0, color=TEXT_COLOUR, linewidth=0.8)
        axes.set_yticks(range(len(rows)), [textwrap.fill(name, 22) for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        margin = 0.04 * (right - left)
        axes.set_xlim(left - margin, right + margin)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(label)
        return _svg(figure)


def _arrow(axes: Axes, direction: str, edge: float, place: float, value: float, colour: str) -> None:
    """An arrow at the edge of the axis, and above it the number that it stands for."""
    axes.plot([edge], [place], direction, color=colour, markersize=6, clip_on=False)
    number = f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.1e}"
    axes.annotate(
        number.replace("-", "−"),
        (edge, place),
        (-3 if direction == "<" else 3, 4),
        textcoords="offset points",
        ha="left" if direction == "<" else "right",
        va="bottom",
        fontsize=7.5,
        color=TEXT_COLOUR,
    )


def _axis_range(rows: Sequence[tuple[str, float, float, float]]) -> tuple[float, float]:
    """Ends of the axis, which holds 0 and all whose distance from it is at most `FARTHEST`.

    Args:
        rows: (name, value, low, high).
    """
    known = [row for row in rows if np.isfinite(row[1])]
    near = [row for row in known if abs(row[1]) <= FARTHEST]
    ends = [0.0]
    for _, value, low, high in near:
        ends += [value, max(low, -FARTHEST), min(high, FARTHEST)]
    if known and not near:
        # The nearest is shown, with as much of its interval as the others may have.
        _, value, low, high = min(known, key=lambda row: abs(row[1]))
        ends += [value, max(low, value - FARTHEST), min(high, value + FARTHEST)]
    left, right = min(ends), max(ends)
    if right - left < 0.2 and any(not left <= value <= right for _, value, _, _ in known):
        # Room for arrows and numbers.
        left, right = left - 0.1, right + 0.1
    return (left, right) if left < right else (left - 0.5, right + 0.5)


def predicted_against_measured(measured: np.ndarray, predicted: np.ndarray, unit: str) -> str:
    """Each gene's prediction over its label, with the line on which they agree.

    Args:
        measured: labels (n,).
        predicted: predictions (n,).
        unit: the label's name and unit, for the axes.
    """
    with _figure(_WIDTH, 4.3) as figure:
        axes = figure.add_subplot()
        if len(measured) > MAX_POINTS:
            from matplotlib.colors import LinearSegmentedColormap, LogNorm

            shades = LinearSegmentedColormap.from_list("density", ["#86b0de", "#4f8bcb", MODEL_COLOUR, "#0b2545"])
            cells = axes.hexbin(measured, predicted, gridsize=38, mincnt=1, norm=LogNorm(), cmap=shades, linewidths=0.2)
            # Plain numbers: powers of ten would be written as formulas, which are switched off here.
            densest = int(cells.get_array().max())  # type: ignore[union-attr]
            ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= densest]
            bar = figure.colorbar(cells, ax=axes, label="genes", ticks=ticks, format="%d", shrink=0.6, aspect=25)
            bar.minorticks_off()
            bar.outline.set_visible(False)
        else:
            axes.scatter(
                measured, predicted, s=9 if len(measured) > 100 else 20, color=MODEL_COLOUR, alpha=0.6, linewidths=0
            )
        ends = [min(measured.min(), predicted.min()), max(measured.max(), predicted.max())]
        axes.plot(ends, ends, color=ACCENT_COLOUR, linewidth=1.1, linestyle=(0, (5, 3)))
        axes.set_xlabel(f"measured {unit}")
        axes.set_ylabel(f"predicted {unit}")
        return _svg(figure)


def errors_by_chromosome(chroms: Sequence[str], errors: np.ndarray) -> str:
    """A box for each chromosome: median, quartiles and the middle 90 % of predicted minus measured.

    Where there are more than `MAX_BOXES`, those with the fewest genes share the last box.

    Args:
        chroms: each gene's chromosome (n,).
        errors: predicted minus measured (n,).
    """
    groups = {str(name): part.to_numpy() for name, part in pd.Series(errors).groupby(np.asarray(chroms, dtype=object))}
    largest = sorted(groups, key=lambda name: (-len(groups[name]), natural_order(name)))
    shown, rest = largest[:MAX_BOXES], largest[MAX_BOXES:]
    boxes = [(name, groups[name]) for name in sorted(shown, key=natural_order)]
    if rest:
        boxes.append((f"{len(rest):,} others", np.concatenate([groups[name] for name in rest])))
    with _figure(_WIDTH, 0.8 + 0.2 * max(len(boxes), 6)) as figure:
        axes = figure.add_subplot()
        axes.axvline(0, color=ACCENT_COLOUR, linewidth=1.1, linestyle=(0, (5, 3)))
        for place, (_, part) in enumerate(boxes):
            least, lower, median, upper, most = np.percentile(part, (5, 25, 50, 75, 95))
            axes.plot([least, most], [place, place], color=MODEL_COLOUR, linewidth=1.1)
            axes.barh(
                place, upper - lower, 0.6, lower, color="#d6e4f5", edgecolor=MODEL_COLOUR, linewidth=1.1, zorder=3
            )
            axes.plot([median, median], [place - 0.3, place + 0.3], color=MODEL_COLOUR, linewidth=2, zorder=4)
        axes.set_yticks(range(len(boxes)), [f"{name} ({len(part):,})" for name, part in boxes], fontsize=8)
        axes.set_ylim(len(boxes) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("predicted − measured")
        axes.set_ylabel("chromosome (genes)")
        return _svg(figure)


def calibration(errors: np.ndarray, sd: np.ndarray) -> str:
    """The share of genes within the central interval of each probability, and the line on which the two agree.

    Args:
        errors: predicted minus measured (n,).
        sd: predicted standard deviations, above 0 (n,).
    """
    probabilities = np.linspace(0, 1, 21)
    distance = np.abs(errors) / sd
    bounds = [NormalDist().inv_cdf((1 + p) / 2) for p in probabilities[1:-1]]
    observed = [0.0, *((distance <= bound).mean() for bound in bounds), 1.0]
    with _figure(_WIDTH, 4.3) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=ACCENT_COLOUR, linewidth=1.1, linestyle=(0, (5, 3)))
        axes.plot(probabilities, observed, "o-", color=MODEL_COLOUR, markersize=4, linewidth=1.4)
        axes.set_xlabel("probability of the interval")
        axes.set_ylabel("share of genes within it")
        return _svg(figure)


def learning_curve(history: pd.DataFrame, measure: str) -> str:
    """A measure of the validation genes by epoch; one thin line a fold, the best epoch of each marked.

    Args:
        history: rows of metrics.jsonl with `epoch`, the measure, and `fold` for cv.
        measure: "valid_loss", beside which the training's loss is drawn where it is known, or "valid_r2".
    """
    folds = [fold for _, fold in history.groupby("fold")] if "fold" in history else [history]
    is_loss = measure == "valid_loss"
    with _figure(_WIDTH, 3.2) as figure:
        axes = figure.add_subplot()
        if is_loss:
            _curves(axes, folds, "train_loss", BASELINE_COLOUR, "training")
        _curves(axes, folds, measure, MODEL_COLOUR, "validation")
        for fold in folds:
            known = fold.dropna(subset=[measure])
            if len(known):
                values = known[measure].to_numpy(float)
                best = int(values.argmin() if is_loss else values.argmax())
                axes.plot([known["epoch"].iloc[best]], [values[best]], "o", color=ACCENT_COLOUR, markersize=4)
        axes.set_xlabel("epoch")
        axes.set_title("loss" if is_loss else "validation r²")
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
        if is_loss:
            axes.legend(loc="best", fontsize=8)
        return _svg(figure)


def _curves(axes: Axes, folds: Sequence[pd.DataFrame], name: str, colour: str, label: str) -> None:
    for number, fold in enumerate(folds):
        if name in fold:
            axes.plot(
                fold["epoch"],
                fold[name],
                color=colour,
                linewidth=1.6 if len(folds) == 1 else 1.0,
                alpha=1.0 if len(folds) == 1 else 0.75,
                label=label if number == 0 else None,
            )


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of `width` x `height` inches in this report's style, without pyplot's global state."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("the report needs matplotlib, which is not installed; run: pip install matplotlib") from None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure


def _svg(figure: Figure) -> str:
    """The drawing as an <svg> element that an HTML page can hold.

    XML header, document type, metadata and name spaces are left out: HTML needs none of them and they name
    addresses outside. Ids that are referred to become the drawing's own, the others go, so that no two
    figures share one.
    """
    document = StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the letters stay text: the reader's fonts have them
        figure.savefig(document, format="svg", transparent=True)
    element = document.getvalue()
    element = element[element.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", element)
    own = "f" + hashlib.sha256(element.encode()).hexdigest()[:8]
    used = set(re.findall(r"url\(#([^)]+)\)", element)) | set(re.findall(r'href="#([^"]+)"', element))
    element = re.sub(r'\sid="([^"]+)"', lambda match: f' id="{own}-{match[1]}"' if match[1] in used else "", element)
    return re.sub(r'(url\(|href=")#', rf"\1#{own}-", element)


def natural_order(name: str) -> tuple[int, int, str]:
    """Order of chromosomes: 1, 2, 10, X, Y, MT, then others by name."""
    short = re.sub(r"^chr", "", name, flags=re.IGNORECASE)
    if short.isdigit():
        return 0, int(short), ""
    known = ("X", "Y", "M", "MT")
    return (1, known.index(short), "") if short in known else (2, 0, short)
