from __future__ import annotations

from pathlib import Path
from statistics import mean, median

import numpy as np
from benchmarks.made_inputs import protein_lengths, random_genes, write_dataset, write_genome, write_sites

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.models.config import PerceiverConfig
from seqexpr.sequences.annotation import read_tss
from seqexpr.sequences.fasta import read_fasta


def test_lengths_of_proteins_are_natural() -> None:
    lengths = protein_lengths(512)
    assert 410 <= median(lengths) <= 420
    assert 545 <= mean(lengths) <= 575
    assert min(lengths) >= 30 and max(lengths) <= 6_000
    assert lengths != sorted(lengths)
    assert lengths == protein_lengths(512)
    assert abs(mean(protein_lengths(64)) - mean(lengths)) < 30  # few genes stand for many


def test_genes_have_what_the_network_reads() -> None:
    config = PerceiverConfig.from_preset("protein-dna-perceiver", upstream=50, downstream=394, protein_length=400)
    windows, proteins = random_genes(config, 40)
    assert {len(window) for window in windows} == {444}
    assert {int(letter) for window in windows for letter in window} == {1, 2, 3, 4}
    assert max(len(protein) for protein in proteins) == 400  # cut off
    assert random_genes(PerceiverConfig.from_preset("dna-perceiver"), 2)[1] == [None, None]


def test_the_dataset_opens(tmp_path: Path) -> None:
    config = PerceiverConfig.from_preset("dna-protein-perceiver", upstream=50, downstream=40, protein_length=600)
    write_dataset(tmp_path / "genes", config, 6)
    dataset = PreparedDataset.open(tmp_path / "genes")
    assert len(dataset) == 6
    assert dataset.dna(np.arange(6), 50, 40).shape == (6, 90)
    assert sorted(dataset.protein_lengths) == sorted(min(length, 600) for length in protein_lengths(6))
    assert np.isfinite(dataset.labels(("level",))).all()
    assert dataset.half_life().shape == (6, 8)


def test_sites_lie_inside_their_genome_on_both_strands(tmp_path: Path) -> None:
    write_genome(tmp_path / "genome.fa", 2, 1_000)
    write_sites(tmp_path / "sites.bed", 40, 2, 1_000, margin=100)
    genome = {record.id: record.sequence for record in read_fasta(str(tmp_path / "genome.fa"))}
    assert {name: len(letters) for name, letters in genome.items()} == {"chr1": 1_000, "chr2": 1_000}
    assert set(genome["chr1"]) == set(b"ACGT")
    sites = read_tss(tmp_path / "sites.bed")
    assert [site.id for site in sites] == [f"site{number}" for number in range(40)]
    assert {site.chrom for site in sites} == {"chr1", "chr2"}
    assert sum(site.strand == "-" for site in sites) == 20
    assert all(100 <= site.first_base < 900 for site in sites)
