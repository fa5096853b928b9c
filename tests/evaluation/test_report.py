from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from seqexpr.errors import InputError, UsageError
from seqexpr.evaluation.metrics import METRICS
from seqexpr.evaluation.report import write_report
from seqexpr.files import write_json
from seqexpr.manifest import describe_run
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, save_model

from ..small_dataset import tiny_config
from .finished_run import NEAR, make_run

VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """Checks that tags are balanced, and gathers what a test asks about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.alts: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.alts += [value for name, value in attributes if name == "aria-label"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


def read_page(folder: Path) -> tuple[str, Page]:
    text = write_report(folder).read_text(encoding="utf-8")
    return text, Page(text)


def test_page_is_whole_and_fetches_nothing(tmp_path):
    text, page = read_page(make_run(tmp_path / "run"))
    assert text.startswith("<!DOCTYPE html>")
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"https?://|<script|@import|url\((?!#)", text)
    assert page.tags.count("svg") == 8  # two each of summary, differences and learning curves; predictions, errors
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(page.ids)


def test_numbers_of_all_models_and_folds_stand_in_the_page(tmp_path):
    folder = make_run(tmp_path / "run")
    _, page = read_page(folder)
    for row in json.loads((folder / "metrics.json").read_text()):
        for name in ("r2", "pearson_r2"):
            estimate = row["metrics"][name]
            if estimate["value"] is None:
                assert "–" in page.words
                continue
            decimals = 2 if row["scope"].startswith("fold") else 3
            low, high = (shown(estimate[end], decimals=decimals) for end in ("low", "high"))
            assert shown(estimate["value"]) in page.words
            assert f"{low} to {high}" in page.words
    for words in ("Cross-validation: run", "fold 2", "training mean", "prot & lung"):
        assert words in page.words


def test_the_best_model_is_marked_and_a_loss_is_shown_as_one(tmp_path):
    folder = make_run(tmp_path / "run")
    rows = json.loads((folder / "metrics.json").read_text())
    for row in rows:
        row["model"] = {"seqexpr": "training_mean", "training_mean": "seqexpr"}.get(row["model"], row["model"])
    write_json(folder / "metrics.json", rows)
    text, _ = read_page(folder)
    own = re.search(r'<tr class="model">.*?</tr>', text)
    assert own and "best" not in own[0]


def shown(number: float | None, sign: str = "", decimals: int = 3) -> str:
    """A number as the page writes it."""
    if number is None:
        return "–"
    nothing = f"{0:.{decimals}f}"
    text = f"{number:.{decimals}f}".replace("-", "−").replace(f"−{nothing}", nothing)
    return text if number <= 0 or text == nothing else sign + text


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, as text."""
    table = page[page.index(f"<h2>{heading}</h2>") :]
    table = table[table.index("<tbody>") : table.index("</tbody>")]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table)
    return [[re.sub("<[^>]*>", " ", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def test_differences_from_baselines_stand_with_their_intervals(tmp_path):
    folder = make_run(tmp_path / "run")
    text, page = read_page(folder)
    rows = [row for row in json.loads((folder / "metrics.json").read_text()) if "difference" in row]
    table = [[re.sub(" +", " ", cell) for cell in line] for line in rows_of(text, "Against the baselines")]
    assert [line[0] for line in table] == ["training mean", "composition ridge"]
    for row, line in zip(rows, table, strict=True):
        for name, cell in zip(METRICS, line[1:], strict=True):
            value, low, high = (row["difference"][name][part] for part in ("value", "low", "high"))
            interval = "" if value is None else f" {shown(low)} to {shown(high)}"
            assert cell.removeprefix("▲ ") == shown(value, "+") + interval
    # Higher r² and lower RMSE than the mean, Pearson r² of which is not defined.
    assert [cell[:3] for cell in table[0][1:5]] == ["▲ +", "–", "–", "▲ −"]
    lead = rows[1]["difference"]["pearson_r2"]
    assert (
        f"Pearson r² decides. The strongest baseline by it is composition ridge. seqexpr minus it: "
        f"{shown(lead['value'], '+')} ({shown(lead['low'])} to {shown(lead['high'])}); seqexpr is better, and the "
        "interval excludes 0."
    ) in page.words


@pytest.mark.parametrize(
    ("lead", "verdict", "mark"),
    [
        ({"value": -0.1, "low": -0.2, "high": -0.05}, "seqexpr is worse, and the interval excludes 0.", "▼ −0.100"),
        ({"value": -0.1, "low": -0.2, "high": 0.0}, "the interval includes 0, so these genes do not show", "−0.100"),
        ({"value": 0.1, "low": None, "high": None}, "the interval includes 0, so these genes do not show", "+0.100"),
    ],
)
def test_a_lost_or_undecided_comparison_is_called_so(tmp_path, lead, verdict, mark):
    folder = make_run(tmp_path / "run")
    rows = json.loads((folder / "metrics.json").read_text())
    for row in rows:
        if "difference" in row:
            row["difference"]["pearson_r2"] = lead
    write_json(folder / "metrics.json", rows)
    text, page = read_page(folder)
    assert any(verdict in words for words in page.words)
    assert rows_of(text, "Against the baselines")[0][2].startswith(mark)


def test_overlaps_are_counted_by_fold_and_judged_apart(tmp_path):
    folder = make_run(tmp_path / "run")
    text, page = read_page(folder)
    # 23 of the genes 0, 4, 8, ... 88; fold 0 has 0, 12, ... 84, fold 1 has 4, 16, ... 88, fold 2 has 8, 20, ... 80.
    assert rows_of(text, "Overlap of test and training genes") == [
        [NEAR, "90", "23", "25.6 %", "26.7 %", "26.7 %", "23.3 %"],
        ["overlapping window", "90", "0", "0", "0", "0", "0"],
    ]
    for words in ("with a near-identical protein", "without a near-identical protein", "without an overlapping window"):
        assert words in page.words
    assert "with an overlapping window" not in page.words
    assert any(words.endswith("not counted. MMseqs2 is not installed") for words in page.words)
    side = json.loads((folder / "audit.json").read_text())[0]["metrics"]["mrna"]["others"]
    assert shown(side["pearson_r2"]["value"]) in page.words
    assert any("23 of 90 tested genes (25.6 %) have one in training." in words for words in page.words)


@pytest.mark.parametrize(
    ("seen", "others", "meaning"),
    [
        ((0.5, 0.4, 0.6), (0.2, 0.1, 0.3), "higher among them, so the score over all genes may flatter"),
        ((0.2, 0.1, 0.3), (0.5, 0.4, 0.6), "lower among them: other genes too, so this shows no effect of the"),
        ((0.3, 0.1, 0.5), (0.2, 0.1, 0.3), "the intervals overlap, so no effect is shown."),
    ],
)
def test_what_overlaps_mean_is_said(tmp_path, seen, others, meaning):
    folder = make_run(tmp_path / "run")
    audit = json.loads((folder / "audit.json").read_text())
    for side, numbers in (("overlapping", seen), ("others", others)):
        audit[0]["metrics"]["mrna"][side]["pearson_r2"] = dict(zip(("value", "low", "high"), numbers, strict=True))
    write_json(folder / "audit.json", audit)
    _, page = read_page(folder)
    assert sum(meaning in words for words in page.words) == 1


def test_an_older_run_has_no_sections_of_what_it_did_not_store(tmp_path):
    folder = make_run(tmp_path / "run")
    (folder / "audit.json").unlink()
    rows = json.loads((folder / "metrics.json").read_text())
    write_json(folder / "metrics.json", [{k: v for k, v in row.items() if k != "difference"} for row in rows])
    text, _ = read_page(folder)
    assert re.findall("<h2>(.*?)</h2>", text) == [
        "Summary", "Predictions", "Folds", "Chromosomes", "Learning curves", "Settings",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_negative_control_has_a_banner_and_no_other_run_has(tmp_path):
    control, _ = read_page(make_run(tmp_path / "control", permute_labels=True))
    plain, _ = read_page(make_run(tmp_path / "plain", permute_labels=False))
    assert '<p class="box"><strong>Negative control:</strong> the labels were permuted' in control
    assert "Negative control" not in plain and "permute labels" not in plain


def test_settings_with_a_name_stand_among_the_settings(tmp_path):
    _, page = read_page(make_run(tmp_path / "run", recipe={"name": "default-dna", "epochs": 3}, model={"preset": "x"}))
    words = page.words[page.words.index("Settings") :]
    for name, fact in (("recipe", "default-dna"), ("model", "x"), ("folds", "3")):
        assert words[words.index(name) + 1] == fact


def test_a_page_begins_with_its_verdict_and_a_figure_and_ends_with_the_settings(tmp_path):
    folder = make_run(tmp_path / "run")
    text, page = read_page(folder)
    own = next(row for row in json.loads((folder / "metrics.json").read_text()) if row["model"] == "seqexpr")
    r2 = own["metrics"]["r2"]
    interval = f"(95\N{NO-BREAK SPACE}% interval {r2['low']:.3f} to {r2['high']:.3f})"
    sentence = f"r² {r2['value']:.3f} {interval}: the predictions explain"
    assert any(words.startswith(sentence) and words.endswith("held-out genes.") for words in page.words)
    begin = text.index('<p class="verdict">')
    assert begin < text.index("<svg") < text.index("<h2>Summary</h2>")
    assert text.index("<h2>Settings</h2>") > max(match.start() for match in re.finditer("<svg|<table", text))


def test_every_label_has_a_verdict_of_its_own(tmp_path):
    text, _ = read_page(make_run(tmp_path / "run", outputs=("mrna", "protein")))
    assert text.count('<p class="verdict">r² 0.') == 2


def give_dataset(folder: Path, where: Path, genes: pd.DataFrame, **manifest: object) -> None:
    """A dataset of which the run says that it was made of it."""
    where.mkdir()
    write_json(where / "manifest.json", {**describe_run("dataset", {}), **manifest})
    genes.to_csv(where / "genes.tsv", sep="\t", index=False)
    run = json.loads((folder / "manifest.json").read_text())
    run["options"]["dataset"] = {"folder": str(where)}
    write_json(folder / "manifest.json", run)


def test_units_and_symbols_come_from_the_dataset(tmp_path):
    folder = make_run(tmp_path / "run")
    genes = pd.DataFrame({"id": [f"g{i}" for i in range(90)], "symbol": [f"SYM{i}" for i in range(90)]})
    give_dataset(folder, tmp_path / "dataset", genes, label_units={"mrna": "log10(RPKM + 0.1)"})
    text, page = read_page(folder)
    assert {"measured mrna (log10(RPKM + 0.1))", "predicted mrna (log10(RPKM + 0.1))"} <= set(page.words)
    assert "mrna (log10(RPKM + 0.1)): 90 genes, each tested in the fold that did not train on it" in page.words
    assert all(line[1] == line[0].replace("g", "SYM") for line in rows_of(text, "Predictions"))


def test_units_come_from_the_weights_of_a_run_whose_dataset_is_gone(tmp_path):
    config = tiny_config()
    folder = make_run(tmp_path / "run")
    (folder / "folds" / "0").mkdir(parents=True)
    model = TrainedModel("w", Perceiver(config), ModelMetadata(config, (Output("mrna", "TPM"),)))
    save_model(folder / "folds" / "0" / "weights.safetensors", model)
    assert "measured mrna (TPM)" in read_page(folder)[1].words


@pytest.mark.parametrize("damage", ["folder", "genes.tsv", "manifest.json", "no symbols"])
def test_a_dataset_that_is_gone_or_damaged_takes_nothing_else_away(tmp_path, damage):
    folder, where = make_run(tmp_path / "run"), tmp_path / "dataset"
    give_dataset(folder, where, pd.DataFrame({"id": ["g1"], "tss": [1]}), label_units=["mrna"])
    if damage == "folder":
        where.rename(tmp_path / "elsewhere")
    elif damage != "no symbols":
        (where / damage).write_bytes(b"\xff\n")
    text, page = read_page(folder)
    assert "measured mrna" in page.words and "symbol" not in page.words
    assert len(rows_of(text, "Predictions")) == 10


def test_the_ten_worst_predicted_genes_stand_by_name(tmp_path):
    folder = make_run(tmp_path / "run")
    table = pd.read_csv(folder / "predictions.tsv", sep="\t").dropna()
    errors = (table["prediction"] - table["label"]).set_axis(table["id"])
    worst = errors.abs().nlargest(10).index
    lines = rows_of(read_page(folder)[0], "Predictions")
    assert [line[0] for line in lines] == list(worst)
    assert [line[-1] for line in lines] == [shown(errors[gene], "+") for gene in worst]
    assert [line[1] for line in lines] == [str(int(gene[1:]) % 4 + 1) for gene in worst]


def test_the_chromosomes_of_each_fold_are_listed_with_their_genes(tmp_path):
    lines = rows_of(read_page(make_run(tmp_path / "run"))[0], "Chromosomes")
    assert lines[0] == ["fold 0", "29", "1 (7), 2 (7), 3 (7), 4 (8)"]  # g0, on chromosome 1, has no label
    assert [line[:2] for line in lines] == [["fold 0", "29"], ["fold 1", "30"], ["fold 2", "30"]]


def test_of_thousands_of_scaffolds_only_the_first_are_named(tmp_path):
    folder = make_run(tmp_path / "run")
    table = pd.read_csv(folder / "predictions.tsv", sep="\t", dtype={"chrom": str})
    table.loc[table["fold"] == 1, "chrom"] = [f"contig{i}" for i in range(15)] * 2
    table.loc[table["fold"] == 2, "chrom"] = [f"scaffold{i}" for i in range(30)]
    table = pd.concat([table, table[table["fold"] == 2].assign(id="x" + table["id"], chrom="s" + table["chrom"])])
    table.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    lines = rows_of(read_page(folder)[0], "Chromosomes")
    assert lines[1][2].startswith("contig0 (2), ") and "more" not in lines[1][2]
    assert lines[2][2].endswith(" and 20 more")


def test_an_sd_is_drawn_as_a_calibration_and_one_that_is_not_positive_is_counted(tmp_path):
    folder = make_run(tmp_path / "run")
    assert "Calibration of the predicted sd" not in read_page(folder)[1].words
    table = pd.read_csv(folder / "predictions.tsv", sep="\t").assign(sd=0.5)
    table.loc[table["id"] == "g1", "sd"] = 0.0
    table.loc[table["id"] == "g2", "sd"] = float("nan")
    table.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    _, page = read_page(folder)
    assert {"Calibration of the predicted sd", "share of genes within it"} <= set(page.words)
    assert "87 genes; 2 without a positive sd are left out; dashed line: as they should" in page.words
    write_sd = table.assign(sd=-1.0)
    write_sd.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    assert "Calibration of the predicted sd" not in read_page(folder)[1].words


def test_a_baseline_far_off_is_cut_off_with_its_number(tmp_path):
    folder = make_run(tmp_path / "run")
    rows = json.loads((folder / "metrics.json").read_text())
    for row in rows:
        if row["model"] == "composition_ridge":
            row["metrics"]["r2"] = {"value": -35.25, "low": -40.0, "high": -30.0}
    write_json(folder / "metrics.json", rows)
    _, page = read_page(folder)
    assert "−35.25" in page.words  # in the figure; tables have three digits
    assert "−30" not in page.words


def test_what_failed_stands_in_a_box(tmp_path):
    folder = make_run(tmp_path / "run")
    assert "Not computed:" not in read_page(folder)[1].words
    write_json(folder / "failed.json", [{"what": "the overlap audit", "error": "no <space>", "trace": "line 1"}])
    text, page = read_page(folder)
    assert {"Not computed:", "the overlap audit", ": no <space>"} <= set(page.words)
    assert text.index("Not computed:") < text.index("<h2>Summary</h2>")


def test_every_figure_has_its_text_and_the_page_its_media(tmp_path):
    text, page = read_page(make_run(tmp_path / "run", outputs=("mrna", '"protein"')))
    alts = re.findall(r'role="img" aria-label="([^"]+)"><svg', text)
    assert len(alts) == page.tags.count("svg")
    for medium in ("(prefers-color-scheme: dark)", "(max-width: 820px)", "@media print"):
        assert medium in text


HOSTILE = """<script>alert("1")</script>'" onload='x' {{ 7 * 7 }} {% raw %} \x1b[2J\x00\u202e"""


def test_names_from_outside_are_text_wherever_they_stand(tmp_path):
    folder = make_run(tmp_path / "run", task=HOSTILE, recipe={"name": HOSTILE})
    rows = json.loads((folder / "metrics.json").read_text())
    for row in rows:
        row |= {"output": HOSTILE, "model": HOSTILE if row["model"] == "training_mean" else row["model"]}
        row["scope"] = HOSTILE if row["scope"] == "fold 2" else row["scope"]
    write_json(folder / "metrics.json", rows)
    audit = json.loads((folder / "audit.json").read_text())
    audit[0] |= {"definition": HOSTILE, "metrics": {HOSTILE: audit[0]["metrics"]["mrna"]}}
    audit[1]["skipped"] = HOSTILE
    write_json(folder / "audit.json", audit)
    write_json(folder / "failed.json", [{"what": HOSTILE, "error": HOSTILE}])
    names = {"id": HOSTILE, "chrom": HOSTILE, "output": HOSTILE, "symbol": HOSTILE}
    table = pd.read_csv(folder / "predictions.tsv", sep="\t")
    table = table.assign(**{name: value + table["id"] if name == "id" else value for name, value in names.items()})
    table.loc[table["fold"] == 0, "chrom"] = "2"
    table.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    text, page = read_page(folder)
    assert "script" not in page.tags and "<script" not in text
    assert not page.handlers
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert sum("{{ 7 * 7 }}" in words for words in page.words) > 20
    assert all(alt.startswith(("Predicted", "r²", "seqexpr", "Pearson", "Validation", "Losses")) for alt in page.alts)


def test_without_jinja_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match=r"^the report needs Jinja2, which is not installed; run: pip install jinja2$"):
        write_report(make_run(tmp_path / "run"))
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_run_of_an_older_version_still_has_its_page(tmp_path):
    folder = make_run(tmp_path / "run", chrom=False)
    rows = json.loads((folder / "metrics.json").read_text())
    for row in rows:
        row["metrics"] = {name: {"value": estimate["value"]} for name, estimate in row["metrics"].items()}
        row.pop("difference", None)
    for row in rows[3:]:
        del row["metrics"]["r2"]
    write_json(folder / "metrics.json", rows)
    text, page = read_page(folder)
    assert '<p class="verdict">r² 0.' in text and "Chromosomes" not in page.words


def test_text_of_the_user_is_escaped(tmp_path):
    folder = make_run(tmp_path / "<i>run", outputs=("<b>$x_1$ & y",))
    text, page = read_page(folder)
    assert "b" not in page.tags and "i" not in page.tags
    assert "<b>" not in text and "<i>" not in text
    assert "measured <b>$x_1$ & y" in page.words  # in the figure too, a dollar sign is one


@pytest.mark.slow
def test_every_output_has_its_part(tmp_path):
    _, page = read_page(make_run(tmp_path / "run", outputs=("mrna", "protein")))
    assert page.tags.count("svg") == 14
    assert len(set(page.ids)) == len(page.ids)


@pytest.mark.slow
def test_many_genes_are_drawn_as_a_density(tmp_path):
    few = len(write_report(make_run(tmp_path / "few", n=1400)).read_text())
    many, page = read_page(make_run(tmp_path / "many", n=6000))
    assert "genes" in page.words
    assert len(many) < 2 * few


def test_same_run_gives_the_same_bytes(tmp_path):
    folder = make_run(tmp_path / "run")
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_without_chromosomes_the_rest_is_there(tmp_path):
    _, page = read_page(make_run(tmp_path / "run", chrom=False))
    assert page.tags.count("svg") == 7


@pytest.mark.parametrize("missing", ["metrics.json", "audit.json", "metrics.jsonl", "predictions.tsv"])
def test_missing_parts_are_left_out(tmp_path, missing):
    folder = make_run(tmp_path / "run")
    (folder / missing).unlink()
    _, page = read_page(folder)
    assert "svg" in page.tags and "pre" in page.tags


def test_a_manifest_alone_makes_a_page(tmp_path):
    write_json(tmp_path / "manifest.json", describe_run("train", {}))
    _, page = read_page(tmp_path)
    assert "svg" not in page.tags


def test_a_training_run_shows_its_test_part_and_warns_of_validation(tmp_path):
    folder = make_run(tmp_path / "run")
    write_json(folder / "manifest.json", describe_run("train", {"task": "t"}))
    audit = json.loads((folder / "audit.json").read_text())
    write_json(folder / "audit.json", [entry | {"by_fold": entry.get("by_fold", [])[:1]} for entry in audit])
    rows = [row for row in json.loads((folder / "metrics.json").read_text()) if row["scope"] in ("fold 0", "fold 1")]
    for row in rows:
        row["scope"] = {"fold 0": "test", "fold 1": "valid"}[row["scope"]]
    write_json(folder / "metrics.json", rows)
    table = pd.read_csv(folder / "predictions.tsv", sep="\t")
    table = table[table["fold"] < 2].assign(split=table["fold"].map({0: "test", 1: "valid"})).drop(columns="fold")
    table.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    _, page = read_page(folder)
    assert "mrna: 30 genes, held out as the test part" in page.words
    assert "mrna: 30 genes, the validation part, which chose the epoch: optimistic" in page.words
    assert "Predictions of the test part" in page.words
    assert "Folds" not in page.words
    assert {"overlap with training", "share"} <= set(page.words) and "fold 0" not in page.words


def test_a_half_written_last_epoch_is_left_out(tmp_path):
    folder = make_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as lines:
        lines.write('{"fold": 2, "epo')
    _, page = read_page(folder)
    assert page.tags.count("svg") == 8


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", '{"kind": "dataset"}', "a folder of kind 'dataset'"),
        ("metrics.json", "[", "metrics.json: found text that is not JSON"),
        ("metrics.json", "{}", "metrics.json: found an object; expected a list (the metrics"),
        ("audit.json", "[", "audit.json: found text that is not JSON"),
        ("failed.json", "[1]", "failed.json"),
        ("metrics.jsonl", "x\n{}\n", "line 1: found text that is not JSON"),
        ("predictions.tsv", "id\tchrom\n", "no column output, label, prediction"),
    ],
)
def test_files_that_are_not_a_run_are_refused_and_nothing_is_written(tmp_path, name, content, message):
    folder = make_run(tmp_path / "run")
    (folder / name).write_text(content)
    with pytest.raises(InputError) as problem:
        write_report(folder)
    assert message in str(problem.value)
    assert not (folder / "report.html").exists()


def styles_of(page: str, medium: str) -> str:
    """All rules of the style sheet within a medium."""
    found = []
    for start in (match.end() for match in re.finditer(re.escape(f"@media {medium} {{"), page)):
        depth, end = 1, start
        while depth:
            depth += {"{": 1, "}": -1}.get(page[end], 0)
            end += 1
        found.append(page[start : end - 1])
    return "\n".join(found)


def test_on_a_phone_rows_are_blocks_whose_cells_have_their_headings(tmp_path):
    text, _ = read_page(make_run(tmp_path / "run", outputs=("a & b",)))
    narrow = styles_of(text, "screen and (max-width: 820px)")
    assert re.search(r"table thead { display: none; }", narrow) and "table tr { display: grid;" in narrow
    assert "content: attr(data-heading)" in narrow
    assert "width: 600px" not in text  # figures shrink to the screen
    tables = re.findall("<table.*?</table>", text, re.DOTALL)
    assert len(tables) > 5
    for table in tables:
        head = re.findall("<th [^>]*>(.*?)</th>", table)
        for row in re.findall("<tr[^>]*><td.*?</tr>", table):
            assert re.findall('<td data-heading="([^"]*)"', row) == head


def test_a_table_of_many_columns_is_blocks_on_a_tablet_too(tmp_path):
    folder = make_run(tmp_path / "run")
    assert '<table class="many">' not in read_page(folder)[0].replace("fold", "")
    rows = json.loads((folder / "metrics.json").read_text())
    rows += [{**row, "model": f"m{i}"} for i in range(6) for row in rows if row["model"] == "composition_ridge"]
    write_json(folder / "metrics.json", rows)
    text, _ = read_page(folder)
    assert text.count('<table class="many">') == 2  # the folds, for two metrics
    assert "table.many tr { display: grid;" in styles_of(text, "screen and (max-width: 1100px)")


def test_in_print_the_manifest_is_left_out_and_pieces_stay_together(tmp_path):
    text, page = read_page(make_run(tmp_path / "run"))
    printed = styles_of(text, "print")
    assert "details { display: none; }" in printed and ".print { display: block; }" in printed
    assert '<p class="note print">All that ran' in text and "manifest.json" in " ".join(page.words)
    assert re.search(r"figure {[^}]*break-inside: avoid;", printed)
    assert re.search(r"\.keep, tr, [^{]*{ break-inside: avoid; }", printed)
    assert "td small { white-space: nowrap; }" in printed


def test_errors_have_one_sign(tmp_path):
    folder = make_run(tmp_path / "run")
    table = pd.read_csv(folder / "predictions.tsv", sep="\t")
    table["prediction"] = table["label"] + 3
    table.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    text, page = read_page(folder)
    assert all(line[-1] == "+3.000" for line in rows_of(text, "Predictions"))
    assert "predicted − measured" in page.words and "measured − predicted" not in text
    assert "Measured minus" not in text and "measured minus" not in text
    # The boxes, which have no width, stand at + 3 too.
    drawing = next(svg for svg in re.findall("<svg.*?</svg>", text, re.DOTALL) if ">predicted − measured<" in svg)
    assert any(tick.startswith("3.0") for tick in re.findall(r">([\d.−]+)</text>", drawing))
    assert not any(tick.startswith("−2") for tick in re.findall(r">([\d.−]+)</text>", drawing))


def test_no_heading_stands_over_nothing(tmp_path):
    """As where all genes lie on one chromosome, so that there are no boxes."""
    folder = make_run(tmp_path / "run", outputs=("mrna", "protein"))
    table = pd.read_csv(folder / "predictions.tsv", sep="\t").assign(chrom="6")
    table.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    text, _ = read_page(folder)
    section = text[text.index("<h2>Predictions</h2>") : text.index("</section>", text.index("<h2>Predictions</h2>"))]
    assert re.findall("<h3>(.*?)</h3>", section) == [
        "mrna: the genes with the largest errors",
        "protein",
        "protein: the genes with the largest errors",
    ]
    assert not re.search(r"</h3>\s*</div>\s*<div class=\"keep\">", text)


def test_columns_that_are_empty_are_left_out_of_the_worst_genes(tmp_path):
    folder = make_run(tmp_path / "run")
    table = pd.read_csv(folder / "predictions.tsv", sep="\t").assign(chrom="")
    table.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    text, _ = read_page(folder)
    assert "chromosome" not in re.findall("<th [^>]*>(.*?)</th>", text)


def test_points_are_clear_in_dark_mode(tmp_path):
    text, _ = read_page(make_run(tmp_path / "run"))
    dark = styles_of(text, "screen and (prefers-color-scheme: dark)")
    assert '.drawing use[style*="fill-opacity"] { fill-opacity: 0.9 !important; }' in dark
    assert len(re.findall(r'<use [^>]*style="[^"]*fill-opacity', text)) >= 89  # the scatter's


def test_the_lead_says_what_its_numbers_are(tmp_path):
    config = tiny_config()
    folder = make_run(tmp_path / "run", dataset={"folder": "", "genes": 5000})
    told = "mrna: 5,000 genes in the dataset, 89 tested, each in the fold that did not train on it"
    assert told in read_page(folder)[1].words
    write_json(folder / "manifest.json", describe_run("train", {"dataset": {"folder": "", "genes": 5000}}))
    learnt = ModelMetadata(config, (Output("mrna", ""),), training={"train_genes": 4000})
    save_model(folder / "weights.safetensors", TrainedModel("w", Perceiver(config), learnt))
    table = pd.read_csv(folder / "predictions.tsv", sep="\t")
    table = table.assign(split=table["fold"].map({0: "test", 1: "valid", 2: "valid"})).drop(columns="fold")
    table.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    told = "mrna: 5,000 genes in the dataset, 4,000 trained on, 60 to choose the epoch, 29 tested"
    assert told in read_page(folder)[1].words


def test_labels_whose_predictions_have_no_sd_are_named(tmp_path):
    folder = make_run(tmp_path / "run", outputs=("liver", "brain", "lung"))
    table = pd.read_csv(folder / "predictions.tsv", sep="\t")
    table["sd"] = 0.5
    table.loc[table["output"] == "brain", "sd"] = float("nan")
    table.loc[(table["output"] == "lung") & (table["fold"] == 1), "sd"] = float("nan")
    table.to_csv(folder / "predictions.tsv", sep="\t", index=False)
    text, page = read_page(folder)
    section = text[text.index("<h2>Calibration of the predicted sd</h2>") :]
    section = section[: section.index("</section>")]
    assert re.findall("<h3>(.*?)</h3>", section) == ["liver", "lung"]
    assert "60 genes; 30 without a positive sd are left out; dashed line: as they should" in page.words
    assert "Without an sd, and so not shown: brain." in section


def test_an_interval_that_leaves_the_axis_has_its_number_and_the_page_says_so(tmp_path):
    folder = make_run(tmp_path / "run")
    rows = json.loads((folder / "metrics.json").read_text())
    for row in rows:
        if row["model"] == "seqexpr":
            row["metrics"]["r2"] = {"value": -0.23, "low": -602.7, "high": 0.01}
    write_json(folder / "metrics.json", rows)
    text, page = read_page(folder)
    assert "−603" in page.words and "−600" not in page.words
    assert text.count("an arrow points to it, and the number beside the arrow") == 2  # in both sections with intervals


def test_a_run_of_version_0_1_names_the_untrained_model_as_others_do(tmp_path):
    folder = make_run(tmp_path / "run")
    rows = json.loads((folder / "metrics.json").read_text())
    for name in ("untrained model", "untrained_model"):
        named = [{**row, "model": name if row["model"] == "composition_ridge" else row["model"]} for row in rows]
        write_json(folder / "metrics.json", named)
        assert "untrained model" in read_page(folder)[1].words
