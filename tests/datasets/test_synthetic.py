from pathlib import Path

import numpy as np
import pytest

from seqexpr.datasets.half_life import FEATURES
from seqexpr.datasets.prepared import PreparedDataset
from seqexpr.datasets.synthetic import (
    LABEL,
    dna_score,
    half_life_score,
    inputs_of,
    make_synthetic,
    protein_score,
)
from seqexpr.errors import UsageError
from seqexpr.sequences.alphabet import DNA, PROTEIN

PRESETS = ("dna-perceiver", "protein-perceiver", "protein-dna-perceiver", "dna-protein-perceiver")


def scores(dataset: PreparedDataset) -> dict[str, np.ndarray]:
    """The planted function, computed again from what is stored."""
    rows, found = range(len(dataset)), {}
    if dataset.has_dna:
        windows = dataset.dna(rows, dataset.upstream, dataset.downstream)
        found["dna"] = np.array([dna_score(window, dataset.upstream) for window in windows])
        raw = dataset.half_life()
        assert raw is not None
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
def test_the_planted_function_reaches_the_ceiling(tmp_path: Path, preset: str) -> None:
    dataset = make_synthetic(tmp_path / "s", preset, genes=300, upstream=100, downstream=60, protein_length=120)
    inputs = set(inputs_of(preset))
    assert (dataset.has_dna, dataset.has_protein) == ("dna" in inputs, "protein" in inputs)
    assert (dataset.half_life() is not None) == dataset.has_dna
    assert dataset.manifest["ceiling_r2"] == pytest.approx(0.8, abs=0.06)
    assert r2(dataset, list(scores(dataset))) == pytest.approx(dataset.manifest["ceiling_r2"], abs=0.02)
    assert set(dataset.genes["split"]) == {"train", "valid", "test"}
    assert set(dataset.genes["chrom"]) <= {str(number) for number in range(1, 23)}


@pytest.mark.parametrize(
    ("carrier", "informative"), [("latent", "protein"), ("query", "dna"), ("half-life", "half-life")]
)
def test_only_the_carrier_carries(tmp_path: Path, carrier: str, informative: str) -> None:
    dataset = make_synthetic(
        tmp_path / "s", "protein-dna-perceiver", genes=300, carrier=carrier, ceiling_r2=0.9, upstream=90,
        downstream=60, protein_length=120,
    )  # fmt: skip
    for name in ("protein", "dna", "half-life"):
        share = r2(dataset, [name])
        assert share > 0.85 if name == informative else share < 0.05


def test_the_same_seed_gives_the_same_dataset(tmp_path: Path) -> None:
    parts = ("genes.tsv", "sequences.safetensors")
    make = {name: make_synthetic(tmp_path / name, genes=20, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))}
    contents = {name: [(tmp_path / name / part).read_bytes() for part in parts] for name in make}
    assert contents["a"] == contents["b"]
    assert contents["a"] != contents["c"]
    model = make["a"].manifest["model"]
    assert (model["upstream"], model["downstream"]) == (make["a"].upstream, make["a"].downstream)


def test_scores_by_hand() -> None:
    window = DNA.encode(b"TTTTGGGCGGTTTTTTATTTAATT")
    # the activator starts at 4, the boundary: 1; the repressor at 16, 12 of 20 bases away: 1 - 0.5 * 0.6
    assert dna_score(window, 4) == pytest.approx(1 - 0.7)
    assert protein_score(PROTEIN.encode(b"LLKMM")) == pytest.approx(2 / 5 - 1 / 5)


def test_some_half_life_values_are_missing(tmp_path: Path) -> None:
    raw = make_synthetic(tmp_path / "s", genes=400, missing=0.1, upstream=50, downstream=50).half_life()
    assert raw is not None
    assert np.isnan(raw).mean() == pytest.approx(0.1, abs=0.02)
    assert np.nanmin(raw) >= 0
    assert np.nanmax(raw[:, FEATURES.index("cds_gc")]) <= 1


def test_settings_that_make_no_sense(tmp_path: Path) -> None:
    for options in (
        {"preset": "rna-perceiver"},
        {"preset": "protein-perceiver", "carrier": "half-life"},
        {"ceiling_r2": 0.0},
        {"genes": 1},
        {"protein_length": 20},
    ):
        with pytest.raises(UsageError):
            make_synthetic(tmp_path / "s", **options)
    assert list(tmp_path.iterdir()) == []
