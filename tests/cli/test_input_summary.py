from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqexpr.cli.input_summary import summarise
from seqexpr.inputs.half_life import MissingFeatures
from seqexpr.inputs.proteins import ProteinCounts
from seqexpr.inputs.windows import DnaCounts
from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds

SEQUENCES = ModelNeeds(("mrna",), 7000, 3500, 6000, ())
HALF_LIFE = ModelNeeds(("mrna",), 7000, 3500, 0, ("utr5_len", "cds_len"))
MEAN = "the model predicts from the rest"


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({"records": 1}, "1 record: all used as given"),
        ({"records": 12_345}, "12,345 records: all used as given"),
        ({"records": 2, "dna": DnaCounts(cropped_records=1)}, "2 records: 1 record cropped to the window"),
        ({"records": 2, "dna": DnaCounts(padded_windows=1, padded_bases=1)}, "2 records: 1 window padded (1 base)"),
        (
            {"records": 9, "dna": DnaCounts(padded_windows=2, padded_bases=1_500)},
            "9 records: 2 windows padded (1,500 bases)",
        ),
        (
            {"records": 2, "dna": DnaCounts(unknown_windows=1, unknown_bases=3)},
            "2 records: 3 unknown bases in 1 window",
        ),
        (
            {"records": 2, "dna": DnaCounts(missing_contigs=3)},
            "2 records: 3 genes on contigs that the genome lacks left out",
        ),
        ({"records": 2, "proteins": ProteinCounts(stops=2)}, "2 records: the stop at the end of 2 proteins taken off"),
        (
            {"records": 2, "proteins": ProteinCounts(unknown_residues=3, unknown_proteins=1)},
            "2 records: 3 residues in 1 protein unknown",
        ),
        ({"records": 2, "truncated_proteins": 1}, "2 records: 1 protein cut to 6000 residues"),
        ({"records": 2, "unused_proteins": 4}, "2 records: 4 proteins without a window left out"),
        (
            {"records": 2, "dna": DnaCounts(contig_aliases={"1": "chr1", "MT": "chrM"})},
            "2 records: 2 contigs found under another name (1 as chr1)",
        ),
        (
            {"records": 3, "unused_proteins": 1, "dna": DnaCounts(cropped_records=2)},
            "3 records: 2 records cropped to the window; 1 protein without a window left out",
        ),
    ],
)
def test_what_was_changed_is_said_and_nothing_else(counts: dict[str, Any], line: str) -> None:
    assert summarise(InputCounts(**counts), InputSources(fasta="x.fa"), SEQUENCES) == [line]


def missing(*rows: list[float]) -> MissingFeatures:
    return MissingFeatures.in_genes(np.array(rows), len(rows), HALF_LIFE.half_life_names)


NAN = float("nan")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[NAN, 900]], "utr5_len for the one gene"),
        ([[NAN, 900], [NAN, NAN], [20, NAN], [NAN, 3]], "all 2 for 1 of 4 genes; utr5_len for 2; cds_len for 1"),
        ([[NAN, 900], [NAN, 600]], "utr5_len for all 2 genes"),
        ([[NAN, NAN], [NAN, NAN], [NAN, NAN]], "all 2 for all 3 genes"),
    ],
)
def test_missing_half_life_features_are_named(rows: list[list[float]], said: str) -> None:
    table = InputSources(fasta="x.fa", half_life="h.tsv")
    counts = InputCounts(records=len(rows), half_life=missing(*rows))
    assert summarise(counts, table, HALF_LIFE)[1:] == [f"half-life features missing: {said}; {MEAN}"]


def test_half_life_features_that_are_known_or_not_read_are_not_spoken_of() -> None:
    table = InputSources(fasta="x.fa", half_life="h.tsv")
    assert summarise(InputCounts(records=1, half_life=missing([20, 900])), table, HALF_LIFE)[1:] == []
    assert summarise(InputCounts(records=3), InputSources(fasta="x.fa"), SEQUENCES)[1:] == []


def test_an_annotation_that_would_give_half_life_features_is_named() -> None:
    counts = InputCounts(records=1, half_life=missing([NAN, NAN]))
    genes = InputSources(genome="g.fa", tss="genes.gtf")
    assert summarise(counts, genes, HALF_LIFE)[1:] == [
        f"half-life features missing: all 2 for the one gene (--annotation genes.gtf computes them); {MEAN}"
    ]
