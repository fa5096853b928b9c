"""An mkdocs hook: puts the help of every command into docs/reference/cli.md, so that the two cannot drift."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

_MARKER = "<!-- commands:"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marker's line by the commands' documentation, as Typer writes it."""
    if _MARKER not in markdown:
        return markdown
    head, _, rest = markdown.partition(_MARKER)
    return head + _commands() + rest.partition("-->")[2]


def _commands() -> str:
    command = [sys.executable, "-m", "typer", "seqexpr.cli.app", "utils", "docs", "--name", "seqexpr"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Typer starts with a title of its own; here the page has one already, so every heading goes one deeper.
    lines = [f"#{line}" if line.startswith("#") else line for line in text.splitlines()]
    return "\n".join(lines) + "\n"
