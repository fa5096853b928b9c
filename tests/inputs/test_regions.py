from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError, SeqexprError, UsageError
from seqexpr.inputs.regions import chosen_regions, parse_region
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Interval


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr2\n{'ACGT' * 25}\n>chr1\n{'ACGT' * 50}\n>HLA-A*01:01\n{'ACGT' * 5}\n")
    return Genome(path)


def bed(folder: Path, text: str) -> Path:
    path = folder / "regions.bed"
    path.write_text(text)
    return path


def test_a_region_counts_from_1_and_includes_its_last_base() -> None:
    assert parse_region("chr1:1-2,000,000") == Interval("chr1", 0, 2_000_000)
    assert parse_region("HLA-A*01:01:7-7") == Interval("HLA-A*01:01", 6, 7)


@given(st.text(max_size=30) | st.from_regex(r"chr1:[0-9,-]{1,25}", fullmatch=True))
def test_bad_regions_are_one_line(genome: Genome, text: str) -> None:
    try:
        found = chosen_regions(genome, region=text)
    except SeqexprError as error:
        said = str(error)
        assert said.startswith((f"--region {text!r}: expected ", f"{genome.path}, --region {text}: found "))
        assert "expected" in said and ("\n" not in said or "\n" in text)
    else:
        (one,) = found
        assert one.chrom in genome.contigs and 0 <= one.start < one.end <= genome.contigs[one.chrom]


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("chr1", "--region 'chr1': expected CONTIG:FIRST-LAST, such as chr1:1-2,000,000"),
        ("chr1:0-5", "--region 'chr1:0-5': expected 1 <= FIRST <= LAST, as bases are counted from 1"),
        ("chr1:6-5", "--region 'chr1:6-5': expected 1 <= FIRST <= LAST, as bases are counted from 1"),
        (f"chr1:1-{'9' * 30}", f"--region 'chr1:1-{'9' * 30}': expected CONTIG:FIRST-LAST, such as chr1:1-2,000,000"),
    ],
)
def test_what_is_wrong_with_a_region_is_said(region: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_region(region)
    assert str(caught.value) == message


def test_regions_of_a_file_come_in_the_genomes_order_and_under_its_names(genome: Genome, tmp_path: Path) -> None:
    path = bed(tmp_path, "track name=x\n1\t100\t200\n# a comment\nchr1\t0\t50\tname\t0\t-\nchr2 7 9\n")
    assert chosen_regions(genome, regions=path) == [
        Interval("chr2", 7, 9),
        Interval("chr1", 0, 50),
        Interval("chr1", 100, 200),
    ]


def test_contigs_are_scanned_whole(genome: Genome) -> None:
    assert chosen_regions(genome, chromosomes=["1", "chr2"]) == [Interval("chr2", 0, 100), Interval("chr1", 0, 200)]
    with pytest.raises(UsageError, match="--chromosomes names chr1 twice"):
        chosen_regions(genome, chromosomes=["1", "chr1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "regions.bed: found no row; expected BED rows: chrom start end"),
        ("chr1\t5\n", "regions.bed, line 1: found 2 columns; expected at least 3 (chrom start end)"),
        ("\nchr1\t5\tx\n", "regions.bed, line 2: found coordinate 'x'; expected an integer from 0"),
        ("chr1\t5\t5\n", "regions.bed, line 1: found end 5 with start 5; expected end > start"),
        (
            "chr1\t5\t201\n",
            "regions.bed, line 1: found base 201 of contig chr1; expected 1 to 200, the contig's length",
        ),
        ("chr8\t5\t6\n", "genome.fa, line 1: found no contig 'chr8'; expected one of chr2, chr1, HLA-A*01:01"),
        (
            "chr1\t40\t60\nchr1\t0\t50\n",
            "regions.bed: found regions that overlap, chr1:1-50 and chr1:41-60; expected each base in one region",
        ),
    ],
)
def test_a_bad_row_is_named(genome: Genome, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        chosen_regions(genome, regions=bed(tmp_path, text))
    assert message in str(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_rows_or_an_error(genome: Genome, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bed"
    path.write_bytes(data)
    try:
        assert chosen_regions(genome, regions=path)
    except InputError as error:
        assert "found" in str(error)


def test_regions_that_touch_are_two(genome: Genome, tmp_path: Path) -> None:
    assert len(chosen_regions(genome, regions=bed(tmp_path, "chr1\t0\t50\nchr1\t50\t60\n"))) == 2


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "no region: give --region chr1:1-2,000,000, --regions FILE or --chromosomes chr1,chr2"),
        ({"region": "a:1-2", "chromosomes": ["a"]}, "--region and --chromosomes are two choices of regions; give one"),
    ],
)
def test_exactly_one_choice(genome: Genome, given_: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen_regions(genome, **given_)  # type: ignore[arg-type]
    assert str(caught.value) == message
