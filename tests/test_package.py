from __future__ import annotations

import subprocess
import sys

import pytest

import seqexpr


@pytest.mark.parametrize("name", seqexpr.__all__)
def test_every_public_name_is_there(name):
    assert getattr(seqexpr, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = seqexpr.nothing


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, seqexpr; print([m for m in ('torch', 'pandas', 'pyfaidx', 'typer') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_rooms_import_only_from_rooms_to_their_left():
    """docs/architecture.md has the picture."""
    import ast
    from pathlib import Path

    rooms = [
        "sequences",
        "inputs",
        "datasets",
        "sources",
        "tasks",
        "models",
        "prediction",
        "effects",
        "training",
        "evaluation",
        "runs",
        "api",
        "cli",
    ]
    root = Path(seqexpr.__file__).parent
    wrong = []
    for path in root.rglob("*.py"):
        room = path.relative_to(root).parts[0]
        room = room.removesuffix(".py")
        place = rooms.index(room) if room in rooms else -1
        if path.name in ("__init__.py", "__main__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                parts = name.split(".")
                if parts[0] == "seqexpr" and len(parts) > 1 and parts[1] in rooms and rooms.index(parts[1]) > place:
                    wrong.append(f"{path.relative_to(root)} imports {name}")
    assert wrong == []
