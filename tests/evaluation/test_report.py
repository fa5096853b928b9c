from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqexpr.errors import InputError
from seqexpr.evaluation.metrics import metrics_row
from seqexpr.evaluation.report import write_report
from seqexpr.files import write_json
from seqexpr.manifest import describe_run

VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """Checks that tags are balanced, and gathers what a test asks about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
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


def make_run(folder: Path, *, outputs: tuple[str, ...] = ("mrna",), n: int = 90, chrom: bool = True) -> Path:
    """A cross-validated run of three folds as `cv` leaves it."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    manifest = describe_run("cv", {"task": "prot & lung", "split": "random", "folds": 3, "network": {"deep": 1}})
    write_json(folder / "manifest.json", manifest)
    rows, tables = [], []
    fold = np.arange(n) % 3
    for output in outputs:
        actual = generator.normal(5, 1, n)
        models = {"seqexpr": actual + generator.normal(0, 0.5, n), "training_mean": np.full(n, 5.0)}
        for model, predicted in models.items():
            rows.append(metrics_row(model, output, "all", actual, predicted, resamples=20))
            for k in range(3):
                chosen = fold == k
                rows.append(metrics_row(model, output, f"fold {k}", actual[chosen], predicted[chosen], resamples=20))
        columns = {"id": [f"g{i}" for i in range(n)], "chrom": [f"{i % 4 + 1}" for i in range(n)], "fold": fold}
        tables.append(pd.DataFrame({**columns, "output": output, "label": actual, "prediction": models["seqexpr"]}))
    write_json(folder / "metrics.json", rows)
    table = pd.concat(tables)
    table.iloc[0, table.columns.get_loc("label")] = np.nan  # a gene that was predicted but has no label
    (table if chrom else table.drop(columns="chrom")).to_csv(folder / "predictions.tsv", sep="\t", index=False)
    lines = [
        {"fold": k, "epoch": e, "train_loss": 1 / e, "valid_loss": 1.2 / e, "valid_r2": 1 - 1 / e, "learning_rate": 0.1}
        for k in range(3)
        for e in range(1, 5)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def read_page(folder: Path) -> tuple[str, Page]:
    text = write_report(folder).read_text(encoding="utf-8")
    return text, Page(text)


def test_page_is_whole_and_fetches_nothing(tmp_path):
    text, page = read_page(make_run(tmp_path / "run"))
    assert text.startswith("<!DOCTYPE html>")
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"https?://|<script|@import|url\((?!#)", text)
    assert page.tags.count("svg") == 4  # summary, predictions, residuals, learning curves
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
            low, high = (f"{estimate[end]:.3f}".replace("-", "−").replace("−0.000", "0.000") for end in ("low", "high"))
            assert f"{estimate['value']:.3f}".replace("-", "−").replace("−0.000", "0.000") in page.words
            assert f"{low} to {high}" in page.words
    for words in ("Cross-validation: run", "fold 2", "training mean", "prot & lung"):
        assert words in page.words


def test_the_best_model_is_marked_and_a_loss_is_shown_as_one(tmp_path):
    folder = make_run(tmp_path / "run")
    rows = json.loads((folder / "metrics.json").read_text())
    for row in rows:
        row["model"] = {"seqexpr": "training_mean", "training_mean": "seqexpr"}[row["model"]]
    write_json(folder / "metrics.json", rows)
    text, _ = read_page(folder)
    own = re.search(r'<tr class="model">.*?</tr>', text)
    assert own and "best" not in own[0]


def test_text_of_the_user_is_escaped(tmp_path):
    folder = make_run(tmp_path / "<i>run", outputs=("<b>$x_1$ & y",))
    text, page = read_page(folder)
    assert "b" not in page.tags and "i" not in page.tags
    assert "<b>" not in text and "<i>" not in text
    assert "actual <b>$x_1$ & y" in page.words  # in the figure too, a dollar sign is one


def test_every_output_has_its_part(tmp_path):
    _, page = read_page(make_run(tmp_path / "run", outputs=("mrna", "protein")))
    assert page.tags.count("svg") == 7
    assert len(set(page.ids)) == len(page.ids)


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
    assert page.tags.count("svg") == 3


@pytest.mark.parametrize("missing", ["metrics.json", "metrics.jsonl", "predictions.tsv"])
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


def test_a_half_written_last_epoch_is_left_out(tmp_path):
    folder = make_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as lines:
        lines.write('{"fold": 2, "epo')
    _, page = read_page(folder)
    assert page.tags.count("svg") == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", '{"kind": "dataset"}', "a folder of kind 'dataset'"),
        ("metrics.json", "[", "metrics.json: found text that is not JSON"),
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
