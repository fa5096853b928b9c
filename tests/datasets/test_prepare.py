import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.datasets.options import PrepareOptions
from seqexpr.datasets.prepare import PrepareReport, prepare
from seqexpr.errors import InputError, UsageError
from seqexpr.files import sha256_file
from seqexpr.inputs.half_life import FEATURES
from seqexpr.sequences.alphabet import DNA, PROTEIN

HALF_LIFE = "gene\t" + "\t".join(FEATURES) + "\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three genes everywhere, and in each file one gene that no other has."""
    texts = {
        "windows.fa": ">g3\nAACCGGTT\n>only\nAAAAAAAA\n>g1\nacgtnnac\n>g2\nTTTTACGT\n",
        "proteins.fa": ">sp|P2|B_X\nMKL\n>sp|P1|A_X\nMKLV\n>sp|P9|Z_X\nMM\n>sp|P3|C_X\nMA*\n",
        "own.fa": ">g2\nMKL\n>g1\nMKLV\n>other\nMM\n",
        "map.tsv": "symbol\tgene_id\tuniprot\nA\tg1\tP1\nB\tg2\tP2\nC\tg3\tP3\nC2\tg4\tP3\nD\tg5\t\n",
        "labels.tsv": "id\tchrom\tlung\tbrain\ng1\t1\t0.5\t\ng2\t2\t1.5\t2\ng3\t3\t\t\nlone\t4\t1\t1\ng4\tX\t\t7\n",
        "half_life.tsv": HALF_LIFE + "g1\t9\t9\t9\t9\t\t0.5\t\t1\nlone" + "\t0.5" * 8 + "\n",
        "genome.fa": ">chr1\n" + "AACCGGTTAC" * 5 + "\n>2\n" + "ACGTN" * 10 + "\n",
        "tss.bed": "1\t20\t21\tg1\t0\t+\nchr1\t3\t4\tg2\t0\t-\n2\t30\t31\tg9\t0\t+\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(files: Path, **options: Any) -> tuple[PrepareReport, PreparedDataset]:
    given = {
        name: files / value if name not in ("tss_at", "label_columns") and isinstance(value, str) else value
        for name, value in options.items()
    }
    report = prepare(PrepareOptions(**{"out": files / "out", **given}))
    return report, PreparedDataset.open(files / "out")


def letters(dataset: PreparedDataset) -> list[str]:
    return [DNA.decode(row) for row in dataset.dna(range(len(dataset)), dataset.upstream, dataset.downstream)]


def test_windows_and_labels(files: Path) -> None:
    report, dataset = run(files, fasta="windows.fa", labels="labels.tsv", upstream=5, downstream=3)
    assert dataset.ids == ["g1", "g2"]  # the windows' order; g3 has no label, "only" is in no table
    assert letters(dataset) == ["ACGTNNAC", "TTTTACGT"]
    assert (dataset.upstream, dataset.downstream) == (5, 3)
    np.testing.assert_array_equal(dataset.labels(["brain", "lung"]), [[np.nan, 0.5], [2, 1.5]])
    assert dataset.genes["chrom"].tolist() == ["1", "2"]
    assert dataset.half_life() is None
    assert report.labels == {"lung": 2, "brain": 1}
    assert (report.letters.unknown_bases, report.letters.padded_bases) == (2, 0)
    assert [(source.records, source.joined) for source in report.sources] == [(4, 2), (4, 2)]


def test_the_manifest_says_what_was_done(files: Path) -> None:
    run(files, fasta="windows.fa", labels="labels.tsv", upstream=5, downstream=3, label_columns=("lung",))
    manifest = json.loads((files / "out" / "manifest.json").read_text())
    assert manifest["kind"] == "dataset"
    assert manifest["labels"] == ["lung"]
    assert manifest["window"] == {"upstream": 5, "downstream": 3}
    assert manifest["options"]["label_columns"] == ["lung"]
    assert manifest["alphabets"] == {"dna": DNA.to_dict()}
    assert manifest["sources"][0] == {
        "role": "fasta",
        "file": str(files / "windows.fa"),
        "bytes": (files / "windows.fa").stat().st_size,
        "sha256": sha256_file(files / "windows.fa"),
    }
    assert [join["joined"] for join in manifest["joins"]] == [2, 2]


def test_tss_at_places_crops_and_pads(files: Path) -> None:
    report, dataset = run(files, fasta="windows.fa", tss_at=2, upstream=4, downstream=3)
    assert letters(dataset) == ["NNAACCG", "NNAAAAA", "NNACGTN", "NNTTTTA"]
    counts = report.letters
    assert (counts.padded_windows, counts.padded_bases, counts.unknown_bases) == (4, 8, 1)
    assert counts.cropped_bases == 4 * 3
    assert any("no labels" in note for note in report.notes)


def test_genome_and_tss_on_both_strands_with_counts_and_aliases(files: Path) -> None:
    report, dataset = run(
        files,
        genome="genome.fa",
        tss="tss.bed",
        labels="labels.tsv",
        upstream=4,
        downstream=6,
        half_life="half_life.tsv",
    )
    # g1: contig chr1 under the name 1, boundary 20 on +, so 16 to 26; g2: boundary 4 on -, so -2 to 8
    assert dataset.ids == ["g1", "g2"]
    assert letters(dataset) == ["TTACAACCGG", "AACCGGTTNN"]
    assert report.letters.padded_bases == 2
    assert report.letters.contig_aliases == {"1": "chr1"}
    assert dataset.genes[["chrom", "tss", "strand"]].to_numpy().tolist() == [["1", 20, "+"], ["chr1", 4, "-"]]
    half_life = dataset.half_life()
    assert half_life is not None
    np.testing.assert_array_equal(half_life[0], [9, 9, 9, 9, np.nan, 0.5, np.nan, 1])
    assert np.isnan(half_life[1]).all()
    assert report.half_life["cds_gc"] == 1


def test_proteins_with_a_map_in_the_proteins_order(files: Path) -> None:
    report, dataset = run(files, proteins="proteins.fa", protein_map="map.tsv", labels="labels.tsv")
    assert dataset.ids == ["g2", "g1", "g4"]  # P3 is the protein of g3, which has no label, and of g4
    decoded = [PROTEIN.decode(row) for row in dataset.proteins(range(3), 6000)]
    assert decoded == ["MKL", "MKLV", "MA"]
    assert not dataset.has_dna
    assert report.upstream == 0


def test_proteins_by_their_own_ids(files: Path) -> None:
    assert run(files, proteins="own.fa", labels="labels.tsv")[1].ids == ["g2", "g1"]


def test_unlabelled_proteins_are_called_by_their_accession(files: Path) -> None:
    assert run(files, proteins="proteins.fa")[1].ids == ["P2", "P1", "P9", "P3"]


def test_dna_and_proteins_and_everything(files: Path) -> None:
    _, dataset = run(
        files,
        fasta="windows.fa",
        tss_at=4,
        tss="tss.bed",
        proteins="proteins.fa",
        protein_map="map.tsv",
        labels="labels.tsv",
        half_life="half_life.tsv",
    )
    assert dataset.ids == ["g1", "g2"]
    np.testing.assert_array_equal(dataset.protein_lengths, [4, 3])
    assert letters(dataset) == ["ACGTNNAC", "TTTTACGT"]
    assert dataset.genes["chrom"].tolist() == ["1", "chr1"]  # the TSS file is heard before the labels


GTF = """chr1\tx\texon\t11\t20\t.\t+\t.\tgene_id "g1.7"; transcript_id "t1"; gene_name "AAA";
chr1\tx\tCDS\t13\t18\t.\t+\t0\tgene_id "g1.7"; transcript_id "t1"; gene_name "AAA";
chr1\tx\texon\t31\t40\t.\t+\t.\tgene_id "g1.7"; transcript_id "t1"; gene_name "AAA";
"""


def test_annotation_gives_features_and_positions(files: Path) -> None:
    (files / "genes.gtf.gz").write_bytes(gzip.compress(GTF.encode()))
    shared: dict[str, Any] = {
        "genome": "genome.fa", "annotation": "genes.gtf.gz", "labels": "labels.tsv", "strip_versions": True,
    }  # fmt: skip
    _, dataset = run(files, tss="genes.gtf.gz", upstream=3, downstream=2, **shared)
    half_life = dataset.half_life()
    assert dataset.ids == ["g1"]
    assert half_life is not None
    # chr1 11-20 is AACCGGTTAC: CDS CCGGTT; 5'UTR AA, 3'UTR AC and the second exon AACCGGTTAC
    np.testing.assert_allclose(half_life[0], [2, 6, 10, 12, 0, 4 / 6, 6 / 12, 1 / 0.006])
    assert dataset.genes[["symbol", "chrom", "tss"]].to_numpy().tolist() == [["AAA", "chr1", 10]]
    _, windows = run(files, fasta="windows.fa", tss_at=4, force=True, **shared)
    assert windows.ids == ["g1", "g2"]
    assert windows.genes["symbol"].tolist() == ["AAA", ""]


def test_versions_are_named_when_they_are_the_cause(files: Path) -> None:
    (files / "versioned.tsv").write_text("id\tx\ng1.5\t1\ng2.1\t2\n")
    found = r"none of the 4 ids of the windows \(for instance 'g3'\) in its 2 ids of labels"
    with pytest.raises(InputError, match=rf"{found} \(for instance 'g1\.5'\).*--strip-versions"):
        run(files, fasta="windows.fa", tss_at=4, labels="versioned.tsv")
    assert run(files, fasta="windows.fa", tss_at=4, labels="versioned.tsv", strip_versions=True)[1].ids == [
        "g1",
        "g2",
    ]
    (files / "twice.tsv").write_text("id\tx\ng1.5\t1\ng1.6\t2\n")
    with pytest.raises(InputError, match=r"'g1\.6'.*the same gene as 'g1\.5'"):
        run(files, fasta="windows.fa", tss_at=4, labels="twice.tsv", strip_versions=True, force=True)


def test_files_that_share_no_gene(files: Path) -> None:
    (files / "far.tsv").write_text("id\tx\nz\t1\n")
    (files / "far_half_life.tsv").write_text(HALF_LIFE + "z" + "\t1" * 8 + "\n")
    with pytest.raises(InputError, match="--protein-map says"):
        run(files, proteins="proteins.fa", labels="labels.tsv")
    with pytest.raises(InputError, match=r"none of the 4 ids of the sequences .* in its 1 ids of half-life"):
        run(files, fasta="windows.fa", tss_at=4, half_life="far_half_life.tsv")
    with pytest.raises(InputError, match=r"far\.tsv: found none of the 4 ids of the windows"):
        run(files, fasta="windows.fa", tss_at=4, labels="far.tsv")
    (files / "far_map.tsv").write_text("gene_id\taccession\ng1\tQ1\n")
    with pytest.raises(InputError, match=r"none of the 1 proteins of the map in its 4 records; .*'Q1'"):
        run(files, proteins="proteins.fa", protein_map="far_map.tsv")
    (files / "pair.fa").write_text(">g1\nMK\n>zz\nMK\n")
    (files / "pair.tsv").write_text("id\tx\ng2\t1\nzz\t2\n")
    with pytest.raises(InputError, match="no gene that every file holds"):
        run(files, fasta="windows.fa", tss_at=4, proteins="pair.fa", labels="pair.tsv")
    assert sorted(path.name for path in files.iterdir() if path.name.startswith((".", "out"))) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"translate": True, "genome": "genome.fa"}, "--translate needs --genome with --annotation"),
        ({"translate": True, "genbank": "a.gb", "proteins": "own.fa"}, "both give proteins; give one"),
        ({"genbank": "a.gb", "half_life": "half_life.tsv"}, "leave --half-life out"),
        ({"fasta": "windows.fa", "protein_map": "map.tsv"}, "needs --proteins"),
        ({"fasta": "windows.fa", "label_columns": ("x",)}, "needs --labels"),
        ({"proteins": "own.fa", "upstream": 4}, "go with DNA"),
        ({"fasta": "windows.fa", "upstream": 0, "downstream": 0}, "no letters"),
    ],
)
def test_options_that_do_not_fit(files: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(files, **options)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("windows.fa", ">g1\nMKLVEEFFQQ\n", "looks like a protein"),
        ("windows.fa", "", "empty"),
        ("windows.fa", ">g1\nACGT\n>g2\nACGTA\n", "'g2': found 5 bp"),
        ("windows.fa", ">g1.1\nACGT\n>g1.2\nACGT\n", "'g1': found the same gene again"),
        ("labels.tsv", "id\tcds_len\ng1\t1\n", "a label named 'cds_len'"),
        ("labels.tsv", "id\tx\ng1\tinf\n", "found 'inf'"),
    ],
)
def test_bad_files_leave_nothing_behind(files: Path, name: str, text: str, message: str) -> None:
    (files / name).write_text(text)
    with pytest.raises(InputError, match=message):
        run(files, fasta="windows.fa", labels="labels.tsv", tss_at=2, strip_versions=True)
    assert [path.name for path in files.iterdir() if path.name.startswith((".", "out"))] == []


def test_dna_in_place_of_proteins_and_two_proteins_of_a_gene(files: Path) -> None:
    (files / "own.fa").write_text(">g1\n" + "ACGT" * 10 + "\n")
    with pytest.raises(InputError, match="looks like DNA"):
        run(files, proteins="own.fa", labels="labels.tsv")
    (files / "own.fa").write_text(">P1\nMK\n>sp|P1|X\nMK\n")
    with pytest.raises(InputError, match="a second protein of gene 'g1'"):
        run(files, proteins="own.fa", protein_map="map.tsv", labels="labels.tsv")


def test_the_same_files_give_the_same_dataset(files: Path) -> None:
    contents = []
    for name in ("a", "b"):
        run(files, fasta="windows.fa", proteins="own.fa", labels="labels.tsv", tss_at=4, out=files / "out")
        contents.append([(files / "out" / part).read_bytes() for part in ("genes.tsv", "sequences.safetensors")])
        (files / "out").rename(files / name)
    assert contents[0] == contents[1]


@pytest.mark.shared_data
def test_windows_of_a_real_genome_are_the_published_ones(shared_data: Path, tmp_path: Path) -> None:
    human, chr1 = shared_data / "human", shared_data / "grch37_chr1"
    labels = {"labels": human / "labels.tsv.gz", "label_columns": ("roadmap_median_log10rpkm",)}
    prepare(PrepareOptions(tmp_path / "cut", genome=chr1 / "chr1_10Mb.fa.gz", tss=chr1 / "tss.bed", **labels))
    prepare(PrepareOptions(tmp_path / "given", fasta=human / "tss_windows.fa.gz", **labels))
    cut, given = PreparedDataset.open(tmp_path / "cut"), PreparedDataset.open(tmp_path / "given")
    row = {gene: i for i, gene in enumerate(given.ids)}
    both = [gene for gene in cut.ids if gene in row]
    ours = cut.dna([cut.ids.index(gene) for gene in both], 10_000, 10_000)
    theirs = given.dna([row[gene] for gene in both], 10_000, 10_000)
    assert len(both) == 111
    assert np.count_nonzero(theirs) > 2_000_000
    np.testing.assert_array_equal(ours[theirs > 0], theirs[theirs > 0])


@pytest.mark.shared_data
def test_real_proteins_join_by_their_map(shared_data: Path, tmp_path: Path) -> None:
    human = shared_data / "human"
    report = prepare(
        PrepareOptions(
            tmp_path / "set",
            proteins=human / "proteins.fasta.gz",
            protein_map=human / "uniprot.tsv.gz",
            labels=human / "labels.tsv.gz",
            label_columns=("wang2019_lung_protein_log10ibaq",),
        )
    )
    assert report.genes == 9_317


def _many(folder: Path, *, misspelt: int, empty: int = 0) -> None:
    (folder / "many.fa").write_text("".join(f">g{n}\nACGTACGT\n" for n in range(60)))
    names = [f"x{n}" if n < misspelt else f"g{n}" for n in range(60)]
    rows = [f"{name}\t{'' if n >= 60 - empty else n}\n" for n, name in enumerate(names)]
    (folder / "many.tsv").write_text("id\tlevel\n" + "".join(rows))
    (folder / "many_half_life.tsv").write_text(
        HALF_LIFE + "".join(f"{name}" + "\t99" * 4 + "\t0.5" * 3 + "\t20\n" for name in names)
    )


def test_ids_that_do_not_join_are_named_on_each_side(files: Path) -> None:
    _many(files, misspelt=30)
    report, _ = run(files, fasta="many.fa", tss_at=4, labels="many.tsv")
    said = [source.describe() for source in report.sources]
    assert said[0].startswith("the windows: 30 of 60 used") and "not joined, for instance 'g0', 'g1', 'g2'" in said[0]
    assert said[1].startswith("labels: 30 of 60 used") and "30 not joined, for instance 'x0', 'x1', 'x2'" in said[1]
    again = prepare(PrepareOptions(out=files / "out", fasta=files / "many.fa", tss_at=4, labels=files / "many.tsv"))
    assert again.reused and again.sources == report.sources


def test_ids_are_not_named_where_one_side_joins_as_a_whole(files: Path) -> None:
    _many(files, misspelt=0)
    (files / "few.tsv").write_text("id\tlevel\ng3\t1\ng4\t2\n")
    report, _ = run(files, fasta="many.fa", tss_at=4, labels="few.tsv")
    assert all("not joined" not in source.describe() for source in report.sources)


def test_half_life_features_of_other_ids_are_named(files: Path) -> None:
    _many(files, misspelt=30)
    report, _ = run(files, fasta="many.fa", tss_at=4, half_life="many_half_life.tsv")
    assert report.sources[1].describe().endswith("30 not joined, for instance 'x0', 'x1', 'x2'")
    assert "half-life features missing: all 8 for 30 of 60 genes" in report.describe()


def test_rows_without_a_value_are_counted(files: Path) -> None:
    _many(files, misspelt=0, empty=7)
    report, _ = run(files, fasta="many.fa", tss_at=4, labels="many.tsv")
    assert report.sources[1].describe() == f"labels: 53 of 60 used ({files / 'many.tsv'}); 7 have no value"


def test_a_dataset_of_another_label_is_told_by_the_option_and_a_misspelt_label_as_such(files: Path) -> None:
    given: dict[str, Any] = {"fasta": "windows.fa", "tss_at": 4, "labels": "labels.tsv"}
    run(files, **given, label_columns=("lung",))
    with pytest.raises(UsageError, match="made with another --label; choose"):
        run(files, **given, label_columns=("brain",))
    with pytest.raises(InputError, match="no label column 'brian'"):
        run(files, **given, label_columns=("brian",))
