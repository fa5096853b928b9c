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


def arrows(svg: str, colour: str) -> int:
    """The number of triangles of a colour: markers other than the round ones that `markers` finds."""
    paths = dict(re.findall(r'<path id="([^"]+)" d="([^"]*)"', svg))
    used = re.findall(rf'href="#([^"]+)" [^>]*style="fill: {colour}', svg)
    return sum("C" not in paths[name] for name in used)


def test_a_baseline_far_off_is_an_arrow_with_its_number_and_the_others_keep_their_room() -> None:
    near = figures.forest(ROWS, "seqexpr", "r²")
    far = figures.forest([*ROWS, ("untrained network", -35.25, -40.0, -30.0)], "seqexpr", "r²")
    assert "−35.25" in words(far)
    assert arrows(far, BASELINE_COLOUR) == 1 and arrows(near, BASELINE_COLOUR) == 0
    assert pixels_per_unit(far, "middle") > 0.8 * pixels_per_unit(near, "middle")
    ahead = figures.differences([("a", 0.2, 0.1, 0.3, "ahead"), ("b", 36.0, 30.0, 40.0, "ahead")], "difference")
    assert "36.00" in words(ahead)


@pytest.mark.parametrize(
    ("own", "numbers"),
    [
        ((-0.23, -602.67, 0.01), ["−603"]),  # a dot, and an arrow for the end of its interval
        ((0.5, -1.5, 0.7), ["−1.50"]),
        ((-35.25, -602.67, 0.01), ["−35.25"]),  # the value itself is away
        ((0.2, -4.0, 1234567.0), ["−4.00", "1.2e+06"]),
    ],
)
def test_the_model_s_own_interval_is_cut_off_and_every_arrow_has_a_number(own, numbers: list[str]) -> None:
    svg = figures.forest([("seqexpr", *own), *ROWS[1:]], "seqexpr", "r²")
    assert arrows(svg, MODEL_COLOUR) == len(numbers)
    assert set(numbers) <= set(words(svg))
    assert pixels_per_unit(svg, "middle") > 60  # 0.1 is some pixels, whatever the interval


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("seqexpr", -3.0, -4.0, -2.0), ("a", 0.2, 0.1, 0.3)], (0.0, 0.3)),  # the model is cut off as the others are
        ([("a", 0.2, -30.0, 0.3)], (-1.0, 0.3)),  # an interval is cut off as a value is
        ([("a", -30.0, -31.0, -29.0), ("b", -5.0, -600.0, -4.0)], (-6.0, 0.0)),  # all lie far off
        ([("a", 0.0, 0.0, 0.0)], (-0.5, 0.5)),
        ([("a", 0.0, 0.0, 0.0), ("b", 9.0, 9.0, 9.0)], (-0.1, 0.1)),
        ([("a", np.nan, np.nan, np.nan)], (-0.5, 0.5)),
    ],
)
def test_ends_of_an_axis(rows: list[tuple[str, float, float, float]], expected: tuple[float, float]) -> None:
    assert figures._axis_range(rows) == expected


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
    errors = np.array([1.0, 2.0, 3.0, 1.5, 0.5, -1.0, 4.0, 0.0, 2.0])
    svg = figures.errors_by_chromosome(chroms, errors)
    names = [word for word in words(svg) if re.search(r" \(\d+\)$", word)]
    assert names == ["chr1 (3)", "chr2 (1)", "chr10 (1)", "chrX (1)", "chrY (1)", "MT (1)", "2L (1)"]
    medians = np.array([line[0] for line in lines(svg, MODEL_COLOUR, 2)])
    expected = np.array([0.0, 1.5, 1.0, 3.0, 2.0, 2.0, 0.5])
    np.testing.assert_allclose(medians[:, 0] - medians[0, 0], expected * pixels_per_unit(svg, "middle"), atol=0.01)
    assert (np.diff(medians[:, 1]) > 0).all()  # from top to bottom


def test_the_smallest_of_many_scaffolds_share_a_box() -> None:
    chroms = [f"s{i}" for i in range(figures.MAX_BOXES + 5)] + ["s44", "s44"]
    names = [word for word in words(figures.errors_by_chromosome(chroms, np.arange(47.0))) if "(" in word]
    assert len(names) == figures.MAX_BOXES + 2  # the axis has a name too
    assert "s44 (3)" in names and "5 others (5)" in names


def test_learning_curves_mark_the_best_epoch_of_each_fold() -> None:
    losses, r2 = (figures.learning_curve(HISTORY, name) for name in ("valid_loss", "valid_r2"))
    (loss_0, loss_1), (r2_0, r2_1) = markers(losses, ACCENT_COLOUR), markers(r2, ACCENT_COLOUR)
    # Least losses at epochs 2 and 3, highest r² at epochs 3 and 1, where one is not defined at epoch 2.
    np.testing.assert_allclose(loss_1[0] - loss_0[0], pixels_per_unit(losses, "middle"), atol=0.01)
    np.testing.assert_allclose(r2_1[0] - r2_0[0], -2 * pixels_per_unit(r2, "middle"), atol=0.01)
    assert loss_1[1] > loss_0[1]  # 0.5 lies below 0.6
    assert r2_1[1] < r2_0[1]  # 0.5 lies above 0.4
    told = [word for svg in (losses, r2) for word in words(svg) if word.isalpha() or "²" in word]
    assert told == ["epoch", "loss", "training", "validation", "epoch", "validation r²"]


@pytest.mark.parametrize(("missing", "dots", "gone"), [("train_loss", 2, "training"), ("fold", 1, "")])
def test_learning_curves_of_what_there_is(missing: str, dots: int, gone: str) -> None:
    svg = figures.learning_curve(HISTORY.drop(columns=missing), "valid_loss")
    assert len(markers(svg, ACCENT_COLOUR)) == dots
    assert gone not in words(svg)


def test_a_single_epoch_is_a_whole_number() -> None:
    svg = figures.learning_curve(HISTORY[:1], "valid_loss")
    assert re.findall(r"text-anchor: middle;[^>]*>([^<]*)<", svg)[:2] == ["1", "epoch"]


@pytest.mark.parametrize("rows", [2, 12])
def test_drawings_are_narrow_enough_for_the_screen_of_a_phone(rows: int) -> None:
    """On 390 px a page has 346 for them: letters of 9 points are then 9 px or a little less."""
    names = [f"composition half-life boosted trees {i}" for i in range(rows)]
    drawings = [
        figures.forest([(name, 0.5, 0.4, 0.7) for name in names], "seqexpr", "r²"),
        figures.differences([(name, 0.5, 0.4, 0.7, "") for name in names], "x"),
        figures.predicted_against_measured(np.arange(3.0), np.arange(3.0), "x"),
        figures.errors_by_chromosome(names, np.arange(float(rows))),
        figures.learning_curve(HISTORY, "valid_loss"),
        figures.calibration(np.arange(3.0), np.ones(3)),
    ]
    for svg in drawings:
        width, _ = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
        assert width <= 350
    plotted = lines(drawings[0], BASELINE_COLOUR, 2.2)[0][0, 0]
    assert plotted > 100  # names are not over it
    assert max(map(len, words(drawings[0]))) <= 22  # long names have two lines


def test_drawings_fit_one_page_and_name_no_address() -> None:
    drawings = [
        figures.forest(ROWS, "seqexpr", "r²"),
        figures.forest(ROWS, "xpresso", "r²"),
        figures.differences([("a", 0.2, 0.1, 0.3, "ahead")], "x"),
        figures.predicted_against_measured(np.arange(3.0), np.arange(3.0), "x"),
        figures.errors_by_chromosome(["1", "2"], np.arange(2.0)),
        figures.learning_curve(HISTORY, "valid_r2"),
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
