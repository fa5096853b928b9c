"""Half-life features and windows of genes whose every number can be counted in `toy_annotation`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seqexpr.inputs.half_life import FEATURES, HalfLifeSchema
from seqexpr.sequences.annotation import read_annotation
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import Transcript, half_life_features

from ..toy_annotation import (
    CHOSEN,
    DOWNSTREAM,
    FEATURES_BY_HAND,
    GENOME,
    LINES,
    UPSTREAM,
    WINDOWS_BY_HAND,
    as_gff3,
    as_gtf,
)


@pytest.fixture(params=["gtf", "gff3"])
def transcripts(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Transcript]:
    path = tmp_path / f"toy.{request.param}"
    path.write_text(as_gtf() if request.param == "gtf" else as_gff3())
    return {transcript.gene_id: transcript for transcript in read_annotation(path)}


@pytest.fixture
def genome(tmp_path: Path) -> Iterator[Genome]:
    (tmp_path / "toy.fa").write_text(GENOME)
    with Genome(tmp_path / "toy.fa") as opened:
        yield opened


def test_the_contig_is_laid_out_in_lines_of_fifty() -> None:
    assert [len(line) for line in LINES] == [50] * 8


def test_the_transcript_of_each_gene_is_chosen_by_tag_then_by_the_longest_cds(
    transcripts: dict[str, Transcript],
) -> None:
    assert {gene: transcript.id for gene, transcript in transcripts.items()} == CHOSEN


def test_the_stop_codon_belongs_to_the_cds_in_both_formats(transcripts: dict[str, Transcript]) -> None:
    assert transcripts["MINUS"].cds == ((71, 75), (83, 91))
    assert transcripts["SPLIT"].cds == ((358, 365), (370, 372))
    assert transcripts["SILENT"].cds == ()


@pytest.mark.parametrize("gene", FEATURES_BY_HAND)
def test_features(gene: str, transcripts: dict[str, Transcript], genome: Genome) -> None:
    found = half_life_features(transcripts[gene], genome)
    np.testing.assert_allclose(found, FEATURES_BY_HAND[gene], rtol=1e-6)


def test_without_a_genome_only_gc_is_missing(transcripts: dict[str, Transcript]) -> None:
    nan = np.nan
    np.testing.assert_allclose(
        half_life_features(transcripts["PLUS"], None), [9, 15, 9, 7, nan, nan, nan, 133.3333], rtol=1e-6
    )


@pytest.mark.parametrize("gene", WINDOWS_BY_HAND)
def test_windows(gene: str, transcripts: dict[str, Transcript], genome: Genome) -> None:
    boundary, letters = WINDOWS_BY_HAND[gene]
    tss = transcripts[gene].tss
    assert (tss.boundary, tss.symbol) == (boundary, gene.lower())
    tokens = genome.window(tss, UPSTREAM, DOWNSTREAM)
    assert "".join("-ACGT"[token] for token in tokens) == letters


def test_the_example_of_the_documentation_is_plus() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "half-life.md").read_text(encoding="utf-8")
    assert f"\n{LINES[0]}\n" in text
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")
    ]
    by_hand = {cells[0]: float(cells[2]) for cells in rows if len(cells) == 3}
    assert by_hand == dict(zip(FEATURES, FEATURES_BY_HAND["PLUS"], strict=True))


def test_transform_and_z_scores_of_the_training_genes_by_hand() -> None:
    """PLUS, MINUS and SPLIT are trained on; BARE is not, and moves nothing. UNKNOWN has a missing GC content.

    5'UTR: log10 of 9.1, 4.1 and 3.1 is 0.959041, 0.612784 and 0.491362; their mean 0.687729, sd 0.198148.
    5'UTR GC, not transformed: 0.625, 0.75 and 0.6666667; their mean 0.6805556, sd 0.0519675.
    Density: log10 of 133.4333, 166.7667 and 111.2111 is 2.125264, 2.222109 and 2.046148; mean 2.131174, sd 0.071957.
    """
    train = np.array([FEATURES_BY_HAND[gene] for gene in ("PLUS", "MINUS", "SPLIT")])
    schema = HalfLifeSchema.fit(train)
    np.testing.assert_allclose(np.array(schema.mean)[[0, 4, 7]], [0.687729, 0.6805556, 2.131174], atol=1e-6)
    np.testing.assert_allclose(np.array(schema.sd)[[0, 4, 7]], [0.198148, 0.0519675, 0.071957], atol=1e-6)
    # PLUS: (0.959041 - 0.687729) / 0.198148
    assert schema.standardise(train)[0, 0] == pytest.approx(1.36924, abs=1e-4)
    others = np.array([FEATURES_BY_HAND[gene] for gene in ("BARE", "UNKNOWN", "SILENT")])
    scores = schema.standardise(others)
    # BARE: (log10(0.1) - 0.687729) / 0.198148; no GC; (log10(83.43333) - 2.131174) / 0.071957
    np.testing.assert_allclose(scores[0, [0, 4, 7]], [-8.51754, np.nan, -2.91610], atol=1e-4)
    # UNKNOWN: (log10(5.1) - 0.687729) / 0.198148; unknown; (log10(0.1) - 2.131174) / 0.071957
    np.testing.assert_allclose(scores[1, [0, 4, 7]], [0.10013, np.nan, -43.51437], atol=1e-4)
    assert np.isnan(scores[2]).all()
