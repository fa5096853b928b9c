"""The page of `explain` as its readers see and use it, in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqexpr.effects.effect_page import Page
from seqexpr.effects.gene_effects import GeneEffects
from seqexpr.effects.letters import RESIDUES

from ..browser import Tab

pytest.importorskip("jinja2")

Make = Callable[..., GeneEffects]
Show = Callable[..., Tab]

LETTERS = "ACGT" * 75
LEFT, RIGHT = 74, 10
"""Pixels of the drawing beside the letters."""

PHONE = {"width": 390, "height": 844, "touch": True}


@pytest.fixture
def show(tmp_path: Path, open_page: Callable[..., Tab]) -> Show:
    """Opens a page of genes; afterwards it must not have complained, nor asked for anything."""

    def show_genes(*genes: GeneEffects, about: str = "tiny", **window: Any) -> Tab:
        page = Page(about)
        for gene in genes:
            page.add(gene)
        page.write(tmp_path / "effects.html")
        return open_page(tmp_path / "effects.html", **window)

    return show_genes


def text(tab: Tab, name: str) -> str:
    return tab.evaluate(f"document.getElementById('{name}').textContent")


def shown(tab: Tab) -> tuple[int, int]:
    """The first and the last letter that are shown, from the TSS."""
    first, last = re.match(r"(\S+) to (\S+) from the TSS", text(tab, "where")).groups()  # type: ignore[union-attr]
    return int(first.replace("−", "-")), int(last.replace("−", "-"))


def letter(tab: Tab, share: float, down: float = 0.3) -> tuple[float, float]:
    """The point of the main drawing at a share of its letters."""
    width = tab.evaluate("document.getElementById('main').clientWidth")
    return tab.place("#main", (LEFT + share * (width - LEFT - RIGHT)) / width, down)


def drawn(tab: Tab, colour: str, canvas: str = "main") -> np.ndarray:
    """Where a canvas has exactly a colour of the page: (pixels, 2), x and y."""
    points = tab.evaluate(f"""(() => {{
      const canvas = document.getElementById("{canvas}"), {{ width, height }} = canvas, found = [];
      const hex = getComputedStyle(document.documentElement).getPropertyValue("--{colour}").trim();
      const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
      const copy = new OffscreenCanvas(width, height).getContext("2d", {{ willReadFrequently: true }});
      copy.drawImage(canvas, 0, 0);
      const seen = copy.getImageData(0, 0, width, height).data;
      for (let at = 0; at < width * height; at++) {{
        if (seen[4 * at] === r && seen[4 * at + 1] === g && seen[4 * at + 2] === b && seen[4 * at + 3] === 255)
          found.push([at % width, Math.floor(at / width)]);
      }}
      return found;
    }})()""")
    return np.array(points, dtype=int).reshape(-1, 2)


def test_a_letter_is_drawn_where_it_is_and_its_changes_below_it(effects: Make, show: Show) -> None:
    deltas = np.zeros((4, 24), np.float32)
    deltas[:, 10] = [0.5, -2, 0, -1]  # of A, C, G and T; the letter there is G
    tab = show(replace(effects("g", "ACGT" * 6), deltas=deltas))
    scale = (tab.evaluate("document.getElementById('main').width") - LEFT - RIGHT) / 24
    glyph, above = drawn(tab, "g"), LEFT + np.array([10, 11]) * scale
    assert len(glyph) > 100 and above[0] <= glyph[:, 0].min() and glyph[:, 0].max() <= above[1]
    assert not len(drawn(tab, "a")) and not len(drawn(tab, "t"))
    lowered = drawn(tab, "down")  # the strongest change alone has the full colour: the one to C
    assert len(lowered) > 100 and above[0] <= lowered[:, 0].min() and lowered[:, 0].max() <= above[1]
    assert glyph[:, 1].max() < lowered[:, 1].min() and np.ptp(lowered[:, 1]) < 17
    overview = drawn(tab, "up", "overview")
    assert not len(overview) or above[0] - 2 <= overview[:, 0].min() <= overview[:, 0].max() <= above[1] + 2


def test_a_long_region_is_drawn_to_both_sides_of_zero(effects: Make, show: Show) -> None:
    tab = show(effects("g", LETTERS * 20))
    ups, downs = drawn(tab, "up"), drawn(tab, "down")
    width = tab.evaluate("document.getElementById('main').width")
    for found in (ups, downs):
        assert len(set(found[:, 0])) > 0.9 * (width - LEFT - RIGHT)
    assert ups[:, 1].min() < 60 and np.median(ups[:, 1]) < np.median(downs[:, 1])


def test_buttons_keys_wheel_and_double_click_zoom(effects: Make, show: Show) -> None:
    tab = show(effects("g", LETTERS, "chr1:1000-1300:+", first=-200))
    assert text(tab, "where") == "−200 to +99 from the TSS, chr1:1,001-1,300 (+)"
    tab.click(*tab.place("#in"))
    assert shown(tab) == (-140, 39)  # 0.6 of it, around its middle
    tab.click(*tab.place("#out"))
    assert shown(tab) == (-200, 99)
    tab.click(*tab.place("#tss"))
    assert text(tab, "where") == "−60 to +59 from the TSS, chr1:1,141-1,260 (+)"
    tab.click(*tab.place("#whole"))
    assert shown(tab) == (-200, 99)
    tab.evaluate("document.getElementById('main').focus()")
    tab.key("+")
    assert shown(tab) == (-140, 39)
    tab.key("ArrowRight")
    assert shown(tab) == (-104, 75)  # a fifth of it
    tab.key("ArrowLeft")
    tab.key("-")
    assert shown(tab) == (-200, 99)
    for _ in range(9):
        tab.key("+")
    assert shown(tab) == (-62, -39)  # never fewer than 24 letters
    tab.key("Home")
    assert shown(tab) == (-200, 99)
    at = letter(tab, 0.25)
    tab.wheel(*at, down=-100)
    first, last = shown(tab)
    assert last - first + 1 == pytest.approx(300 * np.exp(-0.4), abs=1)
    assert first + 0.25 * (last - first + 1) == pytest.approx(-125, abs=1)  # stays where it is
    tab.wheel(*at, down=100)
    assert shown(tab) == (-200, 99)
    tab.click(*letter(tab, 0.5), times=2)
    first, last = shown(tab)
    assert last - first + 1 == pytest.approx(300 * 0.35, abs=1) and (first + last) / 2 == pytest.approx(-50, abs=1)


def test_the_strongest_stretch_is_found(effects: Make, show: Show) -> None:
    gene = effects("g", LETTERS)
    strong = np.where((np.arange(300) >= 120) & (np.arange(300) < 180), 1, 0.01)
    tab = show(replace(gene, deltas=(gene.deltas * strong).astype(np.float32)))
    tab.click(*tab.place("#strongest"))
    first, last = shown(tab)
    assert last - first == 79 and first <= 120 and last >= 179


def test_dragging_moves_the_view_and_stops_at_the_ends(effects: Make, show: Show) -> None:
    tab = show(effects("g", LETTERS))
    tab.click(*tab.place("#in"))
    assert shown(tab) == (60, 239)
    left, middle, right = (letter(tab, share) for share in (0.2, 0.5, 0.75))
    tab.drag(middle, right)
    assert shown(tab) == (15, 194)
    tab.release(*right)
    tab.move(*left)
    assert shown(tab) == (15, 194)  # the mouse is free again
    tab.drag(left, middle, right)
    assert shown(tab) == (0, 179)
    tab.release(*right)


def test_the_overview_takes_the_view_where_it_is_clicked(effects: Make, show: Show) -> None:
    tab = show(effects("g", LETTERS, first=-100))
    tab.click(*tab.place("#tss"))
    assert shown(tab) == (-60, 59)
    width = tab.evaluate("document.getElementById('overview').clientWidth")
    tab.click(*tab.place("#overview", (LEFT + 0.7 * (width - LEFT - RIGHT)) / width))
    assert shown(tab) == (50, 169)


def test_another_gene_is_chosen_by_the_keyboard(effects: Make, show: Show) -> None:
    genes = [effects("one", LETTERS, "chr1:0-300:+"), effects("two", LETTERS[:200], "chr2:0-200:-", seed=1)]
    tab = show(replace(genes[0], level=-0.5), genes[1])
    assert text(tab, "about") == "one: predicted mrna [log10(x)] −0.5000. Changes are in the same unit."
    before = drawn(tab, "up")
    tab.click(*tab.place("#in"))
    tab.evaluate("document.getElementById('gene').focus()")
    tab.key("t")
    assert text(tab, "about") == "two: predicted mrna [log10(x)] 1.250. Changes are in the same unit."
    assert text(tab, "where") == "0 to +199 from the TSS, chr2:1-200 (−)"
    assert not np.array_equal(drawn(tab, "up"), before)


@pytest.mark.parametrize("window", [{}, PHONE], ids=["mouse", "finger"])
def test_a_letter_that_is_pointed_at_tells_its_changes(window: dict[str, Any], effects: Make, show: Show) -> None:
    gene = effects("g", LETTERS, "chr1:1000-1300:-", first=-100)
    tab = show(gene, **window)
    tab.click(*tab.place("#tss"))
    (tab.click if window else tab.move)(*letter(tab, (10 + 0.5) / 120))
    at = 50  # of the gene's letters: a G, at -50 from the TSS
    title, place, *changes = tab.evaluate("document.getElementById('tip').innerText").splitlines()
    assert (title, place) == ("G at −50", "chr1:1,250 (C on +)")
    told = {name: float(value.replace("−", "-")) for name, value in (line.split("\t") for line in changes)}
    wanted = {f"G → {other}": gene.deltas["ACGT".index(other), at] for other in "ACT"} | {"support": gene.support[at]}
    assert told == pytest.approx(wanted, rel=0.005, abs=float(np.abs(gene.deltas).max()) / 32767)
    box = tab.evaluate(
        "(({ x, right }) => [x, right, innerWidth])(document.getElementById('tip').getBoundingClientRect())"
    )
    assert 0 <= box[0] < box[1] <= box[2]
    tab.click(*tab.place("#out"))
    assert tab.evaluate("document.getElementById('tip').hidden")  # another letter stands there now


@pytest.mark.parametrize("window", [{}, PHONE], ids=["desktop", "phone"])
def test_a_residue_tells_its_nineteen_changes(window: dict[str, Any], effects: Make, show: Show) -> None:
    gene = effects("p", "MKXWI" * 12, of=RESIDUES, first=1)
    tab = show(gene, **window)
    assert text(tab, "where") == "residues 1 to 60"
    assert tab.evaluate("document.getElementById('tss')") is None
    (tab.click if window else tab.move)(*letter(tab, 3.5 / 60))
    title, *changes = tab.evaluate("document.getElementById('tip').innerText").splitlines()
    assert title == "W at 4"
    cells = [cell for line in changes for cell in line.split("\t")]
    told = dict(zip(cells[::2], (float(cell.replace("−", "-")) for cell in cells[1::2]), strict=True))
    wanted = {f"W → {alt}": gene.deltas[row, 3] for row, alt in enumerate(RESIDUES.letters) if alt != "W"}
    assert told == pytest.approx(wanted | {"support": gene.support[3]}, rel=0.005, abs=1e-3)
    assert tab.overflow() == 0
    assert len(drawn(tab, "up")) or len(drawn(tab, "down"))


def test_letters_that_are_not_known_say_so(effects: Make, show: Show) -> None:
    tab = show(effects("g", "NNNN" * 6, "c:-12-12:+"))
    tab.move(*letter(tab, 0.1))
    assert tab.evaluate("document.getElementById('tip').innerText").split("\n") == [
        "N at +2",
        "outside the contig",
        "not known\t",
    ]
    assert text(tab, "where") == "0 to +23 from the TSS, c:1-12 (+; 12 outside the contig)"


def test_a_finger_drags(effects: Make, show: Show) -> None:
    tab = show(effects("g", LETTERS), **PHONE)
    tab.click(*tab.place("#in"))
    assert shown(tab) == (60, 239)
    tab.swipe(letter(tab, 0.75), letter(tab, 0.25))
    first, last = shown(tab)
    assert last - first == 179 and 120 >= first > 110  # the first pixels decide that it is no tap
    assert tab.evaluate("document.getElementById('tip').hidden")


LONG = "scaffold_" + "0123456789" * 12
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def test_on_a_phone_nothing_is_wider_than_the_window(effects: Make, show: Show) -> None:
    gene = effects(LONG, LETTERS, f"{LONG}:1000-1300:-", symbol=LONG[::-1])
    tab = show(gene, effects("b", LETTERS), about=LONG, **PHONE)
    assert tab.overflow() == 0
    tab.click(*letter(tab, 0.5))
    assert not tab.evaluate("document.getElementById('tip').hidden")
    assert tab.overflow() == 0


def test_whatever_a_gene_is_called_is_shown_as_text(effects: Make, show: Show) -> None:
    tab = show(effects(EVIL, LETTERS, "chr1:0-300:+"), effects("b", LETTERS), about=EVIL)
    assert EVIL in tab.evaluate("document.querySelector('#gene option').textContent")
    assert text(tab, "about").startswith(f"{EVIL}: predicted")
    assert tab.evaluate("document.scripts.length") == 2 and tab.evaluate("document.images.length") == 0


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_is_legible_in_light_and_dark_also_when_it_changes(effects: Make, show: Show) -> None:
    tab = show(effects("a", LETTERS, "chr1:0-300:+"), effects("b", LETTERS))
    cards = []
    for dark in (False, True):
        tab.prefer(dark)
        tab.settle()
        assert len(drawn(tab, "soft")) > 20 and len(drawn(tab, "text")) > 20  # the drawing took the new colours
        tab.move(*letter(tab, 0.5 + 0.1 * dark))
        texts = tab.contrasts()
        assert len(texts) > 15
        assert [found for found in texts if found[1] < 4.5] == []
        colours = tab.evaluate("""["card", "text", "soft", "up", "down", "a", "c", "g", "t"].map(
            (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim())""")
        card, *others = map(luminance, colours)
        contrasts = [(max(one, card) + 0.05) / (min(one, card) + 0.05) for one in others]
        assert min(contrasts[:2]) >= 4.5  # the axes' labels
        assert min(contrasts[2:]) >= 3  # what is drawn
        cards.append(card)
    assert cards[0] > 0.8 > 0.1 > cards[1]


def test_the_keyboard_reaches_everything_and_drawings_have_names(effects: Make, show: Show) -> None:
    tab = show(effects("a", LETTERS, first=-100), effects("b", LETTERS, first=50))
    reached = []
    for _ in range(7):
        tab.key("Tab")
        reached.append(tab.evaluate("document.activeElement.id"))
        outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", reached[-1]
    assert reached == ["gene", "whole", "tss", "strongest", "in", "out", "main"]
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    named: dict[str, list[str]] = {}
    for node in nodes:
        named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    assert named["combobox"] == ["Gene"]
    assert named["button"] == ["Whole region", "Around the TSS", "Strongest stretch", "Zoom in", "Zoom out"]
    assert len(named["image"]) == 2 and all(named["image"])
    tab.evaluate("document.getElementById('gene').focus()")
    tab.key("b")  # its region begins behind the TSS
    assert tab.evaluate("document.getElementById('tss').disabled")


def test_pages_of_no_gene_and_of_nothing_known_are_shown(effects: Make, show: Show) -> None:
    assert "No genes." in show().evaluate("document.body.innerText")
    assert text(show(effects("g", "N")), "where") == "0 to 0 from the TSS"
