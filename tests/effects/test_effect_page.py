from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from seqexpr.effects.effect_page import MOST_GENES, Page
from seqexpr.effects.gene_effects import GeneEffects
from seqexpr.effects.letters import RESIDUES

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


def shown_range(reader: Reader) -> str:
    """What the page's script says of the range it shows, run by Node.js."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    script = f"{DOM}{reader.scripts[1]}\nconsole.log(elements.where.textContent);"
    done = subprocess.run([node, "-e", script, reader.scripts[0]], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_page_holds_what_was_found(effects: Make) -> None:
    gene = effects("E1", "ACGTN", "chr1:5-10:-", symbol="SYM", first=-2, contig=50)
    page = Page("human-mrna")
    page.add(gene)
    _, data = read(page)
    (stored,) = data["genes"]
    assert data["output"] == "mrna [log10(x)]"
    assert (stored["name"], stored["letters"], stored["first"], stored["level"]) == ("SYM (E1)", "ACGTN", -2, 1.25)
    assert stored["place"] == {"chrom": "chr1", "start": 5, "end": 10, "strand": "-", "contig": 50, "circular": False}
    steps = np.frombuffer(base64.b64decode(stored["deltas"]), "<i2").reshape(5, 4)
    largest = np.nanmax(np.abs(gene.deltas))
    np.testing.assert_allclose(steps[:4].T * stored["scale"], gene.deltas[:, :4], atol=largest / 32767)
    assert (steps[4] == -32768).all()


def test_the_page_of_proteins_has_their_letters(effects: Make) -> None:
    gene = effects("p", "MXUK", of=RESIDUES, first=3)
    page = Page("human-prot")
    page.add(gene)
    reader, data = read(page)
    (stored,) = data["genes"]
    assert (data["letters"]["input"], data["letters"]["rows"]) == ("protein", "ACDEFGHIKLMNPQRSTVWY")
    assert set(data["letters"]["colours"]) == set("ACDEFGHIKLMNPQRSTVWY")
    assert (stored["letters"], stored["first"], stored["place"]) == ("MXUK", 3, None)
    steps = np.frombuffer(base64.b64decode(stored["deltas"]), "<i2").reshape(4, 20)
    assert (steps[1] == -32768).all()
    np.testing.assert_allclose(steps[3] * stored["scale"], gene.deltas[:, 3], atol=stored["scale"])
    assert "tss" not in [attributes.get("id") for _, attributes in reader.tags]
    assert any("the 19 substitutions" in text for text in reader.texts)
    assert shown_range(reader) == "residues 3 to 6"


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


DOM = """
const elements = {};
const make = () => new Proxy({ clientWidth: 800, clientHeight: 300, style: {}, options: [], children: [] }, {
  get: (all, name) => name in all ? all[name] : (typeof name === "string" ? () => make() : undefined),
  set: (all, name, value) => { all[name] = value; return true; },
});
globalThis.document = {
  documentElement: make(),
  getElementById: (id) => elements[id] ??= make(),
  createElement: make,
  addEventListener() {},
};
globalThis.window = globalThis;
globalThis.addEventListener = () => {};
globalThis.matchMedia = () => make();
globalThis.getComputedStyle = () => ({ getPropertyValue: () => "#102030" });
globalThis.requestAnimationFrame = (draw) => draw();
globalThis.ResizeObserver = class { observe() {} };
document.getElementById("data").textContent = process.argv[1];
"""


@pytest.mark.parametrize(
    ("letters", "interval", "circular", "said"),
    [
        ("ACGT", "c:9-13:+", False, "c:10-13 (+)"),
        ("ACGT", "c:9-13:-", False, "c:10-13 (−)"),
        ("NNAC", "c:-2-2:+", False, "c:1-2 (+; 2 outside the contig)"),
        ("NNNAC", "c:48-53:-", False, "c:49-50 (−; 3 outside the contig)"),
        ("NNNN", "c:-6--2:+", False, "outside the contig c (+)"),
        ("ACGT", "c:-2-2:+", True, "c:49-2 over the origin (+)"),
        ("ACGT", "c:48-52:-", True, "c:49-2 over the origin (−)"),
        ("A" * 60, "c:-2-58:-", True, "c:1-50 (−)"),
    ],
)
def test_the_range_shown_goes_round_circular_contigs_alone(
    letters: str, interval: str, circular: bool, said: str, effects: Make
) -> None:
    page = Page("tiny")
    page.add(effects("g", letters, interval, contig=50, circular=circular))
    assert shown_range(read(page)[0]).partition(" from the TSS, ")[2] == said


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
