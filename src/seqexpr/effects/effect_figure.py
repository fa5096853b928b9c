"""The figure of one gene: the effects along its region, and the letters of the stretches where they are strongest."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqexpr.effects.gene_effects import GeneEffects
from seqexpr.effects.letters import BASES
from seqexpr.errors import MissingDataError
from seqexpr.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STRETCH = 60
"""Letters in a logo."""

MOST_STRETCHES = 4
_FEWEST_STRETCHES = 2

_MADE_BY = "seqexpr explain"
"""In the metadata of each figure, by which it is known again."""

_METADATA_BYTES = 4096
"""Of a file's beginning, in which its metadata stands."""

_WEAKEST = 0.4
"""Share of the strongest stretch's sum that a third and fourth one must have to be shown."""

_MOST_BARS = 1200
"""A longer region is drawn as the highest and lowest of so many parts."""

UP_COLOUR, DOWN_COLOUR = "#1f5fa8", "#d1660f"
_TEXT, _GRID, _MARK = "#3b4552", "#e3e7ec", "#8a94a3"

COLOURS = {"a": "#00795a", "c": "#1f5fa8", "g": "#c98a00", "t": "#c2410c", "text": _TEXT}
"""After Okabe and Ito, a little darker: they can be told apart without red or green, and letters' shapes tell them too.
They have the names that the page has for them."""

_CLASSES = {"a": "AVLIMFWY", "c": "KRH", "t": "DE", "text": "STNQ", "g": "CGP"}
"""Residues by what they are like: hydrophobic, basic, acidic, polar, and those of their own kind."""

LETTER_COLOURS = {
    "dna": dict(zip("ACGT", "acgt", strict=True)),
    "protein": {letter: colour for colour, letters in _CLASSES.items() for letter in letters},
}
"""Of each letter its colour's name in `COLOURS`, by input; other letters have that of text."""

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#b4bcc7",
    "axes.labelcolor": _TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _TEXT,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": _GRID,
    "svg.fonttype": "none",  # letters of labels stay letters, which can be searched and edited
    "svg.hashsalt": "seqexpr",  # the same effects give the same bytes
    "text.color": _TEXT,
    "text.parse_math": False,  # a "$" in a gene's name is a dollar sign
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
}


def check_matplotlib() -> None:
    """Check that figures can be drawn.

    Raises:
        MissingDataError: matplotlib is not installed; the text has the command.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingDataError("figures need matplotlib, which is not installed; run: pip install matplotlib") from None


def write_figure(path: str | os.PathLike[str], effects: GeneEffects) -> None:
    """Draw a gene as SVG or PNG, as the suffix says; the file appears whole.

    Raises:
        MissingDataError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    check_matplotlib()
    import matplotlib

    suffix = Path(path).suffix.lower().lstrip(".")
    metadata = {"Date": None, "Creator": _MADE_BY} if suffix == "svg" else {"Software": _MADE_BY}
    with matplotlib.rc_context(_STYLE), atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a gene's name; in an SVG the reader's fonts have it
        figure = _draw(effects)
        figure.savefig(temporary, format=suffix, dpi=150, facecolor="white", metadata=metadata)


def is_figure(path: Path) -> bool:
    """Whether `write_figure` wrote a file, by its metadata.

    Raises:
        OSError: the file cannot be read.
    """
    if path.suffix not in (".svg", ".png") or not path.is_file():
        return False
    with path.open("rb") as file:
        return _MADE_BY.encode() in file.read(_METADATA_BYTES)


def strongest_stretches(effects: GeneEffects) -> list[int]:
    """Where the stretches of `STRETCH` letters begin in which letters matter most, in the order of the region.

    Two to four that do not overlap; the whole region where it is not longer than two.
    """
    sizes = np.nan_to_num(np.abs(effects.support)).astype(float)
    if len(sizes) <= _FEWEST_STRETCHES * STRETCH:
        return list(range(0, len(sizes), STRETCH))
    ends = np.concatenate([[0.0], np.cumsum(sizes)])
    sums = ends[STRETCH:] - ends[:-STRETCH]
    found: list[int] = []
    strongest = float(sums.max())
    while len(found) < MOST_STRETCHES:
        start = int(sums.argmax())
        enough = sums[start] >= _WEAKEST * strongest or len(found) < _FEWEST_STRETCHES
        if sums[start] < 0 or not enough:
            break
        found.append(start)
        sums[max(start - STRETCH + 1, 0) : start + STRETCH] = -1
    return sorted(found)


def _draw(effects: GeneEffects) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    starts = strongest_stretches(effects)
    figure = Figure(figsize=(9.0, 2.5 + 1.45 * len(starts)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1 + len(starts), 1, height_ratios=[1.5, *[1.0] * len(starts)])
    tracked, logos = axes[0], list(axes[1:])
    _track(tracked, effects, starts)
    shown = np.concatenate([effects.support[start : start + STRETCH] for start in starts])
    low, high = _limits(shown)
    for number, (one, start) in enumerate(zip(logos, starts, strict=True), 1):
        _logo(one, effects, start)
        one.set_ylim(low, high)
        one.set_title(f"{number}" if len(starts) > 1 else "", fontweight="bold")
    bases = effects.letters is BASES
    logos[-1].set_xlabel("letters from the TSS (0 = first transcribed base)" if bases else "residues")
    figure.supylabel(f"support of {effects.output}{f' [{effects.unit}]' if effects.unit else ''}", fontsize=9)
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = (float(min(known.min(), 0)), float(max(known.max(), 0))) if len(known) else (0.0, 0.0)
    room = 0.08 * (high - low) or 1.0
    return low - (room if low else 0), high + room


def _track(axes: Axes, effects: GeneEffects, starts: Sequence[int]) -> None:
    """Support over the whole region, TSS and stretches marked."""
    support = np.nan_to_num(effects.support)
    width = -(-len(support) // _MOST_BARS)
    missing = -len(support) % width
    parts = np.pad(support, (0, missing)).reshape(-1, width)
    edges = effects.first - 0.5 + width * np.arange(len(parts) + 1)
    edges[-1] = effects.first + len(support) - 0.5
    for heights, colour in ((parts.max(axis=1).clip(min=0), UP_COLOUR), (parts.min(axis=1).clip(max=0), DOWN_COLOUR)):
        axes.stairs(heights, edges, fill=True, color=colour, linewidth=0)
    axes.axhline(0, color=_MARK, linewidth=0.6)
    low, high = _limits(support)
    axes.set_ylim(low, high + 0.12 * (high - low))
    axes.set_xlim(edges[0], edges[-1])
    upwards = axes.get_xaxis_transform()  # letters along the axis, shares of its height across
    lines = _apart(starts, 0.025 * len(support))
    for number, (start, line) in enumerate(zip(starts, lines, strict=True), 1) if len(support) > STRETCH else ():
        left = effects.first + start - 0.5
        axes.axvspan(left, min(left + STRETCH, edges[-1]), color=_MARK, alpha=0.22, linewidth=0, zorder=0)
        middle = (min(left + STRETCH / 2, (left + edges[-1]) / 2), 0.99 - 0.1 * line)
        axes.text(*middle, str(number), ha="center", va="top", fontsize=8, fontweight="bold", transform=upwards)
    if effects.letters is BASES and edges[0] <= 0 <= edges[-1]:
        axes.axvline(-0.5, color=_TEXT, linewidth=0.9, linestyle=(0, (4, 2)))
        above: Any = {"xycoords": upwards, "textcoords": "offset points", "annotation_clip": False}
        axes.annotate("TSS →", (-0.5, 1.0), (2, 2), fontsize=8, **above)
    axes.grid(axis="y", linewidth=0.6)
    axes.set_title(f"{_printable(effects.named)}{_placed(effects)}\n", fontsize=10, fontweight="bold")


def _apart(starts: Sequence[int], least: float) -> list[int]:
    """Lines on which the stretches' numbers stand: the next one where they would touch the number before."""
    lines: list[int] = []
    for place, start in enumerate(starts):
        near = place and start - starts[place - 1] < max(least, 1)
        lines.append((lines[-1] + 1) % 3 if near else 0)
    return lines


def _placed(effects: GeneEffects) -> str:
    said = f", predicted {effects.level:.3g}".replace("-", "−")
    if effects.interval is None:
        return said
    interval = effects.interval
    return f", {_printable(interval.chrom)}:{interval.start + 1:,}-{interval.end:,} ({interval.strand}){said}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _logo(axes: Axes, effects: GeneEffects, start: int) -> None:
    """The letters of a stretch, each as high as its support; those that lower the level hang below the line."""
    from matplotlib.collections import PathCollection

    support, tokens = effects.support[start : start + STRETCH], effects.tokens[start : start + STRETCH]
    left = effects.first + start
    named = LETTER_COLOURS[effects.letters.input]
    known = effects.letters.known(tokens)
    for token in np.unique(tokens[known]).tolist():
        letter = effects.letters.alphabet.letters[token - 1]
        found = [
            _glyph(letter, left + offset, float(support[offset]))
            for offset in np.flatnonzero(tokens == token).tolist()
            if support[offset]
        ]
        colour = COLOURS[named.get(letter, "text")]
        axes.add_collection(PathCollection(found, facecolor=colour, linewidth=0), autolim=False)
    axes.axhline(0, color=_MARK, linewidth=0.6)
    axes.set_xlim(left - 0.5, left + min(STRETCH, len(effects.tokens)) - 0.5)  # letters are as wide everywhere
    axes.grid(axis="y", linewidth=0.6)
    axes.locator_params(axis="x", integer=True)
    axes.locator_params(axis="y", nbins=4)


def _glyph(letter: str, place: float, height: float) -> Any:
    """The outline of a letter, as wide as a position and so high from the line, up or down."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D, Bbox

    outline = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    box = outline.get_extents()
    bottom, top = min(height, 0.0), max(height, 0.0)
    half = 0.16 if letter == "I" else 0.46  # as wide as others it would be a block
    target = Bbox([[place - half, bottom], [place + half, top]])
    moved = Affine2D().translate(-box.x0, -box.y0).scale(target.width / box.width, target.height / box.height)
    return outline.transformed(moved.translate(target.x0, target.y0))
