"""What ran: versions, machine, command and options, for every folder that seqexpr writes."""

from __future__ import annotations

import json
import platform
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from seqexpr.errors import InputError

_LIBRARIES = ("seqexpr", "torch", "numpy", "pandas", "safetensors", "pyfaidx", "scikit-learn")


def describe_run(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """The common head of a manifest.

    Args:
        kind: what the folder holds: "dataset", "train" or "cv".
        options: the resolved options, as JSON can hold them.
    """
    return {
        "kind": kind,
        "format": 1,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": ["seqexpr", *sys.argv[1:]],
        "options": options,
        "versions": {"python": platform.python_version(), **_library_versions()},
        "platform": platform.platform(),
    }


def read_manifest(folder: str | Path, kind: str | None = None) -> dict[str, Any]:
    """The manifest of a folder that seqexpr wrote.

    Raises:
        InputError: there is none, it is not JSON, or it describes another kind of folder.
    """
    path = Path(folder) / "manifest.json"
    expected = f"a seqexpr {kind} folder" if kind else "a folder that seqexpr wrote"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(folder, found="no readable manifest.json", expected=expected) from None
    except ValueError:
        raise InputError(path, found="text that is not JSON", expected=expected) from None
    if not isinstance(manifest, dict) or (kind and manifest.get("kind") != kind):
        found = manifest.get("kind") if isinstance(manifest, dict) else type(manifest).__name__
        raise InputError(path, found=f"a manifest of kind {found!r}", expected=expected)
    return manifest


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed
    return versions
