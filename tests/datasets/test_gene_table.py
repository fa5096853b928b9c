from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqexpr.datasets.gene_table import Features, GeneTables, read_gene_tables
from seqexpr.datasets.options import PrepareOptions
from seqexpr.errors import InputError
from seqexpr.inputs.gene_ids import strip_version, unchanged
from seqexpr.inputs.half_life import FEATURES
from seqexpr.inputs.reference import Reference
from seqexpr.sequences.windows import Tss

LABELS = """id\tsymbol\tchrom\ttss\tstrand\tlung\tbrain
g1.1\tA\t7\t70\t-\t0.5\t
g2\tB\t8\t80\t+\t1.5\t2
g3\tC\t\t\t\t\tNA
"""
HALF_LIFE = "gene\t" + "\t".join(FEATURES) + "\ng2.4\t9\t9\t9\t9\t\t0.5\t\t1\nlone" + "\t0.5" * 8 + "\n"
BED = "1\t20\t21\tg1.9\t0\t+\nchr1\t3\t4\tg4\t0\t-\n"
# g1: exons 11-20 and 31-40, CDS 13-18; g5 has no coding sequence.
GTF = """chr1\tx\texon\t11\t20\t.\t+\t.\tgene_id "g1.7"; transcript_id "t1"; gene_name "ANNOTATED";
chr1\tx\tCDS\t13\t18\t.\t+\t0\tgene_id "g1.7"; transcript_id "t1"; gene_name "ANNOTATED";
chr1\tx\texon\t31\t40\t.\t+\t.\tgene_id "g1.7"; transcript_id "t1"; gene_name "ANNOTATED";
chr2\tx\texon\t11\t20\t.\t-\t.\tgene_id "g5"; transcript_id "t5"; gene_name "LNC";
"""


SUFFIXES = {"labels": ".tsv", "half_life": ".tsv", "annotation": ".gtf", "tss": ".bed"}


def read(
    folder: Path,
    columns: tuple[str, ...] = (),
    clean: Callable[[str], str] = strip_version,
    genome: Path | None = None,
    **texts: str,
) -> GeneTables:
    files = {role: folder / f"{role}{SUFFIXES[role]}" for role in texts}
    for role, text in texts.items():
        files[role].write_text(text)
    labels = {"label_columns": columns} if columns else {}
    return tables_of(clean, genome=genome, **files, **labels)


def tables_of(clean: Callable[[str], str], **options: Any) -> GeneTables:
    given = PrepareOptions(Path("unused"), proteins=Path("unused"), **options)
    return read_gene_tables(given, clean, Reference(given))


def test_without_tables_nothing_is_known(tmp_path: Path) -> None:
    tables = read(tmp_path)
    assert tables.known_genes() is None
    assert tables.labelled is None
    assert tables.label_counts(["g1"]) == {}
    assert tables.features(["g1"]) is None
    assert tables.table(["g1"], None).to_dict("list") == {
        "id": ["g1"], "symbol": [""], "chrom": [""], "tss": [""], "strand": [""],
    }  # fmt: skip


def test_genes_with_a_label(tmp_path: Path) -> None:
    tables = read(tmp_path, labels=LABELS)
    assert tables.labelled == {"g1", "g2"}  # g3 was not measured
    assert tables.known_genes() == {"g1", "g2", "g3"}
    assert tables.label_counts(["g2", "g1"]) == {"lung": 2, "brain": 1}
    assert tables.label_counts(["g3"]) == {"lung": 0, "brain": 0}
    chosen = read(tmp_path, ("brain",), labels=LABELS)
    assert chosen.labelled == {"g2"}
    assert chosen.label_counts(["g2", "g1"]) == {"brain": 1}


def test_known_genes_are_those_of_all_tables(tmp_path: Path) -> None:
    tables = read(tmp_path, labels=LABELS, half_life=HALF_LIFE, tss=BED)
    assert tables.known_genes() == {"g1", "g2", "g3", "lone", "g4"}
    assert read(tmp_path, half_life=HALF_LIFE).known_genes() == {"g2", "lone"}
    assert read(tmp_path, annotation=GTF).known_genes() == {"g1", "g5"}


def test_rows_follow_the_ids_asked_for(tmp_path: Path) -> None:
    tables = read(tmp_path, labels=LABELS, half_life=HALF_LIFE)
    features = tables.features(["g2", "g1"])
    assert features is not None
    table = tables.table(["g2", "g1"], features)
    assert table.columns.tolist() == ["id", "symbol", "chrom", "tss", "strand", "lung", "brain", *FEATURES]
    assert table.iloc[:, :5].to_numpy().tolist() == [["g2", "B", "8", "80", "+"], ["g1", "A", "7", "70", "-"]]
    np.testing.assert_array_equal(table[["lung", "brain"]].to_numpy(), [[1.5, 2], [0.5, np.nan]])
    np.testing.assert_array_equal(features.values, [[9, 9, 9, 9, np.nan, 0.5, np.nan, 1], [np.nan] * 8])
    np.testing.assert_array_equal(table[list(FEATURES)].to_numpy(), features.values)
    assert list(features.counts().values()) == [1, 1, 1, 1, 0, 1, 0, 1]


def test_tss_file_is_heard_before_the_annotation_and_that_before_the_labels(tmp_path: Path) -> None:
    tables = read(tmp_path, labels=LABELS, annotation=GTF, tss=BED)
    # A BED row has no symbol: that comes from the labels. Of a + gene the boundary is its start.
    assert tables.table(["g1", "g2"], None).iloc[:, 1:5].to_numpy().tolist() == [
        ["A", "1", "20", "+"],
        ["B", "8", "80", "+"],
    ]
    annotated = read(tmp_path, labels=LABELS, annotation=GTF)
    assert annotated.table(["g1"], None).iloc[0, 1:5].tolist() == ["ANNOTATED", "chr1", "10", "+"]
    assert annotated.positions["g5"] == Tss("g5", "chr2", 20, "-", "LNC")


def test_features_of_the_annotation_by_hand(tmp_path: Path) -> None:
    """UTRs of 2 and 2 + 10 bases, 6 coding ones, an intron of 10, one junction in 0.006 kb of CDS."""
    tables = read(tmp_path, annotation=GTF)
    without = tables.features(["g5", "g1", "g9"])
    assert without is not None
    lengths = [2, 6, 10, 12, np.nan, np.nan, np.nan, 1 / 0.006]
    np.testing.assert_allclose(without.values, [[np.nan] * 8, lengths, [np.nan] * 8])
    assert without.counts()["cds_len"] == 1
    (tmp_path / "genome.fa").write_text(">chr1\n" + "AACCGGTTAC" * 5 + "\n")
    known = read(tmp_path, annotation=GTF, genome=tmp_path / "genome.fa").features(["g1"])
    assert known is not None
    # AA before the CDS CCGGTT, then AC and the second exon AACCGGTTAC
    np.testing.assert_allclose(known.values[0, 4:7], [0, 4 / 6, 6 / 12])


def test_a_feature_table_is_described_with_its_transforms() -> None:
    described = Features(np.zeros((1, 8))).describe()
    assert dict(zip(described["names"], described["transforms"], strict=True)) == {
        "utr5_len": "log10(x+0.1)", "cds_len": "log10(x+0.1)", "intron_len": "log10(x+0.1)",
        "utr3_len": "log10(x+0.1)", "utr5_gc": "identity", "cds_gc": "identity", "utr3_gc": "identity",
        "orf_exon_density": "log10(x+0.1)",
    }  # fmt: skip


def test_tables_that_a_gene_may_lack_are_named_with_their_cleaned_ids(tmp_path: Path) -> None:
    (side,) = read(tmp_path, labels=LABELS, half_life=HALF_LIFE).optional_sides()
    assert (side.role, side.file, side.ids) == ("half-life features", str(tmp_path / "half_life.tsv"), ["g2", "lone"])
    (side,) = read(tmp_path, labels=LABELS, annotation=GTF).optional_sides()
    assert (side.role, side.file, side.ids) == ("the annotation", str(tmp_path / "annotation.gtf"), ["g1", "g5"])
    assert read(tmp_path, labels=LABELS).optional_sides() == []


@pytest.mark.parametrize("name", ["id", "cds_len"])
def test_labels_named_like_other_columns_are_refused(tmp_path: Path, name: str) -> None:
    text = f"gene\t{name}\tlung\ng1\t1\t2\n"
    with pytest.raises(InputError, match=f"labels.tsv, header: found a label named '{name}'; expected a name of its"):
        read(tmp_path, labels=text)
    assert read(tmp_path, ("lung",), labels=text).label_counts(["g1"]) == {"lung": 1}


@pytest.mark.parametrize(
    ("role", "text"),
    [
        ("labels", "id\tx\ng1.1\t1\ng1.2\t2\n"),
        ("half_life", HALF_LIFE.replace("g2.4", "g1.1").replace("lone", "g1.2")),
        ("annotation", GTF.replace("g1.7", "g1.1").replace("g5", "g1.2")),
        ("tss", BED.replace("g1.9", "g1.1").replace("g4", "g1.2")),
    ],
)
def test_two_versions_of_a_gene_are_refused_in_every_table(tmp_path: Path, role: str, text: str) -> None:
    with pytest.raises(InputError, match=r"'g1\.2': found the same gene as 'g1\.1' once versions are stripped"):
        read(tmp_path, **{role: text})
    known = read(tmp_path, clean=unchanged, **{role: text}).known_genes()
    assert known == {"g1.1", "g1.2"}


def test_many_labels_are_joined_by_symbol_in_no_square_of_time(tmp_path: Path) -> None:
    numbers = range(40_000)
    line = '1\tx\texon\t{0}\t{0}\t.\t+\t.\tgene_id "g{0}"; transcript_id "t{0}"; gene_name "S{0}";\n'
    labels = "id\tlung\n" + "".join(f"S{number + 1}\t1\n" for number in numbers)
    began = time.process_time()
    tables = read(tmp_path, labels=labels, annotation="".join(line.format(number + 1) for number in numbers))
    assert time.process_time() - began < 12
    assert list(tables.label_rows) == [f"g{number + 1}" for number in numbers]
