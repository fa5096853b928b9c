from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqexpr.effects.bgzf import BgzfWriter
from seqexpr.effects.variant_records import VariantRecord, VcfReader, parse_variant
from seqexpr.effects.vcf_output import VcfOutput, encode

from .odd_vcf import ODD_VCF, RECORDS

INFO_LINES = [
    b'##INFO=<ID=seqexpr,Number=.,Type=String,Description="ALLELE|GENE">',
    b'##seqexpr=<Model="human-mrna",SHA256="ab12">',
]
COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


def rewritten(path: Path, entries: list[list[str]]) -> bytes:
    reader = VcfReader(path)
    stream = io.BytesIO()
    output = VcfOutput(stream, reader, info_lines=INFO_LINES)
    for record in reader:
        output.write(record, entries)
    return stream.getvalue()


def rewritten_text(folder: Path, content: bytes, entries: list[list[str]]) -> bytes:
    path = folder / "x.vcf"
    path.write_bytes(content)
    return rewritten(path, entries)


def with_ours(data: bytes, entry: bytes) -> bytes:
    """What is expected, by plain replacement in text: two header lines, and one more INFO entry in each record."""
    end = b"\r\n" if b"\r\n" in data else b"\n"
    header, columns, records = data.partition(b"#CHROM")
    names, first_end, rest = records.partition(end)
    lines = []
    for line in rest.split(end)[:-1]:
        fields = line.split(b"\t")
        fields[7] = entry if fields[7] == b"." else fields[7] + b";" + entry
        lines.append(b"\t".join(fields) + end)
    added = b"".join(line + end for line in INFO_LINES)
    return header + added + columns + names + first_end + b"".join(lines)


@pytest.mark.parametrize("content", [ODD_VCF, ODD_VCF.replace(b"\n", b"\r\n")], ids=["lf", "crlf"])
def test_all_but_the_entry_and_its_header_lines_stays(tmp_path: Path, content: bytes) -> None:
    found = rewritten_text(tmp_path, content, [["C", "GENE1"], ["G", "GENE 2"]])
    assert found == with_ours(content, b"seqexpr=C|GENE1,G|GENE%202")


def test_golden_output(tmp_path: Path) -> None:
    content = b"##fileformat=VCFv4.2\n" + COLUMNS + b"\tFORMAT\tS\nchr1\t5\t.\ta\tG\t.\tPASS\tDP=3;DB\tGT:X\t0|1:;=%\n"
    assert rewritten_text(tmp_path, content, [["G", "A;B", "1.5", ""]]).decode() == (
        "##fileformat=VCFv4.2\n"
        '##INFO=<ID=seqexpr,Number=.,Type=String,Description="ALLELE|GENE">\n'
        '##seqexpr=<Model="human-mrna",SHA256="ab12">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS\n"
        "chr1\t5\t.\ta\tG\t.\tPASS\tDP=3;DB;seqexpr=G|A%3BB|1.5|\tGT:X\t0|1:;=%\n"
    )


def test_a_second_run_replaces_what_the_first_one_wrote(tmp_path: Path) -> None:
    once = rewritten_text(tmp_path, ODD_VCF, [["C", "old"]])
    changed = once.replace(b'SHA256="ab12"', b'SHA256="old"').replace(b"ID=seqexpr,Number=.", b"Number=1,ID=seqexpr")
    assert rewritten_text(tmp_path, changed, [["C", "new"]]) == once.replace(b"|old", b"|new")


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (b".", b"seqexpr=C"),
        (b"", b"seqexpr=C"),
        (b"DP=3;", b"DP=3;seqexpr=C"),
        (b"seqexpr", b"seqexpr=C"),
        (b"a=1;seqexpr=x|y,z;b", b"a=1;b;seqexpr=C"),
        (b"seqexpr2=1", b"seqexpr2=1;seqexpr=C"),
        (b"\xff=\xfe", b"\xff=\xfe;seqexpr=C"),
    ],
)
def test_info_with_the_entry(tmp_path: Path, info: bytes, expected: bytes) -> None:
    start = COLUMNS + b"\nc\t1\t.\tA\tC\t.\t.\t"
    assert rewritten_text(tmp_path, start + info, [["C"]]).endswith(b"\t" + expected)


@pytest.mark.parametrize(
    ("info", "expected"), [(b".", b"."), (b"", b""), (b"a=1;", b"a=1;"), (b"seqexpr=1", b"."), (b"a;seqexpr=1", b"a")]
)
def test_info_of_a_record_with_nothing_to_say(tmp_path: Path, info: bytes, expected: bytes) -> None:
    start = COLUMNS + b"\nc\t1\t.\tA\tC\t.\t.\t"
    assert rewritten_text(tmp_path, start + info + b"\n", []).endswith(b"\t" + expected + b"\n")


def test_values_are_encoded_as_vcf_says() -> None:
    assert encode(":;=%,|\r\n\t x") == "%3A%3B%3D%25%2C%7C%0D%0A%09%20x"
    assert encode("<DEL>*é") == "<DEL>*é"


@given(st.text())
def test_encoded_values_are_read_back_and_hold_no_letter_of_the_format(value: str) -> None:
    encoded = encode(value)
    assert not set(encoded) & set(":;=,|\r\n\t ")
    assert unquote(encoded) == value


def test_other_sources_become_vcf() -> None:
    stream = io.BytesIO()
    output = VcfOutput(stream, None, info_lines=INFO_LINES, contigs={"chr1": 900, "HLA-A*01:01": 5, "a,b": 7})
    output.write(parse_variant("chr1:5:a:G,<DEL>"), [["G", "x"]])
    output.write(VariantRecord(2, "a,b", 7, "an id", "T", ("C",)), [])
    assert stream.getvalue().decode() == (
        "##fileformat=VCFv4.3\n"
        "##contig=<ID=chr1,length=900>\n"
        "##contig=<ID=HLA-A*01:01,length=5>\n"
        '##INFO=<ID=seqexpr,Number=.,Type=String,Description="ALLELE|GENE">\n'
        '##seqexpr=<Model="human-mrna",SHA256="ab12">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        "chr1\t5\t.\ta\tG,<DEL>\t.\t.\tseqexpr=G|x\n"
        "a,b\t7\tan_id\tT\tC\t.\t.\t.\n"
    )


_cells = st.binary(max_size=8).map(lambda data: data.translate(None, b"\t\n\r\0"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(st.lists(_cells, min_size=5, max_size=5), min_size=1, max_size=4),
    end=st.sampled_from([b"\n", b"\r\n"]),
    last_end=st.booleans(),
)
def test_any_other_columns_come_back_as_they_were(tmp_path: Path, records: list, end: bytes, last_end: bool) -> None:
    header = COLUMNS + b"\tFORMAT\tS1" + end
    lines = [b"c\t1\t.\tA\tC\t" + b"\t".join(cells) for cells in records]
    content = header + end.join(lines) + end * last_end
    found = rewritten_text(tmp_path, content, [["C"]])
    added = b"".join(line + end for line in INFO_LINES)
    assert found.startswith(added + header)
    back = found.removeprefix(added + header).split(end)
    assert back[len(lines) :] == [b""] * last_end
    for line, before in zip(back, lines, strict=False):
        fields, expected = line.split(b"\t"), before.split(b"\t")
        assert (fields[:7], fields[8:]) == (expected[:7], expected[8:])
        assert fields[7].endswith(b"seqexpr=C")


@pytest.mark.filterwarnings('ignore:Field "length" not found')
def test_vcfpy_finds_the_entry(tmp_path: Path) -> None:
    vcfpy = pytest.importorskip("vcfpy")
    path = tmp_path / "out.vcf"
    path.write_bytes(rewritten_text(tmp_path, ODD_VCF, [["C", "a b;c,d"], ["G", "e"]]))
    reader = vcfpy.Reader.from_path(str(path))
    assert reader.header.get_info_field_info("seqexpr").type == "String"
    found = [[unquote(value) for value in record.INFO["seqexpr"]] for record in reader]
    assert found == [["C|a b;c,d", "G|e"]] * len(RECORDS)


@pytest.mark.skipif(not (shutil.which("bcftools") and shutil.which("tabix")), reason="bcftools and tabix are not here")
def test_bcftools_and_tabix_read_the_output(tmp_path: Path) -> None:
    source = tmp_path / "x.vcf"
    # bcftools refuses a contig that the header lacks, and tabix records that are out of order.
    rows = sorted((row for row in RECORDS if row.startswith("chr1")), key=lambda row: int(row.split("\t")[1]))
    source.write_bytes(ODD_VCF.partition(RECORDS[0].encode())[0] + "".join(rows).encode())
    packed = tmp_path / "out.vcf.gz"
    with packed.open("wb") as stream, BgzfWriter(stream) as blocks:
        blocks.write(rewritten(source, [["C", "GENE 1"]]))
    subprocess.run(["tabix", "-p", "vcf", packed], check=True)
    command = ["bcftools", "query", "-r", "chr1:200-200", "-f", "%POS %ALT %INFO/seqexpr\\n", packed]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert found == "200 A,T,ACGTT C|GENE%201\n"
    viewed = subprocess.run(["bcftools", "view", "-H", packed], check=True, capture_output=True).stdout
    assert viewed.count(b"\n") == len(rows)
