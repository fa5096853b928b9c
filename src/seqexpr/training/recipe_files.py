"""Recipes from their files: the packaged ones of a network and a task, or a user's own, each with its bases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from seqexpr.errors import InputError, UsageError
from seqexpr.toml_files import packaged_toml, read_toml
from seqexpr.training.recipe import Recipe, check_settings

_SHORT_NAMES = ("default", "paper")
"""Names of which each network has its own, and for some each task of the paper too."""


@dataclass(frozen=True)
class _File:
    """One recipe's file as it stands."""

    name: str
    """Its name without .toml."""
    path: Path | None
    """Where a user's own lies; None for a packaged one."""
    settings: dict[str, Any]
    base: str | None
    """What its key `base` names."""

    @property
    def shown(self) -> str:
        """How messages call it."""
        return str(self.path) if self.path else f"recipes/{self.name}.toml"


def load_recipe(name: str, inputs: str, task: str = "") -> Recipe:
    """A packaged recipe, or a user's TOML file, with all that it takes from its bases.

    A file's key `base` names the recipe it starts from: "default" or "paper" for the packaged one that this
    name means for the same network and task, a packaged one by its full name ("paper-dna"), or a .toml file, relative
    to the file that names it. The file's own keys replace the base's; tables merge key by key.

    Args:
        name: "default", "paper", a packaged recipe's full name, or the path of a file that ends in .toml.
        inputs: what the network reads, its preset's name without "-perceiver": "dna", "protein", "protein-dna" or
            "dna-protein". The packaged recipe of just these inputs is taken, else that of the latent input.
        task: a named task, whose own recipe of that name comes first.

    Raises:
        UsageError: neither a packaged recipe nor a file, or settings that make no sense.
        InputError: a file that is not TOML, has unknown keys or values of a wrong type, or bases that are unknown or
            lead back to it.
    """
    file = _find(name, inputs, task, beside=Path())
    if file is None:
        raise UsageError(f"no recipe {name!r}; there are {', '.join(_SHORT_NAMES)}, or name a .toml file")
    chain, settings = [file], file.settings
    while (base := chain[-1].base) is not None:
        # A user's "paper" is what `--recipe paper` would be; a task's own file means the network's, else itself.
        path = chain[-1].path
        above = _find(base, inputs, task if path else "", beside=path.parent if path else Path())
        if above is None:
            expected = f"{', '.join(_SHORT_NAMES)}, a packaged recipe's full name, or a .toml file"
            raise InputError(chain[-1].shown, record="key 'base'", found=repr(base), expected=expected)
        if above.shown in [link.shown for link in chain]:
            circle = " -> ".join(link.shown for link in [*chain, above])
            raise InputError(file.shown, record="key 'base'", found=f"a circle, {circle}", expected="bases that end")
        chain.append(above)
        settings = _merge(above.settings, settings)
    return Recipe.from_dict({**settings, "name": file.name, "bases": [link.name for link in chain[1:]]})


def _find(name: str, inputs: str, task: str, beside: Path) -> _File | None:
    """The file that `name` means for this network and task; None when there is none."""
    packaged = packaged_recipes()
    for candidate in (name, f"{name}-{task}", f"{name}-{inputs}", f"{name}-{inputs.split('-')[0]}"):
        if candidate in packaged:
            return _file(candidate, None, packaged_toml(__package__, f"recipes/{candidate}.toml"))
    if not name.endswith(".toml"):
        return None
    path = beside / name
    return _file(path.stem, path, read_toml(path))


def _file(name: str, path: Path | None, settings: dict[str, Any]) -> _File:
    base = settings.pop("base", None)
    file = _File(name, path, settings, base)
    if not isinstance(base, str | None):
        raise InputError(file.shown, record="key 'base'", found=repr(base), expected="the name of a recipe")
    check_settings(settings, file.shown)
    return file


def packaged_recipes() -> tuple[str, ...]:
    """The full names of all packaged recipes, sorted."""
    folder = resources.files(__package__).joinpath("recipes")
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")))


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `own` in place of its own; tables merge key by key."""
    tables = {key: {**base[key], **own[key]} for key in base.keys() & own.keys() if isinstance(base[key], dict)}
    return {**base, **own, **tables}
