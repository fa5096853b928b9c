from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqexpr.effects.allele_text import classify, resolve_symbolic
from seqexpr.effects.bgzf import BgzfWriter
from seqexpr.effects.variant_records import (
    Genotype,
    VariantRecord,
    VariantTable,
    VcfReader,
    parse_variant,
)
from seqexpr.errors import InputError, UsageError

from .odd_vcf import ODD_VCF, RECORDS

COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
SMALL_HEADER = f"##fileformat=VCFv4.2\n{COLUMNS}\n"
SHARED_FOLDER = [HealthCheck.function_scoped_fixture]


def saved(folder: Path, content: str | bytes, name: str = "x.vcf") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def vcf(folder: Path, content: str | bytes) -> VcfReader:
    return VcfReader(saved(folder, content))


def table(folder: Path, content: str | bytes) -> list[VariantRecord]:
    return list(VariantTable(saved(folder, content, "x.tsv")))


def places(records: Iterable[VariantRecord]) -> list[tuple[object, ...]]:
    return [(r.number, r.chrom, r.position, r.id, r.ref, r.alts) for r in records]


def blocked(text: bytes) -> bytes:
    stream = io.BytesIO()
    with BgzfWriter(stream) as writer:
        writer.write(text)
    return stream.getvalue()


ODD_PLACES = [
    (1, "chr1", 100, "rs1;rs2", "A", ("C",)),
    (2, "chr1", 100, "rs1", "A", ("C",)),
    (3, "chr1", 90, ".", "a", ("g",)),
    (4, "chr1", 200, ".", "ACG", ("A", "T", "ACGTT")),
    (5, "chr1", 0, ".", "N", ("A",)),
    (6, "chr1", 300, ".", "N", ("<DEL>",)),
    (7, "chr1", 300, ".", "N", ("<DEL>", "<DUP:TANDEM>")),
    (8, "chr1", 310, ".", "G", ("G]chr1:500]",)),
    (9, "chr1", 311, ".", "G", ("]chr1:500]G",)),
    (10, "chr1", 320, ".", "C", ("*",)),
    (11, "chr1", 330, ".", "C", (".",)),
    (12, "chr1", 340, ".", "C", ("<NON_REF>",)),
    (13, "chr1", 350, ".", "R", ("AY",)),
    (14, "chr1", 360, ".", "A", ("<INS>",)),
    (15, "HLA-A*01:01", 7, ".", "T", ("G",)),
    (16, "chrUn", 7, ".", "T", ("G",)),
]


@pytest.mark.parametrize(
    "content",
    [ODD_VCF, ODD_VCF.replace(b"\n", b"\r\n"), gzip.compress(ODD_VCF), blocked(ODD_VCF), b"\xef\xbb\xbf" + ODD_VCF],
    ids=["plain", "crlf", "gzip", "bgzip", "mark"],
)
def test_every_record_comes_as_it_is_written(tmp_path: Path, content: bytes) -> None:
    reader = vcf(tmp_path, content)
    assert reader.samples == ("S 1", "S2", "S3")
    assert reader.columns[:9] == (*COLUMNS.split("\t"), "FORMAT")
    assert reader.contig_lengths == {"chr1": 248_956_422, "HLA-A*01:01": 1000}
    records = list(reader)
    assert places(records) == ODD_PLACES
    end = "\r\n" if reader.column_line.endswith(b"\r\n") else "\n"
    assert [record.line for record in records] == [line.replace("\n", end).encode() for line in RECORDS]
    assert [record.line_number for record in records] == list(range(21, 37))


def test_header_lines_and_the_columns_are_the_files_own_bytes(tmp_path: Path) -> None:
    reader = vcf(tmp_path, ODD_VCF)
    assert b"".join([*reader.header, reader.column_line, *(record.line or b"" for record in reader)]) == ODD_VCF


def test_a_file_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(blocked(ODD_VCF))))
    assert places(VcfReader("-")) == ODD_PLACES


def test_records_of_any_block_size_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqexpr.sequences.streams._BLOCK", 7)
    reader = vcf(tmp_path, ODD_VCF)
    assert places(reader) == ODD_PLACES


def test_a_header_alone_has_no_records(tmp_path: Path) -> None:
    assert list(vcf(tmp_path, SMALL_HEADER)) == []
    assert list(vcf(tmp_path, COLUMNS)) == []


def test_blank_lines_and_a_last_line_without_an_end(tmp_path: Path) -> None:
    records = list(vcf(tmp_path, SMALL_HEADER + "\nc\t1\t.\tA\tC\t.\t.\t.\n\n\nc\t2\t.\tA\tC\t.\t.\t."))
    assert [(record.number, record.line_number, record.position) for record in records] == [(1, 4, 1), (2, 7, 2)]
    assert records[1].line == b"c\t2\t.\tA\tC\t.\t.\t."


def test_records_without_format_where_there_are_no_samples(tmp_path: Path) -> None:
    assert len(list(vcf(tmp_path, f"{COLUMNS}\tFORMAT\nc\t1\t.\tA\tC\t.\t.\t.\n"))) == 1


def test_an_allele_of_a_million_bases_is_no_error(tmp_path: Path) -> None:
    long = "A" * 1_000_000
    [record] = vcf(tmp_path, f"{SMALL_HEADER}c\t1\t.\t{long}\tC\t.\t.\t.\n")
    assert record.ref == long


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "x.vcf: found an empty file; expected a VCF file with its header"),
        ("\n\n", "found an empty file"),
        ("##fileformat=VCFv4.2\n", "found no line that starts with #CHROM; expected"),
        ("##gff-version 3\nchr1\tx\tgene\n", "line 2: found 'chr1\\tx\\tgene' before any line that starts with #CHROM"),
        (">chr1\nACGT\n", "line 1: found '>chr1' before any"),
        ("##fileformat=VCFv3.3\n", "line 1: found the format 'VCFv3.3'; expected VCFv4.0 or newer"),
        (COLUMNS.replace("\t", " "), "line 1: found columns that spaces separate; expected #CHROM POS ID REF"),
        ("#CHROM\tPOS\tREF\tALT\n", "line 1: found the columns '#CHROM POS REF ALT'; expected #CHROM POS ID"),
        (f"{COLUMNS}\tS1\n", "found the column 'S1' after INFO; expected FORMAT"),
        (f"{COLUMNS}\tFORMAT\tS1\tS1\n", "found the sample 'S1' twice"),
        (f"{COLUMNS}\tFORMAT\t\n", "found a column's name without a value"),
        (b"BCF\x02\x02\0\0", r"found a BCF file; expected VCF text: bcftools view .*x.vcf | seqexpr variants --vcf -"),
        (gzip.compress(b"BCF\x02\x02\0\0"), "found a BCF file"),
        ("##a\nb\0c\n", "line 2: found a NUL byte; expected VCF text"),
        (b"\x1f\x8b\x08\0", "found a gzip file that is cut short"),
    ],
)
def test_what_is_no_vcf(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as problem:
        vcf(tmp_path, content)
    for part in message.split(".*"):
        assert part in str(problem.value)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            "c\t1\t.\tA\tC\t.\t.",
            "line 3: found 7 columns; expected 10 columns separated by tabs, as in the #CHROM line",
        ),
        ("c\t1\t.\tA\tC\t.\t.\t.\tGT", "found 9 columns; expected 10"),
        ("c\t1\t.\tA\tC\t.\t.\t.\tGT\t0\t1", "found 11 columns; expected 10"),
        ("c", "found 1 column; expected 10"),
        ("c 1 . A C . . . GT 0/1", "found columns that spaces separate"),
        ("c\tx\t.\tA\tC\t.\t.\t.\tGT\t0", "found POS 'x'; expected a whole number, 0 or more"),
        ("c\t-1\t.\tA\tC\t.\t.\t.\tGT\t0", "found POS '-1'"),
        ("c\t1.5\t.\tA\tC\t.\t.\t.\tGT\t0", "found POS '1.5'"),
        ("c\t٣\t.\tA\tC\t.\t.\t.\tGT\t0", "found POS '٣'"),
        (f"c\t{'9' * 5000}\t.\tA\tC\t.\t.\t.\tGT\t0", "found POS '999"),
        ("\t1\t.\tA\tC\t.\t.\t.\tGT\t0", "found CHROM without a value"),
        ("c\t1\t.\t\tC\t.\t.\t.\tGT\t0", "found REF without a value"),
        ("c\t1\t.\tA\tC,,G\t.\t.\t.\tGT\t0", "found an empty allele in ALT 'C,,G'"),
        (b"c\t1\t\xff\tA\tC\t.\t.\t.\tGT\t0", "found ID '\ufffd'; expected text in UTF-8"),
        (f"{COLUMNS}\tFORMAT\tS1", "among the records; expected one header, before all records: bcftools concat"),
    ],
)
def test_records_that_are_none(tmp_path: Path, record: str | bytes, message: str) -> None:
    start = f"{COLUMNS}\tFORMAT\tS1\nc\t1\t.\tA\tC\t.\t.\t.\tGT\t0/1\n".encode()
    reader = vcf(tmp_path, start + (record if isinstance(record, bytes) else record.encode()))
    records = iter(reader)
    assert next(records).position == 1
    with pytest.raises(InputError) as problem:
        next(records)
    assert message in str(problem.value)
    assert "line 3" in str(problem.value)
    assert len(str(problem.value)) < 500


def test_a_bgzip_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    long = ODD_VCF + b"".join(b"c\t%d\t.\tA\tC\t.\t.\t.\tGT\t0\t0\t0\n" % place for place in range(20_000))
    whole = blocked(long)
    with pytest.raises(InputError, match="EOF marker is absent"):
        list(vcf(tmp_path, whole[:-28]))
    with pytest.raises(InputError, match="cut short"):
        list(vcf(tmp_path, whole[:-60]))


GENOTYPES = {
    0: [
        Genotype((0, 1), True, "100"),
        Genotype((1, 0), True, "100"),
        Genotype((None, None), False, None),
    ],
    1: [Genotype((0, 1), False, None), Genotype((1, 1), False, None), Genotype((None,), True, None)],
    2: [Genotype((0,), True, None), Genotype((1,), True, None), Genotype((None, 1), True, None)],
    3: [Genotype((1, 3), True, None), Genotype((2, 0), False, None), Genotype((0, 2, 3), True, None)],
    15: [Genotype((), False, None)] * 3,
}


@pytest.mark.parametrize("place", GENOTYPES)
def test_genotypes(tmp_path: Path, place: int) -> None:
    record = list(vcf(tmp_path, ODD_VCF))[place]
    assert record.genotypes(range(3)) == GENOTYPES[place]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0/1|1", Genotype((0, 1, 1), False, None)),
        ("/0|1", Genotype((0, 1), False, None)),
        ("|0|1", Genotype((0, 1), True, None)),
        ("/1", Genotype((1,), False, None)),
    ],
)
def test_genotypes_whose_first_allele_has_a_phase_of_its_own(tmp_path: Path, text: str, expected: Genotype) -> None:
    [record] = vcf(tmp_path, f"{COLUMNS}\tFORMAT\tS1\r\nc\t1\t.\tA\tC\t.\t.\t.\tGT\t{text}\r\n")
    assert record.genotypes([0])[0] == expected


@pytest.mark.filterwarnings('ignore:Field "length" not found')
def test_vcfpy_reads_the_same_records_and_genotypes(tmp_path: Path) -> None:
    vcfpy = pytest.importorskip("vcfpy")
    path = tmp_path / "x.vcf"
    path.write_bytes(ODD_VCF)
    reader, other = VcfReader(path), vcfpy.Reader.from_path(str(path))
    assert reader.samples == tuple(other.header.samples.names)
    for record, theirs in zip(reader, other, strict=True):
        assert (record.chrom, record.position, record.ref) == (theirs.CHROM, theirs.POS, theirs.REF)
        assert record.id.split(";") == (theirs.ID or ["."])
        assert list(record.alts) == ([alt.serialize() for alt in theirs.ALT] or ["."])
        for place, name in enumerate(reader.samples):
            call, genotype = theirs.call_for_sample[name], record.genotypes([place])[0]
            if call.gt_alleles:  # vcfpy has none for a GT of "." alone
                assert list(genotype.alleles) == call.gt_alleles
            else:
                assert genotype.alleles in ((), (None,))
            if len(genotype.alleles) > 1:
                assert genotype.phased == call.is_phased
            phase_set = call.data.get("PS")
            assert genotype.phase_set == (None if phase_set is None else str(phase_set))


@pytest.mark.parametrize("text", ["0/2", "x", "", "0//1", "-1", "0/1 ", "1e0", "9" * 5000])
def test_genotypes_that_are_none(tmp_path: Path, text: str) -> None:
    [record] = vcf(tmp_path, f"{COLUMNS}\tFORMAT\tS1\nc\t1\t.\tA\tC\t.\t.\t.\tPS:GT\t7:{text}\n")
    with pytest.raises(InputError, match=r"line 2: found GT '.*'; expected alleles of 0 to 1 or \. with"):
        record.genotypes([0])[0]


def test_info_entries(tmp_path: Path) -> None:
    first = next(iter(vcf(tmp_path, ODD_VCF)))
    assert (first.info("DP"), first.info("DB"), first.info("D")) == ("5", "", None)
    assert parse_variant("c:1:A:C").info("DP") is None


TABLE_PLACES = [(1, "chr1", 5, "rs1", "a", ("G",)), (2, "HLA-A*01:01", 6, ".", "AC", ("A", "<DEL>"))]


@pytest.mark.parametrize(
    "content",
    [
        "chrom\tpos\tid\tref\talt\nchr1\t5\trs1\ta\tG\nHLA-A*01:01\t6\t\tAC\tA,<DEL>\n",
        "CHROM\tPos\tID\tREF\tALT\r\nchr1\t5\trs1\ta\tG\r\n\r\nHLA-A*01:01\t6\t.\tAC\tA,<DEL>",
        "## a comment\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t5\trs1\ta\tG\nHLA-A*01:01\t6\t\tAC\tA,<DEL>\n",
        'x,alt,ref,pos,chrom,id\n,G,a,5,chr1,rs1\n,"A,<DEL>",AC,6,HLA-A*01:01,\n',
        'chrom\tpos\tid\tref\talt\nchr1\t5\trs1\ta\tG\nHLA-A*01:01\t6\t\tAC\t"A,<DEL>"\n',
        gzip.compress(b"chrom\tpos\tid\tref\talt\n chr1 \t5\trs1\ta\tG\nHLA-A*01:01\t6\t\tAC\tA,<DEL>\n"),
    ],
    ids=["tabs", "crlf", "hash", "commas", "quotes", "gzip"],
)
def test_tables(tmp_path: Path, content: str | bytes) -> None:
    records = table(tmp_path, content)
    assert places(records) == TABLE_PLACES
    assert {record.line for record in records} == {None}


def test_a_vcf_file_without_samples_is_also_a_table(tmp_path: Path) -> None:
    assert places(table(tmp_path, ODD_VCF)) == ODD_PLACES


def test_a_table_may_hold_alleles_that_are_too_long_to_be_scored(tmp_path: Path) -> None:
    [record] = table(tmp_path, f"chrom,pos,ref,alt\nc,1,{'A' * 200_000},C\n")
    assert classify(record.ref, record.alts[0]) == "too_long"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "x.tsv: found no row; expected a table with the columns chrom, pos, ref and alt"),
        ("chr1\t5\tA\tC\n", "line 1: found no column chrom, pos, ref, alt, but chr1, 5, a, c; expected the columns"),
        ("chrom pos ref alt\n", "found no column chrom, pos, ref, alt, but chrom pos ref alt"),
        ("chrom\tpos\tref\n", "found no column alt, but chrom, pos, ref"),
        ("chrom\tpos\tref\talt\tPOS\n", "found the column pos twice"),
        ("chrom\tpos\tref\talt\nc\t1\tA\n", "line 2: found 3 cells; expected 4, as in the header"),
        ("chrom,pos,ref,alt\nc,1,A,C,G\n", "found 5 cells; expected 4, as in the header; cells with commas in quotes"),
        ("chrom\tpos\tref\talt\nc\t1,000\tA\tC\n", "found pos '1,000'; expected a whole number"),
        ("chrom\tpos\tref\talt\nc\t-1\tA\tC\n", "found pos '-1'"),
        ("chrom\tpos\tref\talt\nc\t٣\tA\tC\n", "found pos '٣'"),
        ("chrom\tpos\tref\talt\nc\t1\t\tC\n", "found an empty ref"),
        ("chrom\tpos\tref\talt\nc\t1\tA C\tC\n", "found ref 'A C'; expected a value without spaces"),
        ("chrom\tpos\tref\talt\n#c\t1\tA\tC\n", "found chrom '#c'"),
        ("chrom\tpos\tref\talt\nc\t1\tA\tC,\n", "found an empty allele in alt 'C,'"),
        ('chrom\tpos\tref\talt\nc\t1\t"A\tC\n', "found 3 cells"),
        (b"chrom\tpos\tref\talt\nc\xff\t1\tA\tC\n", "line 2: found 'c\ufffd\\t1\\tA\\tC'; expected text in UTF-8"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as problem:
        table(tmp_path, content)
    assert message in str(problem.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr1:123:A:G", ("chr1", 123, "A", ("G",))),
        (" chr1-123-A-G ", ("chr1", 123, "A", ("G",))),
        ("chr1:123 A>G", ("chr1", 123, "A", ("G",))),
        ("chr1:123A>G", ("chr1", 123, "A", ("G",))),
        ("chr1:123:a:gt,C", ("chr1", 123, "a", ("gt", "C"))),
        ("HLA-A*01:01:7:T:G", ("HLA-A*01:01", 7, "T", ("G",))),
        ("HLA-A*01:01-7-T-G", ("HLA-A*01:01", 7, "T", ("G",))),
        ("HLA-A*01:01:7T>G", ("HLA-A*01:01", 7, "T", ("G",))),
        ("1:0:N:A", ("1", 0, "N", ("A",))),
        ("1:5:A:*", ("1", 5, "A", ("*",))),
        ("1:5:N:<DEL>", ("1", 5, "N", ("<DEL>",))),
        ("1:5:A:<DUP:TANDEM>", ("1", 5, "A", ("<DUP:TANDEM>",))),
    ],
)
def test_variants_as_text(text: str, expected: tuple[object, ...]) -> None:
    record = parse_variant(text, 3)
    assert (record.chrom, record.position, record.ref, record.alts) == expected
    assert (record.number, record.id, record.line) == (3, ".", None)


@pytest.mark.parametrize(
    "text",
    ["", "chr1", "chr1:123", "chr1:123:A", "chr1:x:A:G", "chr1:-5:A:G", "chr1:1,234:A:G", ":1:A:G", "chr1:1:A:",
     "#c:1:A:G", "chr1:1::G", "chr1:1:A:-", "chr1:1:A:G,", "rs123", "chr1:٣:A:G",
     f"chr1:{'9' * 30}:A:G", "A" * 100_000],
)  # fmt: skip
def test_text_that_is_no_variant(text: str) -> None:
    with pytest.raises(
        UsageError, match="write CHROM:POS:REF:ALT with the bases themselves, such as chr1:123:A:G"
    ) as bad:
        parse_variant(text)
    assert len(str(bad.value)) < 250
    assert text[:20] in str(bad.value)


_names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\t\r\n#"), min_size=1)
_allele = st.text("ACGTNacgtn", min_size=1) | st.sampled_from(["*", ".", "<DEL>", "A]chr1:5]"])
_record = st.tuples(_names, st.integers(0, 10**12), _names, _allele, st.lists(_allele, min_size=1, max_size=3))


@settings(suppress_health_check=SHARED_FOLDER)
@given(records=st.lists(_record, max_size=5), end=st.sampled_from(["\n", "\r\n"]))
def test_random_records_are_read_back(tmp_path: Path, records: list, end: str) -> None:
    lines = [f"{c}\t{p}\t{i}\t{r}\t{','.join(a)}\t.\t.\t.{end}" for c, p, i, r, a in records]
    found = list(vcf(tmp_path, SMALL_HEADER.replace("\n", end) + "".join(lines)))
    assert places(found) == [(n, c, p, i, r, tuple(a)) for n, (c, p, i, r, a) in enumerate(records, 1)]
    assert [record.line for record in found] == [line.encode() for line in lines]


@settings(suppress_health_check=SHARED_FOLDER)
@given(
    record=st.tuples(_names, st.integers(0, 10**12), _allele, _allele),
    form=st.sampled_from(["{}:{}:{}:{}", "{}-{}-{}-{}"]),
)
def test_random_variants_as_text(record: tuple, form: str) -> None:
    if "]" in record[2] + record[3]:
        with pytest.raises(UsageError):
            parse_variant(form.format(*record))
        return
    found = parse_variant(form.format(*record))
    assert (found.chrom, found.position, found.ref, found.alts) == (*record[:3], (record[3],))


_fields = st.sampled_from(
    [b"c", b"1", b".", b"A", b"<DEL>", b"GT", b"0|1", b"", b"\xff", b'"', b" ", b"#CHROM", b"##", b"\0"]
)
_lines = st.lists(_fields, max_size=11).map(b"\t".join) | st.binary(max_size=20)


@settings(suppress_health_check=SHARED_FOLDER)
@given(
    start=st.sampled_from([b"", SMALL_HEADER.encode(), COLUMNS.encode() + b"\tFORMAT\tS1\n", b"chrom,pos,ref,alt\n"]),
    lines=st.lists(_lines, max_size=4),
    packed=st.sampled_from([bytes, gzip.compress, blocked]),
    cut=st.integers(0, 30),
)
def test_any_bytes_are_records_or_an_input_error(tmp_path: Path, start: bytes, lines: list, packed, cut: int) -> None:
    data = packed(start + b"\n".join(lines))
    path = saved(tmp_path, data[: len(data) - cut] if cut < 10 else data)
    for source in (VcfReader, VariantTable):
        try:
            reader = source(path)
            for record in reader:
                for alt in range(len(record.alts)):
                    classify(record.ref, record.alts[alt])
                    resolve_symbolic(record, alt)
                if source is VcfReader and reader.samples:
                    record.genotypes([0])[0]
        except InputError as problem:
            assert str(problem)


@given(st.text() | st.lists(st.sampled_from([*":->,<AC5 c"])).map("".join))
def test_any_text_is_a_variant_or_a_usage_error(text: str) -> None:
    try:
        record = parse_variant(text)
    except UsageError:
        return
    assert record.position >= 0 and record.ref and all(record.alts)
