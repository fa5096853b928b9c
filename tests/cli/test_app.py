from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import seqexpr as package
from seqexpr import errors
from seqexpr.cli import app as app_module

COMMANDS = ("predict", "prepare", "train", "cv", "compare", "fetch", "models")
HEAVY = ("torch", "pandas", "pyfaidx", "pyarrow", "sklearn", "scipy", "httpx", "matplotlib", "safetensors")


def test_help_shows_each_command(seqexpr: Callable[..., Any]) -> None:
    for option in ("--help", "-h"):
        done = seqexpr(option)
        assert (done.code, done.err) == (0, "")
        assert all(f" {command} " in done.out for command in COMMANDS)
        assert "--install-completion" in done.out
        assert "3 bad input" in " ".join(done.out.split())


def test_nothing_typed_is_help_and_a_usage_error(seqexpr: Callable[..., Any]) -> None:
    done = seqexpr()
    assert done.code == 2
    assert " predict " in done.out + done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: seqexpr {command}" in done.out


def test_version(seqexpr: Callable[..., Any]) -> None:
    done = seqexpr("--version")
    assert (done.code, done.out, done.err) == (0, f"seqexpr {package.__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["models", "list"], ["fetch", "--list"]])
def test_light_commands_import_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom seqexpr.cli.app import run\ncode = run(sys.argv[1:])\n"
        f"print('heavy:', sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    allowed = ["safetensors"] if arguments[0] == "models" else []
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] in (f"heavy: {allowed}", "heavy: []")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nonsense"], "seqexpr: error: No such command 'nonsense'. (see: seqexpr --help)\n"),
        (["models", "path"], "seqexpr: error: Missing argument 'MODEL'. (see: seqexpr models path --help)\n"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(arguments: list[str], line: str, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.lower().replace("'", "") == line.lower().replace("'", "")


def test_completion_is_on(program: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SEQEXPR_COMPLETE", "source_bash")  # --show-completion asks which shell started the tests
    out, _ = program().communicate()
    assert b"_SEQEXPR_COMPLETE=complete_bash" in out and b"complete " in out


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.UsageError("give --fasta"), 2, "seqexpr: error: give --fasta\n"),
        (
            errors.InputError("a.fa", record="record 2 'x'", found="4 letters", expected="10"),
            3,
            "seqexpr: error: a.fa, record 2 'x': found 4 letters; expected 10\n",
        ),
        (errors.MissingDataError("run: seqexpr fetch x"), 4, "seqexpr: error: run: seqexpr fetch x\n"),
        (errors.DeviceError("no\ncuda"), 5, "seqexpr: error: no cuda\n"),
        (errors.NetworkError("HTTPS_PROXY?"), 6, "seqexpr: error: HTTPS_PROXY?\n"),
        (MemoryError(), 5, "seqexpr: error: out of memory; try a smaller --batch-size\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "o.tsv"),
            3,
            "seqexpr: error: o.tsv: No space left on device\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "o.tsv"),
            3,
            "seqexpr: error: o.tsv: Permission denied\n",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            3,
            "seqexpr: error: input or output: Input/output error\n",
        ),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 0, ""),
        (KeyboardInterrupt(), 130, "seqexpr: interrupted\n"),
        (SystemExit(143), 143, "seqexpr: terminated\n"),
    ],
)
def test_each_way_of_ending_has_its_exit_code_and_line(
    error: BaseException, code: int, line: str, seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("seqexpr.models.registry.list_models", fail)
    done = seqexpr("models", "list")
    assert (done.code, done.out, done.err) == (code, "", line)


def test_a_bug_is_exit_1_with_a_traceback(seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqexpr.models.registry.list_models", lambda: 1 / 0)
    done = seqexpr("models", "list")
    assert (done.code, done.out) == (1, "")
    first, *others = done.err.splitlines()
    assert first.startswith("seqexpr: error: this is a bug in seqexpr") and "ZeroDivisionError" in first
    assert others[0].startswith("Traceback")


def test_debugging_adds_tracebacks(seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQEXPR_DEBUG", "1")
    done = seqexpr("models", "path", "absent-model")
    assert done.code == 4
    assert "Traceback" in done.err


def test_torch_running_out_of_memory_is_exit_5(seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def fail() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("seqexpr.models.registry.list_models", fail)
    assert seqexpr("models", "list").code == 5


def test_a_reader_that_leaves_early_is_no_error(program: Callable[..., subprocess.Popen[bytes]]) -> None:
    for arguments in (["--help"], ["predict", "--help"], ["models", "list"]):
        process = program(*arguments)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_each_exit_code_is_documented_in_help(seqexpr: Callable[..., Any]) -> None:
    text = " ".join(seqexpr("--help").out.split())
    for kind in (
        errors.UsageError,
        errors.InputError,
        errors.MissingDataError,
        errors.DeviceError,
        errors.NetworkError,
    ):
        assert f" {kind.exit_code} " in text
    assert f" {app_module.INTERRUPTED} interrupted" in text


@pytest.mark.slow
def test_closed_streams_are_no_bug(weights: Callable[..., Path]) -> None:
    command = [sys.executable, "-m", "seqexpr", "predict", "--fasta", "-", "--model", str(weights())]
    for closed, code in (("<&-", 3), ("<&- 2>&-", 3), ("</dev/null >&-", 3)):
        done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *command], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (code, "")
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", ["models list", "models path human-mrna", "fetch --list", "--version"])
def test_a_standard_output_that_takes_no_more_is_named(arguments):
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "seqexpr", *arguments.split()], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert result.returncode == 3
    assert "standard output: No space left on device" in result.stderr


SUBCOMMANDS = [[command] for command in COMMANDS[:-1]] + [["models", name] for name in ("list", "show", "path")]


@pytest.mark.parametrize("words", SUBCOMMANDS, ids=" ".join)
def test_help_names_values_and_nothing_of_python(
    words: list[str], seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = seqexpr(*words, "--help").out
    assert not re.search(r"<\w|\w>|x[<>]=|\{|\[\[|list\[|None", shown), shown
    assert "--quiet" in shown and "-q" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["compare", "run", "--metric", "foo"],
            "--metric': 'foo' is not one of 'r2', 'pearson_r2', 'spearman', 'rmse'",
        ),
        (["predict", "--device", "gpu", "x"], "--device': 'gpu' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
        (
            ["cv", "--task", "x", "--split", "given"],
            "--split': 'given' is not one of 'random', 'chromosome', 'homology'",
        ),
        (["cv", "--task", "x", "--folds", "1"], "--folds': '1' is not a whole number of at least 2"),
        (["cv", "--task", "x", "--only-fold", "1", "--only-fold", "-1"], "'-1' is not a whole number of at least 0"),
        (["train", "--task", "x", "--epochs", "2.5"], "--epochs': '2.5' is not a whole number of at least 1"),
        (["train", "--task", "x", "--valid-fraction", "0"], "'0' is not a number above 0 and below 1"),
        (["train", "--task", "x", "--test-fraction", "nan"], "'nan' is not a number of at least 0 and below 1"),
        (["compare", "run", "--resamples", "9"], "--resamples': '9' is not a whole number of at least 100"),
        (["prepare", "--log10", "-1"], "--log10': '-1' is not a number of at least 0"),
        (["prepare", "--upstream", "x"], "--upstream': 'x' is not a whole number of at least 0"),
        (["fetch", "--jobs", "0"], "--jobs': '0' is not a whole number of at least 1"),
    ],
)
def test_a_wrong_value_is_one_plain_line(words: list[str], said: str, seqexpr: Callable[..., Any]) -> None:
    done = seqexpr(*words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("seqexpr: error: Invalid value for '--") and said in done.err
    assert "Value error" not in done.err


def test_exit_code_1_is_one_sentence_everywhere(seqexpr: Callable[..., Any]) -> None:
    sentence = "a bug in seqexpr, or a part of a run that failed after its training (all else is written)"
    root = Path(__file__).resolve().parents[2]
    assert f"| 1 | {sentence} |" in (root / "README.md").read_text(encoding="utf-8")
    for text in (seqexpr("--help").out, (root / "docs/reference/cli.md").read_text(encoding="utf-8")):
        assert f"1 {sentence}" in " ".join(text.replace("\u2502", " ").split())


def test_installation_is_told_as_from_a_checkout() -> None:
    """No distribution of this name is on PyPI, so that `pip install seqexpr[...]` would fail."""
    root = Path(__file__).resolve().parents[2]
    pages = [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "src").rglob("*.py")]
    assert [page.name for page in pages if re.search(r"install.*\bseqexpr\[", page.read_text(encoding="utf-8"))] == []
