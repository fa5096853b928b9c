from __future__ import annotations

import logging
import os
import re
import subprocess
import sys

import pytest

from seqexpr.cli.console import PlainProgress, plural, progress, set_up_logging, status


def test_status_and_warnings_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    status("device: cpu")
    logging.getLogger("seqexpr.anything").warning("beware of %s", "dogs")
    logging.getLogger("seqexpr.anything").debug("hidden")
    assert capsys.readouterr() == ("", "device: cpu\nseqexpr: warning: beware of dogs\n")


def test_quiet_leaves_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(quiet=True)
    status("device: cpu")
    logging.getLogger("seqexpr.anything").warning("beware")
    assert capsys.readouterr() == ("", "seqexpr: warning: beware\n")


def test_the_debug_variable_shows_debug_records(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQEXPR_DEBUG", "1")
    set_up_logging()
    logging.getLogger("seqexpr.anything").debug("shown")
    assert capsys.readouterr().err == "seqexpr: debug: shown\n"


def test_setting_up_twice_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    set_up_logging()
    status("once")
    assert capsys.readouterr().err == "once\n"


def test_plain_progress_is_a_line_every_30_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    now = 0.0
    advance = PlainProgress("predict", "records", None, clock=lambda: now)
    for _ in range(70):
        now += 1.0
        advance(50)
    assert capsys.readouterr().err == (
        "predict: 1,500 records, 50.0 per second\npredict: 3,000 records, 50.0 per second\n"
    )


def test_plain_progress_names_the_total_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    times = iter([0.0, 31.0, 62.0, 124.0])
    advance = PlainProgress("train", "epochs", 100, clock=lambda: next(times))
    advance(62)
    advance(31)
    advance(31)  # an estimate may be too low
    assert capsys.readouterr().err.splitlines() == [
        "train: 62 of 100 epochs, 2.0 per second, 19 s left",
        "train: 93 of 100 epochs, 1.5 per second, 5 s left",
        "train: 124 of 100 epochs, 1.0 per second, 0 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (5000, "83 min"), (12_345, "3 h 26 min")]
)
def test_the_time_left_in_words(seconds: float, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    times = iter([0.0, 100.0])
    PlainProgress("predict", "records", round(1000 + seconds * 10), about=True, clock=lambda: next(times))(1000)
    assert capsys.readouterr().err.endswith(f"10.0 per second, {words} left\n")


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are of Unix")
@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_sees_total_rate_and_time_left_in_one_line(width: int) -> None:
    import pty

    code = (
        "import time\nfrom seqexpr.cli.console import progress, set_up_logging\nset_up_logging()\n"
        "with progress('predict', 'records', total=900, about=True) as advance:\n"
        "    for _ in range(70):\n        advance(10)\n        time.sleep(0.02)\n"
    )
    ours, theirs = pty.openpty()
    terminal = {**os.environ, "TERM": "xterm", "COLUMNS": str(width)}
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.PIPE, env=terminal) as child:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += (block := os.read(ours, 4096))
            except OSError:  # Linux says so where the other end is closed
                break
            if not block:
                break
        assert child.wait() == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"predict: [0-9,]+ of about 900 records, [0-9,.]+ per second, [0-9]+ s left", text), text


def test_progress_of_a_short_job_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    with progress("predict", "records") as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("count", "text"), [(0, "0 genes"), (1, "1 gene"), (2, "2 genes"), (12345, "12,345 genes")])
def test_plural(count: int, text: str) -> None:
    assert plural(count, "gene") == text


def test_plural_of_irregular_nouns() -> None:
    assert (plural(1, "index", "indices"), plural(2, "index", "indices")) == ("1 index", "2 indices")
