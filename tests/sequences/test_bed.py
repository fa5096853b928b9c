from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences.annotation import read_tss
from seqexpr.sequences.bed import read_bed
from seqexpr.sequences.windows import Tss


def bed(folder: Path, text: str | bytes) -> list[Tss]:
    path = folder / "tss.bed"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_bed(path)


# TSPAN6 and TNMD of hg38; their first transcribed bases, 0-based.
GOLDEN_BED = "chrX\t100636749\t100636750\tENSG00000000003\t0\t-\nchrX\t100584935\t100584936\tENSG00000000005\t0\t+\n"
GOLDEN_SITES = [
    Tss("ENSG00000000003", "chrX", 100_636_750, "-"),
    Tss("ENSG00000000005", "chrX", 100_584_935, "+"),
]


@pytest.mark.parametrize(
    "content",
    [
        GOLDEN_BED.encode(),
        GOLDEN_BED.replace("\n", "\r\n").encode(),
        gzip.compress(GOLDEN_BED.encode()),
        GOLDEN_BED.replace("\t", " ").encode(),
        b"browser position chrX\ntrack name=x\n#chrom start\n\n" + GOLDEN_BED.encode().rstrip(),
        GOLDEN_BED.replace("-\n", "-\t1\t2\n").encode(),
    ],
    ids=["plain", "crlf", "gzip", "spaces", "headers", "extra-columns"],
)
def test_bed_of_the_golden_genes(tmp_path: Path, content: bytes) -> None:
    sites = bed(tmp_path, content)
    assert sites == GOLDEN_SITES
    assert [str(site.window(7000, 3500)) for site in sites] == [
        "chrX:100633250-100643750:-",
        "chrX:100577935-100588435:+",
    ]


def test_bed_interval_stands_for_its_five_prime_end(tmp_path: Path) -> None:
    assert [site.boundary for site in bed(tmp_path, "1\t100\t200\ta\t0\t+\n1\t100\t200\tb\t0\t-\n")] == [
        100,
        200,
    ]


def test_bed_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOLDEN_BED.encode())))
    assert read_tss("-") == GOLDEN_SITES


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1 5 6 g 0", "found 5 columns; expected at least 6"),
        ("1 -5 6 g 0 +", "found coordinate '-5'"),
        ("1 5 6.5 g 0 +", "found coordinate '6.5'"),
        ("1 1e3 2000 g 0 +", "found coordinate '1e3'"),
        ("1 1_0 20 g 0 +", "found coordinate '1_0'"),
        ("1 5 ٦ g 0 +", "found coordinate '٦'"),
        (f"1 5 {'9' * 5000} g 0 +", "found coordinate '999"),
        ("1 5 5 g 0 +", "found end 5 with start 5"),
        ("1 6 5 g 0 +", "found end 5 with start 6"),
        ("1 5 6 g 0 .", "found strand '.'; expected"),
        ("1 5 6 . 0 +", "found name '.'"),
        ("c\td\t5\t6\tg\t0\t+", "found coordinate 'd'"),
        ("c d\t5\t6\tg\t0\t+", "found contig 'c d'"),
        ("1 5 6 g\0 0 +", "found a NUL byte"),
    ],
)
def test_bad_bed_rows(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        bed(tmp_path, "#head\n1\t2\t3\tok\t0\t+\n" + (row if "\t" in row else row.replace(" ", "\t")) + "\n")
    assert ", line 3: " in str(error.value)


def test_bad_bed_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no row"):
        bed(tmp_path, "#only a header\n")
    with pytest.raises(InputError, match="name 'g': found a second row"):
        bed(tmp_path, "1\t2\t3\tg\t0\t+\n1\t5\t6\tg\t0\t+\n")
    with pytest.raises(InputError, match="not UTF-8"):
        bed(tmp_path, b"1\t2\t3\t\xff\t0\t+\n")
    with pytest.raises(InputError, match="cut short"):
        bed(tmp_path, gzip.compress(GOLDEN_BED.encode())[:-5])


names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12).filter(
    lambda name: name != "." and not name.startswith(("#", "track", "browser"))
)


@given(
    st.dictionaries(
        names,
        st.tuples(names, st.integers(0, 10**9), st.integers(1, 10**4), st.sampled_from("+-")),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_bed_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, tuple[str, int, int, str]], newline: str
) -> None:
    text = newline.join(
        f"{chrom}\t{start}\t{start + length}\t{name}\t0\t{strand}"
        for name, (chrom, start, length, strand) in rows.items()
    )
    sites = bed(tmp_path_factory.getbasetemp(), text)
    assert sites == [
        Tss(name, chrom, start if strand == "+" else start + length, strand)
        for name, (chrom, start, length, strand) in rows.items()
    ]


@pytest.mark.parametrize("name", ["track", "browser", "track_12", "tracking"])
def test_a_contig_may_be_called_as_a_header_is(tmp_path: Path, name: str) -> None:
    for row in (f"{name}\t5\t6\tg\t0\t+", f"{name} 5 6 g 0 +"):
        assert bed(tmp_path, f"track name=x\n{row}\n")[0].chrom == name


@pytest.mark.parametrize(("lengths", "told"), [((20, 20), True), ((20, 21), False), ((1, 1), False), ((20,), False)])
def test_rows_of_one_length_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lengths: tuple[int, ...], told: bool
) -> None:
    bed(tmp_path, "".join(f"1\t5\t{5 + length}\tg{row}\t0\t+\n" for row, length in enumerate(lengths)))
    assert ("every row is 20 bp long, as windows are" in caplog.text) == told
