from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from seqexpr.effects.effect_figure import MOST_STRETCHES, STRETCH, _draw, is_figure, strongest_stretches, write_figure
from seqexpr.effects.gene_effects import GeneEffects

Make = Callable[..., GeneEffects]

pytest.importorskip("matplotlib")


def of_support(support: np.ndarray, first: int = -500) -> GeneEffects:
    """A gene of A's alone, whose letters have this support."""
    deltas = np.zeros((4, len(support)), np.float32)
    deltas[1:] = -support
    tokens = np.ones(len(support), np.uint8)
    return GeneEffects("g", "", None, 0, first, tokens, 0.5, deltas, "mrna", "log10(x)")


def test_the_strongest_stretches_hold_the_peaks_and_do_not_overlap() -> None:
    support = np.full(1000, 0.001)
    support[[120, 122, 500]] = 1.0, 1.0, -1.5
    starts = strongest_stretches(of_support(support))
    assert starts == sorted(starts) and len(starts) == 2
    assert starts[0] <= 120 < starts[0] + STRETCH - 2
    assert starts[1] <= 500 < starts[1] + STRETCH


def test_there_are_two_to_four_of_them() -> None:
    assert len(strongest_stretches(of_support(np.ones(1000)))) == MOST_STRETCHES
    assert len(strongest_stretches(of_support(np.ones(130)))) == 2
    assert strongest_stretches(of_support(np.ones(60))) == [0]
    starts = strongest_stretches(of_support(np.ones(1000)))
    assert all(later - start >= STRETCH for start, later in pairwise(starts))


def test_unknown_letters_are_no_strongest_stretch(effects: Make) -> None:
    gene = effects("g", "N" * 300 + "ACGT" * 50)
    assert min(strongest_stretches(gene)) > 300 - STRETCH


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_figure_is_known_again(suffix: str, tmp_path: Path, effects: Make) -> None:
    from matplotlib.figure import Figure

    write_figure(tmp_path / f"own.{suffix}", effects("g", "ACGT"))
    figure = Figure()
    figure.savefig(tmp_path / f"other.{suffix}")
    assert [is_figure(tmp_path / f"{name}.{suffix}") for name in ("own", "other", "absent")] == [True, False, False]


def test_an_svg_names_gene_place_unit_and_tss_and_has_the_same_bytes_again(tmp_path: Path, effects: Make) -> None:
    gene = effects("E1", "ACGT" * 60, "chr1:100-340:-", symbol="$A & <b>", first=-200)
    write_figure(tmp_path / "one.svg", gene)
    write_figure(tmp_path / "two.svg", gene)
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    words = " ".join("".join(part.itertext()) for part in ElementTree.fromstring(text).iter() if part.text)
    assert "$A & <b> (E1), chr1:101-340 (-), predicted 1.25" in words
    assert "support of mrna [log10(x)]" in words and "TSS →" in words and "from the TSS" in words
    assert "<dc:date>" not in text


def test_letters_of_a_logo_stand_in_their_places_as_high_as_their_support() -> None:
    support = np.linspace(-1, 1, 40)
    support[10] = 0
    logo = _draw(replace(of_support(support), tokens=np.arange(40, dtype=np.uint8) % 4 + 1)).axes[1]
    boxes = [path.get_extents() for letters in logo.collections for path in letters.get_paths()]
    assert len(boxes) == 39
    for box in boxes:
        place = round((box.x0 + box.x1) / 2)
        assert box.width == pytest.approx(0.92)
        assert (box.y0 if box.y0 < -1e-9 else box.y1) == pytest.approx(support[place + 500], abs=1e-6)


@pytest.mark.parametrize("letters", ["ACGT" * 30, "A", "NNNN", "N" * 100])
def test_any_gene_can_be_drawn(letters: str, tmp_path: Path, effects: Make) -> None:
    write_figure(tmp_path / "g.png", effects("g", letters, first=7))
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
