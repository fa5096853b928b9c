import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.inputs.tables import frame_table, read_table

CELLS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters='"\x7f\x85\xa0'), max_size=8)


def write(folder: Path, text: str | bytes, name: str = "table.tsv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_reads_columns_lines_and_numbers(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "\ufeffgene\ta\tb\r\ng1\t1.5\t\r\n\r\ng2\tNA\t -2e-1 \r\n"))
    assert table.columns == ("gene", "a", "b")
    assert table.ids() == ["g1", "g2"]
    assert table.lines == [2, 4]
    np.testing.assert_array_equal(table.numbers(("b", "a")), [[np.nan, 1.5], [-0.2, np.nan]])


def test_gzip_is_told_by_content_and_csv_by_suffix(tmp_path: Path) -> None:
    plain = read_table(write(tmp_path, 'id,x\n"g,1",2\n', "a.csv"))
    packed = read_table(write(tmp_path, gzip.compress(b"id\tx\ng\t2\n"), "b.tsv"))
    assert plain.rows == [["g,1", "2"]]
    assert packed.rows == [["g", "2"]]


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999", "high", "1_000", "1,5", "0x10", "--1", "٣"])
def test_what_is_no_number_is_refused_with_its_place(tmp_path: Path, cell: str) -> None:
    table = read_table(write(tmp_path, f"id\tx\ng1\t1\ng2\t{cell}\n"))
    with pytest.raises(InputError, match=r"line 3, column 'x': found .*; expected a (finite number|number with)"):
        table.numbers(("x",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"\n\n", "empty file"),
        (b"id\tx\n", "a header and no rows"),
        (b"id\nb\n", "header: found one column"),
        (b"id\tx\tx\ng\t1\t2\n", "column 'x' 2 times"),
        (b"id\t\ng\t1\n", "a column without a name"),
        (b"g\t1.5\nh\t2\n", r"header: found only numbers \(1.5\) after 'g'"),
        (b"id\tx\ng\t1\t2\n", "line 2: found 3 fields; expected 2"),
        (b"id\tx\ty\ng\t1\n", "line 2: found 2 fields; expected 3"),
        (b"id\tx\ng\t1\0\n", "NUL"),
        (b"id\tx\n\xff\t1\n", "not UTF-8"),
        (gzip.compress(b"id\tx\ng\t1\n" * 50)[:-12], "gzip"),
    ],
)
def test_bad_tables_are_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_table(write(tmp_path, content))
    assert "table.tsv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_and_an_absent_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        read_table(tmp_path)
    with pytest.raises(InputError, match=r"absent\.tsv"):
        read_table(tmp_path / "absent.tsv")


@pytest.mark.parametrize(("rows", "message"), [("g\t1\ng\t2\n", "'g' again"), ("g\t1\n\t2\n", "empty id")])
def test_ids_are_given_once(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=f"line 3: found .*{message}"):
        read_table(write(tmp_path, "id\tx\n" + rows)).ids()


@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3).filter(any), min_size=1, max_size=6),
    end=st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cells_come_back(tmp_path: Path, rows: list[list[str]], end: str) -> None:
    lines = ["id\ta\tb", *("\t".join(row) for row in rows)]
    assert read_table(write(tmp_path, end.join(lines) + end)).rows == rows


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_finite_number_comes_back_exactly(tmp_path: Path, values: list[float]) -> None:
    text = "id\tx\n" + "".join(f"g{i}\t{value!r}\n" for i, value in enumerate(values))
    assert read_table(write(tmp_path, text)).numbers(("x",))[:, 0].tolist() == values


@pytest.mark.parametrize(
    "text",
    [
        "#string_external_id\tabundance\n9606.E1\t2\n",
        "#name: PaxDb\n#score: 1\n#\n#string_external_id\tabundance\n9606.E1\t2\n",
        "# Program:featureCounts\nstring_external_id\tabundance\n9606.E1\t2\n",
        "#1.2\n1\t1\nstring_external_id\tabundance\n9606.E1\t2\n",
        '"string_external_id"\t"abundance"\n"9606.E1"\t"2"\n',
        "string_external_id,abundance\n9606.E1,2\n",
        "string_external_id;abundance\n9606.E1;2\n",
        "#string_external_id,abundance\n9606.E1,2\n",
        "# made, by us\nstring_external_id,abundance\n9606.E1,2\n",
        "\ufeffstring_external_id\tabundance\r\n9606.E1\t2\r\n",
    ],
)
def test_headers_below_comments_and_quoted_cells(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.tsv").write_bytes(text.encode())
    table = read_table(tmp_path / "t.tsv")
    assert table.columns == ("string_external_id", "abundance")
    assert table.rows == [["9606.E1", "2"]]


@pytest.mark.parametrize("separator", "\t,;")
def test_a_header_says_what_separates_the_cells_of_a_csv(tmp_path: Path, separator: str) -> None:
    (tmp_path / "t.csv").write_text(f"id{separator}x\ng{separator}1.5\n")
    assert read_table(tmp_path / "t.csv").rows == [["g", "1.5"]]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('id;"x, log10";y\ng;1;2\n', ("id", "x, log10", "y")),
        ('"id, of gene";x\ng;1\n', ("id, of gene", "x")),
        ('id,"x; ""log10""",y\ng,1,2\n', ("id", 'x; "log10"', "y")),
        ('id,"x\tlog10",y\ng,1,2\n', ("id", "x log10", "y")),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.txt"])
def test_a_separator_within_quotes_separates_nothing(
    tmp_path: Path, text: str, columns: tuple[str, ...], name: str
) -> None:
    assert read_table(write(tmp_path, text, name)).columns == columns


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"PK\x03\x04\x14\0\0\0", "an Excel workbook or a zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "an Excel workbook"),
        (b"PAR1\x15\x04\x15", "a Parquet file"),
        (b"id x\ng 1\n", "one column, or columns that spaces separate"),
    ],
)
def test_what_is_no_table_of_text_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(InputError, match=f"found {found}; expected"):
        read_table(tmp_path / "t.tsv")


def test_a_spreadsheets_utf16_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes("id\tx\ng\t1\n".encode("utf-16"))
    with pytest.raises(InputError, match="found UTF-16 text"):
        read_table(tmp_path / "t.tsv")


TEXT_IDS = pd.DataFrame({"gene": ["a", "b"], "x": [1.5, np.nan]})
NUMBERS = pd.DataFrame({"x": [1, 2], "y": [0.5, 0.25]}, index=[1017.0, 1018.0])


@pytest.mark.parametrize(
    ("frame", "columns", "rows"),
    [
        (TEXT_IDS, ("gene", "x"), [["a", "1.5"], ["b", ""]]),
        (TEXT_IDS.set_index("gene"), ("gene", "x"), [["a", "1.5"], ["b", ""]]),
        (TEXT_IDS.set_index("gene", drop=False), ("gene", "x"), [["a", "1.5"], ["b", ""]]),
        (TEXT_IDS.iloc[::-1], ("gene", "x"), [["b", ""], ["a", "1.5"]]),
        (NUMBERS.rename_axis("entrez"), ("entrez", "x", "y"), [["1017", "1", "0.5"], ["1018", "2", "0.25"]]),
        (NUMBERS.set_axis(["a", "b"]), ("id", "x", "y"), [["a", "1", "0.5"], ["b", "2", "0.25"]]),
        (NUMBERS.reset_index(drop=True), ("x", "y"), [["1", "0.5"], ["2", "0.25"]]),
        (TEXT_IDS.set_index("gene")["x"], ("gene", "x"), [["a", "1.5"], ["b", ""]]),
        (pd.Series([3], index=["a"]), ("id", "value"), [["a", "3"]]),
    ],
)
def test_where_the_ids_of_a_frame_are(frame: pd.DataFrame, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    table = frame_table(frame, "the frame")
    assert (table.columns, table.rows) == (columns, rows)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame(), "found no column; expected gene ids and values"),
        (TEXT_IDS[["gene"]], "found the column 'gene' alone; expected gene ids and values"),
        (TEXT_IDS[:0], "found no row; expected one row per gene"),
        (NUMBERS.set_axis([1.5, 2.0]).rename_axis("id"), "found the fraction 1.5 as an id; expected gene ids in"),
        (NUMBERS, "found numbers in the first column, 'x', and an index of numbers without a name; expected gene ids"),
        (pd.DataFrame([[5, 1], [6, 2]], index=[1017, 1018]), "found numbers in the first column, '0', and an index"),
        (pd.DataFrame([[5, 1], [6, 2]]), "found numbers in the first column, '0', and an index"),
        (pd.DataFrame([[5, 1]], index=["a"]), r"found only numbers \(0, 1\) as names of columns; expected"),
        (NUMBERS.set_axis(["x", "x"], axis=1).rename_axis("id"), "columns: found column 'x' 2 times"),
        (NUMBERS.rename_axis("x"), "columns: found column 'x' 2 times"),
        (pd.concat([TEXT_IDS, TEXT_IDS], axis=1, keys=["l", "r"]), "found columns of several levels"),
        (TEXT_IDS.set_index(["gene", "x"], drop=False), "found an index of several levels"),
    ],
)
def test_a_frame_that_is_no_table_of_genes_is_told_in_its_own_words(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=rf"^a frame(: |, ){message}"):
        frame_table(frame, "a frame")
