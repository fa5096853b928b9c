"""What the template shows: plain records of text and drawings, and how numbers are written in them.

Nothing here is HTML, except for the drawings; the template escapes all text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

HEADINGS = {
    "r2": "r²",
    "pearson_r2": "Pearson r²",
    "spearman": "Spearman",
    "rmse": "RMSE",
    "high_expressed_found": "high expressed found",
}
"""The metrics as a reader knows them."""

DRAWN = ("r2", "pearson_r2")
"""The metrics that have figures."""

_SYMBOLS = {"ahead": "▲ ", "behind": "▼ "}
"""What a colour says stands in print too."""

_MANY_COLUMNS = 7

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Letters that command a display: all controls but tab and line feed, line separators, changes of direction."""

Numbers = Mapping[str, float | None]
"""An estimate of metrics.json: value, low, high; None where one is not defined."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a text, and its interval in small print."""

    text: str
    small: str = ""
    mark: str = ""
    """A class of the style sheet: "best", "ahead", "behind", or none."""


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    cells: tuple[Cell, ...]
    own: bool = False
    """Whether it is the trained model's."""


@dataclass(frozen=True)
class Table:
    """A table; on a narrow screen each row is a block in which every cell has its heading above it."""

    head: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def many(self) -> bool:
        """Whether it has more columns than a tablet or a printed page has room for at full size."""
        return len(self.head) > _MANY_COLUMNS


@dataclass(frozen=True)
class Figure:
    """A drawing, with what it shows in words for those who cannot see it."""

    svg: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Item:
    """A sentence of a list, about a name."""

    name: str
    text: str


@dataclass(frozen=True)
class Part:
    """A piece of a section, under a heading of its own."""

    heading: str = ""
    text: str = ""
    table: Table | None = None
    items: tuple[Item, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Section:
    """A card of the page."""

    title: str
    parts: tuple[Part, ...]
    note: str = ""
    text: bool = False
    """Whether its tables hold text rather than numbers."""


@dataclass(frozen=True)
class Verdict:
    """What a label's scores mean: a sentence, and further ones in smaller print."""

    output: str
    sentence: str
    further: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    lead: str
    verdicts: tuple[Verdict, ...] = ()
    figure: Figure | None = None
    failures: tuple[Item, ...] = ()
    warning: str = ""
    sections: tuple[Section, ...] = ()
    settings: tuple[Item, ...] = ()
    manifest: str = field(default="", repr=False)


def cells(*texts: str) -> tuple[Cell, ...]:
    """A cell for each text."""
    return tuple(Cell(text) for text in texts)


def estimate_cell(estimate: Numbers | None, mark: str = "", sign: str = "", ends: int = 3) -> Cell:
    """A value over its interval, "–" where it is not defined.

    Args:
        estimate: what is shown.
        mark: "best", "ahead" or "behind".
        sign: put before positive values.
        ends: decimals of the interval's ends.
    """
    if estimate is None or (value := estimate.get("value")) is None:
        return Cell("–")
    low, high = estimate.get("low"), estimate.get("high")
    small = "" if low is None or high is None else f"{number(low, decimals=ends)} to {number(high, decimals=ends)}"
    return Cell(_SYMBOLS.get(mark, "") + number(value, sign), small, mark)


def phrase(estimate: Numbers, sign: str = "") -> str:
    """ "0.512 (0.480 to 0.544)", as text within a sentence."""
    value, low, high = (estimate.get(part) for part in ("value", "low", "high"))
    if value is None:
        return "not defined"
    return number(value, sign) + ("" if low is None or high is None else f" ({number(low)} to {number(high)})")


def value_of(row: Mapping[str, Any], metric: str) -> float | None:
    """A metric's value in a row of metrics.json."""
    return row["metrics"].get(metric, {}).get("value")


def share(count: int, total: int) -> str:
    """ "1.2 %"; an exact nothing is "0", so that it does not look rounded."""
    return "0" if count == 0 else f"{100 * count / total:.1f} %"


def number(value: float, sign: str = "", decimals: int = 3) -> str:
    """A number with a real minus sign; large ones have fewer decimals than asked for."""
    text = f"{value:.{decimals}f}" if abs(value) < 100 else f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.2e}"
    nothing = f"{0:.{decimals}f}"
    text = nothing if text == f"-{nothing}" else text
    return (sign if value > 0 and text != nothing else "") + text.replace("-", "−")


def printable(text: str) -> str:
    """A text without control characters and without letters that turn the direction of others; each becomes "�"."""
    return _COMMANDS.sub("�", text)


def listed(names: Sequence[str], most: int) -> str:
    """Names in a row, of which those after the first `most` are counted."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
