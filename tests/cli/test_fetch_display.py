"""The bars of `seqexpr fetch` on a terminal, and the size of all files."""

from __future__ import annotations

import io
import re
import sys

import pytest

from seqexpr.cli.fetch_display import Total, watching
from seqexpr.sources.registry import SourceFile, find_source


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_name_leaves_room_for_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = find_source("cptac-lscc-protein").files
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with watching([file]) as watch:
        watch(file, 1_000_000, 6_000_000)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()
    (line,) = {line.rstrip() for line in lines if "LSCC" in line and "1.0/6.0 MB" in line}
    assert line.startswith("cptac-lscc-protein/LSCC_proteom… ") and len(line) <= 80


def test_the_size_of_all_is_rough_until_every_file_has_begun() -> None:
    files = [SourceFile("made-up", "a", (), "tests", about=1_000), SourceFile("made-up", "b", (), "tests", about=300)]
    total = Total(files)
    assert total.size == 1_300
    total.note(files[0], 0, 1_010)
    assert total.size == 1_310
    total.note(files[1], 0, None)  # its server does not say
    assert total.size == 1_310
    assert Total([*files, SourceFile("made-up", "c", (), "tests")]).size is None
