"""TOML settings that ship inside the package."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Any

from seqexpr.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:  # the standard library has it since 3.11
    import tomli as tomllib


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file's content.

    Raises:
        InputError: the file is absent or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise InputError(path, found=problem.strerror or "an unreadable file", expected="a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise InputError(path, found=f"text that is not TOML ({problem})", expected="a TOML file") from None


def packaged_toml(package: str, name: str) -> dict[str, Any]:
    """The TOML file `name` beside the modules of `package`, for instance ("seqexpr.tasks", "tasks.toml")."""
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))
