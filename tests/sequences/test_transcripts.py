from __future__ import annotations

import numpy as np
import pytest

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
        ("+", 360, EXONS),  # behind the start codon
        ("-", 700, ((100, 200), (300, 400), (500, 700))),
        ("-", 580, ((100, 200), (300, 400), (500, 580))),
        ("-", 540, EXONS),
    ],
)
def test_the_five_prime_end_moves_to_a_measured_tss(strand: str, boundary: int, exons: tuple) -> None:
    moved = starting_at(gene(strand=strand), Tss("g", "c", boundary, strand))
    assert moved.exons == exons
    assert moved.cds == CDS


def test_a_tss_of_another_strand_or_contig_moves_nothing() -> None:
    assert starting_at(gene(), Tss("g", "c", 50, "-")) == gene()
    assert starting_at(gene(), Tss("g", "d", 50, "+")) == gene()


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
