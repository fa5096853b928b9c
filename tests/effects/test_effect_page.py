from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from seqexpr.effects.attribution import GeneEffects
from seqexpr.effects.effect_page import MOST_GENES, Page

Make = Callable[..., GeneEffects]

pytest.importorskip("jinja2")

EVIL = "</script><script>alert(1)</script>\"'&\u202e\x1b[2J"


class Reader(HTMLParser):
    """Tags with their attributes, texts, and the scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        (self.scripts if self.tags and self.tags[-1][0] == "script" and data.strip() else self.texts).append(data)


def read(page: Page) -> tuple[Reader, dict[str, Any]]:
    reader = Reader()
    reader.feed(page.render())
    return reader, json.loads(reader.scripts[0])


def test_the_page_holds_what_was_found(effects: Make) -> None:
    gene = effects("E1", "ACGTN", "chr1:5-10:-", symbol="SYM", first=-2, contig=50)
    page = Page("human-mrna")
    page.add(gene)
    _, data = read(page)
    (stored,) = data["genes"]
    assert data["output"] == "mrna [log10(x)]"
    assert (stored["name"], stored["letters"], stored["first"], stored["level"]) == ("SYM (E1)", "ACGTN", -2, 1.25)
    assert stored["place"] == {"chrom": "chr1", "start": 5, "end": 10, "strand": "-", "contig": 50}
    steps = np.frombuffer(base64.b64decode(stored["deltas"]), "<i2").reshape(5, 4)
    largest = np.nanmax(np.abs(gene.deltas))
    np.testing.assert_allclose(steps[:4].T * stored["scale"], gene.deltas[:, :4], atol=largest / 32767)
    assert (steps[4] == -32768).all()


def test_whatever_genes_are_called_is_text(effects: Make) -> None:
    page = Page(EVIL)
    for name in (EVIL, "{{ 7 * 7 }}"):
        page.add(effects(name, "ACGT", symbol=name[:-1]))
    text = page.render()
    reader, data = read(page)
    assert len(reader.scripts) == 2 and "alert" not in reader.scripts[1]
    assert "\u202e" not in text and "\x1b" not in text and "49" not in data["genes"][1]["name"]
    assert data["genes"][0]["name"].startswith("</script><script>alert(1)</script>")


def test_the_page_fetches_nothing_and_runs_its_own_script_alone(effects: Make) -> None:
    page = Page("tiny")
    page.add(effects("g", "ACGT"))
    reader, _ = read(page)
    assert not re.search(r"https?:|//[a-z]|\bfetch\(|XMLHttpRequest|import\(|@import|url\(", page.render())
    for tag, attributes in reader.tags:
        assert "src" not in attributes and attributes.get("href", "data:,") == "data:,", tag
    (policy,) = (one["content"] for tag, one in reader.tags if one.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(reader.scripts[1].encode()).digest()).decode()
    assert policy is not None and f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_a_chooser_is_there_for_several_genes_alone(effects: Make) -> None:
    page = Page("tiny")
    page.add(effects("a", "ACGT"))
    assert "select" not in [tag for tag, _ in read(page)[0].tags]
    page.add(effects("b", "ACGT"))
    assert [tag for tag, _ in read(page)[0].tags].count("option") == 2


def test_very_many_genes_are_counted_not_shown(effects: Make) -> None:
    page = Page("tiny")
    gene = effects("g", "ACGT")
    for _ in range(MOST_GENES + 1234):
        page.add(gene)
    reader, data = read(page)
    assert len(data["genes"]) == MOST_GENES
    assert any(f"The first {MOST_GENES} genes; 1,234 more are in the table." in text for text in reader.texts)


def test_a_page_of_no_genes_says_so() -> None:
    reader, data = read(Page("tiny"))
    assert data["genes"] == [] and "No genes." in reader.texts


@pytest.mark.parametrize("letters", ["NNNN", "A"])
def test_genes_without_effects_are_stored(letters: str, effects: Make) -> None:
    page = Page("tiny")
    page.add(effects("g", letters))
    assert read(page)[1]["genes"][0]["letters"] == letters
