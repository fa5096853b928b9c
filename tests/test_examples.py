"""The example files are real genes, cut where they say: checked against known coding sequences."""

from __future__ import annotations

import gzip
import importlib
from pathlib import Path

import numpy as np
import pytest
from Bio.Seq import Seq

from seqexpr.inputs.half_life import FEATURES
from seqexpr.inputs.half_life_table import read_half_life
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.annotation import read_annotation
from seqexpr.sequences.bed import read_bed
from seqexpr.sequences.fasta import read_fasta
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Tss

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = EXAMPLES.parent / "scripts"
GENBANK = Path("/usr/share/EMBOSS/test/genbank/gbpri1.seq")  # where Debian's package emboss-test puts it
UPSTREAM, DOWNSTREAM = 7_000, 3_500


def sequences(name: str) -> dict[str, str]:
    return {record.id: record.sequence.decode() for record in read_fasta(EXAMPLES / name)}


@pytest.fixture(scope="module")
def windows() -> dict[str, str]:
    return sequences("genes.fa")


@pytest.fixture(scope="module")
def proteins() -> dict[str, str]:
    return sequences("proteins.fa")


def test_windows_are_twelve_genes_of_the_models_length(windows: dict[str, str]) -> None:
    assert len(windows) == 12
    assert {len(letters) for letters in windows.values()} == {UPSTREAM + DOWNSTREAM}
    assert set("".join(windows.values())) == set("ACGT")
    assert len(set(windows.values())) == 12


def test_both_strands_are_there() -> None:
    assert {tss.strand for tss in read_bed(EXAMPLES / "tss.bed")} == {"+", "-"}


def test_genome_and_bed_give_the_same_windows_in_the_same_order(windows: dict[str, str], tmp_path: Path) -> None:
    genome = tmp_path / "genome.fa"  # a copy, so that no index appears in examples/
    genome.write_bytes((EXAMPLES / "genome.fa").read_bytes())
    rows = read_bed(EXAMPLES / "tss.bed")
    assert [tss.id for tss in rows] == list(windows)
    with Genome(genome) as opened:
        for tss in rows:
            tokens = opened.window(tss, UPSTREAM, DOWNSTREAM)
            np.testing.assert_array_equal(tokens, DNA.encode(windows[tss.id].encode()), err_msg=tss.id)


@pytest.mark.parametrize(
    ("symbol", "untranslated", "start"),
    [
        ("HBB", 50, "ATGGTGCACCTGACTCCTGAGGAGAAGTCTGCCG"),  # CAC, where GRCh38 has the synonym CAT
        ("HBD", 50, "ATGGTGCATCTGACTCCTGAGGAGAAG"),
        ("HBG1", 53, "ATGGGTCATTTCACAGAGGAGGACAAG"),
        ("HBG2", 53, "ATGGGTCATTTCACAGAGGAGGACAAG"),
        ("TNF", 152, "ATGAGCACTGAAAGCATGATCCGGGAC"),
        ("AIF1", 26, "ATGAGCCAAACC"),
    ],
)
def test_coding_sequence_starts_after_the_known_untranslated_region(
    windows: dict[str, str], symbol: str, untranslated: int, start: str
) -> None:
    assert windows[symbol].index(start, UPSTREAM) == UPSTREAM + untranslated


def test_cap_site_of_beta_globin(windows: dict[str, str]) -> None:
    """The mRNA starts ACATTTGCTTCTGACACA, with the CATAAA box some 30 bases before it."""
    assert windows["HBB"][UPSTREAM:].startswith("ACATTTGCTTCTGACACAACTG")
    assert -35 < windows["HBB"].rindex("CATAAA", 0, UPSTREAM) - UPSTREAM < -25


@pytest.mark.parametrize(
    ("symbol", "protein", "exons"),
    [  # coding exons from the records, relative to the TSS
        ("HBB", "sp|P68871|HBB_HUMAN", [(50, 142), (272, 495), (1345, 1474)]),
        ("TNF", "sp|P01375|TNFA_HUMAN", [(152, 338), (944, 990), (1177, 1225), (1526, 1948)]),
    ],
)
def test_spliced_window_translates_to_the_uniprot_entry(
    windows: dict[str, str], proteins: dict[str, str], symbol: str, protein: str, exons: list[tuple[int, int]]
) -> None:
    downstream = windows[symbol][UPSTREAM:]
    coding = "".join(downstream[start:end] for start, end in exons)
    assert str(Seq(coding).translate(to_stop=True)) == proteins[protein]


def test_half_life_table_fits_the_genes(windows: dict[str, str]) -> None:
    table = read_half_life(EXAMPLES / "half_life.tsv")
    assert table.ids == list(windows)
    hbb = dict(zip(FEATURES, table.rows(["HBB"])[0], strict=True))
    # U01317.1: exons of 142, 223 and 261 bp; 147 codons and a stop, a leader of 50 bp, a trailer of 132
    assert (hbb["utr5_len"], hbb["cds_len"], hbb["utr3_len"]) == (50, 444, 132)
    assert hbb["intron_len"] == 130 + 850
    assert hbb["orf_exon_density"] == pytest.approx(2 / 0.444)


def test_proteins_are_eight_whole_entries(proteins: dict[str, str]) -> None:
    assert len(proteins) == 8
    assert all(letters.startswith("M") and letters.isalpha() for letters in proteins.values())
    assert len(proteins["sp|P04637|P53_HUMAN"]) == 393


def test_hla_genes_lie_on_both_strands_and_the_two_files_of_tss_agree() -> None:
    genes = read_annotation(EXAMPLES / "hla" / "genes.gtf.gz")
    assert [sum(gene.strand == strand for gene in genes) for strand in "+-"] == [37, 33]
    assert sum(not gene.cds for gene in genes) == 7
    places = read_bed(EXAMPLES / "hla" / "tss.bed")
    assert places == [Tss(gene.id[:-3], gene.chrom, gene.tss.boundary, gene.strand) for gene in genes]


def test_hla_features_of_well_known_genes() -> None:
    """HLA-C: 366 codons and a stop. HSPA1B: one exon, 641 codons and a stop. TNF: 233 codons and a stop, 4 exons."""
    table = read_half_life(EXAMPLES / "hla" / "half_life.tsv")
    hla_c, heat_shock, tnf = table.rows(["HLA-C", "HSPA1B", "TNFA"])
    assert (hla_c[1], hla_c[7]) == (367 * 3, pytest.approx(7 / 1.101))
    assert (heat_shock[1], heat_shock[2], heat_shock[7]) == (642 * 3, 0, 0)
    assert (tnf[1], tnf[7]) == (234 * 3, pytest.approx(3 / 0.702))
    # the same gene in AF129756.1: the same CDS and introns, whatever the cDNA ends of either record
    here = read_half_life(EXAMPLES / "half_life.tsv").rows(["TNF"])[0]
    np.testing.assert_array_equal(tnf[[1, 2]], here[[1, 2]])


@pytest.mark.skipif(not GENBANK.is_file(), reason="needs the GenBank file of Debian's package emboss-test")
def test_the_script_makes_these_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    script = importlib.import_module("make_examples")
    records = script.read_records(GENBANK)
    script.write_windows(tmp_path, records)
    left_out = script.write_hla_example(tmp_path / "hla", records[script.ACCESSION])
    for made in [path for path in tmp_path.rglob("*") if path.is_file()]:
        kept = EXAMPLES / made.relative_to(tmp_path)
        if made.suffix == ".gz":  # the letters, not how a version of zlib packs them
            assert gzip.decompress(made.read_bytes()) == gzip.decompress(kept.read_bytes()), made.name
        else:
            assert made.read_bytes() == kept.read_bytes(), made.name
    assert {"hla/genome.fa.gz", "hla/genes.gtf.gz", "half_life.tsv"} <= {
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")
    }
    assert sorted(left_out["an exon about 100,000 bases from the others"]) == ["BAT1", "MICA"]


def test_the_made_up_levels_are_what_their_script_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    made = importlib.import_module("hla_labels").made_up_levels()
    rows = [line.split("\t") for line in (EXAMPLES / "hla" / "labels.tsv").read_text(encoding="utf-8").splitlines()]
    assert rows[0] == ["id", "made_up_level"]
    assert {name: float(level) for name, level in rows[1:]} == pytest.approx(made, abs=0.0006)
