"""Predicted against measured effects of substitutions: planted ones, and the published network on real promoters."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from tools.weights import __main__ as weights
from tools.weights.effects import in_batches, letter_counts, seqexpr_model, xpresso_models
from tools.weights.measured_effects import (
    ALL,
    COLUMNS,
    CONFIDENT,
    MEAN,
    PromoterModel,
    Substitution,
    distinct,
    measured_effects,
    of_mean,
    predicted_effects,
    read_windows,
    score,
)

from seqexpr import predict
from seqexpr.errors import InputError, MissingDataError, UsageError

TSS_AT, LENGTH = 60, 100
GENES = ("g1", "g2")


def truth(tokens: np.ndarray) -> np.ndarray:
    """A sum over letters, each with its own weight at each of the 40 places of the window, 30 of them upstream."""
    own = np.random.default_rng(1).normal(size=(40, 5))
    return own[np.arange(40), tokens].sum(axis=1)


TRUTH = PromoterModel(("truth",), 30, 10, in_batches(truth))


@pytest.fixture
def letters() -> dict[str, str]:
    generator = np.random.default_rng(0)
    return {gene: "".join(generator.choice(list("ACGT"), LENGTH)) for gene in (*GENES, "other")}


@pytest.fixture
def windows_file(letters, tmp_path) -> Path:
    file = tmp_path / "windows.fa.gz"
    file.write_bytes(gzip.compress("".join(f">{gene} chr1\n{own}\n" for gene, own in letters.items()).encode()))
    return file


def row(gene, offset, ref, alt, effect, experiment, p_value=1e-9, tags=20, cell="HepG2") -> list[str]:
    return [str(cell) for cell in (gene, gene.upper(), offset, ref, alt, effect, p_value, tags, cell, experiment)]


def write(file: Path, rows: list[list[str]], columns=COLUMNS) -> Path:
    file.write_text("".join("\t".join(cells) + "\n" for cells in [list(columns), *rows]))
    return file


def planted_rows(letters, gene: str, experiment: str, **changes) -> list[list[str]]:
    """Every substitution from -30 to +9 with the effect that `truth` gives it, written out without the tool's code."""
    own = np.random.default_rng(1).normal(size=(40, 5))
    rows = []
    for offset in range(-30, 10):
        ref = letters[gene][TSS_AT + offset]
        for alt in "ACGT":
            if alt != ref:
                effect = own[30 + offset, "NACGT".index(alt)] - own[30 + offset, "NACGT".index(ref)]
                rows.append(row(gene, offset, ref, alt, effect, experiment, **changes))
    return rows


@pytest.fixture
def planted(letters, tmp_path) -> Path:
    rows = planted_rows(letters, "g1", "one") + planted_rows(letters, "g2", "two")
    rows.append(row("g1", 0, letters["g1"][TSS_AT], "-", 9.5, "one"))
    return write(tmp_path / "planted.tsv", rows)


def judged(model, table, windows_file):
    experiments = measured_effects([table])
    windows = read_windows(windows_file, TSS_AT, experiments, model.upstream, model.downstream)
    (effects,) = predicted_effects(model, windows, distinct(experiments)).values()
    return experiments, effects, score(experiments, effects)


def test_a_model_that_is_the_truth_agrees_wholly(planted, windows_file):
    experiments, effects, found = judged(TRUTH, planted, windows_file)
    assert [(one.name, len(one.effects), one.deletions) for one in experiments] == [("one", 120, 1), ("two", 120, 0)]
    np.testing.assert_allclose([effects[one] for one in experiments[0].substitutions], experiments[0].effects)
    for name in ("one", "two", MEAN):
        estimate = found[name][ALL].estimate
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1, 1, 1))
    assert found["one"][ALL].n == 120 and found[MEAN][ALL].n == 2


def test_substitutions_outside_a_models_window_have_no_effect_on_it(planted, windows_file):
    narrow = PromoterModel(("narrow",), 5, 2, in_batches(lambda tokens: (tokens == 1).sum(1)))
    experiments, effects, _ = judged(narrow, planted, windows_file)
    for one in distinct(experiments):
        change = (one.alt == "A") - (one.ref == "A") if -5 <= one.offset < 2 else 0
        assert effects[one] == change


def test_baselines_count_letters_and_pairs(letters, planted, windows_file):
    experiments = measured_effects([planted])
    windows = read_windows(windows_file, TSS_AT, experiments, 60, 40)
    counts = predicted_effects(letter_counts(60, 40), windows, distinct(experiments))
    for one in distinct(experiments):
        before, at = letters[one.gene], TSS_AT + one.offset
        after = before[:at] + one.alt + before[at + 1 :]
        assert counts["CpG pairs gained"][one] == after.count("CG") - before.count("CG")
        assert counts["GC change"][one] == (one.alt in "CG") - (one.ref in "CG")


def test_confident_effects_have_tags_and_a_small_p_value(letters, tmp_path, windows_file):
    """The others are noise, so that r falls where they are taken in."""
    rows = planted_rows(letters, "g1", "one")
    generator = np.random.default_rng(2)
    for number, cells in enumerate(rows):
        if number % 3:
            cells[5] = str(generator.normal())
            cells[6 if number % 3 == 1 else 7] = "1e-5" if number % 3 == 1 else "9"
    _, _, found = judged(TRUTH, write(tmp_path / "t.tsv", rows), windows_file)
    assert found["one"][CONFIDENT].n == 40
    assert found["one"][CONFIDENT].estimate.value == pytest.approx(1)
    assert found["one"][ALL].estimate.value < 0.8


def test_intervals_are_over_positions_not_over_substitutions(tmp_path):
    """Three substitutions with the same effects are one measurement: r is known as badly as from a third of them."""
    generator = np.random.default_rng(3)
    actual = np.repeat(generator.normal(size=60), 3)
    predicted = actual + np.repeat(generator.normal(size=60), 3)
    alts = ["C", "G", "T"] * 60
    width = {}
    for name, offsets in (("shared", np.repeat(np.arange(60), 3)), ("own", np.arange(180))):
        cells = zip(offsets, alts, actual, strict=True)
        table = write(tmp_path / f"{name}.tsv", [row("g", at, "A", alt, effect, name) for at, alt, effect in cells])
        (experiment,) = measured_effects([table])
        effects = dict(zip(experiment.substitutions, predicted, strict=True))
        estimate = score([experiment], effects)[name][ALL].estimate
        assert estimate.value == pytest.approx(np.corrcoef(actual, predicted)[0, 1])
        assert estimate.low < estimate.value < estimate.high
        width[name] = estimate.high - estimate.low
    assert width["shared"] / width["own"] == pytest.approx(3**0.5, rel=0.2)


def test_the_mean_is_over_promoters_and_cells_and_draws_a_promoters_positions_once(letters, tmp_path, windows_file):
    generator = np.random.default_rng(4)
    rows = planted_rows(letters, "g1", "hep") + planted_rows(letters, "g2", "other")
    for cells in rows:
        cells[5] = str(float(cells[5]) + generator.normal())
    copies = [[*cells[:-2], cell, name] for cell, name in (("HepG2", "hep.2"), ("HEK", "hek")) for cells in rows[:120]]
    experiments, effects, found = judged(TRUTH, write(tmp_path / "t.tsv", rows + copies), windows_file)
    assert of_mean(experiments) == ["hep", "other", "hek"]  # hep.2 is a replicate
    assert len(distinct(experiments)) == 240  # those that experiments share are predicted once
    values = {name: found[name][ALL].estimate.value for name in found}
    assert values[MEAN] == pytest.approx((values["hep"] + values["other"] + values["hek"]) / 3)
    np.testing.assert_array_equal(found["hep"][ALL].samples, found["hek"][ALL].samples)
    assert abs(np.corrcoef(found["hep"][ALL].samples, found["other"][ALL].samples)[0, 1]) < 0.2
    halved = score(experiments, {one: effect / 2 for one, effect in effects.items()})
    lead = found[MEAN][ALL].lead(halved[MEAN][ALL])  # r knows no scale, and both drew the same positions
    assert (lead.value, lead.low, lead.high) == pytest.approx((0, 0, 0), abs=1e-9)


def test_a_model_without_any_effect_has_no_correlation(planted, windows_file):
    silent = PromoterModel(("silent",), 30, 10, in_batches(lambda tokens: np.zeros(len(tokens))))
    _, _, found = judged(silent, planted, windows_file)
    assert np.isnan(found["one"][ALL].estimate.value) and np.isnan(found[MEAN][CONFIDENT].estimate.low)


def test_effects_of_a_model_are_differences_of_its_predictions(tmp_path):
    generator = np.random.default_rng(5)
    window = "".join(generator.choice(list("ACGT"), 10_500))
    (tmp_path / "w.fa").write_text(f">g {'x'}\n{'A' * 50}{window}{'C' * 70}\n")
    ref = window[7_000 - 40]
    alt = "ACGT".replace(ref, "")[0]
    table = write(tmp_path / "t.tsv", [row("g", -40, ref, alt, 1.0, "e")])
    mutated = window[: 7_000 - 40] + alt + window[7_000 - 39 :]
    levels = predict({"ref": window, "alt": mutated}, model="human-mrna", threads=1)["mrna"]
    model = seqexpr_model("human-mrna", threads=1)
    experiments = measured_effects([table])
    windows = read_windows(tmp_path / "w.fa", 7_050, experiments, model.upstream, model.downstream)
    effects = predicted_effects(model, windows, distinct(experiments))["human-mrna"]
    assert effects == {Substitution("g", -40, ref, alt): pytest.approx(levels[1] - levels[0], abs=1e-6)}
    assert levels[1] != levels[0]


def test_models_that_cannot_read_promoters_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--model human-prot does not predict from DNA alone"):
        seqexpr_model("human-prot")
    with pytest.raises(MissingDataError, match=r"human_median\.h5 is not there"):
        xpresso_models(tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("ref", "N", "line 3, column 'ref': found 'N'; expected one of A, C, G, T"),
        ("alt", "AC", "line 3, column 'alt': found 'AC'; expected one of "),
        ("alt", "", "line 3, column 'alt': found ''; expected one of "),
        ("log2_effect", "NA", "line 3, column 'log2_effect': found 'NA'; expected a finite number"),
        ("n_tags", "many", "line 3, column 'n_tags': found 'many'; expected a finite number"),
        ("p_value_or_confidence", "8.5", "found '8.5'; expected a p-value, 0 to 1"),
        ("offset_from_tss_boundary", "-1.5", "found '-1.5'; expected a whole number"),
        ("gene_id", "g9", "line 3, column 'gene_id': found 'g9'; expected a gene of "),
        ("offset_from_tss_boundary", "70", "expected 'N', the letter of g1 at +70 in "),
    ],
)
def test_a_bad_cell_is_named(column, value, said, planted, windows_file):
    lines = planted.read_text().splitlines()
    cells = lines[2].split("\t")
    cells[COLUMNS.index(column)] = value
    planted.write_text("\n".join([*lines[:2], "\t".join(cells), *lines[3:]]))
    with pytest.raises(InputError) as error:
        read_windows(windows_file, TSS_AT, measured_effects([planted]), 30, 10)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_ref_that_the_window_does_not_have_is_named(letters, planted, windows_file):
    with pytest.raises(
        InputError, match=r"planted.tsv, line \d+, column 'ref': found '.'; expected '.', the letter of"
    ):
        read_windows(windows_file, TSS_AT + 1, measured_effects([planted]), 30, 10)


def test_missing_columns_and_repeated_rows_are_named(letters, tmp_path):
    rows = planted_rows(letters, "g1", "one")
    lacking = write(tmp_path / "lacking.tsv", [cells[:-1] for cells in rows], COLUMNS[:-1])
    with pytest.raises(InputError, match=r"header: found columns gene_id, .*; expected a column 'experiment'"):
        measured_effects([lacking])
    twice = write(tmp_path / "twice.tsv", [*rows, rows[0]])
    with pytest.raises(InputError, match=r"line 122: found . to . at -30 of g1 again \(first on line 2\)"):
        measured_effects([twice])
    both = [write(tmp_path / name, rows) for name in ("a.tsv", "b.tsv")]
    with pytest.raises(InputError, match=r"b\.tsv: found experiment 'one', which .*a\.tsv holds too"):
        measured_effects(both)
    deleted = write(tmp_path / "deleted.tsv", [row("g1", 0, "A", "-", 1.0, "gone")])
    with pytest.raises(InputError, match="found experiment 'gone' without substitutions"):
        measured_effects([deleted])


def test_the_command_prints_tables_and_json(planted, windows_file, capsys):
    options = ["--windows", str(windows_file), "--tss-at", str(TSS_AT), "--measured", str(planted), "--threads", "1"]
    weights.main(["effects", *options])
    shown = capsys.readouterr().out
    *tables, last = shown.splitlines()
    found = json.loads(last)
    assert "one (G1 in HepG2): 120 substitutions, 120 confident; 1 deletions left out" in tables
    assert found["experiments"]["one"]["deletions_left_out"] == 1
    gained = found["mean"]["r"]["CpG pairs gained"]["confident"]["value"]
    line = next(line for line in reversed(tables) if line.startswith("CpG pairs gained"))
    assert f"{gained:+.2f} [" in line
    lead = gained - found["mean"]["r"]["human-mrna"]["confident"]["value"]
    assert found["mean"]["difference_to_first"]["CpG pairs gained"]["confident"]["value"] == pytest.approx(lead)


def test_the_command_says_what_is_wrong_in_one_line(planted, windows_file, capsys):
    options = ["--windows", str(windows_file), "--tss-at", "50", "--measured", str(planted)]
    with pytest.raises(SystemExit) as end:
        weights.main(["effects", *options])
    assert end.value.code == InputError.exit_code
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "column 'ref'" in said


@pytest.mark.shared_data
@pytest.mark.slow
def test_the_published_human_network_on_measured_promoters(shared_data):
    """The figures that docs/results.md has for it."""
    experiments = measured_effects([shared_data / "mpra" / f"{name}.tsv" for name in ("LDLR", "TERT", "F9")])
    human, _ = xpresso_models(shared_data / "xpresso")
    windows = read_windows(
        shared_data / "human" / "tss_windows.fa.gz", 10_000, experiments, human.upstream, human.downstream
    )
    effects = predicted_effects(human, windows, distinct(experiments))["Xpresso human"]
    found = score(experiments, effects, resamples=50)
    expected = {
        "LDLR": (954, -0.03, 292, -0.02),
        "TERT-HEK": (777, 0.18, 118, 0.40),
        "TERT-GBM": (777, 0.15, 278, 0.24),
        "F9": (904, 0.18, 139, 0.29),
    }
    for name, figures in expected.items():
        own = [(one.n, one.estimate.value) for one in (found[name][ALL], found[name][CONFIDENT])]
        assert [number for pair in own for number in pair] == pytest.approx(figures, abs=0.005)
