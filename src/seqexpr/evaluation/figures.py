"""The figures of a report, drawn by matplotlib's SVG backend and made fit for an HTML page."""

from __future__ import annotations

import hashlib
import re
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
"""An r² is at most 1. A baseline with one below minus this would squeeze all others into a corner: it is cut off."""

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
    colours = [MODEL_COLOUR if name == highlighted else BASELINE_COLOUR for name, *_ in rows]
    return _estimates(rows, colours, label, always=highlighted)


def differences(rows: Sequence[tuple[str, float, float, float, str]], label: str) -> str:
    """One difference a line with its interval, and a line at zero.

    Args:
        rows: (name, value, low, high, standing), the first on top. Standing "ahead" is drawn in the model's colour,
            "behind" in the accent colour, anything else in grey.
        label: of the horizontal axis.
    """
    colours = {"ahead": MODEL_COLOUR, "behind": ACCENT_COLOUR}
    return _estimates([row[:4] for row in rows], [colours.get(row[4], BASELINE_COLOUR) for row in rows], label)


def _estimates(
    rows: Sequence[tuple[str, float, float, float]], colours: Sequence[str], label: str, always: str = ""
) -> str:
    """Draw estimates; what lies outside of `_axis_range` is an arrow at the edge, a value with its number."""
    with _figure(9.4, 0.75 + 0.32 * len(rows)) as figure:
        axes = figure.add_subplot()
        left, right = _axis_range(rows, always)
        for place, ((_, value, low, high), colour) in enumerate(zip(rows, colours, strict=True)):
            ends = np.clip([low, high], left, right)
            axes.plot(ends, [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
            for end, bound, arrow in ((low, left, "<"), (high, right, ">")):
                if (end < bound) if bound == left else (end > bound):
                    axes.plot([bound], [place], arrow, color=colour, markersize=6, clip_on=False)
            if left <= value <= right:
                axes.plot([value], [place], "o", color=colour, markersize=6.5)
            elif np.isfinite(value):
                edge, side = (left, "left") if value < left else (right, "right")
                axes.plot([edge], [place], "<" if value < left else ">", color=colour, markersize=6, clip_on=False)
                number = f"{value:.2f}" if abs(value) < 1000 else f"{value:.3g}"
                axes.annotate(
                    number.replace("-", "−"),
                    (edge, place),
                    (8 if value < left else -8, 0),
                    textcoords="offset points",
                    ha=side,
                    va="center",
                    fontsize=8,
                    color=TEXT_COLOUR,
                )
        axes.axvline(0, color=TEXT_COLOUR, linewidth=0.8)
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        margin = 0.04 * (right - left)
        axes.set_xlim(left - margin, right + margin)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(label)
        return _svg(figure)


def _axis_range(rows: Sequence[tuple[str, float, float, float]], always: str) -> tuple[float, float]:
    """Ends of the axis, which holds 0 and each value whose distance from it is at most `FARTHEST`.

    Args:
        rows: (name, value, low, high).
        always: name of the row that is on the axis however far it lies, with its interval.
    """
    known = [row for row in rows if np.isfinite(row[1])]
    ends = [0.0]
    for name, value, low, high in known:
        if name == always:
            ends += [value, low, high]
        elif abs(value) <= FARTHEST:
            ends += [value, max(low, -FARTHEST), min(high, FARTHEST)]
    if len(ends) == 1 and known:  # all lie far away
        _, value, low, high = min(known, key=lambda row: abs(row[1]))
        ends += [value, low, high]
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
    with _figure(5.6, 4.8) as figure:
        axes = figure.add_subplot()
        if len(measured) > MAX_POINTS:
            from matplotlib.colors import LinearSegmentedColormap, LogNorm

            shades = LinearSegmentedColormap.from_list("density", ["#b3cdea", "#6aa0d8", MODEL_COLOUR, "#0b2545"])
            cells = axes.hexbin(measured, predicted, gridsize=38, mincnt=1, norm=LogNorm(), cmap=shades, linewidths=0.2)
            # Plain numbers: powers of ten would be written as formulas, which are switched off here.
            densest = int(cells.get_array().max())  # type: ignore[union-attr]
            ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= densest]
            bar = figure.colorbar(cells, ax=axes, label="genes", ticks=ticks, format="%d", shrink=0.6, aspect=25)
            bar.minorticks_off()
            bar.outline.set_visible(False)
        else:
            axes.scatter(measured, predicted, s=9, color=MODEL_COLOUR, alpha=0.45, linewidths=0)
        ends = [min(measured.min(), predicted.min()), max(measured.max(), predicted.max())]
        axes.plot(ends, ends, color=ACCENT_COLOUR, linewidth=1.1, linestyle=(0, (5, 3)))
        axes.set_xlabel(f"measured {unit}")
        axes.set_ylabel(f"predicted {unit}")
        return _svg(figure)


def residuals_by_chromosome(chroms: Sequence[str], residuals: np.ndarray) -> str:
    """A box for each chromosome: median, quartiles and the middle 90 % of measured minus predicted.

    Args:
        chroms: each gene's chromosome (n,).
        residuals: measured minus predicted (n,).
    """
    groups = pd.Series(residuals).groupby(np.asarray(chroms, dtype=object))
    names = sorted(groups.groups, key=lambda name: natural_order(str(name)))
    parts = [groups.get_group(name).to_numpy() for name in names]
    with _figure(9.4, 3.4) as figure:
        axes = figure.add_subplot()
        axes.axhline(0, color=ACCENT_COLOUR, linewidth=1.1, linestyle=(0, (5, 3)))
        line = {"color": MODEL_COLOUR, "linewidth": 1.1}
        axes.boxplot(
            parts,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            widths=0.6,
            boxprops={"facecolor": "#d6e4f5", "edgecolor": MODEL_COLOUR, "linewidth": 1.1},
            medianprops={"color": MODEL_COLOUR, "linewidth": 2},
            whiskerprops=line,
            capprops=line,
        )
        ticks = [f"{name}\n{len(part)}" for name, part in zip(names, parts, strict=True)]
        axes.set_xticks(range(1, len(names) + 1), ticks, fontsize=8)
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("chromosome, and number of genes")
        axes.set_ylabel("measured − predicted")
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
    with _figure(4.6, 4.2) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=ACCENT_COLOUR, linewidth=1.1, linestyle=(0, (5, 3)))
        axes.plot(probabilities, observed, "o-", color=MODEL_COLOUR, markersize=4, linewidth=1.4)
        axes.set_xlabel("probability of the interval")
        axes.set_ylabel("share of genes within it")
        return _svg(figure)


def learning_curves(history: pd.DataFrame) -> str:
    """Losses and validation r2 by epoch; one thin line a fold, the best epoch of each marked.

    Args:
        history: rows of metrics.jsonl with `epoch`, `train_loss`, `valid_loss`, `valid_r2`, and `fold` for
            cv; measures that are missing are left out.
    """
    folds = [fold for _, fold in history.groupby("fold")] if "fold" in history else [history]
    with _figure(9.4, 3.3) as figure:
        measures = [name for name in ("valid_loss", "valid_r2") if name in history]
        for axes, name in zip(np.atleast_1d(figure.subplots(1, len(measures))), measures, strict=True):
            if name == "valid_loss":
                _curves(axes, folds, "train_loss", BASELINE_COLOUR, "training")
            _curves(axes, folds, name, MODEL_COLOUR, "validation")
            for fold in folds:
                known = fold.dropna(subset=[name])
                if len(known):
                    values = known[name].to_numpy(float)
                    best = int(values.argmin() if name == "valid_loss" else values.argmax())
                    axes.plot([known["epoch"].iloc[best]], [values[best]], "o", color=ACCENT_COLOUR, markersize=4)
            axes.set_xlabel("epoch")
            axes.set_title("loss" if name == "valid_loss" else "validation r²")
            axes.xaxis.get_major_locator().set_params(integer=True)
            if name == "valid_loss":
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
