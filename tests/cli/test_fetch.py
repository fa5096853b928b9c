"""`seqexpr fetch` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seqexpr.cli import fetch as command
from seqexpr.cli.app import app
from seqexpr.datasets.sources import SourceFile, list_sources


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the real command."""
    done = subprocess.run([sys.executable, "-m", "seqexpr", "fetch", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_list_is_a_table_of_all_sources() -> None:
    result = CliRunner().invoke(app, ["fetch", "--list"])
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["name", "size", "present", "licence", "what"]
    assert [row[0] for row in rows[1:]] == [source.name for source in list_sources()]
    assert {row[2] for row in rows[1:]} == {"no"}


def test_the_list_needs_neither_httpx_nor_torch() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None; from seqexpr.cli.app import run\n"
        "assert run(['fetch', '--list']) == 0; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "uniprot-human" in done.stdout


def test_the_list_as_json() -> None:
    result = CliRunner().invoke(app, ["fetch", "--list", "--json"])
    entries = {entry["name"]: entry for entry in json.loads(result.stdout)}
    (file,) = entries["hg38"]["files"]
    assert file["urls"][0].endswith("/hg38.fa.gz") and file["sha256"] is None and not file["present"]


def test_from_a_folder_prints_the_paths(tmp_path: Path, private_cache: Path) -> None:
    (tmp_path / "hg38.fa.gz").write_bytes(b"not really a genome")
    code, out, err = run("hg38", "--from", str(tmp_path))
    assert code == 0, err
    assert Path(out.strip()) == private_cache / "downloads" / "hg38" / "hg38.fa.gz"
    assert "hg38/hg38.fa.gz: 0 kB, from file://" in err


def test_a_task_stands_for_its_sources() -> None:
    result = CliRunner().invoke(app, ["fetch", "mrna-human", "--dry-run"])
    assert result.exit_code == 0
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [
        "xpresso-human/train.h5",
        "xpresso-human/valid.h5",
        "xpresso-human/test.h5",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "seqexpr fetch --list"),
        (("no-such",), 2, "no source or task 'no-such'"),
        (("hg38", "--json"), 2, "--json goes with --list"),
        (("hg38", "--mirror", "ftp://x"), 2, "expected an address of http://"),
        (("hg38", "--offline"), 4, "seqexpr fetch hg38"),
        (("hg38", "--mirror", "file:///no/such/place"), 6, "No such file"),
    ],
)
def test_errors_are_one_line(arguments: tuple[str, ...], code: int, text: str) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert text in err and len(err.splitlines()) == 1


def test_lines_on_progress_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 20.0])
    lines: list[str] = []
    monkeypatch.setattr(command.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(command, "status", lines.append)
    watch = command.PlainWatch()
    file = SourceFile("hg38", "hg38.fa.gz", ())
    for done in (0, 50_000_000, 100_000_000):
        watch(file, done, 400_000_000)
    assert lines == ["hg38/hg38.fa.gz: 100.0 MB of 400.0 MB, 5.0 MB/s, 60 s left"]
