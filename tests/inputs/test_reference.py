"""One owner of genome, annotation, aliases and TSSs, for predict and prepare."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqexpr.inputs import reference
from seqexpr.inputs.options import GeneOptions
from seqexpr.inputs.reference import Reference
from seqexpr.sequences.windows import Tss

from ..toy_annotation import FEATURES_BY_HAND, GENOME, as_gtf

OTHER = as_gtf().replace("toy\t", "CM0001.1\t")
ALIASES = "# names\ntoy\tCM0001.1\tother\n"
# The + strand's PLUS starts at base 11; a TSS measured at base 9 makes its 5'UTR two bases longer.
BED = "other\t8\t9\tPLUS\t0\t+\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    texts = {"toy.fa": GENOME, "toy.gtf": as_gtf(), "other.gtf": OTHER, "aliases.tsv": ALIASES, "t.bed": BED}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def opened(files: Path, *, translating: bool = False, **options: str) -> Reference:
    return Reference(GeneOptions(**{role: files / name for role, name in options.items()}), translating=translating)


def features(one: Reference) -> Any:
    transcripts = {transcript.gene_id: transcript for transcript in one.transcripts or ()}
    return one.features(transcripts, {site.id: site for site in one.sites})


def test_gc_contents_are_found_through_the_alias_table(files: Path) -> None:
    one = opened(files, genome="toy.fa", tss="other.gtf", annotation="other.gtf", contig_aliases="aliases.tsv")
    for gene, expected in FEATURES_BY_HAND.items():
        np.testing.assert_allclose(features(one)[gene], expected, rtol=1e-6, err_msg=gene)


def test_a_measured_tss_begins_the_5utr_whatever_its_contig_is_called(files: Path) -> None:
    one = opened(files, genome="toy.fa", tss="t.bed", annotation="other.gtf", contig_aliases="aliases.tsv")
    assert features(one)["PLUS"][0] == FEATURES_BY_HAND["PLUS"][0] + 2
    assert [site.chrom for site in one.sites] == ["other"]


def test_without_a_genome_the_databases_names_of_a_contig_are_one(files: Path) -> None:
    (files / "t.bed").write_text("chr1\t8\t9\tPLUS\t0\t+\n")
    (files / "a.gtf").write_text(as_gtf().replace("toy\t", "1\t"))
    assert features(opened(files, tss="t.bed", annotation="a.gtf"))["PLUS"][0] == FEATURES_BY_HAND["PLUS"][0] + 2
    (files / "t.bed").write_text("chr2\t8\t9\tPLUS\t0\t+\n")
    assert features(opened(files, tss="t.bed", annotation="a.gtf"))["PLUS"][0] == FEATURES_BY_HAND["PLUS"][0]


def test_genes_on_contigs_that_the_genome_lacks_keep_their_lengths(
    files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    extra = as_gtf().split("\n")[0].replace("toy", "scaffold_9").replace("PLUS", "EXTRA")
    (files / "a.gtf").write_text(as_gtf() + extra)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(
            features(opened(files, genome="toy.fa", annotation="a.gtf"))["PLUS"], FEATURES_BY_HAND["PLUS"], rtol=1e-6
        )
        assert caplog.text == ""
        found = features(opened(files, genome="toy.fa", annotation="other.gtf"))["PLUS"]
    assert np.isnan(found[4:7]).all()
    np.testing.assert_allclose(found[:4], FEATURES_BY_HAND["PLUS"][:4])
    (record,) = caplog.records
    assert "no sequence for 10 of 10 annotated genes, such as PLUS on contig 'CM0001.1'" in record.getMessage()
    assert "--contig-aliases" in record.getMessage()


def test_one_file_is_read_once_and_means_the_same(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / "copy.gtf").write_text(as_gtf())
    apart = opened(files, tss="copy.gtf", annotation="toy.gtf")
    monkeypatch.setattr(reference, "read_tss", None)  # to call it would fail
    for name in ("toy.gtf", "./toy.gtf"):
        together = opened(files, tss=name, annotation="toy.gtf")
        assert (together.sites, together.transcripts) == (apart.sites, apart.transcripts)
    translated = opened(files, tss="toy.gtf", translating=True)
    assert (translated.sites, translated.transcripts) == (apart.sites, apart.transcripts)


def test_genes_are_picked_of_the_tss_alone(files: Path) -> None:
    one = Reference(GeneOptions(tss=files / "toy.gtf", annotation=files / "toy.gtf", genes=("plus",)))
    assert [site.id for site in one.sites] == ["PLUS"]
    assert isinstance(one.sites[0], Tss)
    assert len(one.transcripts or ()) == len(FEATURES_BY_HAND)
