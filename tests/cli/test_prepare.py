from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LABELS = "id\tlevel\tother\ng1\t1.5\t\ng2\tNA\t2\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("windows.fa").write_text(">g1\nACGTN\n>g2\nAAAAA\n>g3\nCCCCC\n")
    Path("labels.tsv").write_text(LABELS)
    return tmp_path


def test_counts_go_to_stderr_and_nothing_to_stdout(files: Path, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr(
        "prepare", "--out", "set", "--fasta", "windows.fa", "--tss-at", "center", "--labels", "labels.tsv",
        "--label", "level",
    )  # fmt: skip
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        "the windows: 1 of 3 used (windows.fa)\n"
        "labels: 1 of 2 used (labels.tsv); 1 has no value\n"
        "windows: 2 bp upstream and 3 bp downstream of the TSS; "
        "1 unknown base in 1 window\n"
        "label level: 1 gene\n"
        "1 gene prepared in set\n"
    )
    assert json.loads(Path("set/manifest.json").read_text())["labels"] == ["level"]


def test_standard_input_is_a_file_too(files: Path, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr("prepare", "--out", "set", "--fasta", "-", "--tss-at", "1", stdin=b">g1\nACGTN\n")
    assert done.code == 0
    assert json.loads(Path("set/manifest.json").read_text())["sources"][0]["file"] == "-"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "needs a task, or --out DIR"),
        (["nothing"], 2, "no task 'nothing'"),
        (["mrna-human", "--labels", "labels.tsv"], 2, "omit --labels"),
        (["mrna-human"], 4, "run: seqexpr fetch mrna-human"),
        (["--out", "set"], 2, "no input: give a FASTA of windows"),
        (["--out", "set", "--fasta", "windows.fa", "--tss-at", "mid"], 2, "--tss-at mid: neither an offset"),
        (["--out", "set", "--fasta", "windows.fa"], 3, "--tss-at"),
        (["--out", "set", "--fasta", "absent.fa"], 3, "absent.fa"),
        (["--out", "labels.tsv", "--fasta", "windows.fa"], 2, "is a file"),
        (["--out", ".", "--fasta", "windows.fa", "--force"], 2, "not a prepared dataset"),
    ],
)
def test_exit_codes(files: Path, seqexpr: Callable[..., Any], arguments: list[str], code: int, message: str) -> None:
    done = seqexpr("prepare", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert sorted(path.name for path in files.iterdir()) == ["labels.tsv", "windows.fa"]


def test_the_same_again_is_reused(files: Path, seqexpr: Callable[..., Any]) -> None:
    arguments = ("prepare", "--fasta", "windows.fa", "--tss-at", "0", "--labels", "labels.tsv", "--label", "level")
    first = seqexpr(*arguments, "--out", "set")
    written = {path: path.stat().st_mtime_ns for path in Path("set").iterdir()}
    Path("windows.fa").rename("moved.fa")
    again = seqexpr(*arguments[:2], "moved.fa", *arguments[3:], "--out", "set")  # the same bytes under another name
    assert (first.code, again.code, again.out) == (0, 0, "")
    assert again.err == first.err.replace(
        "1 gene prepared in", "1 gene is there already, from the same files and options, in"
    )
    assert {path: path.stat().st_mtime_ns for path in Path("set").iterdir()} == written


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        (lambda files: (files / "windows.fa").write_text(">g1\nACGTA\n>g2\nAAAAA\n"), "another file for --fasta"),
        (lambda files: ("--tss-at", "1"), "another --tss-at"),
        (lambda files: ("--upstream", "2"), "another --upstream"),
        (lambda files: ("--labels", "labels.tsv"), "another file for --labels"),
    ],
)
def test_a_different_dataset_is_replaced_only_by_force(
    files: Path, seqexpr: Callable[..., Any], change: Callable[[Path], Any], differing: str
) -> None:
    arguments: tuple[str, ...] = ("prepare", "--out", "set", "--fasta", "windows.fa", "--tss-at", "0")
    assert seqexpr(*arguments).code == 0
    changed = change(files)
    if isinstance(changed, tuple):
        arguments = (*(arguments[:-2] if changed[0] in arguments else arguments), *changed)
    refused = seqexpr(*arguments)
    assert (refused.code, refused.out) == (2, "")
    expected = f"set exists, made with {differing}; choose another folder, or --force to replace it\n"
    assert refused.err == f"seqexpr: error: {expected}"
    assert seqexpr(*arguments, "--force").code == 0


def test_a_damaged_dataset_is_not_reused(files: Path, seqexpr: Callable[..., Any]) -> None:
    arguments = ("prepare", "--out", "set", "--fasta", "windows.fa", "--tss-at", "0")
    assert seqexpr(*arguments).code == 0
    path = Path("set/sequences.safetensors")
    whole = path.read_bytes()
    for content in (b"cut", whole[:-1] + bytes([whole[-1] ^ 1])):  # of the same length, too
        path.write_bytes(content)
        refused = seqexpr(*arguments)
        assert refused.code == 2 and "set exists and is damaged (" in refused.err
    assert seqexpr(*arguments, "--force").code == 0


def test_standard_input_is_never_the_same(files: Path, seqexpr: Callable[..., Any]) -> None:
    arguments = ("prepare", "--out", "set", "--fasta", "-", "--tss-at", "1")
    assert [seqexpr(*arguments, stdin=b">g1\nACGTN\n").code for _ in range(2)] == [0, 2]


def test_a_file_that_is_gone_is_named_the_second_time_too(files: Path, seqexpr: Callable[..., Any]) -> None:
    arguments = ("prepare", "--out", "set", "--fasta", "windows.fa", "--tss-at", "0")
    assert seqexpr(*arguments).code == 0
    Path("windows.fa").unlink()
    done = seqexpr(*arguments)
    assert (done.code, done.out) == (3, "")
    assert "windows.fa: found no such file" in done.err
