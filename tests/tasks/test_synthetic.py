from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import UsageError
from seqexpr.tasks.synthetic import (
    INPUTS,
    LABEL,
    SyntheticSettings,
    dna_score,
    half_life_score,
    inputs_of,
    make_synthetic,
    protein_score,
    settings_for,
)

PRESETS = ("dna-perceiver", "protein-perceiver", "protein-dna-perceiver", "dna-protein-perceiver")
SMALL = SyntheticSettings(INPUTS, genes=300, upstream=100, downstream=60, margin=8, protein_length=120)


def scores(dataset: PreparedDataset) -> dict[str, np.ndarray]:
    """The planted function, computed again from what is stored and what the network's settings say it reads."""
    rows, found = range(len(dataset)), {}
    if dataset.has_dna:
        model, signal = dataset.manifest["model"], dataset.manifest["options"]["dna_signal"]
        windows = dataset.dna(rows, model["upstream"], model["downstream"])
        found["dna"] = np.array([dna_score(window, model["upstream"], signal) for window in windows])
    if (raw := dataset.half_life()) is not None:
        found["half-life"] = half_life_score(raw)
    if dataset.has_protein:
        lengths = dataset.protein_lengths
        padded = dataset.proteins(rows, int(lengths.max()))
        found["protein"] = np.array([protein_score(row[:n]) for row, n in zip(padded, lengths, strict=True)])
    return {name: (score - score.mean()) / score.std() for name, score in found.items()}


def r2(dataset: PreparedDataset, names: list[str]) -> float:
    """Share of the label's variance that a linear fit on the planted scores explains."""
    label = dataset.labels([LABEL])[:, 0]
    found = scores(dataset)
    design = np.column_stack([np.ones(len(label)), *(found[name] for name in names)])
    residuals = label - design @ np.linalg.lstsq(design, label, rcond=None)[0]
    return float(1 - residuals.var() / label.var())


@pytest.mark.parametrize("preset", PRESETS)
def test_the_planted_function_of_all_that_a_preset_reads_reaches_the_ceiling(tmp_path: Path, preset: str) -> None:
    settings = settings_for(preset)
    dataset = make_synthetic(tmp_path / "s", replace(SMALL, inputs=settings.inputs, dna_signal=settings.dna_signal))
    inputs = set(inputs_of(preset))
    assert (dataset.has_dna, dataset.has_protein) == ("dna" in inputs, "protein" in inputs)
    assert (dataset.half_life() is not None) == dataset.has_dna
    assert dataset.manifest["ceiling_r2"] == pytest.approx(0.8, abs=0.06)
    assert r2(dataset, list(scores(dataset))) == pytest.approx(dataset.manifest["ceiling_r2"], abs=0.02)
    assert set(dataset.genes["split"]) == {"train", "valid", "test"}
    assert set(dataset.genes["chrom"]) <= {str(number) for number in range(1, 23)}


@pytest.mark.parametrize(
    ("carrier", "signal"), [("dna", "motifs"), ("dna", "gc"), ("protein", "gc"), ("half-life", "motifs")]
)
def test_only_the_carrier_carries(tmp_path: Path, carrier: str, signal: str) -> None:
    settings = replace(SMALL, planted={carrier: 1.0}, dna_signal=signal, ceiling_r2=0.9)
    dataset = make_synthetic(tmp_path / "s", settings)
    for name in INPUTS:
        share = r2(dataset, [name])
        assert share > 0.85 if name == carrier else share < 0.05


def test_a_signal_that_is_shared_out(tmp_path: Path) -> None:
    dataset = make_synthetic(tmp_path / "s", replace(SMALL, planted={"dna": 0.7, "protein": 0.3}))
    parts = {name: r2(dataset, [name]) / dataset.manifest["ceiling_r2"] for name in INPUTS}
    # of 300 genes a share is known within about 0.05; the seed is fixed
    assert parts["dna"] == pytest.approx(0.7, abs=0.1)
    assert parts["protein"] == pytest.approx(0.3, abs=0.1)
    assert parts["half-life"] == pytest.approx(0, abs=0.03)
    assert r2(dataset, ["dna", "protein"]) == pytest.approx(dataset.manifest["ceiling_r2"], abs=0.02)


def test_shares_by_default() -> None:
    assert settings_for("dna-perceiver").shares == {"dna": 0.8, "half-life": 0.2}
    assert settings_for("protein-perceiver").shares == {"protein": 1.0}
    assert settings_for("protein-dna-perceiver").shares == {"protein": 0.4, "dna": 0.4, "half-life": 0.2}


def test_dna_that_only_latents_read_has_a_signal_in_its_letters() -> None:
    signals = {preset: settings_for(preset).dna_signal for preset in PRESETS}
    assert signals["dna-perceiver"] == signals["protein-dna-perceiver"] == "motifs"
    assert signals["dna-protein-perceiver"] == "gc"


def test_the_same_settings_give_the_same_dataset(tmp_path: Path) -> None:
    settings = {"a": SMALL, "b": SMALL, "c": replace(SMALL, seed=1)}
    for name, chosen in settings.items():
        make_synthetic(tmp_path / name, replace(chosen, genes=20))
    parts = ("genes.tsv", "sequences.safetensors")
    contents = {name: [(tmp_path / name / part).read_bytes() for part in parts] for name in settings}
    assert contents["a"] == contents["b"]
    assert contents["a"] != contents["c"]


def test_every_setting_changes_the_key() -> None:
    other = {
        "inputs": ("dna", "protein"), "planted": {"dna": 1.0}, "dna_signal": "gc", "genes": 301, "seed": 1,
        "ceiling_r2": 0.7, "upstream": 101, "downstream": 61, "margin": 9, "protein_length": 121, "missing": 0.03,
    }  # fmt: skip
    assert set(other) == set(SyntheticSettings.__dataclass_fields__)
    keys = {SMALL.key(), *(replace(SMALL, **{name: value}).key() for name, value in other.items())}
    assert len(keys) == len(other) + 1
    assert SMALL.key() == replace(SMALL).key()


def test_the_generator_is_the_one_that_the_cache_knows(tmp_path: Path) -> None:
    """When this fails, the generator has changed: raise GENERATOR, for old datasets lie in caches under its key."""
    dataset = make_synthetic(tmp_path / "s", replace(SMALL, genes=20))
    letters = dataset.dna(range(20), 108, 68).tobytes() + dataset.proteins(range(20), 120).tobytes()
    assert hashlib.sha256(letters).hexdigest()[:16] == "ee8f4e50d98997d0"
    np.testing.assert_allclose(dataset.labels([LABEL])[:3, 0], [0.56902983, 0.77017648, -1.4807443], rtol=1e-6)


def test_the_network_reads_the_window_without_its_margins(tmp_path: Path) -> None:
    dataset = make_synthetic(tmp_path / "s", replace(SMALL, genes=2))
    assert (dataset.upstream, dataset.downstream) == (108, 68)
    assert dataset.manifest["model"] == {
        "upstream": 100, "downstream": 60, "protein_length": 120, "latents": 8, "latent_dim": 16,
        "stem_channels": 32, "tower_channels": [32, 32],
    }  # fmt: skip


def test_no_two_windows_share_a_base(tmp_path: Path) -> None:
    genes = make_synthetic(tmp_path / "s", replace(SMALL, genes=50)).genes
    for _, chromosome in genes.groupby("chrom"):
        places = np.sort(chromosome["tss"].astype(int))
        assert (np.diff(places) >= 100 + 60 + 2 * 8).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inputs": ("rna",)}, "are among dna, protein, half-life"),
        ({"dna_signal": "at"}, "one of motifs, gc, not 'at'"),
        ({"inputs": ("half-life",)}, "needs sequences"),
        ({"inputs": ("protein",), "planted": {"half-life": 1.0}}, "must be of"),
        ({"planted": {"dna": 0.4}}, "add up to 1"),
        ({"ceiling_r2": 0.0}, "ceiling r2"),
        ({"genes": 1}, "at least 2 genes"),
        ({"protein_length": 20}, "100 residues"),
        ({"margin": -1}, "must not be negative"),
        ({"upstream": 9_950}, "at most 10000 bp"),
    ],
)
def test_settings_that_make_no_sense(options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        replace(SMALL, **options)


def test_unknown_presets() -> None:
    for name in ("rna-perceiver", "dna", "dna-dna-perceiver"):
        with pytest.raises(UsageError, match="no preset"):
            settings_for(name)


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    settings = replace(SMALL, genes=5)
    make_synthetic(tmp_path / "s", settings)
    with pytest.raises(UsageError, match="exists"):
        make_synthetic(tmp_path / "s", settings)
    assert len(make_synthetic(tmp_path / "s", replace(settings, genes=6), force=True)) == 6
