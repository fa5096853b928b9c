"""TOML settings that ship inside the package."""

from __future__ import annotations

import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from seqexpr.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:  # the standard library has it since 3.11
    import tomli as tomllib

_LARGEST = 2**20
_DEEPEST = 16
_LONG_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){64}""")

_ODD_VALUE = re.compile(
    r"""^[ \t]*(?P<key>[\w."'-]{1,80})[ \t]*=[ \t]*(?:[+-]?(?P<digits>[\d_]{400,})|(?:[\[{]\s*){17})""", re.MULTILINE
)


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file's content.

    Raises:
        InputError: the file is absent, is not TOML, or is larger or deeper than settings are.
    """
    expected = "a TOML file"
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST + 1)  # a device may never end
        content = data.decode("utf-8").replace("\r\n", "\n")
    except OSError as problem:
        raise InputError(path, found=problem.strerror or "an unreadable file", expected=expected) from None
    except ValueError as problem:
        raise InputError(path, found=f"text that is not TOML ({problem})", expected=expected) from None
    if len(data) > _LARGEST:
        found = f"more than {_LARGEST:,} bytes"
        raise InputError(path, found=found, expected=f"{expected} of at most {_LARGEST:,} bytes")
    odd = _ODD_VALUE.search(content)
    key = f"key {odd['key']!r}" if odd else None
    too_deep = InputError(
        path, record=key, found=f"more than {_DEEPEST} levels", expected="settings and tables of settings"
    )
    if _LONG_KEY.search(content):  # a key of n parts takes the parser n x n steps
        raise too_deep
    if odd and odd["digits"]:  # Python has a limit on them, and its message does not name the key
        found = f"a number of {len(odd['digits']):,} digits"
        raise InputError(path, record=key, found=found, expected="a setting that fits")
    try:
        settings = tomllib.loads(content)
    except RecursionError:
        raise too_deep from None
    except ValueError as problem:  # TOMLDecodeError is one, and so is Python's limit on the digits of a number
        raise InputError(path, found=f"text that is not TOML ({problem})", expected=expected) from None
    if _is_deeper(settings, _DEEPEST):
        raise too_deep
    if huge := _huge_number(settings):
        found = "a number beyond 64 bits"
        raise InputError(path, record=f"key {huge!r}", found=found, expected="a setting that fits")
    return settings


def _huge_number(value: Any, key: str = "") -> str:
    """The key of a whole number beyond what TOML allows (64 bits), which Python may not even be able to show."""
    if isinstance(value, dict):
        inner = [(f"{key}.{name}" if key else name, entry) for name, entry in value.items()]
    elif isinstance(value, list):
        inner = [(key, entry) for entry in value]
    else:
        return key if isinstance(value, int) and value.bit_length() > 64 else ""
    return next((found for name, entry in inner if (found := _huge_number(entry, name))), "")


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether a value has more than so many levels of lists and tables within one another."""
    layer = [value]
    for _ in range(levels + 1):
        inner: list[Any] = []
        for item in layer:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return False
        layer = inner
    return True


def packaged_toml(package: str, name: str) -> dict[str, Any]:
    """The TOML file `name` beside the modules of `package`, for instance ("seqexpr.tasks", "tasks.toml")."""
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))
