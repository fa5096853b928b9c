from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.effects.attribution import GeneEffects, Region, check_explainable, explain_session, parse_region
from seqexpr.effects.mutagenesis import Mutagenesis
from seqexpr.errors import UsageError
from seqexpr.models.trained import TrainedModel
from seqexpr.prediction.inputs import InputSources, ModelNeeds
from seqexpr.prediction.predictor import Predictor
from seqexpr.prediction.session import Session, start_session
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.fasta import FastaRecord

Make = Callable[..., Any]

LETTERS = "".join(np.random.default_rng(7).choice(list("ACGT"), 216))
WITH_UNKNOWN = LETTERS[:140] + "NN" + LETTERS[142:]


def session_of(models: list[TrainedModel], windows: dict[str, str], workers: int = 1) -> Session:
    records = tuple(
        FastaRecord(name, "", text.encode(), number) for number, (name, text) in enumerate(windows.items(), 1)
    )
    sources = InputSources(windows=records)
    return start_session(sources, Predictor(models, workers=workers), "tiny", models[0].metadata)


@given(st.integers(-20_000, 20_000), st.integers(1, 9_999))
def test_a_region_reads_back_as_it_is_written(start: int, length: int) -> None:
    region = Region(start, start + length)
    assert parse_region(str(region)) == region == parse_region(f"{start}:{start + length}")
    assert len(region) == length


@given(st.text("0123456789+-:, .eE٣", max_size=12))
def test_whatever_is_no_region_is_a_usage_error(text: str) -> None:
    try:
        region = parse_region(text)
    except UsageError as error:
        assert str(error).startswith("--region ") and "\n" not in str(error)
    else:
        start, end = text.split(":")
        assert region == Region(int(start), int(end))


@pytest.mark.parametrize("text", ["", "5", "5:", "a:b", "5:5", "6:5", "1:2:3", "-:+", "1e3:2e3"])
def test_bad_regions(text: str) -> None:
    with pytest.raises(UsageError, match="--region"):
        parse_region(text)


def test_each_delta_is_the_level_of_the_changed_window_minus_that_of_the_window(network: Make) -> None:
    model = network()
    (found,) = explain_session(session_of([model], {"g": WITH_UNKNOWN}), region=Region(-6, 3))
    window = DNA.encode(WITH_UNKNOWN.encode())
    level = model.predict(window[None], None, np.full((1, 8), np.nan))[0, 0]
    assert found.level == pytest.approx(level, abs=1e-6)
    assert (found.first, DNA.decode(found.tokens)) == (-6, WITH_UNKNOWN[138:147])
    for offset in range(9):
        for row in range(4):
            changed = window.copy()
            changed[138 + offset] = row + 1
            wanted = model.predict(changed[None], None, np.full((1, 8), np.nan))[0, 0] - level
            got = found.deltas[row, offset]
            if offset in (2, 3):
                assert np.isnan(got)
            elif WITH_UNKNOWN[138 + offset] == "ACGT"[row]:
                assert got == 0
            else:
                assert got == pytest.approx(wanted, abs=2e-5)
    known = [0, 1, *range(4, 9)]
    np.testing.assert_allclose(found.support[known], -found.deltas[:, known].sum(axis=0) / 3)
    assert np.isnan(found.support[2:4]).all()


def test_an_ensemble_gives_the_mean_over_all_members(network: Make) -> None:
    one, two = network(0, kernel_genes=12, kernel_features=True, kernel_words=False, kernel_members=2), network(1)
    region = Region(0, 2)
    (both,) = explain_session(session_of([one, two], {"g": LETTERS}), region=region)
    (first,) = explain_session(session_of([one], {"g": LETTERS}), region=region)
    (second,) = explain_session(session_of([two], {"g": LETTERS}), region=region)
    assert both.level == pytest.approx((2 * first.level + second.level) / 3, abs=1e-6)
    np.testing.assert_allclose(both.deltas, (2 * first.deltas + second.deltas) / 3, atol=1e-6)


def test_threads_change_nothing_and_progress_counts_every_letter(network: Make) -> None:
    windows = {"a": WITH_UNKNOWN, "b": LETTERS[::-1]}
    told: list[int] = []
    alone = list(explain_session(session_of([network()], windows), region=Region(-60, 40), advance=told.append))
    together = list(explain_session(session_of([network()], windows, workers=3), region=Region(-60, 40)))
    assert sum(told) == 2 * 100
    for one, other in zip(alone, together, strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(one.deltas, other.deltas)


def test_the_engine_is_told_of_long_regions(network: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []

    class Watched(Mutagenesis):
        def __init__(self, *arguments: Any, saturating: bool, **options: Any) -> None:
            told.append(saturating)
            super().__init__(*arguments, saturating=saturating, **options)

    monkeypatch.setattr("seqexpr.effects.mutagenesis.Mutagenesis", Watched)
    monkeypatch.setattr("seqexpr.effects.attribution._SATURATING", 216)
    (long,) = explain_session(session_of([network()], {"g": LETTERS}))
    (short,) = explain_session(session_of([network()], {"g": LETTERS}), region=Region(-144, 71))
    assert told == [True, False]
    np.testing.assert_allclose(long.deltas[:, :-1], short.deltas, atol=1e-3)


def test_one_of_several_outputs_is_explained(network: Make) -> None:
    model = network(outputs=("mrna", "protein"))
    levels = [
        next(iter(explain_session(session_of([model], {"g": LETTERS}), region=Region(0, 1), output=name)))
        for name in ("mrna", "protein")
    ]
    wanted = model.predict(DNA.encode(LETTERS.encode())[None], None, None)[0]
    assert [one.output for one in levels] == ["mrna", "protein"]
    np.testing.assert_allclose([one.level for one in levels], wanted, atol=1e-6)


def needs(**changes: Any) -> ModelNeeds:
    given = {"outputs": ("mrna",), "upstream": 100, "downstream": 50, "protein_length": 0, "half_life_names": ()}
    return ModelNeeds(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "region", "output", "message"),
    [
        ({"protein_length": 9}, None, None, "for models that read DNA alone; this one reads proteins"),
        ({"protein_length": 9, "coding_length": 9}, None, None, "reads proteins and coding sequences"),
        ({}, Region(-101, 0), None, r"--region -101:0 reaches beyond the window .* -100:\+50"),
        ({}, Region(0, 51), None, "reaches beyond"),
        ({}, None, "protein", "--output protein: the model predicts mrna"),
        ({"outputs": ("a", "b")}, None, None, "the model predicts a, b: choose one with --output"),
    ],
)
def test_what_cannot_be_explained_is_said(
    changes: dict[str, Any], region: Region | None, output: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_explainable(needs(**changes), region, output)


def test_the_whole_window_is_a_region() -> None:
    check_explainable(needs(), Region(-100, 50), "mrna")


def test_places_in_the_genome_on_both_strands_and_over_an_origin(effects: Make) -> None:
    plus: GeneEffects = effects("g", "ACGT", "chr1:100-104:+", first=-2)
    assert (plus.genomic.tolist(), plus.places.tolist()) == ([100, 101, 102, 103], [-2, -1, 0, 1])
    assert effects("g", "ACGT", "chr1:100-104:-").genomic.tolist() == [103, 102, 101, 100]
    assert effects("g", "ACGT", "ring:-2-2:+", contig=50, circular=True).genomic.tolist() == [48, 49, 0, 1]
    with pytest.raises(ValueError, match="not cut from a genome"):
        _ = effects("g", "ACGT").genomic


def test_windows_of_a_genome_have_their_place(tmp_path: Path, network: Make) -> None:
    genome = LETTERS + LETTERS[::-1]
    (tmp_path / "g.fa").write_text(f">chr1\n{genome}\n")
    (tmp_path / "t.bed").write_text("1\t199\t200\tplus\t0\t+\n1\t199\t200\tminus\t0\t-\n")
    sources = InputSources(genome=tmp_path / "g.fa", tss=tmp_path / "t.bed")
    session = start_session(sources, Predictor([network()]), "tiny", network().metadata)
    plus, minus = explain_session(session, region=Region(-3, 2))
    assert (str(plus.interval), str(minus.interval)) == ("chr1:196-201:+", "chr1:198-203:-")
    complement = str.maketrans("ACGT", "TGCA")
    assert DNA.decode(plus.tokens) == genome[196:201]
    assert DNA.decode(minus.tokens) == genome[198:203].translate(complement)[::-1]
    assert plus.contig_length == 432
