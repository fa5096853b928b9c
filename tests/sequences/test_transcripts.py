from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import AnnotatedFeatures, Transcript, half_life_features, lacks_utrs, starting_at
from seqexpr.sequences.windows import Tss

EXONS, CDS = ((100, 200), (300, 400), (500, 600)), ((350, 400), (500, 550))


def gene(name: str = "g", strand: str = "+", exons=EXONS, cds=CDS) -> Transcript:
    return Transcript("t", name, "", "c", strand, exons, cds, False)


@pytest.mark.parametrize(
    ("strand", "boundary", "exons"),
    [
        ("+", 50, ((50, 200), (300, 400), (500, 600))),  # before the first exon: that is extended
        ("+", 150, ((150, 200), (300, 400), (500, 600))),
        ("+", 250, ((250, 400), (500, 600))),  # in an intron: the exon behind it is extended
        ("+", 320, ((320, 400), (500, 600))),
        ("-", 700, ((100, 200), (300, 400), (500, 700))),
        ("-", 580, ((100, 200), (300, 400), (500, 580))),
    ],
)
def test_the_five_prime_end_moves_to_a_measured_tss(strand: str, boundary: int, exons: tuple) -> None:
    moved = starting_at(gene(strand=strand), Tss("g", "c", boundary, strand))
    assert moved is not None
    assert moved.exons == exons
    assert moved.cds == CDS


@pytest.mark.parametrize(
    ("strand", "site"),
    [
        ("+", Tss("g", "c", 50, "-")),
        ("+", Tss("g", "d", 50, "+")),
        ("+", Tss("g", "c", 360, "+")),  # behind the start codon
        ("-", Tss("g", "c", 540, "-")),
    ],
)
def test_a_tss_that_does_not_fit_leaves_the_five_prime_end_as_it_is(strand: str, site: Tss) -> None:
    assert starting_at(gene(strand=strand), site) is None
    start_codon = gene(strand=strand, exons=CDS)
    features = AnnotatedFeatures({"g": start_codon}, None, {"g": site})
    assert np.isnan(features["g"][0])  # the annotation has no UTRs, so that its length is unknown, not 0


def bare(name: str) -> Transcript:
    return gene(name, exons=CDS, cds=CDS)


def test_lengths_of_utrs_are_missing_where_an_annotation_has_none() -> None:
    assert half_life_features(bare("g"), None)[[0, 3]].tolist() == [0, 0]
    transcripts = {f"g{number}": bare(f"g{number}") for number in range(300)}
    assert lacks_utrs(transcripts.values())
    features = AnnotatedFeatures(transcripts, None)
    assert np.isnan(features["g0"][[0, 3]]).all()
    transcripts["odd"] = gene("odd")  # one in three hundred does not make an annotation of UTRs
    features = AnnotatedFeatures(transcripts, None)
    assert np.isnan(features["g0"][0]) and features["odd"][0] == 150


def test_a_measured_tss_makes_the_five_prime_utr_known() -> None:
    transcripts = {name: bare(name) for name in ("g0", "g1")}
    features = AnnotatedFeatures(transcripts, None, {"g0": Tss("g0", "c", 300, "+")})
    assert features["g0"][0] == 50
    assert np.isnan(features["g1"][0])
    assert features.get("other") is None


def transcript(strand: str, cds: tuple[tuple[int, int], ...] = ((15, 20), (30, 40))) -> Transcript:
    """Exons of 10, 10 and 20 bases with introns of 10 and 5; CDS from 15 to 40; the last exon is all UTR."""
    exons = ((10, 20), (30, 40), (45, 65))
    return Transcript("t", "g", "SYM", "chr1", strand, exons, cds, True)


def test_features_by_hand_on_both_strands() -> None:
    plus = half_life_features(transcript("+"), None)
    minus = half_life_features(transcript("-"), None)
    # 5 bases before the CDS, 20 after it; 15 coding ones; introns 10 + 5; 2 junctions per 0.015 kb
    np.testing.assert_allclose(plus, [5, 15, 15, 20, np.nan, np.nan, np.nan, 2 / 0.015])
    np.testing.assert_allclose(minus, [20, 15, 15, 5, np.nan, np.nan, np.nan, 2 / 0.015])


def test_gc_comes_from_the_genome(tmp_path: Path) -> None:
    letters = ["N"] * 70
    letters[10:15] = "GGGCA"  # before the CDS: 4 of 5
    letters[15:20], letters[30:40] = "GCATT", "ATATATATAT"  # CDS: 2 of 15
    letters[45:65] = "NNNNNNNNNNNNNNNNggca"  # after it: 3 of the 4 known
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{''.join(letters)}\n")
    with Genome(path) as genome:
        plus = half_life_features(transcript("+"), genome)
        minus = half_life_features(transcript("-"), genome)
        single = half_life_features(Transcript("t", "g", "", "chr1", "+", ((10, 20),), ((10, 20),), False), genome)
    np.testing.assert_allclose(plus[4:7], [4 / 5, 2 / 15, 3 / 4])
    np.testing.assert_allclose(minus[4:7], [3 / 4, 2 / 15, 4 / 5])
    np.testing.assert_allclose(single, [0, 10, 0, 0, np.nan, 6 / 10, np.nan, 0])


def test_a_transcript_without_cds_has_no_features() -> None:
    assert np.isnan(half_life_features(transcript("+", cds=()), None)).all()
