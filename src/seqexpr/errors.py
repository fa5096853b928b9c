"""The errors that end a command, one class per documented exit code.

| exit code | class              | meaning                                     |
|-----------|--------------------|---------------------------------------------|
| 1         | any other          | a bug in seqexpr, or a part of a run that   |
|           |                    | failed after its training                   |
| 2         | `UsageError`       | options that do not fit together            |
| 3         | `InputError`       | a file whose content is not as it should be |
| 4         | `MissingDataError` | data or weights that are not there          |
| 5         | `DeviceError`      | device absent, or memory exhausted          |
| 6         | `NetworkError`     | download or checksum failed                 |
| 130       | `KeyboardInterrupt`| interrupted                                 |
| 143       | `SystemExit`       | ended by a batch system's SIGTERM           |
"""

from __future__ import annotations

from os import PathLike

INTERRUPTED = 130
"""Exit code after Ctrl-C; Typer's too."""

TERMINATED = 143
"""Exit code after a batch system's SIGTERM."""

_LONGEST = 300
"""Characters of a record's name, or of what was found, that an error shows."""


class SeqexprError(Exception):
    """Base of every error that seqexpr raises on purpose; its text is one line for the user."""

    exit_code = 1


class UsageError(SeqexprError):
    """Options that contradict each other or name something that does not exist."""

    exit_code = 2


class InputError(SeqexprError):
    """A file, or one record of it, that is not as it should be.

    Args:
        file: the file as the user named it; "-" is shown as "standard input".
        found: what is there, in a few words.
        expected: what should be there, in a few words.
        record: the record concerned: an id in quotes, a line number, a column.
    """

    exit_code = 3

    def __init__(self, file: str | PathLike[str], *, found: str, expected: str, record: str | None = None) -> None:
        self.file = "standard input" if str(file) == "-" else str(file)
        self.record = record
        self.found = found
        self.expected = expected
        where = f"{self.file}, {_clipped(record)}" if record else self.file
        super().__init__(f"{where}: found {_clipped(found)}; expected {expected}")


def printable(text: str) -> str:
    """The text with control characters spelled out (`\\x1b`), for a message or a row on a terminal.

    Ids, names of outputs and files, and what servers answer may hold sequences that command a terminal. The rule:
    messages and rows on a terminal show them spelled out, files hold what was given.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _spelled(letter) for letter in text)


def _spelled(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


class MissingDataError(SeqexprError):
    """Data or weights that are not on this machine; the text names the exact command that gets them."""

    exit_code = 4


class DeviceError(SeqexprError):
    """The device asked for is absent, or its memory ran out."""

    exit_code = 5


class NetworkError(SeqexprError):
    """A download failed, or its bytes are not the ones expected."""

    exit_code = 6
