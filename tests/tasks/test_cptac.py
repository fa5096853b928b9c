from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.tasks.cptac import CaseMeans, read_case_means

HEADER = "idx\tC3L-1\tC3L-2\tC3N-3\n"
A, B, C = "ENSG00000000001", "ENSG00000000002", "ENSG00000000003"


def read(folder: Path, text: str, min_cases: int = 1) -> CaseMeans:
    path = folder / "matrix.txt"
    path.write_text(text)
    return read_case_means(path, min_cases)


def test_means_by_hand(tmp_path: Path) -> None:
    table = read(tmp_path, HEADER + f"{A}.15\t1\t2\t6\n{B}.1\tNA\t-0.5\t1e-1\n{C}.20\t\tNaN\tNA\n")
    assert table.means == {A: 3.0, B: pytest.approx(-0.2)}
    assert (table.cases, table.unmeasured, table.par_y, table.other_rows) == (3, 1, 0, 0)
    assert table.left_out() == "genes without a value 1"


def test_a_gene_must_be_measured_in_enough_cases(tmp_path: Path) -> None:
    text = HEADER + f"{A}.1\t1\t1\t1\n{B}.1\t1\tNA\t1\n{C}.1\tNA\tNA\t1\n"
    assert [list(read(tmp_path, text, least).means) for least in (1, 2, 3)] == [[A, B, C], [A, B], [A]]
    assert read(tmp_path, text, 3).left_out() == "genes with fewer than 3 values 2"


def test_copies_on_y_and_other_rows_are_counted(tmp_path: Path) -> None:
    text = HEADER + f"{A}.14\t1\t1\t1\n{A}.14_PAR_Y\t9\t9\t9\nstatus\t1\t2\t3\nENSMUSG00000000001.4\t2\t2\t2\n"
    table = read(tmp_path, text)
    assert table.means == {A: 1.0, "ENSMUSG00000000001": 2.0}
    assert table.left_out() == "copies of pseudoautosomal genes on Y 1, rows that are no Ensembl gene 1"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.removesuffix("\n"),
        lambda text: "\ufeff" + text,
        lambda text: text + "\n\n",
        lambda text: text.replace(f"{A}.15", f'"{A}.15"').replace("C3L-1", '"C3L-1"'),
        lambda text: text.replace(f"{A}.15", A),
    ],
)
def test_ways_to_write_the_same(tmp_path: Path, change) -> None:
    text = HEADER + f"{A}.15\t1\t2\t6\n"
    assert read(tmp_path, change(text)).means == {A: 3.0}


def test_compressed(tmp_path: Path) -> None:
    path = tmp_path / "matrix.txt.gz"
    path.write_bytes(gzip.compress((HEADER + f"{A}.15\t1\t2\t6\n").encode()))
    assert read_case_means(path).means == {A: 3.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header: found 0 columns; expected idx, then one column per case"),
        ("idx\n", "header: found 1 columns"),
        (HEADER, "found no row of an Ensembl gene"),
        (HEADER + "TP53\t1\t2\t3\n", "found no row of an Ensembl gene; expected rows such as ENSG"),
        (HEADER.replace("C3L-2", "C3L-1") + f"{A}\t1\t2\t3\n", "header: found case 'C3L-1' twice"),
        (HEADER.replace("C3L-2", "") + f"{A}\t1\t2\t3\n", "header: found a column without a name"),
        (HEADER + f"{A}\t1\t2\n", "line 2: found 3 fields; expected 4, a gene and cases"),
        (HEADER + f"{A}\t1\t2\t3\n{B}\t1\tinf\t3\n", "line 3, case 'C3L-2': found 'inf'; expected a finite number"),
        (HEADER + f"{A}\t1\t2\t1_000\n", "line 2, case 'C3N-3': found '1_000'"),
        (
            HEADER + f"{A}.1\t1\t2\t3\n{A}.2\t1\t2\t3\n",
            f"line 3: found gene {A} again .first on line 2.; expected one row",
        ),
    ],
)
def test_bad_matrices(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


_NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
_ROWS = st.dictionaries(
    st.integers(0, 10**11 - 1), st.lists(st.one_of(st.none(), _NUMBERS), min_size=3, max_size=3), min_size=1
)


@given(_ROWS, st.sampled_from(["NA", "", "NaN"]))
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows, missing: str) -> None:
    lines = [
        "\t".join(
            [f"ENSG{number:011d}.{number % 20}", *(missing if value is None else repr(value) for value in values)]
        )
        for number, values in rows.items()
    ]
    table = read(tmp_path_factory.mktemp("cptac"), HEADER + "\n".join(lines) + "\n")
    for number, values in rows.items():
        known = [value for value in values if value is not None]
        found = table.means.get(f"ENSG{number:011d}")
        if known:
            assert found is not None and math.isclose(found, math.fsum(known) / len(known), rel_tol=1e-9, abs_tol=1e-6)
        else:
            assert found is None


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    try:
        read(tmp_path_factory.mktemp("cptac"), text)
    except InputError as problem:
        assert "\n" not in str(problem)
