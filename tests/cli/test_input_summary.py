from __future__ import annotations

from typing import Any

import pytest

from seqexpr.cli.input_summary import summarise
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


def test_missing_half_life_features_are_said() -> None:
    table = InputSources(fasta="x.fa", half_life="h.tsv")
    counts = InputCounts(records=2_000, half_life_absent=1_200, half_life_incomplete=1)
    assert summarise(counts, table, HALF_LIFE)[1:] == [
        f"half-life features: 1,200 of 2,000 genes not in the table, 1 with missing features; {MEAN}"
    ]
    incomplete = InputCounts(records=1, half_life_incomplete=1)
    assert summarise(incomplete, table, HALF_LIFE)[1:] == [
        f"half-life features: 0 of 1 gene not in the table, 1 with missing features; {MEAN}"
    ]
    assert summarise(InputCounts(records=1), table, HALF_LIFE)[1:] == []


def test_half_life_without_a_table_is_said_where_a_model_reads_it() -> None:
    counts = InputCounts(records=3, half_life_absent=3)
    assert summarise(counts, InputSources(fasta="x.fa"), HALF_LIFE)[1:] == [f"half-life features: none given; {MEAN}"]
    genes = InputSources(genome="g.fa", tss="genes.gtf")
    assert summarise(counts, genes, HALF_LIFE)[1:] == [
        f"half-life features: none given; --annotation genes.gtf would compute them; {MEAN}"
    ]
    assert summarise(counts, InputSources(fasta="x.fa"), SEQUENCES)[1:] == []
