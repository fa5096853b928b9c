from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.effects.attribution import choose_explained, explain_session
from seqexpr.effects.gene_effects import GeneEffects, Region, parse_region
from seqexpr.effects.letters import RESIDUES
from seqexpr.effects.mutagenesis import Mutagenesis
from seqexpr.errors import UsageError
from seqexpr.models.trained import TrainedModel
from seqexpr.prediction.inputs import InputSources, ModelNeeds
from seqexpr.prediction.predictor import Predictor
from seqexpr.prediction.session import Session, start_session
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.alphabet import PROTEIN as PROTEIN_LETTERS
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


def explain(
    session: Session,
    region: Region | None = None,
    output: str | None = None,
    input: str | None = None,
    **options: Any,
) -> Iterator[GeneEffects]:
    explained = choose_explained(session.needs, input=input, region=region, output=output)
    return explain_session(session, explained, **options)


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
    (found,) = explain(session_of([model], {"g": WITH_UNKNOWN}), region=Region(-6, 3))
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
    (both,) = explain(session_of([one, two], {"g": LETTERS}), region=region)
    (first,) = explain(session_of([one], {"g": LETTERS}), region=region)
    (second,) = explain(session_of([two], {"g": LETTERS}), region=region)
    assert both.level == pytest.approx((2 * first.level + second.level) / 3, abs=1e-6)
    np.testing.assert_allclose(both.deltas, (2 * first.deltas + second.deltas) / 3, atol=1e-6)


def test_threads_change_nothing_and_progress_counts_every_letter(network: Make) -> None:
    windows = {"a": WITH_UNKNOWN, "b": LETTERS[::-1]}
    told: list[int] = []
    alone = list(explain(session_of([network()], windows), region=Region(-60, 40), advance=told.append))
    together = list(explain(session_of([network()], windows, workers=3), region=Region(-60, 40)))
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
    (long,) = explain(session_of([network()], {"g": LETTERS}))
    (short,) = explain(session_of([network()], {"g": LETTERS}), region=Region(-144, 71))
    assert told == [True, False]
    np.testing.assert_allclose(long.deltas[:, :-1], short.deltas, atol=1e-3)


def test_one_of_several_outputs_is_explained(network: Make) -> None:
    model = network(outputs=("mrna", "protein"))
    levels = [
        next(iter(explain(session_of([model], {"g": LETTERS}), region=Region(0, 1), output=name)))
        for name in ("mrna", "protein")
    ]
    wanted = model.predict(DNA.encode(LETTERS.encode())[None], None, None)[0]
    assert [one.output for one in levels] == ["mrna", "protein"]
    np.testing.assert_allclose([one.level for one in levels], wanted, atol=1e-6)


def needs(**changes: Any) -> ModelNeeds:
    given = {"outputs": ("mrna",), "upstream": 100, "downstream": 50, "protein_length": 0, "half_life_names": ()}
    return ModelNeeds(**{**given, **changes})


PROTEIN_ALONE = {"upstream": 0, "downstream": 0, "protein_length": 9}


@pytest.mark.parametrize(
    ("changes", "asked", "message"),
    [
        ({"protein_length": 9}, {}, "the model reads DNA and proteins: choose what to explain with --input"),
        ({}, {"input": "protein"}, "--input protein: the model reads DNA; choose dna"),
        (
            {"protein_length": 9},
            {"input": "rna"},
            "--input rna: the model reads DNA and proteins; choose dna or protein",
        ),
        ({}, {"region": Region(-101, 0)}, "--region -101:0 reaches beyond the window that the model reads, -100:50"),
        ({}, {"region": Region(0, 51)}, "reaches beyond"),
        (
            PROTEIN_ALONE,
            {"region": Region(0, 5)},
            "0:5 reaches beyond the residues that the model reads, 1:10",
        ),
        (PROTEIN_ALONE, {"region": Region(5, 11)}, "reaches beyond the residues"),
        ({}, {"output": "protein"}, "--output protein: the model predicts mrna"),
        ({"outputs": ("a", "b")}, {}, "the model predicts a, b: choose one with --output"),
    ],
)
def test_what_cannot_be_explained_is_said(changes: dict[str, Any], asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose_explained(needs(**changes), **asked)


def test_the_whole_sequence_is_a_region() -> None:
    assert choose_explained(needs(), region=Region(-100, 50)) == choose_explained(needs(), input="dna", output="mrna")
    whole = choose_explained(needs(**PROTEIN_ALONE))
    assert (whole.region, whole.letters, whole.length) == (Region(1, 10), RESIDUES, None)


PROTEIN = "MKVLAAGIVGXCAKAYULEKN" * 3


def protein_session(model: TrainedModel, proteins: dict[str, str], **windows: str) -> Session:
    records = {"proteins": proteins, "windows": windows}
    made = {
        name: tuple(FastaRecord(one, "", text.encode(), place) for place, (one, text) in enumerate(texts.items(), 1))
        for name, texts in records.items()
    }
    sources = InputSources(protein_records=made["proteins"], windows=made["windows"] or None)
    return start_session(sources, Predictor([model]), "tiny", model.metadata)


SMALL_PROTEIN = {"upstream": 0, "downstream": 0, "protein_length": 400, "stem_pool": 5}


def test_every_residue_is_replaced_by_the_others(network: Make) -> None:
    model = network(preset="protein-perceiver", **SMALL_PROTEIN)
    (found,) = explain(protein_session(model, {"p": PROTEIN}))
    tokens = PROTEIN_LETTERS.encode(PROTEIN.encode())
    level = model.predict(None, tokens[None], None)[0, 0]
    assert (found.first, found.deltas.shape, found.interval) == (1, (20, len(PROTEIN)), None)
    assert np.isnan(found.deltas[:, [10, 31, 52]]).all()  # of an X nothing is known
    for place in (0, 1, 16, 62):  # 16 is a selenocysteine, which all twenty may replace
        changed = np.tile(tokens, (20, 1))
        changed[:, place] = np.arange(1, 21)
        wanted = model.predict(None, changed, None)[:, 0] - level
        np.testing.assert_allclose(found.deltas[:, place], wanted, atol=2e-5)
        count = 20 if place == 16 else 19
        assert found.support[place] == pytest.approx(-wanted.sum() / count, abs=2e-5)


def test_a_part_of_proteins_and_those_that_end_before_it(network: Make) -> None:
    model, said = network(preset="protein-perceiver", **SMALL_PROTEIN), list[str]()
    session = protein_session(model, {"short": "MKVLA", "long": PROTEIN, "both": "MKVLAWWWK"})
    long, both = explain(session, region=Region(7, 12), say=said.append)
    assert said == ["short: its protein ends before residue 7; nothing to explain"]
    assert [PROTEIN_LETTERS.decode(one.tokens) for one in (long, both)] == [PROTEIN[6:11], "WWK"]
    (whole, *_) = explain(protein_session(model, {"long": PROTEIN}))
    np.testing.assert_allclose(long.deltas, whole.deltas[:, 6:11], atol=1e-6)
    assert both.places.tolist() == [7, 8, 9]
    with pytest.raises(UsageError, match="--region 100:120: no protein has so many residues"):
        list(explain(protein_session(model, {"short": "MKVLA", "long": PROTEIN}), region=Region(100, 120)))


@pytest.mark.parametrize("method", ["ism", "gradient"])
def test_one_input_changes_and_the_other_stays(network: Make, method: str) -> None:
    model = network(preset="protein-dna-perceiver", **{**SMALL_PROTEIN, "upstream": 144, "downstream": 72})
    of = protein_session(model, {"g": PROTEIN}, g=LETTERS)
    (dna,) = explain(of, input="dna", region=Region(-2, 2), method=method)
    (protein,) = explain(protein_session(model, {"g": PROTEIN}, g=LETTERS), input="protein", method=method)
    assert (dna.deltas.shape, protein.deltas.shape) == ((4, 4), (20, 63))
    assert dna.level == pytest.approx(protein.level, abs=1e-6)
    tokens = DNA.encode(LETTERS.encode())
    residues = PROTEIN_LETTERS.encode(PROTEIN.encode())
    changed = np.tile(residues, (20, 1))
    changed[:, 0] = np.arange(1, 21)
    wanted = model.predict(np.tile(tokens, (20, 1)), changed, None)[:, 0]
    if method == "ism":
        np.testing.assert_allclose(protein.deltas[:, 0], wanted - protein.level, atol=2e-5)
    else:
        assert np.corrcoef(protein.deltas[:, 0], wanted - protein.level)[0, 1] > 0.5


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
    plus, minus = explain(session, region=Region(-3, 2))
    assert (str(plus.interval), str(minus.interval)) == ("chr1:196-201:+", "chr1:198-203:-")
    complement = str.maketrans("ACGT", "TGCA")
    assert DNA.decode(plus.tokens) == genome[196:201]
    assert DNA.decode(minus.tokens) == genome[198:203].translate(complement)[::-1]
    assert plus.contig_length == 432
