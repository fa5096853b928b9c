from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqexpr.models.registry import resolve_models
from seqexpr.models.trained import read_metadata, rewrite_metadata, save_view
from seqexpr.toml_files import read_toml


@pytest.fixture
def cached(private_cache: Path, weights: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache holds two models, and there are no bundled ones."""
    monkeypatch.setattr("seqexpr.models.registry._bundled", list)
    folder = private_cache / "weights"
    folder.mkdir()
    shutil.copy(weights(), folder / "mine.safetensors")
    (folder / "torn.safetensors").write_bytes(b"\0" * 100)
    return folder


def test_list_is_a_table_and_a_bad_file_does_not_hide_the_others(cached: Path, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr("models", "list")
    size = f"{(cached / 'mine.safetensors').stat().st_size / 1e6:.1f} MB"
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "name\tspecies\toutputs\tinputs\torigin\tsize\n"
        "mine\t\tmrna\tDNA 432 bp (288 upstream, 144 downstream); half-life features (optional)\t"
        f"cached\t{size}\n"
        "torn\t\tunreadable\tunreadable\tcached\t0.0 MB\n"
    )


def test_list_says_whose_outputs_a_view_gives(cached: Path, seqexpr: Callable[..., Any]) -> None:
    save_view(cached / "part.safetensors", "mine.safetensors", ["mrna"])
    lines = [line.split("\t") for line in seqexpr("models", "list").out.splitlines()]
    assert [(line[0], line[2], line[5]) for line in lines if line[0] == "part"] == [("part", "mrna", "in mine")]


def test_show_prints_the_card(cached: Path, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr("models", "show", "mine")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"model: mine\nfile: {cached / 'mine.safetensors'}\n"
        "preset: dna-perceiver\n"
        "inputs:\n  DNA 432 bp (288 upstream, 144 downstream)\n  half-life features (optional)\n"
        "outputs:\n  mrna [log10(x)]: mean 1.5, sd 2 over the training genes\n"
        "half-life features, in the order of --half-life's columns, raw values:\n"
        "  utr5_len: log10(x+0.1), mean 0.5, sd 2\n  cds_len: log10(x+0.1), mean 0.5, sd 2\n"
        "  intron_len: log10(x+0.1), mean 0.5, sd 2\n  utr3_len: log10(x+0.1), mean 0.5, sd 2\n"
        "  utr5_gc: identity, mean 0.5, sd 2\n  cds_gc: identity, mean 0.5, sd 2\n"
        "  utr3_gc: identity, mean 0.5, sd 2\n  orf_exon_density: log10(x+0.1), mean 0.5, sd 2\n"
        "training:\n  genes: 12\n  recipe: paper\n"
        "card:\n  use: tests\n  species: human, mouse\n"
    )


def test_show_says_that_a_model_expects_z_scores(weights: Callable[..., Path], seqexpr: Callable[..., Any]) -> None:
    done = seqexpr("models", "show", weights(z_scores=True))
    assert "--half-life's columns, z-scores as in Xpresso's tables:\n  utr5_len: identity, mean 0.5, sd 2\n" in done.out


def test_show_of_a_protein_model_says_what_it_reads(weights: Callable[..., Path], seqexpr: Callable[..., Any]) -> None:
    done = seqexpr("models", "show", weights("protein-perceiver", "protein"))
    assert "inputs:\n  protein up to 300 residues\noutputs:\n" in done.out


def test_path_prints_the_file(cached: Path, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr("models", "path", "mine")
    assert (done.code, done.out, done.err) == (0, f"{cached / 'mine.safetensors'}\n", "")


def test_path_of_a_cv_run_prints_a_line_for_each_fold(
    tmp_path: Path, weights: Callable[..., Path], seqexpr: Callable[..., Any]
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"kind": "cv"}))
    for fold in ("0", "1"):
        (tmp_path / "folds" / fold).mkdir(parents=True)
        shutil.copy(weights(), tmp_path / "folds" / fold / "weights.safetensors")
    done = seqexpr("models", "path", tmp_path)
    assert done.out == "".join(f"{tmp_path}/folds/{fold}/weights.safetensors\n" for fold in ("0", "1"))


@pytest.mark.parametrize("command", ["show", "path"])
def test_an_unknown_name_is_missing_data(command: str, cached: Path, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr("models", command, "mime")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("seqexpr: error: no model, weights file or run folder 'mime'; did you mean 'mine'?")
    assert done.err.count("\n") == 1


def test_show_of_a_bad_file_prints_nothing(cached: Path, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr("models", "show", "torn")
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)


def run_folder(folder: Path, weights: Callable[..., Path]) -> Path:
    """A run of cv as it is on disk: two folds, with their numbers in the weights, and those of all genes."""

    def row(scope: str, n: int, value: float) -> dict[str, Any]:
        estimate = {"value": value, "low": value - 0.1234567, "high": value + 0.1234567}
        metrics = dict.fromkeys(("r2", "pearson_r2"), estimate)
        return {"model": "seqexpr", "output": "mrna", "scope": scope, "n": n, "metrics": metrics}

    options = {"folds": 2, "split": "chromosome", "task": "mine"}
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"kind": "cv", "options": options}))
    (folder / "metrics.json").write_text(json.dumps([row("all", 24, 0.7083294622675513), row("fold 0", 12, 0.5)]))
    for fold in range(2):
        path = folder / "folds" / str(fold) / "weights.safetensors"
        path.parent.mkdir(parents=True)
        shutil.copy(weights(), path)
        training = {
            **{
                "task": "mine",
                "seed": 3,
                "dataset_genes": 24,
                "best_epoch": 7 + fold,
                "recipe": {"name": "default-dna"},
            },
            "metrics": [row("valid", 4, 0.9), row(f"fold {fold}", 12, 0.6 + fold / 10)],
        }
        rewrite_metadata(path, lambda metadata, training=training: replace(metadata, training=training))
    return folder


def test_show_of_a_cv_run_is_one_short_table(
    tmp_path: Path, weights: Callable[..., Path], seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run = run_folder(tmp_path / "run", weights)
    done = seqexpr("models", "show", run)
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert len(lines) < 30 and max(map(len, lines)) <= 80 and not re.search(r"[0-9]\.[0-9]{4}|\{", done.out)
    text = " ".join(done.out.split())
    for fact in (
        *("cross-validation, 2 of 2 folds trained", "task mine", "preset dna-perceiver", "recipe default-dna"),
        *("label mrna [log10(x)]", "split chromosome, 2 folds", "genes 24"),
    ):
        assert fact in text
    found = [re.split(r"  +", line.strip()) for line in lines if re.match(r" *(all folds|fold .), ", line)]
    assert found == [
        ["all folds, 24 genes", "0.708", "0.585 to 0.832", "0.708", "0.585 to 0.832"],
        ["fold 0, 12 genes", "0.600", "0.477 to 0.723", "0.600", "0.477 to 0.723", "7"],
        ["fold 1, 12 genes", "0.700", "0.577 to 0.823", "0.700", "0.577 to 0.823", "8"],
    ]


def test_show_of_one_weights_file_of_a_run(
    tmp_path: Path, weights: Callable[..., Path], seqexpr: Callable[..., Any]
) -> None:
    run = run_folder(tmp_path / "run", weights)
    for name in (run / "folds" / "1", run / "folds" / "1" / "weights.safetensors"):
        shown = seqexpr("models", "show", name).out
        assert "validation, 4 genes" in shown and "fold 1, 12 genes" in shown
        assert "the validation genes chose the epoch" in shown and "model: weights" not in shown


def test_json_of_a_run_keeps_everything(
    tmp_path: Path, weights: Callable[..., Path], seqexpr: Callable[..., Any]
) -> None:
    shown = seqexpr("models", "show", run_folder(tmp_path / "run", weights), "--json").out
    trained = [json.loads(line)["training"] for line in shown.splitlines()]
    assert [one["best_epoch"] for one in trained] == [7, 8]
    assert trained[1]["metrics"][1]["metrics"]["r2"]["low"] == pytest.approx(0.7 - 0.1234567)


@pytest.mark.parametrize("words", [["list"], ["show", "mine"], ["path", "mine"]])
def test_quiet_is_a_switch_of_all(words: list[str], cached: Path, seqexpr: Callable[..., Any]) -> None:
    assert seqexpr("models", *words, "-q") == seqexpr("models", *words)


def test_the_list_on_a_terminal_has_a_line_for_each_model(
    seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, private_cache: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _, *lines = seqexpr("models", "list").out.splitlines()
    assert len(lines) == 6 and all("human " in line for line in lines)


def test_the_card_of_human_mrna_has_the_clean_figure(seqexpr: Callable[..., Any]) -> None:
    """README says that 0.525 is the clean test, and points to this card."""
    shown = seqexpr("models", "show", "human-mrna").out
    assert "0.525 [0.481, 0.572]" in shown and "0.492 [0.446, 0.540]" in shown
    assert "human-mrna-own" in shown and "not bundled" in shown


@pytest.mark.parametrize("name", ["human-mrna", "human-prot-all"])
def test_card_page_and_text_say_the_same(name: str) -> None:
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "models" / f"{name.removesuffix('-all')}.md").read_text(encoding="utf-8")
    card = read_metadata(resolve_models([name])[0]).card
    for key, text in read_toml(root / "tools" / "weights" / "card_texts" / f"{name}.toml")["card"].items():
        assert card[key] == text
        assert key == "title" or text in page
    assert "beside them" not in page


def test_scores_in_weights_that_are_none_are_bad_input(
    tmp_path: Path, weights: Callable[..., Path], seqexpr: Callable[..., Any]
) -> None:
    path = tmp_path / "w.safetensors"
    shutil.copy(weights(), path)
    rewrite_metadata(path, lambda metadata: replace(metadata, training={"metrics": [{"model": 3}]}))
    done = seqexpr("models", "show", path)
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert f"{path}, metadata, key 'training.metrics[0].model': found 3; expected a text" in done.err
