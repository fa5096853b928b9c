from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqexpr.models.trained import save_view


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
        "name\toutputs\tinputs\torigin\tsize\n"
        "mine\tmrna\tDNA 432 bp (288 upstream, 144 downstream); half-life features (optional)\t"
        f"cached\t{size}\n"
        "torn\tunreadable\tunreadable\tcached\t0.0 MB\n"
    )


def test_list_says_whose_outputs_a_view_gives(cached: Path, seqexpr: Callable[..., Any]) -> None:
    save_view(cached / "part.safetensors", "mine.safetensors", ["mrna"])
    lines = [line.split("\t") for line in seqexpr("models", "list").out.splitlines()]
    assert [(line[0], line[1], line[4]) for line in lines if line[0] == "part"] == [("part", "mrna", "in mine")]


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
