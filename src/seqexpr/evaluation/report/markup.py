"""Pieces of HTML that the report's sections are put together from. Text of the user's is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

HEADINGS = {
    "r2": "r²",
    "pearson_r2": "Pearson r²",
    "spearman": "Spearman",
    "rmse": "RMSE",
    "high_expressed_found": "high expressed found",
}
"""The metrics as a reader knows them."""

_SYMBOLS = {"ahead": "▲ ", "behind": "▼ "}
"""What is told in colour is told in print too."""

Numbers = Mapping[str, float | None]
"""An estimate of metrics.json: value, low, high; None where one is not defined."""


def section(title: str, content: str) -> str:
    """A card of the page."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def note(text: str) -> str:
    """A remark below a table."""
    return f'<p class="note">{escape(text)}</p>'


def table(head: Sequence[str], lines: Sequence[str]) -> str:
    """A table that scrolls sideways where the screen is narrow.

    Args:
        head: headings, as text.
        lines: whole rows, as HTML.
    """
    cells = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in head)
    rows = f"<thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="scroll"><table>{rows}</table></div>'


def drawn(svg: str, caption: str = "") -> str:
    """A figure with its caption."""
    return f"<figure>{svg}{f'<figcaption>{escape(caption)}</figcaption>' if caption else ''}</figure>"


def estimate_cell(estimate: Numbers | None, mark: str = "", sign: str = "") -> str:
    """A table's cell with a value over its interval, "–" where it is not defined.

    Args:
        estimate: what is shown.
        mark: a CSS class: "best", "ahead" or "behind".
        sign: put before positive values.
    """
    if estimate is None or (value := estimate.get("value")) is None:
        return "<td>–</td>"
    emphasis = f' class="{mark}"' if mark else ""
    return f"<td{emphasis}>{_SYMBOLS.get(mark, '')}{number(value, sign)}{interval_line(estimate)}</td>"


def interval_line(estimate: Numbers) -> str:
    """The interval in small print; "" where there is none."""
    low, high = estimate.get("low"), estimate.get("high")
    return "" if low is None or high is None else f"<small>{number(low)} to {number(high)}</small>"


def phrase(estimate: Numbers, sign: str = "") -> str:
    """ "0.512 (0.480 to 0.544)", as text within a sentence."""
    value, low, high = (estimate.get(part) for part in ("value", "low", "high"))
    if value is None:
        return "not defined"
    return number(value, sign) + ("" if low is None or high is None else f" ({number(low)} to {number(high)})")


def value_of(row: Mapping[str, Any], metric: str) -> float | None:
    """A metric's value in a row of metrics.json."""
    return row["metrics"].get(metric, {}).get("value")


def spoken(model: str) -> str:
    """A model's name in words."""
    return str(model).replace("half_life", "half-life").replace("_", " ")


def share(count: int, total: int) -> str:
    """ "1.2 %"; an exact nothing is "0", so that it does not look rounded."""
    return "0" if count == 0 else f"{100 * count / total:.1f} %"


def number(value: float, sign: str = "") -> str:
    """Three decimals, with a real minus sign."""
    text = f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"
    text = "0.000" if text == "-0.000" else text
    return (sign if value > 0 and text != "0.000" else "") + text.replace("-", "−")
