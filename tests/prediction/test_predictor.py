from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from seqexpr.errors import DeviceError, InputError, UsageError
from seqexpr.models.calibration import Calibration
from seqexpr.models.kernels.cuda.precision import precision
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import TrainedModel
from seqexpr.prediction import predictor
from seqexpr.prediction.inputs import InputRecord
from seqexpr.prediction.pool import WORKER_NAME
from seqexpr.prediction.predictor import Predictor
from seqexpr.threads import READER_NAME

from ..small_dataset import fill_kernel

PRESETS = ("dna-perceiver", "protein-perceiver", "protein-dna-perceiver", "dna-protein-perceiver")


def expected(record: InputRecord, preset: str) -> float:
    total = 0.0
    if "dna" in preset:
        assert record.dna is not None and record.half_life is not None
        total += float(record.dna @ np.arange(1.0, 433.0)) + float(np.nansum(record.half_life))
    if "protein" in preset:
        assert record.protein is not None
        total += 1000.0 * float(record.protein.sum(dtype=float))
    return total


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("batch_size", [1, 3, 8, 64, "auto"])
def test_each_record_has_its_own_answer_in_input_order_whatever_the_batch_size(
    preset: str, batch_size: Any, toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    records = list(random_records(50))
    rows = list(Predictor([toy(preset)], "cpu", batch_size).predict(records))
    assert [row.id for row in rows] == [record.id for record in records]
    np.testing.assert_allclose([row.values[0] for row in rows], [expected(record, preset) for record in records])
    assert all(row.sd is None and row.values.dtype == np.float64 for row in rows)


def test_no_records_give_no_rows(toy: Callable[..., Any]) -> None:
    assert list(Predictor([toy()]).predict([])) == []


def test_a_number_bounds_the_batches(toy: Callable[..., Any], random_records: Callable[..., Any]) -> None:
    model = toy("protein-perceiver")
    list(Predictor([model], "cpu", 7).predict(random_records(100)))
    assert sum(size for size, _ in model.calls) == 100
    assert max(size for size, _ in model.calls) == 7


@pytest.mark.parametrize("chosen", ["fp16", "fp32"])
def test_workers_compute_in_the_precision_asked_for(
    chosen: Any, toy: Callable[..., Any], random_records: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = toy(), []
    compute = model.predict_members

    def watched(*given: Any) -> np.ndarray:
        seen.append((threading.current_thread() is threading.main_thread(), precision()))
        return compute(*given)

    monkeypatch.setattr(model, "predict_members", watched)
    list(Predictor([model], "cpu", 4, 2, chosen).predict(random_records(20)))
    assert set(seen) == {(False, chosen)}


def test_auto_puts_short_proteins_into_larger_batches_of_bounded_letters(
    toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    model = toy("protein-perceiver")
    list(Predictor([model]).predict(random_records(600)))
    assert max(size for size, _ in model.calls) > 4
    assert all(size <= 4 or size * width <= 4 * 300 for size, width in model.calls)


def test_little_padding_is_computed(toy: Callable[..., Any], random_records: Callable[..., Any]) -> None:
    records = list(random_records(600))
    model = toy("protein-perceiver")
    list(Predictor([model]).predict(records))
    residues = sum(len(record.protein) for record in records if record.protein is not None)
    assert sum(size * width for size, width in model.calls) < 1.25 * residues


def test_models_of_an_ensemble_crop_their_own_window(
    toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    wide, narrow = toy(upstream=300, downstream=200), toy(upstream=288, downstream=150)
    (record,) = random_records(1, window=500)
    (row,) = Predictor([wide, narrow]).predict([record])
    half_life = float(np.nansum(record.half_life))
    ofwide = float(record.dna @ np.arange(1.0, 501.0)) + half_life
    ofnarrow = float(record.dna[12:450] @ np.arange(1.0, 439.0)) + half_life
    assert row.values[0] == pytest.approx((ofwide + ofnarrow) / 2)
    assert row.sd[0] == pytest.approx(abs(ofwide - ofnarrow) / np.sqrt(2))


def test_an_ensemble_gives_mean_and_sample_sd_of_each_output(
    toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    models = [toy(offset=offset, names=("mrna", "protein")) for offset in (0.0, 1.0, 5.0)]
    records = list(random_records(9))
    for record, row in zip(records, Predictor(models, "cpu", 4).predict(records), strict=True):
        base = expected(record, "dna-perceiver")
        np.testing.assert_allclose(row.values, [base + 2, base + 3])
        np.testing.assert_allclose(row.sd, [np.sqrt(7), np.sqrt(7)])  # ((-2)^2 + (-1)^2 + 3^2) / 2


def test_one_calibrated_model_tells_the_error_to_expect_and_several_their_spread(
    toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    model, plain = toy(), toy(offset=2.0)
    of_members = model.predict_members
    model.predict_members = lambda *inputs: np.concatenate([of_members(*inputs) + offset for offset in (0, 2, 4)])
    calibration = Calibration((0.0, 1.0), (0.5, 0.7), usual_spread=0.5, power=0.5)
    output = replace(model.metadata.outputs[0], calibration=calibration)
    model.metadata = replace(model.metadata, outputs=(output,))
    records = list(random_records(5))
    for record, row in zip(records, Predictor([model]).predict(records), strict=True):
        assert row.values[0] == pytest.approx(expected(record, "dna-perceiver") + 2)
        assert row.sd[0] == pytest.approx(0.7 * 2)  # beyond the levels; the members' sd of 2 is 4 times the usual one
    together = next(iter(Predictor([model, plain]).predict(records)))
    assert together.sd[0] == pytest.approx(np.std([0, 2, 4, 2], ddof=1))


def test_models_that_predict_different_things_are_refused(toy: Callable[..., Any]) -> None:
    with pytest.raises(UsageError):
        Predictor([toy(names=("mrna",)), toy(names=("protein",))])


@pytest.mark.parametrize("preset", PRESETS)
def test_records_before_a_bad_one_are_predicted(
    preset: str, toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    def stream() -> Iterator[InputRecord]:
        yield from random_records(11)
        raise InputError("x.fa", record="record 12", found="a protein", expected="DNA")

    seen = []
    with pytest.raises(InputError, match="record 12"):
        for row in Predictor([toy(preset)], "cpu", 4).predict(stream()):
            seen.append(row.id)
    assert seen == [f"g{number}" for number in range(11)]


@pytest.mark.parametrize(("preset", "bound"), [("dna-perceiver", 16), *((preset, 520) for preset in PRESETS[1:])])
def test_reading_stays_a_bounded_way_ahead(
    preset: str, bound: int, toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    """Twice the records that are cut into batches together (windows 4, with proteins 256), and those of one pass."""
    read = 0

    def stream() -> Iterator[InputRecord]:
        nonlocal read
        for record in random_records(2000):
            read += 1
            yield record

    for given, _ in enumerate(Predictor([toy(preset)], "cpu", 4).predict(stream())):
        assert read - given <= bound + 1
    assert given == 1999


def test_memory_that_runs_out_halves_the_batch_and_goes_on(
    toy: Callable[..., Any],
    random_records: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(predictor._AUTO_BATCH, "cpu", 4)
    model = toy()
    whole = model.predict_members

    def small_memory(dna: Any, protein: Any, half_life: Any, coding: Any) -> np.ndarray:
        if len(dna) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return whole(dna, protein, half_life)

    model.predict_members = small_memory
    records = list(random_records(10))
    with caplog.at_level(logging.WARNING):
        rows = list(Predictor([model]).predict(records))
    assert [row.values[0] for row in rows] == pytest.approx([expected(r, "dna-perceiver") for r in records])
    sizes = [message.rsplit(" ", 1)[1] for message in caplog.messages]
    assert sizes == ["2", "1"]  # once for each size, although both halves of the first batch failed


def test_memory_too_small_for_one_record_is_a_device_error(
    toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    model = toy()
    model.predict_members = lambda *inputs: (_ for _ in ()).throw(MemoryError())
    with pytest.raises(DeviceError, match="a single record"):
        list(Predictor([model]).predict(random_records(3)))


def test_memory_too_small_for_the_batch_size_asked_for_is_a_device_error(
    toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    model = toy()
    model.predict_members = lambda *inputs: (_ for _ in ()).throw(MemoryError())
    with pytest.raises(DeviceError, match="a batch of 3; try --batch-size auto"):
        list(Predictor([model], "cpu", 3).predict(random_records(3)))


def test_other_errors_of_a_model_are_not_hidden(toy: Callable[..., Any], random_records: Callable[..., Any]) -> None:
    model = toy()
    model.predict_members = lambda *inputs: (_ for _ in ()).throw(RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        list(Predictor([model]).predict(random_records(3)))


def test_a_record_without_what_the_model_reads_is_an_error(toy: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="'a' has no DNA"):
        list(Predictor([toy()]).predict([InputRecord("a", None, None, None)]))


def test_a_batch_size_below_one_is_an_error(toy: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Predictor([toy()], "cpu", 0)


@pytest.mark.parametrize("preset", PRESETS)
def test_real_networks_give_the_same_numbers_at_batch_sizes_1_8_and_64(
    preset: str, metadata: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    torch.manual_seed(1)
    described = metadata(preset)
    model = TrainedModel("tiny", Perceiver(described.config), described)
    records = list(random_records(70))
    answers = [
        [row.values[0] for row in Predictor([model], "cpu", size).predict(records)] for size in (1, 8, 64, "auto")
    ]
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=1e-5, atol=1e-5)
    assert len({round(value, 4) for value in answers[0]}) > 35


@pytest.mark.parametrize("preset", PRESETS)
def test_real_networks_give_the_same_numbers_with_any_number_of_workers(
    preset: str, metadata: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    torch.manual_seed(1)
    described = metadata(preset)
    model = TrainedModel("tiny", Perceiver(described.config), described)
    records = list(random_records(70))
    one, three = (list(Predictor([model], "cpu", "auto", workers).predict(records)) for workers in (1, 3))
    assert [row.id for row in three] == [record.id for record in records]
    np.testing.assert_allclose([row.values[0] for row in three], [row.values[0] for row in one], rtol=1e-5, atol=1e-5)


def test_an_error_in_one_of_several_workers_is_raised(toy: Callable[..., Any], random_records: Callable[..., Any]):
    model = toy()

    def broken(*_: Any) -> np.ndarray:
        raise ArithmeticError("no")

    model.predict_members = broken
    with pytest.raises(ArithmeticError, match="no"):
        list(Predictor([model], "cpu", 2, workers=3).predict(random_records(20)))


@pytest.mark.parametrize("preset", PRESETS)
def test_any_number_of_workers_gives_the_same_bytes(
    preset: str, metadata: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    torch.manual_seed(1)
    described = metadata(preset)
    model = TrainedModel("tiny", Perceiver(described.config), described)
    records = list(random_records(100))
    one, *others = (list(Predictor([model], "cpu", "auto", workers).predict(records)) for workers in (1, 2, 4))
    for rows in others:
        assert [(row.id, row.values.tobytes()) for row in rows] == [(row.id, row.values.tobytes()) for row in one]


def test_batches_are_cut_by_counting_alone_the_longest_proteins_first(
    toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    model = toy("protein-perceiver")
    records = list(random_records(100))
    list(Predictor([model], "cpu", 8).predict(records))
    lengths = [len(record.protein) for record in records]
    wanted = []
    for start, stop in ((0, 32), (32, 96), (96, 100)):  # stretches of 4 batches, then of twice as many
        stretch = sorted(lengths[start:stop], reverse=True)
        wanted += [(len(part), part[0]) for part in (stretch[at : at + 8] for at in range(0, len(stretch), 8))]
    assert model.calls == wanted


@pytest.mark.parametrize("preset", ["dna-perceiver", "protein-perceiver"])
def test_a_record_that_has_arrived_does_not_wait_for_the_next(
    preset: str, toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    going_on = threading.Event()

    def stream() -> Iterator[InputRecord]:
        for record in random_records(3):
            yield record
            assert going_on.wait(10), "the first row came only when there were more records"
            going_on.clear()

    seen = []
    for row in Predictor([toy(preset)], workers=2).predict(stream()):
        seen.append(row.id)
        going_on.set()
    assert seen == ["g0", "g1", "g2"]


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_that_run_out_of_memory_together_warn_once_for_each_size(
    workers: int,
    toy: Callable[..., Any],
    random_records: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(predictor._AUTO_BATCH, "cpu", 8)
    model = toy()
    whole = model.predict_members
    together = threading.Barrier(workers)
    attempts: list[int] = []

    def small_memory(dna: Any, protein: Any, half_life: Any, coding: Any) -> np.ndarray:
        attempts.append(len(dna))
        if len(dna) == 8:
            together.wait(10)  # every worker has taken a batch of the first size before any of them fails
        if len(dna) > 2:
            raise MemoryError
        return whole(dna, protein, half_life)

    model.predict_members = small_memory
    records = list(random_records(8 * workers + 20))
    with caplog.at_level(logging.WARNING):
        rows = list(Predictor([model], workers=workers).predict(records))
    assert [row.id for row in rows] == [record.id for record in records]
    assert [row.values[0] for row in rows] == pytest.approx([expected(r, "dna-perceiver") for r in records])
    assert [message.rsplit(" ", 1)[1] for message in caplog.messages] == ["4", "2"]
    assert attempts.count(8) == workers


def test_a_single_record_too_large_for_several_workers_names_fewer_threads(
    toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    model = toy()
    model.predict_members = lambda *inputs: (_ for _ in ()).throw(MemoryError())
    with pytest.raises(DeviceError, match="a single record; try fewer --threads than 3"):
        list(Predictor([model], workers=3).predict(random_records(3)))


def test_an_iterator_that_is_closed_half_way_ends_its_threads(
    toy: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    rows = Predictor([toy()], "cpu", 2, workers=3).predict(random_records(1000))
    next(rows)
    names = {thread.name for thread in threading.enumerate()}
    assert any(name.startswith(WORKER_NAME) for name in names) and READER_NAME in names
    rows.close()
    names = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith(WORKER_NAME) for name in names) and READER_NAME not in names


def test_coding_sequences_are_padded_and_a_record_may_lack_its_own(
    metadata: Callable[..., Any], random_records: Callable[..., Any]
) -> None:
    plain = metadata()
    config = replace(plain.config, kernel_genes=4, coding_length=30, latents=4)
    torch.manual_seed(0)
    network = fill_kernel(Perceiver(config).eval())
    model = TrainedModel("codons", network, replace(plain, config=config))
    draw = np.random.default_rng(1)
    codons = [None if number % 3 == 0 else draw.integers(1, 65, 5 + 4 * number).astype(np.uint8) for number in range(9)]
    records = [replace(one, coding=own) for one, own in zip(random_records(9), codons, strict=True)]
    rows = {size: list(Predictor([model], batch_size=size).predict(records)) for size in (1, 4, 9)}
    for number, record in enumerate(records):
        coding = None if record.coding is None else record.coding[None, :30]
        half_life = None if record.half_life is None else record.half_life[None]
        alone = model.predict(record.dna[None, -432:], None, half_life, coding)[0]  # type: ignore[index]
        for found in rows.values():
            np.testing.assert_allclose(found[number].values, alone, rtol=1e-6)
