"""Reading what seqexpr wrote: whatever is not of the declared shape is named with file, place, found and expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.own_files import (
    check_shape,
    distinct,
    flag,
    list_of,
    mapping,
    maybe,
    name,
    number,
    one_of,
    parse_json,
    read_json,
    read_json_lines,
    read_own_table,
    record,
    text,
    whole,
)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"[" * 200_000, "more than 64 levels"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b"NaN", "the number NaN"),
        (b"[-Infinity]", "the number -Infinity"),
        (b"1e999", "the number 1e999"),
        (b"9" * 5000, "a number of 5,000 digits"),
        (b'"\\ud800"', "half a surrogate pair"),
        (b'"\xff"', "not UTF-8, at byte 1"),
        (b"", "not JSON"),
        (b'{"fold": ', "not JSON"),
        (b'"' + b'\\"' * 100_000, "not JSON"),
    ],
)
def test_json_that_is_refused(content: bytes, found: str) -> None:
    with pytest.raises(InputError, match=found):
        parse_json(content, "f.json", "a value")


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(), st.lists, max_leaves=20))
def test_sound_json_is_read_as_it_is(value: object) -> None:
    assert parse_json(json.dumps(value), "f", "a value") == value


@pytest.mark.parametrize(
    ("shape", "value", "said"),
    [
        (record({"a": record({"b": whole(0)})}), {"a": {"b": -1}}, r"key 'a\.b': found -1; expected a whole number"),
        (record({"a": text}), {}, "key 'a': found no such key"),
        (record({}, {"a": flag}), {"a": 1}, "key 'a': found 1; expected true or false"),
        (whole(1), True, "found true"),
        (number, "1", "found '1'; expected a finite number"),
        (number, 10**400, "dozens of digits"),
        (list_of(whole(), length=2), [1], "found 1 entries; expected 2"),
        (mapping(text), {"a": None}, "key 'a': found null; expected a text"),
        (distinct(name), ["a", "a"], r"key '\[1\]': found 'a' again"),
        (name, "a\tb", "without control characters"),
        (name, " ", "a name"),
        (one_of(1, "x"), 1.0, 'expected 1 or "x"'),
        (maybe(text), 3, "found 3"),
    ],
)
def test_shapes_name_the_key(shape, value, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_shape(value, shape, "f.json", "a file")


def test_keys_that_a_shape_does_not_name_are_kept(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('{"a": 1, "new": [2]}')
    assert read_json(tmp_path / "f.json", "a file", record({"a": whole()})) == {"a": 1, "new": [2]}


def test_a_directory_and_nothing_are_no_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="expected a file"):
            read_json(path, "a file")


def test_a_last_line_that_was_cut_off_is_ignored_only_where_that_may_be(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"a": 1}\n{"a"')
    assert read_json_lines(path, "lines", cut=True) == [{"a": 1}]
    with pytest.raises(InputError, match="line 2"):
        read_json_lines(path, "lines")
    path.write_text('{"a"\n{"a": 1}\n')
    with pytest.raises(InputError, match="line 1"):
        read_json_lines(path, "lines", cut=True)


COLUMNS = {"id": "text", "n": "whole", "x": "number", "y": "measured", "tss": "place"}


def test_a_table_comes_back_to_the_last_digit(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text('id\tn\tx\ty\ttss\nNA\t3\t\t0.1\t\n"a""\tb"\t-4\t5e-324\t2\t7\n')
    table = read_own_table(tmp_path / "t.tsv", COLUMNS, "a table")
    assert table["id"].tolist() == ["NA", 'a"\tb']
    assert table["n"].tolist() == [3, -4]
    assert table["x"].isna().tolist() == [True, False] and table["x"][1] == 5e-324
    assert table["tss"].isna().tolist() == [True, False] and table["tss"][1] == 7


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"id\tn\n", "no column x, y, tss"),
        (b"id\tn\tx\ty\ttss\ng\t1\n", "line 2: found 2 cells"),
        (b"id\tn\tx\ty\ttss\ng\t1.5\t1\t1\t1\n", "line 2, column 'n': found '1.5'"),
        (b"id\tn\tx\ty\ttss\ng\t1\tnan\t1\t1\n", "line 2, column 'x': found 'nan'"),
        (b"id\tn\tx\ty\ttss\ng\t1\t1_0\t1\t1\n", "column 'x': found '1_0'"),
        (b"id\tn\tx\ty\ttss\ng\t1\t1e999\t1\t1\n", "column 'x': found '1e999'"),
        (b"id\tn\tx\ty\ttss\ng\t1\t1\t\t1\n", "column 'y': found ''"),
        (b"id\tn\tx\ty\ttss\ng\t1\t1\t1\t1e30\n", "column 'tss': found '1e30'"),
        (b"id\tn\tx\ty\ttss\n\xff\t1\t1\t1\t1\n", "line 2: found text that is not UTF-8"),
        (b'id\tn\tx\ty\ttss\n"g\t1\t1\t1\t1\n', "no table"),
        (b"id\tid\tn\tx\ty\ttss\n", "a column twice"),
    ],
)
def test_tables_that_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_own_table(tmp_path / "t.tsv", COLUMNS, "a table")
