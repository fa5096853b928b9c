from __future__ import annotations

import re
import sys

import numpy as np
import pandas as pd
import pytest

from seqexpr.errors import UsageError
from seqexpr.evaluation import figures
from seqexpr.evaluation.figures import ACCENT_COLOUR, BASELINE_COLOUR, MODEL_COLOUR

ROWS = [("seqexpr", 0.5, 0.4, 0.7), ("training mean", 0.0, -0.1, 0.1), ("xpresso", 0.3, 0.2, 0.3)]
HISTORY = pd.DataFrame(
    {
        "fold": [0, 0, 0, 1, 1, 1],
        "epoch": [1.0, 2.0, 3.0, 1.0, 2.0, 3.0],
        "train_loss": [1.0, 0.8, 0.7, 1.0, 0.9, 0.8],
        "valid_loss": [1.0, 0.6, 0.8, 0.9, 0.7, 0.5],
        "valid_r2": [0.1, 0.2, 0.4, 0.5, np.nan, 0.3],
    }
)


def words(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def markers(svg: str, colour: str) -> np.ndarray:
    """Places (n, 2) of the round markers of a colour, in pixels from the upper left corner."""
    found = re.findall(rf'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: {colour}', svg)
    return np.array(found, dtype=float).reshape(-1, 2)


def lines(svg: str, colour: str, width: float) -> list[np.ndarray]:
    """The points (n, 2) of each line of a colour and width."""
    style = rf'style="fill: none; (?:stroke-[^;]*; )*stroke: {colour}; stroke-width: {width}[;"]'
    paths = re.findall(rf'<path d="([^"]*)"[^>]*{style}', svg)
    return [np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path), dtype=float) for path in paths]


def pixels_per_unit(svg: str, anchor: str) -> float:
    """Of the axis whose numbers are anchored at their "middle" (horizontal) or "end" (vertical)."""
    place = r'x="([\d.]+)"[^>]*rotate\(-?0 [\d.]+ ([\d.]+)\)'
    labels = re.findall(rf'text-anchor: {anchor};[^>]* {place}">(−?[\d.]+)<', svg)
    (x0, y0, first), (x1, y1, last) = labels[:2]
    length = float(x1) - float(x0) if anchor == "middle" else float(y1) - float(y0)
    return length / (float(last.replace("−", "-")) - float(first.replace("−", "-")))


def test_forest_draws_each_value_within_its_interval_from_top_to_bottom() -> None:
    svg = figures.forest(ROWS, "seqexpr", "r²")
    (own,), others = markers(svg, MODEL_COLOUR), markers(svg, BASELINE_COLOUR)
    assert own[1] < others[0, 1] < others[1, 1]
    unit = pixels_per_unit(svg, "middle")
    np.testing.assert_allclose(others[:, 0] - own[0], np.array([-0.5, -0.2]) * unit, atol=0.01)
    (interval,) = lines(svg, MODEL_COLOUR, 2.2)
    np.testing.assert_allclose(interval - own, [[-0.1 * unit, 0], [0.2 * unit, 0]], atol=0.01)
    assert [word for word in words(svg) if word in ("seqexpr", "training mean", "xpresso", "r²")] == [
        "r²",
        "seqexpr",
        "training mean",
        "xpresso",
    ]


def test_differences_are_coloured_by_who_is_better_and_have_a_line_at_zero() -> None:
    rows = [("a", 0.2, 0.1, 0.3, "ahead"), ("b", -0.2, -0.3, -0.1, "behind"), ("c", 0.1, -0.1, 0.3, "")]
    svg = figures.differences(rows, "seqexpr minus baseline")
    places = [markers(svg, colour) for colour in (MODEL_COLOUR, ACCENT_COLOUR, BASELINE_COLOUR)]
    assert [len(place) for place in places] == [1, 1, 1]
    (ahead,), (behind,), (undecided,) = places
    unit = pixels_per_unit(svg, "middle")
    np.testing.assert_allclose([ahead[0] - behind[0], ahead[0] - undecided[0]], [0.4 * unit, 0.1 * unit], atol=0.01)
    assert ahead[1] < behind[1] < undecided[1]
    (zero,) = lines(svg, figures.TEXT_COLOUR, 0.8)
    np.testing.assert_allclose(zero[:, 0], ahead[0] - 0.2 * unit, atol=0.01)


def test_a_baseline_far_off_is_an_arrow_with_its_number_and_the_others_keep_their_room() -> None:
    near = figures.forest(ROWS, "seqexpr", "r²")
    far = figures.forest([*ROWS, ("untrained network", -35.25, -40.0, -30.0)], "seqexpr", "r²")
    assert "−35.25" in words(far)
    assert pixels_per_unit(far, "middle") > 0.8 * pixels_per_unit(near, "middle")
    ahead = figures.differences([("a", 0.2, 0.1, 0.3, "ahead"), ("b", 36.0, 30.0, 40.0, "ahead")], "difference")
    assert "36.00" in words(ahead)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("seqexpr", -3.0, -4.0, -2.0), ("a", 0.2, 0.1, 0.3)], (-4.0, 0.3)),  # the model is always shown
        ([("a", 0.2, -30.0, 0.3)], (-1.0, 0.3)),  # an interval is cut off as a value is
        ([("a", -30.0, -31.0, -29.0), ("b", -5.0, -6.0, -4.0)], (-6.0, 0.0)),  # all lie far off
        ([("a", 0.0, 0.0, 0.0)], (-0.5, 0.5)),
        ([("a", 0.0, 0.0, 0.0), ("b", 9.0, 9.0, 9.0)], (-0.1, 0.1)),
        ([("a", np.nan, np.nan, np.nan)], (-0.5, 0.5)),
    ],
)
def test_ends_of_an_axis(rows: list[tuple[str, float, float, float]], expected: tuple[float, float]) -> None:
    assert figures._axis_range(rows, "seqexpr") == expected


def test_calibration_is_the_share_of_errors_within_each_interval() -> None:
    svg = figures.calibration(np.array([0.1, -0.6, 5.0, -5.0]), np.ones(4))
    places = markers(svg, MODEL_COLOUR)
    assert len(places) == 21
    across, down = pixels_per_unit(svg, "middle"), pixels_per_unit(svg, "end")
    np.testing.assert_allclose(places[:, 0] - places[0, 0], np.linspace(0, 1, 21) * across, atol=0.01)
    # Half of a normal distribution lies within 0.674 sd, a tenth within 0.126: one error is smaller, then two are.
    shares = (places[:, 1] - places[0, 1]) / down
    np.testing.assert_allclose(shares[[1, 2, 10, 19, 20]], [0, 0.25, 0.5, 0.5, 1], atol=0.001)


def test_letters_that_no_font_of_ours_has_are_drawn_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert "predicted 肝臓" in words(figures.predicted_against_measured(np.arange(3.0), np.arange(3.0), "肝臓"))
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_an_estimate_without_an_interval_is_a_point() -> None:
    assert figures.with_interval({"value": 0.5, "low": 0.1, "high": 0.7}) == (0.5, 0.1, 0.7)
    assert figures.with_interval({"value": 0.5, "low": None, "high": None}) == (0.5, 0.5, 0.5)


def test_forest_leaves_out_a_value_that_is_not_defined() -> None:
    svg = figures.forest([*ROWS, ("constant", np.nan, np.nan, np.nan)], "seqexpr", "r²")
    assert len(markers(svg, BASELINE_COLOUR)) == 2
    assert "constant" in words(svg)


def test_a_scatter_has_a_point_for_each_gene_and_the_line_of_agreement() -> None:
    actual, predicted = np.array([0.0, 1.0, 2.0, 4.0]), np.array([1.0, 1.0, 3.0, 2.0])
    svg = figures.predicted_against_measured(actual, predicted, "log10 RPKM")
    points = markers(svg, MODEL_COLOUR)
    across, down = pixels_per_unit(svg, "middle"), pixels_per_unit(svg, "end")
    np.testing.assert_allclose(points[:, 0] - points[0, 0], (actual - actual[0]) * across, atol=0.01)
    np.testing.assert_allclose(points[:, 1] - points[0, 1], (predicted - predicted[0]) * down, atol=0.01)
    (agreement,) = re.findall(
        rf'<path d="M ([\d.]+) ([\d.]+) \nL ([\d.]+) ([\d.]+) \n"[^>]*stroke: {ACCENT_COLOUR}', svg
    )
    ends = np.array(agreement, dtype=float).reshape(2, 2)
    np.testing.assert_allclose(ends[:, 0] - points[0, 0], np.array([0, 4]) * across, atol=0.01)  # 0 to 4 on both axes
    np.testing.assert_allclose(ends[:, 1] - points[0, 1], np.array([-1, 3]) * down, atol=0.01)
    assert {"measured log10 RPKM", "predicted log10 RPKM"} <= set(words(svg))


def test_more_genes_than_can_be_told_apart_are_a_density() -> None:
    values = np.random.default_rng(0).normal(size=(2, figures.MAX_POINTS + 1))
    few = figures.predicted_against_measured(*values[:, :-1], "x")
    many = figures.predicted_against_measured(*values, "x")
    assert len(markers(few, MODEL_COLOUR)) == figures.MAX_POINTS
    assert "genes" not in words(few)
    assert len(markers(many, MODEL_COLOUR)) == 0
    assert {"genes", "1", "10"} <= set(words(many))  # the colours' scale, in plain numbers


def test_a_model_that_predicts_one_value_can_be_drawn_as_a_density() -> None:
    actual = np.random.default_rng(0).normal(size=2000)
    assert "genes" in words(figures.predicted_against_measured(actual, np.full(2000, 3.0), "x"))
    assert "genes" in words(figures.predicted_against_measured(np.full(2000, 3.0), np.full(2000, 3.0), "x"))


def test_boxes_stand_in_the_order_of_chromosomes_at_their_medians() -> None:
    chroms = ["chr10", "MT", "chrX", "chr2", "2L", "chr1", "chr1", "chr1", "chrY"]
    residuals = np.array([1.0, 2.0, 3.0, 1.5, 0.5, -1.0, 4.0, 0.0, 2.0])
    svg = figures.residuals_by_chromosome(chroms, residuals)
    ticks = words(svg)[: 2 * 7]
    assert ticks[::2] == ["chr1", "chr2", "chr10", "chrX", "chrY", "MT", "2L"]
    assert ticks[1::2] == ["3", "1", "1", "1", "1", "1", "1"]
    medians = np.array([line[0, 1] for line in lines(svg, MODEL_COLOUR, 2)])
    expected = np.array([0.0, 1.5, 1.0, 3.0, 2.0, 2.0, 0.5])
    np.testing.assert_allclose(medians - medians[0], expected * pixels_per_unit(svg, "end"), atol=0.01)


def test_learning_curves_mark_the_best_epoch_of_each_fold() -> None:
    svg = figures.learning_curves(HISTORY)
    dots = markers(svg, ACCENT_COLOUR)
    assert len(dots) == 4  # a dot for each of two folds, in the losses and in r²
    epoch = pixels_per_unit(svg, "middle")
    # Least losses at epochs 2 and 3, highest r² at epochs 3 and 1, where one is not defined at epoch 2.
    np.testing.assert_allclose(dots[1, 0] - dots[0, 0], epoch, atol=0.01)
    np.testing.assert_allclose(dots[3, 0] - dots[2, 0], -2 * epoch, atol=0.01)
    assert dots[1, 1] > dots[0, 1]  # 0.5 lies below 0.6
    assert dots[3, 1] < dots[2, 1]  # 0.5 lies above 0.4
    assert [word for word in words(svg) if word.isalpha() or "²" in word] == [
        "epoch", "loss", "training", "validation", "epoch", "validation r²",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("missing", "dots", "gone"),
    [("valid_r2", 2, "validation r²"), ("valid_loss", 2, "loss"), ("train_loss", 4, "training"), ("fold", 2, "")],
)
def test_learning_curves_of_what_there_is(missing: str, dots: int, gone: str) -> None:
    svg = figures.learning_curves(HISTORY.drop(columns=missing))
    assert len(markers(svg, ACCENT_COLOUR)) == dots
    assert gone not in words(svg)


def test_drawings_fit_one_page_and_name_no_address() -> None:
    drawings = [
        figures.forest(ROWS, "seqexpr", "r²"),
        figures.forest(ROWS, "xpresso", "r²"),
        figures.differences([("a", 0.2, 0.1, 0.3, "ahead")], "x"),
        figures.predicted_against_measured(np.arange(3.0), np.arange(3.0), "x"),
        figures.residuals_by_chromosome(["1", "2"], np.arange(2.0)),
        figures.learning_curves(HISTORY),
        figures.calibration(np.arange(3.0), np.ones(3)),
    ]
    page = "".join(drawings)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', page)) == set(ids)
    assert "http" not in page
    assert all(svg.startswith("<svg ") and svg.rstrip().endswith("</svg>") for svg in drawings)
    assert drawings[0] == figures.forest(ROWS, "seqexpr", "r²")


def test_names_are_text_neither_markup_nor_formulas() -> None:
    svg = figures.predicted_against_measured(np.arange(3.0), np.arange(3.0), "<$x_1$> & y")
    assert {"measured &lt;$x_1$&gt; &amp; y", "predicted &lt;$x_1$&gt; &amp; y"} <= set(words(svg))


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        UsageError, match=r"^the report needs matplotlib, which is not installed; run: pip install matplotlib$"
    ):
        figures.forest(ROWS, "seqexpr", "r²")
