from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from seqexpr.effects.scan import Levels, Scanner, stretch_sizes
from seqexpr.errors import DeviceError, InputError, UsageError
from seqexpr.models.trained import TrainedModel
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Interval, Tss

from .scan_inputs import DOWNSTREAM, UPSTREAM, make_model, write_genome

Make = Callable[..., TrainedModel]
CHR1 = Interval("chr1", 0, 5_000)


@pytest.fixture
def model() -> Make:
    return make_model


@pytest.fixture
def genome_file(tmp_path: Path) -> Path:
    return write_genome(tmp_path / "genome.fa")


def scanned(
    models: list[TrainedModel], file: Path, regions: list[Interval], step: int, **options: object
) -> list[Levels]:
    with Genome(file) as genome:
        return list(Scanner(models, **options).scan(genome, regions, step))  # type: ignore[arg-type]


def one_by_one(model: TrainedModel, file: Path, region: Interval, strand: str, step: int) -> np.ndarray:
    """What the model says of the window around each position, without anything shared; NaN for no known letter."""
    config = model.metadata.config
    with Genome(file) as genome:
        sites = [
            Tss("x", region.chrom, position + (strand == "-"), strand)
            for position in range(region.start, region.end, step)
        ]
        windows = np.stack([genome.window(site, config.upstream, config.downstream) for site in sites])
    values = np.concatenate([model.predict(windows[at : at + 16], None, None) for at in range(0, len(windows), 16)])
    values[~windows.any(axis=1)] = np.nan
    return values


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("step", [1, 7, 12, 50, 432])
def test_levels_are_those_of_the_windows_one_by_one(
    step: int, compiled: bool, model: Make, genome_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the contig's ends, where windows are padded, and across unknown letters."""
    if not compiled:
        monkeypatch.setenv("SEQEXPR_KERNELS", "off")
    region = CHR1 if step > 1 else Interval("chr1", 1_850, 2_350)
    network = model(half_life_latent=step % 2 == 0)
    found = scanned([network], genome_file, [region], step)
    for strand in "+-":
        levels = [one for one in found if one.strand == strand]
        starts = np.concatenate([one.starts for one in levels])
        np.testing.assert_array_equal(starts, np.arange(region.start, region.end, step))
        ends = np.concatenate([one.ends for one in levels])
        np.testing.assert_array_equal(ends, np.minimum(starts + step, region.end))
        expected = one_by_one(network, genome_file, region, strand, step)
        assert np.isnan(expected).any() or step == 432
        np.testing.assert_allclose(np.concatenate([one.values for one in levels]), expected, atol=1e-5, rtol=0)


def test_the_first_base_of_an_interval_is_the_first_transcribed_one(model: Make, genome_file: Path) -> None:
    network = model()
    with Genome(genome_file) as genome:
        plus = genome.letters(Interval("chr1", 1_500 - UPSTREAM, 1_500 + DOWNSTREAM))
        minus = genome.letters(Interval("chr1", 1_501 - DOWNSTREAM, 1_501 + UPSTREAM, "-"))
    found = scanned([network], genome_file, [Interval("chr1", 1_500, 1_501)], 50)
    assert [(one.strand, one.starts.tolist(), one.ends.tolist()) for one in found] == [
        ("+", [1_500], [1_501]),
        ("-", [1_500], [1_501]),
    ]
    for levels, letters in zip(found, (plus, minus), strict=True):
        expected = network.predict(DNA.encode(letters)[None], None, None)
        np.testing.assert_allclose(levels.values, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "options", [{"workers": 4}, {"batch_size": 1}, {"batch_size": 37}, {"workers": 3, "batch_size": 5}]
)
def test_the_same_bits_for_any_threads_and_batch_size(options: dict[str, int], model: Make, genome_file: Path) -> None:
    regions = [CHR1, Interval("chr2", 0, 700)]
    usual, other = (scanned([model()], genome_file, regions, 3, **given) for given in ({}, options))
    assert [one.region for one in usual] == [one.region for one in other]
    for one, again in zip(usual, other, strict=True):
        np.testing.assert_array_equal(one.values, again.values)


def test_positions_without_a_known_letter_have_no_value(model: Make, genome_file: Path) -> None:
    (plus, minus) = scanned([model()], genome_file, [Interval("chr3", 0, 900)], 100)
    assert np.isnan(plus.values).all() and np.isnan(minus.values).all()
    assert len(plus.values) == 9


def test_an_ensemble_gives_the_mean_and_each_model_its_own_window(model: Make, genome_file: Path) -> None:
    models = [model(1), model(2, upstream=900, downstream=500)]
    region = Interval("chr1", 100, 900)
    found = scanned(models, genome_file, [region], 10)
    expected = np.mean([one_by_one(one, genome_file, region, "+", 10) for one in models], axis=0)
    np.testing.assert_allclose(found[0].values, expected, atol=1e-5, rtol=0)


def test_several_outputs(model: Make, genome_file: Path) -> None:
    network, region = model(outputs=3), Interval("chr2", 100, 300)
    found = scanned([network], genome_file, [region], 5)
    np.testing.assert_allclose(found[0].values, one_by_one(network, genome_file, region, "+", 5), atol=1e-5, rtol=0)


def test_models_without_a_query_tower_are_computed_whole(model: Make, genome_file: Path) -> None:
    network = model(sequence_flows=False, kernel_genes=8, kernel_words=True)
    torch.nn.init.normal_(network.network.kernel.weights)
    network.network.kernel.amplitudes.fill_(1.0)
    assert not Scanner([network]).shares
    assert Scanner([model(kernel_genes=8, kernel_words=True)]).shares
    region = Interval("chr1", 0, 400)
    (plus, _) = scanned([network], genome_file, [region], 20)
    np.testing.assert_allclose(plus.values, one_by_one(network, genome_file, region, "+", 20), atol=1e-5, rtol=0)


def test_proteins_are_refused(model: Make) -> None:
    with pytest.raises(UsageError, match="scan takes models of DNA"):
        Scanner([model(preset="protein-perceiver", protein_length=300)])


def test_a_region_outside_its_contig_is_an_error(model: Make, genome_file: Path) -> None:
    with pytest.raises(InputError, match="no contig 'chr9'"):
        scanned([model()], genome_file, [Interval("chr9", 0, 100)], 10)


def test_what_is_shared_saves_the_work(model: Make, genome_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters that pass the first stage, against those of the windows."""
    network, letters = model(), []
    first_stage = type(network.network.tower).first_stage
    monkeypatch.setattr(
        type(network.network.tower),
        "first_stage",
        lambda self, tokens: letters.append(tokens.numel()) or first_stage(self, tokens),
    )
    scanned([network], genome_file, [Interval("chr1", 0, 1_000)], 4)
    assert 0 < sum(letters) < 0.5 * 500 * 1_440


def test_memory_that_runs_out_halves_the_batch(
    model: Make, genome_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Small(TrainedModel):
        def unscale(self, scaled: torch.Tensor) -> np.ndarray:
            if len(scaled) > 5:
                raise MemoryError
            return super().unscale(scaled)

    whole = model()
    small = Small(whole.name, whole.network, whole.metadata)
    region = Interval("chr1", 0, 300)
    for one, again in zip(*(scanned([each], genome_file, [region], 10) for each in (small, whole)), strict=True):
        np.testing.assert_array_equal(one.values, again.values)
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory on cpu; continuing with batch size 8",
        "out of memory on cpu; continuing with batch size 4",
    ]
    with pytest.raises(DeviceError, match="for a batch of 6; try --batch-size auto"):
        scanned([small], genome_file, [region], 10, batch_size=6)


def test_positions_are_counted_on_both_strands() -> None:
    assert list(stretch_sizes([Interval("a", 0, 601), Interval("b", 5, 6)], 2)) == [256, 45, 256, 45, 1, 1]
