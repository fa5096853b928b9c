"""The command that goes on with a run which has not ended, for every message that names one."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqexpr.finished import done_folds

_DROPPED = ("--resume", "--quiet", "-q")
"""Options without a value; whether the command is to be quiet is left to whoever runs it now."""

_REPLACED = ("--out", "--only-fold")
"""Options with a value."""


def command_to_end(folder: str | Path, manifest: Mapping[str, Any], folds: Sequence[int] = ()) -> str:
    """The command that began a run, changed so that it goes on with the run where that lies now, as a shell takes it.

    A run of `cv` that was begun fold by fold goes on in that way, with the folds that its command named, or with all
    that are missing when these are done; when none is missing, its folds are merged.

    Args:
        folder: of the run.
        manifest: the run's.
        folds: run these alone, whatever the command named.
    """
    kind, words = manifest["kind"], [str(word) for word in manifest.get("command", ())]
    options = manifest.get("options", {})
    if words[1:2] != [kind]:  # not begun by the command line
        words = ["seqexpr", kind, "--task", str(options.get("task", "")), "..."]
    kept, named = _taken_apart(words)
    if kind == "cv" and not folds and (named or "merged" in manifest):
        count = options.get("folds", 0)
        missing = sorted(set(range(count)) - set(done_folds(Path(folder), count)))
        if not missing:
            return shlex.join(["seqexpr", "cv", "--merge", str(folder)])
        folds = [fold for fold in missing if str(fold) in named] or missing
    chosen = [word for fold in folds for word in ("--only-fold", str(fold))]
    return shlex.join([*kept, *chosen, "--out", str(folder), *([] if folds else ["--resume"])])


def _taken_apart(words: Iterable[str]) -> tuple[list[str], set[str]]:
    """The words of a command that stay, and the folds that it named."""
    kept: list[str] = []
    named: set[str] = set()
    left = iter(words)
    for word in left:
        option, given, value = word.partition("=")
        if option in _REPLACED:
            value = value if given else next(left, "")
            if option == "--only-fold":
                named.add(value)
        elif word not in _DROPPED:
            kept.append(word)
    return kept, named
