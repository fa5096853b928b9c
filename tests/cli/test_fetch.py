"""`seqexpr fetch` as a user types it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from seqexpr.cli import fetch_display
from seqexpr.cli.app import app
from seqexpr.sources.registry import SourceFile, list_sources


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the real command."""
    done = subprocess.run([sys.executable, "-m", "seqexpr", "fetch", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_list_is_a_table_of_all_sources() -> None:
    result = CliRunner().invoke(app, ["fetch", "--list"])
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["name", "size", "present", "licence", "what", "tasks"]
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
    assert file["use"] == "--genome of predict and prepare"


def test_the_list_of_some() -> None:
    result = CliRunner().invoke(app, ["fetch", "--list", "prot-lung"])
    names = [line.split("\t")[0] for line in result.stdout.splitlines()[1:]]
    assert names == ["xpresso-human", "uniprot-human", "cptac-lscc-protein"]


def test_from_a_folder_prints_the_paths(tmp_path: Path, private_cache: Path) -> None:
    (tmp_path / "hg38.fa.gz").write_bytes(b"not really a genome")
    code, out, err = run("hg38", "--from", str(tmp_path))
    assert code == 0, err
    assert Path(out.strip()) == private_cache / "downloads" / "hg38" / "hg38.fa.gz"
    assert "hg38/hg38.fa.gz: 0 kB, from file://" in err


def test_a_dry_run_tells_files_sizes_and_places(tmp_path: Path) -> None:
    folder = tmp_path / "xpresso-human"
    folder.mkdir()
    for name, size in (("train", 2_500_000), ("valid", 1_500), ("test", 0)):
        (folder / f"{name}.h5").write_bytes(bytes(size))
    code, out, err = run("mrna-human", "--dry-run", "--mirror", tmp_path.as_uri())
    assert code == 0
    assert out.splitlines() == [
        "file\tsize\tfrom",
        f"xpresso-human/train.h5\t2.5 MB\t{folder.as_uri()}/train.h5",
        f"xpresso-human/valid.h5\t2 kB\t{folder.as_uri()}/valid.h5",
        f"xpresso-human/test.h5\t0 kB\t{folder.as_uri()}/test.h5",
    ]
    assert err == "3 to fetch: 2.5 MB\n"
    assert run("mrna-human", "--list")[1].splitlines()[1].split("\t")[2] == "no"  # nothing was fetched
    code, out, err = run("mrna-human", "--dry-run", "--offline", "--json")
    assert code == 0 and [item["size"] for item in json.loads(out)] == [None] * 3
    assert err == "3 to fetch: about 281.0 MB\n"


@pytest.mark.slow
def test_verify(tmp_path: Path, private_cache: Path) -> None:
    (tmp_path / "hg38.fa.gz").write_bytes(b"not really a genome")
    (tmp_path / "mm10.fa.gz").write_bytes(b"nor this")
    assert run("--verify") == (0, "file\tstate\tsha256\n", "nothing is here yet\n")
    code, out, err = run("mm10", "--verify")
    assert (code, out.splitlines()[1]) == (4, "mm10/mm10.fa.gz\tabsent\t")
    assert err == "seqexpr: error: mm10/mm10.fa.gz: not here; run: seqexpr fetch mm10\n"
    assert run("hg38", "mm10", "--from", str(tmp_path))[0] == 0
    digest = hashlib.sha256(b"not really a genome").hexdigest()
    code, out, err = run("--verify")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["file\tstate\tsha256", f"hg38/hg38.fa.gz\tok\t{digest}"]
    changed = private_cache / "downloads" / "mm10" / "mm10.fa.gz"
    changed.write_bytes(b"something else")
    code, out, err = run("mm10", "gencode-mouse", "--verify", "--json")
    assert code == 6 and err.endswith("found other bytes than were recorded; run: seqexpr fetch mm10\n")
    assert [(item["file"], item["state"]) for item in json.loads(out)] == [
        ("mm10/mm10.fa.gz", "changed"),
        ("gencode-mouse/gencode.vM25.annotation.gtf.gz", "absent"),
    ]
    assert changed.read_bytes() == b"something else"


def test_from_an_archive_as_people_make_it(tmp_path: Path, private_cache: Path) -> None:
    (tmp_path / "hg38.fa.gz").write_bytes(b"not really a genome")
    assert run("hg38", "--from", str(tmp_path))[0] == 0
    archive = shutil.make_archive(str(tmp_path / "mirror"), "gztar", private_cache, "downloads")
    shutil.rmtree(private_cache / "downloads")
    code, out, err = run("hg38", "--from", archive, "--offline")
    assert code == 0, err
    assert Path(out.strip()).read_bytes() == b"not really a genome"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "seqexpr fetch --list"),
        (("no-such",), 2, "no source or task 'no-such'"),
        (("hg38", "--json"), 2, "--json goes with --list"),
        (("--list", "--verify"), 2, "--list, --dry-run and --verify are three things"),
        (("hg38", "--jobs", "0"), 2, "--jobs"),
        (("hg38", "--from", "/no/such/place"), 4, "found no such folder or archive"),
        (("hg38", "--from", __file__), 3, "found a file that is no archive; expected a folder, a .zip"),
        (("hg38", "--verify", "--force"), 2, "leave --from, --mirror, --offline and --force out"),
        (("hg38", "--mirror", "ftp://x"), 2, "expected an address of http://"),
    ],
)
def test_errors_are_one_line(arguments: tuple[str, ...], code: int, text: str) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert text in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("hg38", "--offline"), 4, "seqexpr fetch hg38"),
        (("hg38", "--mirror", "file:///no/such/place"), 6, "No such file"),
    ],
)
def test_files_that_cannot_be_had(arguments: tuple[str, ...], code: int, text: str) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    summary, error = err.splitlines()
    assert summary == "0 of 1 files are here; without a network: --from FOLDER or ARCHIVE"
    assert error.startswith("seqexpr: error: ") and text in error


FILES = [SourceFile("hg38", name, (), "tests") for name in ("a", "b")]


def told(monkeypatch: pytest.MonkeyPatch, files: list[SourceFile], moments: list[float]) -> tuple[list[str], Any]:
    clock = iter(moments)
    lines: list[str] = []
    monkeypatch.setattr(fetch_display.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(fetch_display, "status", lines.append)
    return lines, fetch_display.PlainWatch(files)


def test_lines_on_progress_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, watch = told(monkeypatch, FILES[:1], [0.0, 0.0, 10.0, 20.0])
    for done in (0, 50_000_000, 100_000_000):
        watch(FILES[0], done, 400_000_000)
    assert lines == ["hg38/a: 100.0 MB of 400.0 MB, 5.0 MB/s, 60 s left"]


def test_several_files_have_a_line_each_and_one_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, watch = told(monkeypatch, FILES, [0.0, 0.0, 0.0, 20.0, 20.0])
    watch(FILES[0], 0, 100_000_000)
    watch(FILES[1], 40_000_000, 100_000_000)  # of an earlier call: no part in the rate
    watch(FILES[0], 20_000_000, 100_000_000)
    watch(FILES[1], 60_000_000, 100_000_000)
    assert lines == [
        "hg38/a: 20.0 MB of 100.0 MB, 1.0 MB/s, 80 s left",
        "all 2 files: 60.0 MB of 200.0 MB, 1.0 MB/s, 140 s left",
        "hg38/b: 60.0 MB of 100.0 MB, 1.0 MB/s, 40 s left",
    ]


def test_bars_on_a_terminal() -> None:
    """One for each file while it grows and one for all, whose size is known when every file's is."""
    from rich.progress import Progress

    display = Progress(disable=True)
    watch = fetch_display.LiveWatch(display, FILES)
    watch(FILES[0], 10, 100)

    def shown() -> list[tuple[str, float, float | None]]:
        return [(task.description, task.completed, task.total) for task in display.tasks if task.visible]

    assert shown() == [("all", 10, None), ("hg38/a", 10, 100)]
    watch(FILES[1], 5, 50)
    assert shown() == [("all", 15, 150), ("hg38/a", 10, 100), ("hg38/b", 5, 50)]
    watch(FILES[0], 100, 100)
    assert shown() == [("all", 105, 150), ("hg38/b", 5, 50)]


@pytest.mark.slow
def test_a_damaged_file_is_got_again_and_records_travel(tmp_path: Path, private_cache: Path) -> None:
    """What was recorded at the first download holds wherever the copy goes, and says where it came from."""
    folder = tmp_path / "mirror"
    (folder / "hg38").mkdir(parents=True)
    (folder / "hg38" / "hg38.fa.gz").write_bytes(b"not really a genome")
    digest = hashlib.sha256(b"not really a genome").hexdigest()
    record = {"url": "https://first/hg38.fa.gz", "fetched": "2026-01-02T03:04:05+00:00", "sha256": digest, "size": 19}
    (folder / "hg38" / "hg38.fa.gz.json").write_text(json.dumps(record))
    code, out, err = run("hg38", "--from", str(folder))
    assert code == 0, err
    here = Path(out.strip())
    kept = json.loads(here.with_name("hg38.fa.gz.json").read_text())
    assert (kept["url"], kept["fetched"], kept["sha256"]) == (record["url"], record["fetched"], digest)
    assert kept["via"].startswith("file://") and kept["copied"] > "2026"
    assert run("hg38")[2].endswith(", here already, as recorded (2026-01-02)\n")
    here.write_bytes(b"not really a genome!")
    assert run("hg38", "--offline")[0] == 6
    code, _, err = run("hg38", "--from", str(folder))
    assert code == 0 and "it is damaged, or was replaced; getting it again" in err
    assert here.read_bytes() == b"not really a genome"
    (folder / "hg38" / "hg38.fa.gz").write_bytes(b"changed on the way")
    shutil.rmtree(private_cache / "downloads")
    archive = shutil.make_archive(str(tmp_path / "mirror"), "gztar", tmp_path, "mirror")
    for origin in (str(folder), archive):
        code, out, err = run("hg38", "--from", origin)
        assert (code, out) == (6, "") and f"expected {digest}, as recorded beside it" in err
    assert not here.exists()
