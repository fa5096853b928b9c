"""Every section in its quick form: shapes and sanity of what it finds, no times."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from benchmarks.__main__ import SECTIONS, parse, verdict
from benchmarks.flops import plain_flops, reduced_flops
from benchmarks.options import Options
from benchmarks.pipeline_child import covered, shares

from benchmarks import effects, peak, pipeline, predict, scaling, scan, startup, train, windows

from .in_process import ThreadChild

pytestmark = pytest.mark.slow

QUICK = Options(presets=("protein-dna-perceiver",), quick=True, threads=1, start=ThreadChild)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """The works set torch's threads, and here they share the tests' process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_predict() -> None:
    row = predict.run(QUICK)["rows"][0]  # the CPU's; a GPU would be behind it
    names = ["shipped auto", "shipped 32", "plain default 4", "plain tuned 4"]
    assert list(row["items_a_second"]) == names
    assert all(len(rate["rates"]) == 2 and min(rate["rates"]) > 0 for rate in row["items_a_second"].values())
    assert row["best_plain"] == {"default": names[2], "tuned": names[3]}
    assert set(row["memory"]) == set(names)
    fastest = max(row["items_a_second"][name]["median"] for name in names[:2])
    floor = row["floor"]
    assert floor["fraction"] == pytest.approx(fastest * floor["flops_an_item"] / row["matmul"]["flops_a_second"])
    assert 0 < floor["flops_an_item"] < plain_flops(QUICK.config(row["preset"])).forward
    text = predict.render({"rows": [row]})
    assert "plain tuned 4 *" in text and "protein-dna-perceiver, cpu fp32" in text


def test_train() -> None:
    options = Options(presets=("dna-perceiver",), quick=True, threads=1, start=ThreadChild)
    row = train.run(options)["rows"][0]
    names = ["shipped, groups of 4", "shipped, one group of 4", "plain default, whole", "plain tuned, whole"]
    assert list(row["items_a_second"]) == names
    assert list(row["ratios"]) == names[:2]
    assert row["large_batch"]["batch"] == 8
    assert len(row["large_batch"]["memory"]) == 4
    fastest = max(row["items_a_second"][name]["median"] for name in names[:2])
    assert row["epoch_seconds"] == pytest.approx(16_377 / fastest)
    config = options.config("dna-perceiver")
    assert row["floor"]["flops_an_item"] == reduced_flops(config, 900, 900).training
    assert "peak memory at batch 8" in train.render({"rows": [row]})


def test_full_size_has_all_batch_sizes_and_parts() -> None:
    full = Options(threads=2)
    variants, plain = predict.variants_of(full, "dna-perceiver", "cpu", "fp32")
    assert plain["tuned"] == [f"plain tuned {batch}" for batch in (1, 2, 8, 32, 128)]
    assert len(variants) == 12 and not variants[0].settings["changes"]
    variants, plain = train.variants_of(full, "protein-perceiver", Path("genes"), "cpu", "fp32", 32)
    assert [variant.settings["group"] for variant in variants] == [8, 0, 0, 1, 2, 8, 0, 1, 2, 8]
    variants, plain = predict.variants_of(full, "dna-perceiver", "cuda", "bf16")
    assert list(plain) == ["default"]


def test_peak() -> None:
    row = peak.run(QUICK)["rows"][0]
    found = row["presets"]["protein-dna-perceiver"]
    assert found["matmul"]["best_size"] == "512 x 512 x 512"
    for what in ("predict", "train"):
        assert found["reduced_flops"][what] < found["plain_flops"][what]
        assert found[what]["fraction"] > 0
    assert "protein-dna-perceiver, train" in peak.render({"rows": [row]})


def test_scaling() -> None:
    options = Options(presets=("dna-perceiver",), quick=True, threads=1, start=ThreadChild)
    found = scaling.run(options)
    sizes = {curve: [row["size"] for row in found["rows"] if row["curve"] == curve] for curve in found["exponents"]}
    of_lengths = ("predict, shipped", "predict, plain", "train, shipped", "train, plain")
    assert sizes == {"records": [4, 8], **{curve: [1_000, 2_000] for curve in of_lengths}}
    assert all(row["seconds"] > 0 for row in found["rows"])
    assert "exponent" in scaling.render(found)


def test_an_exponent_is_fitted_to_the_larger_half() -> None:
    sizes = (1, 10, 100, 1_000, 10_000)
    rows = [{"curve": "a", "size": size, "seconds": 7.0 if size < 100 else 0.2 * size**1.5} for size in sizes]
    assert scaling.exponent(rows, "a") == pytest.approx(1.5)


def test_windows_in_processes_of_their_own() -> None:
    found = windows.run(Options(quick=True))
    assert list(found["rows"]) == ["read_records", "pyfaidx alone", "letter by letter"]
    assert found["bases"] == 200_000
    for row in found["rows"].values():
        assert row["times_faster"] == pytest.approx(found["rows"]["read_records"]["median"] / row["median"])
        assert row["peak_mib"] < 200  # no torch
    assert "10,500 letters from 200,000 bases" in windows.render(found)


def test_effects() -> None:
    found = effects.run(Options(quick=True, threads=1, start=ThreadChild))
    assert [row["name"] for row in found["rows"]] == [
        "explain, dna-perceiver: substitutions",
        "explain, human-mrna: substitutions",
        "explain, protein-perceiver: residues",
        "explain, dna-protein-perceiver: residues",
        "explain, protein-dna-perceiver: substitutions",
        "variants, human-mrna: SNVs, 2 a gene",
    ]
    for row in found["rows"]:
        own, whole = (way["median"] for way in row["ways"].values())
        assert row["ratio"] == own / whole > 0
    assert "what a change of sequence does" in effects.render(found)


def test_scan() -> None:
    found = scan.run(Options(quick=True, threads=1, start=ThreadChild))
    (row,) = found["rows"]
    medians = {name: rate["median"] for name, rate in row["positions_a_second"].items()}
    assert row["ratio"] == medians["scan"] / medians["predict"] > 0
    assert row["flops"]["ratio"] > 1.5
    assert "human-mrna along 20,000 bases, both strands" in scan.render(found)


def test_startup(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(100))
    monkeypatch.setattr(startup, "run_seqexpr", lambda arguments: SimpleNamespace(seconds=float(next(times))))
    monkeypatch.setattr(startup, "heavy_imports", lambda arguments: ["torch"] if "--genome" in arguments else [])
    rows = startup.run(Options(rounds=3))["rows"]
    assert list(rows) == ["--help", "predict --help", "--version", "models list", "predict, 1 window"]
    assert rows["--help"] == {"median_seconds": 10.0, "runs": 3, "heavy_imports": []}  # of 5, 10, 15; 0 is the warm-up
    assert rows["predict, 1 window"] == {"median_seconds": 14.0, "runs": 3, "heavy_imports": ["torch"]}
    assert "seqexpr predict, 1 window" in startup.render({"rows": rows})


def test_heavy_imports_are_seen() -> None:
    assert startup.heavy_imports(["--version"]) == []
    assert startup.heavy_imports(["models", "list"]) == ["numpy"]


def test_pipeline() -> None:
    found = pipeline.run(Options(quick=True, threads=1))
    (row,) = found["rows"]
    inside = row["inside"]
    assert row["windows"] == inside["windows"] == 2
    assert 0 < inside["workers_share"] <= inside["model_share"] <= 1
    assert inside["workers"] == 1 and inside["startup_seconds"] > 0
    assert row["windows_a_second"] == pytest.approx(2 / row["seconds"])
    assert "model computes" in pipeline.render(found)


def test_the_models_share_of_the_time() -> None:
    passes = [(1.0, 3.0), (2.0, 4.0), (2.5, 3.5), (6.0, 8.0)]
    assert covered(passes) == 5.0
    assert covered([]) == 0.0
    found = shares(passes, 0.0, 10.0, workers=2)
    assert found == {"model_share": 0.5, "workers_share": pytest.approx(7 / 20)}


def test_the_command_line() -> None:
    options, path = parse(["predict", "peak", "--preset", "dna-perceiver", "--rounds", "3", "--threads", "2"])
    assert options == Options(presets=("dna-perceiver",), rounds=3, threads=2, sections=("predict", "peak"))
    assert path is None
    assert parse([])[0].sections == tuple(SECTIONS)
    for refused in (["speed"], ["--rounds", "0"]):
        with pytest.raises(SystemExit) as stopped:
            parse(refused)
        assert stopped.value.code == 2


def test_figures_made_beside_busy_processes_are_marked() -> None:
    assert verdict(0.04) == ""
    assert verdict(0.06) == ": too much for any figure above to be quoted"


def test_the_command_writes_json(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "windows", "--quick", "--json", str(target)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(windows.__file__).parents[1],
    )
    assert "letter by letter" in done.stdout and "round 2 of 2" in done.stderr
    assert "--quick: the figures below measure nothing" in done.stderr
    stored = json.loads(target.read_text())
    assert set(stored) == {"machine", "sections"}
    assert stored["machine"]["threads"] >= 1
    assert list(stored["sections"]["windows"]["rows"]) == ["read_records", "pyfaidx alone", "letter by letter"]
