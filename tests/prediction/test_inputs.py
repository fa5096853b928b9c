from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from seqexpr.errors import UsageError
from seqexpr.inputs.half_life import FEATURES, IDENTITY, HalfLifeSchema
from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds, coding_line


def test_needs_of_several_models_are_the_widest_of_each(metadata: Callable[..., Any]) -> None:
    needs = ModelNeeds.of(
        [
            metadata(upstream=500, downstream=150),
            metadata("dna-protein-perceiver", upstream=300, downstream=400, protein_length=350),
        ]
    )
    assert (needs.upstream, needs.downstream, needs.window_length) == (500, 400, 900)
    assert needs.protein_length == 350
    assert needs.outputs == ("mrna",)
    assert needs.half_life_names[0] == "utr5_len" and len(needs.half_life_names) == 8


def test_a_protein_model_needs_no_window_and_no_half_life(metadata: Callable[..., Any]) -> None:
    needs = ModelNeeds.of([metadata("protein-perceiver", names=("protein",))])
    assert (needs.window_length, needs.protein_length, needs.half_life_names) == (0, 300, ())


def test_models_that_predict_different_things_are_no_ensemble(metadata: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"mrna \[log10\] / protein \[log10\]"):
        ModelNeeds.of([metadata(names=("mrna",)), metadata(names=("protein",))])
    with pytest.raises(UsageError, match=r"mrna \[log10\] / mrna \[log2\]"):
        ModelNeeds.of([metadata(), metadata(unit="log2")])


def test_models_with_different_half_life_features_are_no_ensemble(metadata: Callable[..., Any]) -> None:
    names = tuple("abcdefgh")
    other = HalfLifeSchema(names, ("identity",) * 8, (0.0,) * 8, (1.0,) * 8)
    with pytest.raises(UsageError, match="different half-life features"):
        ModelNeeds.of([metadata(), metadata(schema=other)])


Z_SCORES = HalfLifeSchema(FEATURES, (IDENTITY,) * 8, (0.0,) * 8, (1.0,) * 8)


def test_the_scale_of_half_life_features_is_that_of_all_models(metadata: Callable[..., Any]) -> None:
    raw, scores, none = metadata(), metadata(schema=Z_SCORES), metadata("protein-perceiver")
    assert ModelNeeds.of([raw, raw]).half_life_scale == "raw"
    assert ModelNeeds.of([scores, scores]).half_life_scale == "z-scores"
    assert ModelNeeds.of([scores, none]).half_life_scale == "z-scores"
    assert ModelNeeds.of([none]).half_life_scale == "raw"
    assert ModelNeeds.of([raw, scores]).half_life_scale == ModelNeeds.of([scores, raw]).half_life_scale == "mixed"


def test_no_table_serves_models_of_raw_features_and_of_z_scores(metadata: Callable[..., Any]) -> None:
    needs = ModelNeeds.of([metadata(), metadata(schema=Z_SCORES)])
    InputSources(fasta="a.fa").check_fit(needs)  # without a table all features are unknown, on any scale
    with pytest.raises(UsageError, match="no table serves both: run them one by one"):
        InputSources(fasta="a.fa", half_life="h.tsv").check_fit(needs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "or --proteins, or --example"),
        ({"fasta": "a.fa", "tss": "t.bed"}, "--tss needs --genome"),
        ({"proteins": "p.fa", "tss": "t.bed"}, "--tss needs --genome"),
    ],
)
def test_options_that_do_not_fit_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InputSources(**options).check()


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        ("dna-perceiver", {"proteins": "p.fa"}, "reads DNA: give --fasta"),
        ("dna-perceiver", {"fasta": "a.fa", "proteins": "p.fa"}, "reads no proteins: leave the proteins of p.fa out"),
        ("protein-perceiver", {"fasta": "a.fa"}, "reads no DNA: leave the windows of a.fa out"),
        ("protein-perceiver", {"genome": "g.fa", "tss": "t.bed"}, "reads no DNA: leave --genome and --tss out"),
        ("protein-perceiver", {"proteins": "p.fa", "half_life": "h.tsv"}, "leave --half-life out"),
        ("dna-protein-perceiver", {"fasta": "a.fa"}, "reads proteins: give --proteins"),
    ],
)
def test_inputs_that_the_model_lacks_or_does_not_read(
    preset: str, options: dict[str, Any], message: str, metadata: Callable[..., Any]
) -> None:
    sources = InputSources(**options)
    sources.check()
    with pytest.raises(UsageError, match=message):
        sources.check_fit(ModelNeeds.of([metadata(preset)]))


def test_options_that_fit_pass(metadata: Callable[..., Any]) -> None:
    sources = InputSources(fasta="-", proteins="p.fa", half_life="h.tsv", tss_at=5)
    sources.check()
    sources.check_fit(ModelNeeds.of([metadata("protein-dna-perceiver")]))


def reading_codons(metadata: Callable[..., Any], preset: str = "dna-perceiver", length: int = 50) -> Any:
    made = metadata(preset)
    return replace(made, config=replace(made.config, kernel_genes=4, coding_length=length))


def test_coding_sequences_are_read_as_far_as_the_longest_of_the_models(metadata: Callable[..., Any]) -> None:
    models = [metadata(), reading_codons(metadata), reading_codons(metadata, length=90)]
    assert [ModelNeeds.of(models[:few]).coding_length for few in (1, 2, 3)] == [0, 50, 90]


def test_an_annotation_is_of_use_where_codons_are_read_and_there_is_a_genome(metadata: Callable[..., Any]) -> None:
    plain, needs = (
        ModelNeeds.of([one]) for one in (metadata("protein-perceiver"), reading_codons(metadata, "protein-perceiver"))
    )
    spliced = InputSources(proteins="p.fa", genome="g.fa", annotation="a.gtf")
    spliced.check()
    spliced.check_fit(needs)
    with pytest.raises(UsageError, match="no half-life features: leave --annotation out"):
        spliced.check_fit(plain)
    with pytest.raises(UsageError, match="no half-life features: leave --annotation out"):
        InputSources(proteins="p.fa", annotation="a.gtf").check_fit(needs)
    InputSources(proteins="p.fa", cds="c.fa").check_fit(needs)
    with pytest.raises(UsageError, match="the model reads no coding sequences: leave --cds out"):
        InputSources(proteins="p.fa", cds="c.fa").check_fit(plain)


def test_coding_sequences_have_one_source() -> None:
    with pytest.raises(UsageError, match="--genbank gives coding sequences itself; leave --cds out"):
        InputSources(genbank="r.gb", cds="c.fa").check()
    with pytest.raises(UsageError, match="only one input can come from standard input"):
        InputSources(fasta="-", cds="-").check()


@pytest.mark.parametrize(
    ("absent", "genes", "said"),
    [
        (0, 3, None),
        (1, 1, "coding sequence missing for the one gene; the model predicts from the rest"),
        (2, 3, "coding sequence missing for 2 of 3 genes; the model predicts from the rest"),
        (3, 3, "coding sequence missing for all 3 genes; the model predicts from the rest"),
    ],
)
def test_missing_coding_sequences_in_words(absent: int, genes: int, said: str | None) -> None:
    sources = InputSources(fasta="w.fa", cds="c.fa")
    assert coding_line(InputCounts(records=genes, coding_absent=absent), sources) == said
